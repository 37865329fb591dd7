//! AMQP as the hub speaks it once a connection is one: OPEN to CLOSE, sessions, links, deliveries. No clock, socket or
//! task in here: frames go in, [`Event`]s and bytes come out.
//!
//! - [`Peer`]: the connection, and all that is done on it.
//! - `session`, [`link`]: the two layers below; a state each, and what frames do to it.
//! - `wire`: what goes out.
//!
//! Source: `amqp.md` 4, 5.3; Azure/azure-amqp, `AmqpConnection.cs`, `AmqpSession.cs`, `AmqpLink.cs`.

use std::collections::BTreeMap;

use bytes::Bytes;
use fe2o3_amqp_types::definitions::{Error, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives::{Attach, Close, Open, Performative};
use serde_amqp::primitives::Symbol;

pub mod link;
mod session;
mod wire;

use super::condition::{bare, error};
use super::frame::{self, Frame, MAX_FRAME_BYTES, Undecodable};
use crate::faults::planted;
use link::{LinkId, Parcel};
use session::Session;
use wire::Wire;

/// Largest channel, unless the client wants fewer.
const CHANNEL_MAX: u16 = 8191;

/// What OPEN tells clients about how long they may be silent: half of [`SILENCE_MILLIS`].
const IDLE_TIME_OUT_MILLIS: u32 = 120_000;

/// How long a client may really be silent.
pub const SILENCE_MILLIS: u32 = 240_000;

/// What a client that names no idle time-out is taken to have meant.
const DEFAULT_IDLE_MILLIS: u32 = 120_000;

/// The shortest idle time-out a client may ask for.
const MIN_IDLE_MILLIS: u32 = 5_000;

/// The smallest frame everybody must take.
const MIN_FRAME_BYTES: u32 = 512;

/// Something that happened on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client wants a link: to be answered with [`Peer::accept`] or [`Peer::refuse`].
    Attaching {
        /// Its name from now on.
        link: LinkId,
        /// As the client asked.
        attach: Box<Attach>,
    },
    /// A message came: to be settled with [`Peer::settle`].
    Delivered {
        /// Where.
        link: LinkId,
        /// What.
        delivery: Delivery,
    },
    /// The client said what became of a message.
    Outcome {
        /// Where.
        link: LinkId,
        /// Whose, as its sender named it.
        ticket: u64,
        /// Its delivery id, for [`Peer::conclude`].
        delivery: u32,
        /// What became of it.
        state: Option<DeliveryState>,
        /// Whether it is over for the client.
        settled: bool,
    },
    /// A link is gone, whoever ended it.
    Detached {
        /// Which.
        link: LinkId,
    },
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Delivery id.
    pub id: u32,
    /// Message format.
    pub format: u32,
    /// Whether the client wants to hear no more of it.
    pub settled: bool,
    /// The message.
    pub payload: Bytes,
}

/// Settle modes of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Of the sender.
    pub snd: SenderSettleMode,
    /// Of the receiver.
    pub rcv: ReceiverSettleMode,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client's OPEN is still to come.
    Opening,
    /// OPEN went both ways.
    Open,
    /// The hub's CLOSE is out; nothing but the client's counts.
    Closing,
    /// CLOSE went both ways.
    Closed,
}

/// The hub's side of a connection.
#[derive(Debug)]
pub struct Peer {
    container: String,
    one_name: bool,
    stage: Stage,
    wire: Wire,
    events: Vec<Event>,
    sessions: BTreeMap<u16, Session>,
    links: u64,
    max_frame_bytes: usize,
    channel_max: u16,
    hostname: Option<String>,
    /// How long the hub may be silent.
    silence_millis: u32,
}

impl Peer {
    /// A connection whose protocol headers were exchanged. Where `one_name` holds, a session has one link of a name,
    /// whichever way its messages go.
    pub fn new(container: &str, one_name: bool) -> Peer {
        Peer {
            container: container.to_owned(),
            one_name,
            stage: Stage::Opening,
            wire: Wire { bytes: Vec::new(), max_frame_bytes: MAX_FRAME_BYTES },
            events: Vec::new(),
            sessions: BTreeMap::new(),
            links: 0,
            max_frame_bytes: MAX_FRAME_BYTES,
            channel_max: CHANNEL_MAX,
            hostname: None,
            silence_millis: DEFAULT_IDLE_MILLIS,
        }
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Largest frame that is taken.
    pub fn max_frame_bytes(&self) -> usize {
        self.max_frame_bytes
    }

    /// Milliseconds of silence after which the client would go: the hub speaks up before.
    pub fn silence_millis(&self) -> u32 {
        self.silence_millis
    }

    /// The host the client believes to speak to.
    pub fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What is to be written.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.wire.bytes
    }

