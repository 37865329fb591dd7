//! AMQP 1.0, frame by frame: what a client library would never send, and everything the hub answers.
//!
//! - [`value`]: the type system. [`performative`], [`frame`], [`message`]: what is written with it, right or wrong.
//! - [`RawAmqp`] writes bytes and reads frames. [`peer`] keeps count of channels, handles and deliveries above it, and
//!   still answers nothing on its own account.
//!
//! For well-behaved clients there is [`super::amqp`].

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub mod frame;
pub mod message;
pub mod peer;
pub mod performative;
pub mod value;

use super::raw_mqtt::RawError;
use super::stream::{self, ByteStream};
use crate::deadline::{self, Deadline, Expired};
use crate::observe::wire_log::{Direction, WireLog};
pub use frame::Incoming;
pub use message::Message;
pub use peer::Peer;
pub use value::Value;

/// A connection to the AMQP head, spoken byte by byte.
pub struct RawAmqp {
    name: String,
    stream: Box<dyn ByteStream>,
    buffer: BytesMut,
    log: WireLog,
}

impl RawAmqp {
    /// Opens a TLS connection; nothing of AMQP is written yet. `name` is what the wire log calls it.
    ///
    /// # Errors
    /// [`RawError`] when there is no connection, or the TLS handshake fails.
    pub async fn open(
        name: &str,
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        log: WireLog,
    ) -> Result<Self, RawError> {
        Self::open_as(name, address, ServerName::IpAddress(address.ip().into()), tls, log).await
    }

    /// As [`RawAmqp::open`], for a server whose certificate has this name.
    ///
    /// # Errors
    /// As [`RawAmqp::open`].
    pub async fn open_as(
        name: &str,
        address: SocketAddr,
        server: ServerName<'static>,
        tls: Arc<rustls::ClientConfig>,
        log: WireLog,
    ) -> Result<Self, RawError> {
        let opened = stream::tls_as(address, server, tls);
        let opened = deadline::CONNECT.wait(format!("a TLS connection to {address}"), opened);
        let stream = opened.await?.map_err(RawError::Open)?;
        Ok(Self::over(name, stream, log))
    }

    /// Speaks on a stream that stands, whatever it is.
    pub fn over(name: &str, stream: impl ByteStream + 'static, log: WireLog) -> Self {
        Self { name: name.to_owned(), stream: Box::new(stream), buffer: BytesMut::new(), log }
    }

    /// Writes bytes in one go. A connection that the hub has closed is no error here: the next read tells.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.log.note_as(&self.name, Direction::ToHub, &told(bytes), bytes);
        // The hub may close in the middle of what is written, which is what some tests want to see.
        if self.stream.write_all(bytes).await.is_ok() {
            let _ = self.stream.flush().await;
        }
    }

    /// Writes bytes in pieces that end at these positions, each flushed on its own, so that the hub reads them apart.
    pub async fn write_split(&mut self, bytes: &[u8], at: &[usize]) {
        let mut from = 0;
        for end in at.iter().copied().chain([bytes.len()]) {
            let end = end.clamp(from, bytes.len());
            if end > from {
                self.write(&bytes[from..end]).await;
                tokio::task::yield_now().await;
            }
            from = end;
        }
    }

    /// The next thing the hub writes, or `None` when it closed the connection.
    ///
    /// # Errors
    /// [`Expired`] when neither happens in time.
    pub async fn read(&mut self, deadline: Deadline) -> Result<Option<Incoming>, Expired> {
        let what = format!("a frame from the hub on {}", self.name);
        deadline.wait(what, self.next()).await
    }

    /// The next thing the hub writes, without a limit of time. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            if let Some(incoming) = Incoming::take(&mut self.buffer) {
                let bytes = match &incoming {
                    Incoming::Header(header) => header.as_slice(),
                    Incoming::Frame(frame) => &frame.bytes,
                };
                self.log.note_as(&self.name, Direction::FromHub, &incoming.to_string(), bytes);
                return Some(incoming);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.log.note(&self.name, Direction::FromHub, &[]);
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    /// Reads until the hub closes, and gives what came before.
    ///
    /// # Errors
    /// [`Expired`] when the connection still stands at the deadline.
    pub async fn closed(&mut self, deadline: Deadline) -> Result<Vec<Incoming>, Expired> {
        let mut before = Vec::new();
        let what = format!("the hub to close {}", self.name);
        deadline
            .wait(what, async {
                while let Some(incoming) = self.next().await {
                    before.push(incoming);
                }
            })
            .await?;
        Ok(before)
    }

    /// Ends what the client says, and gives what comes until the hub ends its part.
    ///
    /// # Errors
    /// [`Expired`] when the hub does not end its part in time.
    pub async fn break_off(mut self) -> Result<Vec<Incoming>, Expired> {
        self.log.tell(&self.name, Direction::ToHub, "end of the connection".to_owned());
        // A connection that the hub has ended already cannot be ended again.
        let _ = self.stream.shutdown().await;
        self.closed(deadline::CLOSED).await
    }
}

/// Bytes of a client as the wire log tells them.
fn told(bytes: &[u8]) -> String {
    let mut buffer = BytesMut::from(bytes);
    let mut told: Vec<String> =
        std::iter::from_fn(|| Incoming::take(&mut buffer)).map(|incoming| incoming.to_string()).collect();
    if !buffer.is_empty() {
        told.push("a piece of a frame".to_owned());
    }
    told.join(", ")
}
