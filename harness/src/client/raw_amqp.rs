//! AMQP 1.0, frame by frame: what a client library would never send, and everything the hub answers.
//!
//! - [`value`]: the type system. [`performative`], [`frame`], [`message`]: what is written with it, right or wrong.
//! - [`RawAmqp`] writes bytes and reads frames. [`peer`] keeps count of channels, handles and deliveries above it, and
//!   still answers nothing on its own account.
//!
//! For well-behaved clients there is [`super::amqp`].

use bytes::BytesMut;

pub mod frame;
pub mod message;
pub mod peer;
pub mod performative;
pub mod value;

use super::raw::{Raw, Unit};
pub use frame::Incoming;
pub use message::Message;
pub use peer::Peer;
pub use value::Value;

/// A connection to the AMQP head, spoken byte by byte.
pub type RawAmqp = Raw<Incoming>;

impl Unit for Incoming {
    const NAME: &'static str = "frame";

    fn take(buffer: &mut BytesMut) -> Option<Self> {
        Incoming::take(buffer)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Incoming::Header(header) => header,
            Incoming::Frame(frame) => &frame.bytes,
        }
    }
}