    /// Takes in a frame.
    pub fn receive(&mut self, frame: &Frame) {
        if frame.body.is_empty() {
            return;
        }
        if frame.kind != 0 {
            return self.broken(Undecodable::Framing);
        }
        match frame::read(&frame.body) {
            Ok((performative, payload)) => self.performative(frame.channel, performative, &payload),
            Err(error) => self.broken(error),
        }
    }

    /// The client sent what cannot be read.
    pub fn broken(&mut self, why: Undecodable) {
        let condition = match why {
            Undecodable::Framing => "amqp:connection:framing-error",
            Undecodable::Body => "amqp:decode-error",
        };
        self.close(Some(bare(condition)));
    }

    fn performative(&mut self, channel: u16, performative: Performative, payload: &Bytes) {
        match (self.stage, performative) {
            (Stage::Closed, _) => {}
            (Stage::Closing, Performative::Close(_)) => self.stage = Stage::Closed,
            (Stage::Closing, _) => {}
            (Stage::Opening, Performative::Open(open)) => self.opened(&open),
            (Stage::Opening, _) | (Stage::Open, Performative::Open(_)) => {
                self.close(Some(bare("amqp:illegal-state")));
            }
            (Stage::Open, Performative::Close(_)) => self.closed(),
            (Stage::Open, Performative::Begin(_)) if channel > self.channel_max => {
                self.close(Some(bare("amqp:connection:framing-error")));
            }
            (Stage::Open, Performative::Begin(_))
                if !self.sessions.is_empty() && planted("CON07-one-session-for-each-connection") =>
            {
                self.close(Some(bare("amqp:not-allowed")));
            }
            (Stage::Open, Performative::Begin(begin)) => match self.sessions.get(&channel) {
                Some(_) => self.close(Some(bare("amqp:illegal-state"))),
                None => {
                    let session = Session::begin(channel, &begin, &mut self.wire);
                    self.sessions.insert(channel, session);
                }
            },
            (Stage::Open, performative) => self.of_session(channel, performative, payload),
        }
    }

    fn of_session(&mut self, channel: u16, performative: Performative, payload: &Bytes) {
        let (wire, events) = (&mut self.wire, &mut self.events);
        let Some(session) = self.sessions.get_mut(&channel) else {
            // Some clients detach links after the session has ended. What is gone may end once more.
            if !matches!(performative, Performative::Detach(_) | Performative::End(_)) {
                self.close(Some(bare("amqp:not-found")));
            }
            return;
        };
        match performative {
            Performative::End(_) => {
                session.ended(wire, events);
                self.sessions.remove(&channel);
            }
            _ if session.is_ending() => {}
            Performative::Attach(attach) => {
                self.links += 1;
                session.attach(attach, LinkId(self.links), self.one_name, wire, events);
            }
            Performative::Detach(detach) => session.detached(&detach, wire, events),
            Performative::Flow(flow) => session.flow(&flow, wire, events),
            Performative::Transfer(transfer) => session.transfer(&transfer, payload, wire, events),
            Performative::Disposition(disposition) => session.disposition(&disposition, events),
            Performative::Open(_) | Performative::Begin(_) | Performative::Close(_) => {}
        }
    }

    /// Answers OPEN.
    fn opened(&mut self, open: &Open) {
        let asked = open.max_frame_size.0;
        let frame_bytes = asked.clamp(MIN_FRAME_BYTES, u32::try_from(MAX_FRAME_BYTES).unwrap_or(u32::MAX));
        self.max_frame_bytes = usize::try_from(frame_bytes).unwrap_or(MAX_FRAME_BYTES);
        self.wire.max_frame_bytes = self.max_frame_bytes;
        self.channel_max = open.channel_max.0.min(CHANNEL_MAX);
        self.hostname = open.hostname.clone();
        self.stage = Stage::Open;
        let idle = open.idle_time_out.unwrap_or_default();
        if idle > 0 {
            self.silence_millis = idle;
        }
        let refusal = (1..MIN_IDLE_MILLIS).contains(&idle).then(|| {
            let said = format!(
                "Idle timeout value specified in connection OPEN ('{idle} ms') is not supported. Minimum idle timeout is \
                 '{MIN_IDLE_MILLIS}' ms."
            );
            error("amqp:not-allowed", said)
        });
        let refusal = refusal.filter(|_| !planted("CON03-any-idle-time-out-will-do"));
        self.say_open(refusal.as_ref());
        if refusal.is_some() {
            self.silence_millis = DEFAULT_IDLE_MILLIS;
            self.close(refusal);
        }
    }

