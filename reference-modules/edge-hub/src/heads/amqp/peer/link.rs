//! One link: what it was asked for, and how far it is.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{DeliveryTag, Role};
use fe2o3_amqp_types::performatives::Attach;

/// Deliveries a client may send without being asked to.
pub const CREDIT: u32 = 1000;

/// Settled deliveries after which credit is given anew.
pub const CREDIT_STEP: u32 = 100;

/// Largest message on any link.
pub const MAX_MESSAGE_BYTES: u64 = 1_048_576;

/// One link of a connection, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client's ATTACH is not answered.
    Attaching,
    /// ATTACH went both ways.
    Attached,
    /// The hub's DETACH went out; nothing but the client's counts.
    Detaching,
}

/// A link.
#[derive(Debug)]
pub struct Link {
    /// Its name within the process.
    pub id: LinkId,
    /// The client's handle, which is the hub's too.
    pub handle: u32,
    /// As the client asked.
    pub attach: Box<Attach>,
    /// How far it is.
    pub stage: Stage,
    /// Which way messages go.
    pub way: Way,
}

/// Which way messages go on a link, and what is on its way.
#[derive(Debug)]
pub enum Way {
    /// To the hub.
    In(Incoming),
    /// To the client.
    Out(Outgoing),
}

/// Messages of the client.
#[derive(Debug)]
pub struct Incoming {
    /// Deliveries so far, as the client counts them.
    pub delivery_count: u32,
    /// Deliveries that may still come.
    pub credit: u32,
    /// Settled since credit was given last.
    pub settled: u32,
    /// Times credit was given.
    pub grants: u32,
    /// A delivery whose last frame is still to come.
    pub partial: Option<Partial>,
}

/// A delivery whose last frame is still to come.
#[derive(Debug)]
pub struct Partial {
    /// Its id.
    pub delivery: u32,
    /// Its message format.
    pub format: u32,
    /// Whether it was settled by its sender.
    pub settled: bool,
    /// So far.
    pub payload: BytesMut,
}

/// Messages to the client.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Deliveries so far.
    pub delivery_count: u32,
    /// Deliveries the client takes.
    pub credit: u32,
    /// Whether credit that cannot be used is to be given back.
    pub drain: bool,
    /// What waits for credit, or for room in the session.
    pub queue: VecDeque<Parcel>,
}

/// A message to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Names it to the sender when it is settled; settled from the start when there is none.
    pub ticket: Option<u64>,
    /// Delivery tag.
    pub tag: DeliveryTag,
    /// The message.
    pub payload: Bytes,
    /// Its delivery id, once its first frame is out.
    pub delivery: Option<u32>,
}

impl Link {
    /// A link whose ATTACH came.
    pub fn new(id: LinkId, attach: Box<Attach>) -> Link {
        let way = match attach.role {
            Role::Sender => Way::In(Incoming {
                delivery_count: attach.initial_delivery_count.unwrap_or_default(),
                credit: 0,
                settled: 0,
                grants: 0,
                partial: None,
            }),
            Role::Receiver => Way::Out(Outgoing::default()),
        };
        Link { id, handle: attach.handle.0, attach, stage: Stage::Attaching, way }
    }

    /// Largest message the link carries, as ATTACH says.
    pub fn max_message_bytes(&self) -> u64 {
        let asked = self.attach.max_message_size.unwrap_or_default();
        if (1..=MAX_MESSAGE_BYTES).contains(&asked) { asked } else { MAX_MESSAGE_BYTES }
    }
}

impl Outgoing {
    /// The client says how many deliveries it takes, counted from those it knows of.
    pub fn grant(&mut self, known: Option<u32>, credit: u32, drain: bool) {
        let behind = self.delivery_count.wrapping_sub(known.unwrap_or_default());
        // What the client does not know of yet has used up credit already.
        self.credit = if behind > u32::MAX / 2 { credit } else { credit.saturating_sub(behind) };
        self.drain = drain;
    }

    /// Gives back what cannot be used; true when there was any.
    pub fn drained(&mut self) -> bool {
        let drains = self.drain && self.queue.is_empty() && self.credit > 0;
        if drains {
            self.delivery_count = self.delivery_count.wrapping_add(self.credit);
            self.credit = 0;
        }
        drains
    }
}