    fn say_open(&mut self, refusal: Option<&Error>) {
        let named = |error: &Error| {
            let value = serde_amqp::to_value(error).ok()?;
            Some([(Symbol::from("com.microsoft:open-error"), value)].into_iter().collect())
        };
        let promised =
            if planted("O18-idle-time-out-is-announced-in-full") { SILENCE_MILLIS } else { IDLE_TIME_OUT_MILLIS };
        let open = Open {
            container_id: self.container.clone(),
            hostname: Some(String::from("localhost")),
            max_frame_size: match planted("CON01-frame-size-is-not-negotiated") {
                true => 65_536.into(),
                false => u32::try_from(self.max_frame_bytes).unwrap_or(u32::MAX).into(),
            },
            channel_max: match planted("CON02-channel-max-is-not-negotiated") {
                true => CHANNEL_MAX.into(),
                false => self.channel_max.into(),
            },
            idle_time_out: Some(promised),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: refusal.and_then(named),
        };
        self.wire.say(0, Performative::Open(open));
    }

    /// Takes in CLOSE, and answers it.
    fn closed(&mut self) {
        for session in self.sessions.values_mut() {
            // Nobody reads what would be said here.
            session.end(None, &mut Wire::default(), &mut self.events);
        }
        self.sessions.clear();
        self.wire.say(0, Performative::Close(Close { error: None }));
        self.stage = Stage::Closed;
    }

    /// Closes the connection: DETACH for every link, END for every session, CLOSE.
    pub fn close(&mut self, error: Option<Error>) {
        self.close_after(None, error);
    }

    /// Closes the connection for a reason that every link is told too.
    pub fn close_with_links(&mut self, error: Error) {
        self.close_after(Some(&error), Some(error.clone()));
    }

    fn close_after(&mut self, of_links: Option<&Error>, error: Option<Error>) {
        match self.stage {
            Stage::Closing | Stage::Closed => return,
            Stage::Opening => self.say_open(None),
            Stage::Open => {}
        }
        for session in self.sessions.values_mut() {
            session.end_after(of_links, None, &mut self.wire, &mut self.events);
        }
        self.sessions.clear();
        self.wire.say(0, Performative::Close(Close { error }));
        self.stage = Stage::Closing;
    }

    /// Takes the link a client wants.
    pub fn accept(&mut self, link: LinkId, modes: Modes) {
        self.with(link, |session, wire, _| session.accept(link, modes, wire));
    }

    /// Does not take the link a client wants.
    pub fn refuse(&mut self, link: LinkId, error: Error) {
        self.with(link, |session, wire, _| session.refuse(link, error, wire));
    }

    /// Ends a link.
    pub fn detach(&mut self, link: LinkId, error: Option<Error>) {
        self.with(link, |session, wire, events| session.detach(link, error, wire, events));
    }

    /// Ends the session of a link.
    pub fn end(&mut self, link: LinkId, error: Error) {
        self.with(link, |session, wire, events| session.end(Some(error), wire, events));
    }

    /// Settles a message of a client, in a state unless it was settled all along.
    pub fn settle(&mut self, link: LinkId, delivery: u32, state: Option<DeliveryState>) {
        self.with(link, |session, wire, _| session.settle(link, delivery, state, wire));
    }

    /// Says that a message to a client is over, in this state.
    pub fn conclude(&mut self, link: LinkId, delivery: u32, state: DeliveryState) {
        self.with(link, |session, wire, _| session.conclude(delivery, state, wire));
    }

    /// Sends a message as soon as the client takes it.
    pub fn send(&mut self, link: LinkId, parcel: Parcel) {
        self.with(link, |session, wire, _| session.send(link, parcel, wire));
    }

    fn with(&mut self, link: LinkId, what: impl FnOnce(&mut Session, &mut Wire, &mut Vec<Event>)) {
        let owner = self.sessions.values_mut().find_map(|session| session.link(link).is_some().then_some(session));
        if let Some(session) = owner {
            what(session, &mut self.wire, &mut self.events);
        }
    }
}
