//! A raw connection with its books: which channel and handle of the hub answers which of ours, and deliveries put
//! together from their transfers. What comes is kept until a test asks for it, so that it may ask in any order.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::frame::{self, Incoming};
use super::message::{self, Message};
use super::performative::{
    self, ATTACH, Attach, BEGIN, Begin, CLOSE, DETACH, DISPOSITION, END, Error, OPEN, Open, Performative, REJECTED,
    Role, SASL_MECHANISMS, SASL_OUTCOME, TRANSFER, Transfer,
};
use super::{RawAmqp, Value};
use crate::deadline::{self, Deadline, Expired};

/// Longest frame that is written, unless the hub says less: what the product says.
const LONGEST_FRAME: usize = 65_536;
/// Room for the performative in front of a payload.
const PERFORMATIVE: usize = 128;

/// How a connection begins.
#[derive(Debug, Clone)]
pub enum Layer {
    /// With the AMQP layer at once.
    Bare,
    /// With SASL: mechanism and initial response.
    Sasl(String, Option<Vec<u8>>),
}

impl Layer {
    /// SASL ANONYMOUS.
    pub fn anonymous() -> Self {
        Layer::Sasl("ANONYMOUS".to_owned(), None)
    }

    /// SASL PLAIN.
    pub fn plain(user: &str, password: &str) -> Self {
        Layer::Sasl("PLAIN".to_owned(), Some(format!("\0{user}\0{password}").into_bytes()))
    }
}

/// A link of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Our channel.
    pub channel: u16,
    /// Our handle.
    pub handle: u32,
}

/// Something the hub wrote, under our channel and handle.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Our channel.
    pub channel: u16,
    /// Our handle, if it is about a link.
    pub handle: Option<u32>,
    /// What it says. Transfers of one delivery are joined: the fields of the first, the payload of all.
    pub performative: Performative,
}

/// What came of an attach.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The link stands.
    Attached(Link, Performative),
    /// It was detached at once; the ATTACH that came before that, if one did, and the error.
    Refused(Option<Performative>, Option<Error>),
    /// The session was ended, without an ATTACH.
    Ended(Option<Error>),
    /// The connection was closed.
    Closed(Option<Error>),
}

/// A delivery of the hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The link it came on.
    pub link: Link,
    /// delivery-id.
    pub id: u32,
    /// delivery-tag.
    pub tag: Vec<u8>,
    /// message-format.
    pub format: Option<u32>,
    /// settled.
    pub settled: bool,
    /// The message, if its bytes are one.
    pub message: Option<Message>,
}

/// The connection.
pub struct Peer {
    raw: RawAmqp,
    /// OPEN of the hub.
    pub open: Performative,
    inbox: VecDeque<Event>,
    /// Our channels, by those of the hub.
    channels: BTreeMap<u16, u16>,
    /// Our links by channel and name, with their role.
    names: BTreeMap<(u16, String), Link>,
    /// Our handles, by our channel and the handle of the hub.
    handles: BTreeMap<(u16, u32), u32>,
    /// Deliveries of which more is to come.
    partial: BTreeMap<Link, Performative>,
    next_handle: u32,
    next_delivery: BTreeMap<u16, u32>,
    /// Deliveries that came, by link.
    received: BTreeMap<Link, u32>,
    longest_frame: usize,
}

impl Peer {
    /// Goes through the layers and opens the connection.
    ///
    /// # Errors
    /// [`PeerError`] says how far it came.
    pub async fn enter(mut raw: RawAmqp, layer: &Layer, open: &Open) -> Result<Self, PeerError> {
        if let Layer::Sasl(mechanism, response) = layer {
            let code = authenticate(&mut raw, mechanism, response.as_deref()).await?;
            if code != Some(0) {
                return Err(PeerError::Sasl(code));
            }
        }
        let mut bytes = frame::AMQP.to_vec();
        bytes.extend(frame::amqp(0, &open.value(), b""));
        raw.write(&bytes).await;
        Self::opened(raw).await
    }

    /// Reads the header and the OPEN of the hub, when ours are written already.
    ///
    /// # Errors
    /// As [`Peer::enter`].
    pub async fn opened(mut raw: RawAmqp) -> Result<Self, PeerError> {
        match raw.read(deadline::CONNECT).await? {
            Some(Incoming::Header(frame::AMQP)) => {}
            other => return Err(PeerError::unexpected("the AMQP header", other.as_ref())),
        }
        let open = match raw.read(deadline::CONNECT).await? {
            Some(Incoming::Frame(frame)) => frame.performative().filter(|open| open.code == OPEN),
            _ => None,
        };
        let open = open.ok_or_else(|| PeerError::unexpected("OPEN", None))?;
        let said = open.field(2).number().and_then(|size| usize::try_from(size).ok());
        Ok(Self {
            raw,
            longest_frame: said.unwrap_or(LONGEST_FRAME).min(LONGEST_FRAME),
            open,
            inbox: VecDeque::new(),
            channels: BTreeMap::new(),
            names: BTreeMap::new(),
            handles: BTreeMap::new(),
            partial: BTreeMap::new(),
            next_handle: 0,
            next_delivery: BTreeMap::new(),
            received: BTreeMap::new(),
        })
    }

    /// The connection below.
    pub fn raw(&mut self) -> &mut RawAmqp {
        &mut self.raw
    }

    /// Ends the connection without a word, and waits until the hub has ended its part.
    ///
    /// # Errors
    /// As [`RawAmqp::break_off`].
    pub async fn break_off(self) -> Result<(), Expired> {
        self.raw.break_off().await.map(drop)
    }

    /// Writes a performative, and a payload behind it.
    pub async fn write(&mut self, channel: u16, performative: &Value, payload: &[u8]) {
        self.raw.write(&frame::amqp(channel, performative, payload)).await;
    }

    /// Begins a session, and gives the answer.
    ///
    /// # Errors
    /// [`PeerError`] when there is none.
    pub async fn begin(&mut self, channel: u16, begin: &Begin) -> Result<Performative, PeerError> {
        self.write(channel, &begin.value(), b"").await;
        self.begun(channel).await
    }

    /// The answer to a BEGIN that was written.
    ///
    /// # Errors
    /// As [`Peer::begin`].
    pub async fn begun(&mut self, channel: u16) -> Result<Performative, PeerError> {
        self.on(channel, "BEGIN", |event| event.performative.code == BEGIN).await.map(|event| event.performative)
    }

    /// Writes an attach under a handle of its own, and waits for nothing.
    pub async fn ask(&mut self, channel: u16, mut attach: Attach) -> Link {
        attach.handle = self.next_handle;
        self.next_handle += 1;
        let link = Link { channel, handle: attach.handle };
        self.names.insert((channel, attach.name.clone()), link);
        self.write(channel, &attach.value(), b"").await;
        link
    }

    /// Attaches a link, and says what came of it.
    ///
    /// # Errors
    /// [`PeerError`] when nothing came of it.
    pub async fn attach(&mut self, channel: u16, attach: Attach) -> Result<Answer, PeerError> {
        let role = attach.role;
        let link = self.ask(channel, attach).await;
        self.answered(link, role).await
    }

    /// What came of an attach that was written.
    ///
    /// # Errors
    /// As [`Peer::attach`].
    pub async fn answered(&mut self, link: Link, role: Role) -> Result<Answer, PeerError> {
        let about = move |event: &Event| {
            let code = event.performative.code;
            let of_link = event.channel == link.channel && event.handle == Some(link.handle);
            (of_link && (code == ATTACH || code == DETACH))
                || (event.channel == link.channel && code == END)
                || code == CLOSE
        };
        let first = self.until(deadline::CONNECT, "an answer to ATTACH", about).await?.performative;
        match first.code {
            ATTACH => {}
            DETACH => return Ok(Answer::Refused(None, first.error())),
            END => return Ok(Answer::Ended(first.error())),
            _ => return Ok(Answer::Closed(first.error())),
        }
        // The terminus that counts is the one at the hub's end.
        let terminus = if role == Role::Sender { 6 } else { 5 };
        if *first.field(terminus) != Value::Null {
            return Ok(Answer::Attached(link, first));
        }
        let second = self.until(deadline::CONNECT, "DETACH behind an ATTACH without a terminus", about).await?;
        Ok(Answer::Refused(Some(first), second.performative.error()))
    }

    /// Attaches a link that must stand.
    ///
    /// # Errors
    /// [`PeerError::Refused`] when it does not.
    pub async fn link(&mut self, channel: u16, attach: Attach) -> Result<Link, PeerError> {
        let name = attach.name.clone();
        match self.attach(channel, attach).await? {
            Answer::Attached(link, _) => Ok(link),
            other => Err(PeerError::Refused(name, other.to_string())),
        }
    }

    /// Sends a message, in as many transfers as it needs, and gives its delivery id.
    pub async fn send(&mut self, link: Link, message: &Message, settled: bool) -> u32 {
        self.send_as(link, &message.bytes(), settled, 0).await
    }

    /// Sends bytes as a message of this format.
    pub async fn send_as(&mut self, link: Link, payload: &[u8], settled: bool, message_format: u32) -> u32 {
        let id = self.next_delivery.entry(link.channel).or_default();
        let delivery = *id;
        *id += 1;
        let size = self.longest_frame - PERFORMATIVE;
        let pieces: Vec<&[u8]> = if payload.is_empty() { vec![b"".as_slice()] } else { payload.chunks(size).collect() };
        let mut bytes = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            let transfer = Transfer {
                handle: link.handle,
                delivery_id: Some(delivery),
                delivery_tag: delivery.to_be_bytes().to_vec(),
                message_format,
                settled,
                more: number + 1 < pieces.len(),
            };
            bytes.extend(frame::amqp(link.channel, &transfer.value(), piece));
        }
        self.raw.write(&bytes).await;
        delivery
    }

    /// The state the hub settles a delivery of ours with.
    ///
    /// # Errors
    /// [`PeerError`] when it does not.
    pub async fn outcome(&mut self, channel: u16, delivery: u32) -> Result<Value, PeerError> {
        let disposition = self
            .until(deadline::ACKNOWLEDGEMENT, "the disposition of a delivery", move |event| {
                event.channel == channel && settles(&event.performative, delivery)
            })
            .await?;
        // One disposition may settle a range: what is left of it stays to be asked for.
        let last = disposition.performative.field(2).number().unwrap_or(0);
        if last > u64::from(delivery) {
            let mut rest = disposition.clone();
            rest.performative.fields[1] = Value::Uint(delivery + 1);
            self.inbox.push_front(rest);
        }
        Ok(disposition.performative.field(4).clone())
    }

    /// Sends a message, and gives the state the hub settles it with.
    ///
    /// # Errors
    /// As [`Peer::outcome`].
    pub async fn deliver(&mut self, link: Link, message: &Message) -> Result<Outcome, PeerError> {
        let delivery = self.send(link, message, false).await;
        self.outcome(link.channel, delivery).await.map(Outcome)
    }

    /// Gives the hub credit on a link, beyond what it has used.
    pub async fn credit(&mut self, link: Link, credit: u32) {
        let received = self.received.get(&link).copied().unwrap_or(0);
        self.write(link.channel, &performative::credit(link.handle, received, credit), b"").await;
    }

    /// The next delivery on a link.
    ///
    /// # Errors
    /// [`PeerError`] when none comes in time.
    pub async fn delivery(&mut self, link: Link, deadline: Deadline) -> Result<Delivery, PeerError> {
        let wanted = move |event: &Event| {
            event.channel == link.channel && event.handle == Some(link.handle) && event.performative.code == TRANSFER
        };
        let transfer = self.until(deadline, "a delivery", wanted).await?.performative;
        let number = |at: usize| transfer.field(at).number().and_then(|number| u32::try_from(number).ok());
        Ok(Delivery {
            link,
            id: number(1).unwrap_or_default(),
            tag: match transfer.field(2) {
                Value::Binary(tag) => tag.clone(),
                _ => Vec::new(),
            },
            format: number(3),
            settled: *transfer.field(4) == Value::Boolean(true),
            message: Message::read(&transfer.payload),
        })
    }

    /// Writes a disposition of a delivery; `state` is the code of an outcome.
    pub async fn settle(&mut self, delivery: &Delivery, settled: bool, state: Option<u64>) {
        self.write(delivery.link.channel, &performative::disposition(delivery.id, settled, state), b"").await;
    }

    /// Detaches a link, and waits for the answer.
    ///
    /// # Errors
    /// [`PeerError`] when there is none.
    pub async fn detach(&mut self, link: Link) -> Result<(), PeerError> {
        self.write(link.channel, &performative::detach(link.handle), b"").await;
        self.on_link(link, DETACH).await.map(drop)
    }

    /// Answers a DETACH of the hub.
    pub async fn answer_detach(&mut self, link: Link) {
        self.write(link.channel, &performative::detach(link.handle), b"").await;
    }

    /// Closes the connection in good order.
    ///
    /// # Errors
    /// [`PeerError`] when the hub does not close.
    pub async fn close(mut self) -> Result<(), PeerError> {
        self.write(0, &performative::close(), b"").await;
        self.until(deadline::CLOSED, "CLOSE", |event| event.performative.code == CLOSE).await?;
        self.raw.closed(deadline::CLOSED).await?;
        Ok(())
    }

    /// Waits for the hub's CLOSE, answers it, and gives its error.
    ///
    /// # Errors
    /// [`PeerError`] when there is none in time.
    pub async fn closed(&mut self, deadline: Deadline) -> Result<Option<Error>, PeerError> {
        let close = self.until(deadline, "CLOSE", |event| event.performative.code == CLOSE).await?;
        self.write(0, &performative::close(), b"").await;
        Ok(close.performative.error())
    }

    /// Waits for a performative of this kind about a link.
    ///
    /// # Errors
    /// As [`Peer::until`].
    pub async fn on_link(&mut self, link: Link, code: u64) -> Result<Performative, PeerError> {
        let wanted = move |event: &Event| {
            event.channel == link.channel && event.handle == Some(link.handle) && event.performative.code == code
        };
        self.until(deadline::ACKNOWLEDGEMENT, "an answer on a link", wanted).await.map(|event| event.performative)
    }

    async fn on(&mut self, channel: u16, what: &str, wanted: impl Fn(&Event) -> bool) -> Result<Event, PeerError> {
        self.until(deadline::CONNECT, what, |event| event.channel == channel && wanted(event)).await
    }

    /// The first thing that came, or comes, and is wanted. A CLOSE that nobody wants ends the wait.
    ///
    /// # Errors
    /// [`PeerError::Closed`] when the connection is over, [`PeerError::Expired`] when it does not come in time.
    pub async fn until(
        &mut self,
        deadline: Deadline,
        what: &str,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, PeerError> {
        if let Some(at) = self.inbox.iter().position(&wanted) {
            return Ok(self.inbox.remove(at).expect("just found"));
        }
        if let Some(close) = self.inbox.iter().find(|event| event.performative.code == CLOSE) {
            return Err(PeerError::Closed(format!("{}; {what} was due", close.performative)));
        }
        let reading = async {
            loop {
                let Some(event) = self.next().await else {
                    return Err(PeerError::Closed(format!("the end of the connection; {what} was due")));
                };
                if wanted(&event) {
                    return Ok(event);
                }
                let close = (event.performative.code == CLOSE)
                    .then(|| PeerError::Closed(format!("{}; {what} was due", event.performative)));
                self.inbox.push_back(event);
                if let Some(close) = close {
                    return Err(close);
                }
            }
        };
        let read = deadline.wait(what, reading).await;
        match read {
            Ok(read) => read,
            Err(expired) => Err(PeerError::Expired { expired, instead: self.told() }),
        }
    }

    /// What came and was not asked for, for a reader.
    pub fn told(&self) -> String {
        if self.inbox.is_empty() {
            return "nothing".to_owned();
        }
        let told: Vec<String> =
            self.inbox.iter().rev().take(8).rev().map(|event| event.performative.to_string()).collect();
        told.join(", ")
    }

    /// What came and was not asked for yet.
    pub fn inbox(&self) -> impl Iterator<Item = &Event> {
        self.inbox.iter()
    }

    /// The next event. Frames without a performative are signs of life, and skipped.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let Incoming::Frame(frame) = self.raw.next().await? else { continue };
            let Some(performative) = frame.performative() else { continue };
            if let Some(event) = self.book(frame.channel(), performative) {
                return Some(event);
            }
        }
    }

    /// Enters a performative of the hub into the books; `None` while a delivery is not whole.
    fn book(&mut self, hub_channel: u16, performative: Performative) -> Option<Event> {
        if performative.code == BEGIN {
            let ours = performative.field(0).number().and_then(|channel| u16::try_from(channel).ok());
            self.channels.insert(hub_channel, ours.unwrap_or(hub_channel));
        }
        let channel = self.channels.get(&hub_channel).copied().unwrap_or(hub_channel);
        let hub_handle = performative.handle();
        if let (ATTACH, Some(hub_handle), Some(name)) = (performative.code, hub_handle, performative.field(0).text()) {
            if let Some(link) = self.names.get(&(channel, name.to_owned())) {
                self.handles.insert((channel, hub_handle), link.handle);
            }
        }
        let handle = hub_handle.and_then(|handle| self.handles.get(&(channel, handle)).copied());
        if performative.code != TRANSFER {
            return Some(Event { channel, handle, performative });
        }
        let link = Link { channel, handle: handle.unwrap_or(u32::MAX) };
        let more = *performative.field(5) == Value::Boolean(true);
        let joined = match self.partial.remove(&link) {
            Some(mut first) => {
                first.payload = [first.payload.as_ref(), performative.payload.as_ref()].concat().into();
                first
            }
            None => performative,
        };
        if more {
            self.partial.insert(link, joined);
            return None;
        }
        *self.received.entry(link).or_default() += 1;
        Some(Event { channel, handle, performative: joined })
    }
}

/// Goes through SASL, and gives the code of the outcome; `None` when there was none.
async fn authenticate(raw: &mut RawAmqp, mechanism: &str, response: Option<&[u8]>) -> Result<Option<u8>, PeerError> {
    let mut bytes = frame::SASL.to_vec();
    bytes.extend(frame::sasl(&performative::sasl_init(mechanism, response)));
    raw.write(&bytes).await;
    sasl(raw).await.map(|sasl| code_of(sasl.outcome.as_ref()))
}

/// The code of a sasl-outcome.
pub fn code_of(outcome: Option<&Performative>) -> Option<u8> {
    outcome.and_then(|outcome| outcome.field(0).number()).and_then(|code| u8::try_from(code).ok())
}

/// The SASL layer of the hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Sasl {
    /// What it offers.
    pub mechanisms: Performative,
    /// How it ended, unless the hub closed first.
    pub outcome: Option<Performative>,
}

/// Reads the SASL layer of the hub to its outcome.
///
/// # Errors
/// [`PeerError`] when something else comes, or nothing.
pub async fn sasl(raw: &mut RawAmqp) -> Result<Sasl, PeerError> {
    match raw.read(deadline::CONNECT).await? {
        Some(Incoming::Header(frame::SASL)) => {}
        other => return Err(PeerError::unexpected("the SASL header", other.as_ref())),
    }
    let mechanisms = sasl_frame(raw, SASL_MECHANISMS).await?;
    let mechanisms = mechanisms.ok_or_else(|| PeerError::unexpected("sasl-mechanisms", None))?;
    let outcome = sasl_frame(raw, SASL_OUTCOME).await?;
    Ok(Sasl { mechanisms, outcome })
}

async fn sasl_frame(raw: &mut RawAmqp, code: u64) -> Result<Option<Performative>, PeerError> {
    match raw.read(deadline::CONNECT).await? {
        None => Ok(None),
        Some(Incoming::Frame(frame)) => match frame.performative().filter(|performative| performative.code == code) {
            Some(performative) => Ok(Some(performative)),
            None => Err(PeerError::unexpected("a SASL frame", Some(&Incoming::Frame(frame)))),
        },
        Some(other) => Err(PeerError::unexpected("a SASL frame", Some(&other))),
    }
}

/// Whether a disposition settles this delivery of ours.
fn settles(performative: &Performative, delivery: u32) -> bool {
    let first = performative.field(1).number().unwrap_or(u64::MAX);
    let last = performative.field(2).number().unwrap_or(first);
    performative.code == DISPOSITION
        && *performative.field(0) == Value::Boolean(true)
        && *performative.field(3) == Value::Boolean(true)
        && (first..=last).contains(&u64::from(delivery))
}

/// What a delivery was settled with.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome(pub Value);

impl Outcome {
    /// Whether it was accepted.
    pub fn accepted(&self) -> bool {
        message::is_state(&self.0, performative::ACCEPTED)
    }

    /// The error, if it was rejected with one.
    pub fn rejected(&self) -> Option<Error> {
        if !message::is_state(&self.0, REJECTED) {
            return None;
        }
        Some(
            self.0
                .fields()
                .and_then(<[Value]>::first)
                .and_then(Error::read)
                .unwrap_or(Error { condition: String::new(), description: None }),
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rejected() {
            Some(error) => write!(f, "rejected, {error}"),
            None if self.accepted() => f.write_str("accepted"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, error) = match self {
            Answer::Attached(..) => return f.write_str("the link is attached"),
            Answer::Refused(Some(_), error) => ("ATTACH without a terminus, then DETACH", error),
            Answer::Refused(None, error) => ("DETACH without an ATTACH", error),
            Answer::Ended(error) => ("END", error),
            Answer::Closed(error) => ("CLOSE", error),
        };
        match error {
            Some(error) => write!(f, "{what} with {error}"),
            None => write!(f, "{what} without an error"),
        }
    }
}

/// A conversation that does not go on as it should.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeerError {
    /// SASL ended with this code, or without one.
    #[error("{}", .0.map_or("the connection ended without a sasl-outcome".to_owned(), |code| format!("sasl-outcome {code}")))]
    Sasl(Option<u8>),
    /// The hub closed.
    #[error("{0}")]
    Closed(String),
    /// Something else came.
    #[error("{0}")]
    Unexpected(String),
    /// A link was not attached.
    #[error("link {0}: {1}")]
    Refused(String, String),
    /// It did not come in time.
    #[error("{expired}; there came {instead}")]
    Expired {
        /// The wait.
        expired: Expired,
        /// What came instead.
        instead: String,
    },
}

impl PeerError {
    fn unexpected(due: &str, got: Option<&Incoming>) -> Self {
        match got {
            Some(got) => PeerError::Unexpected(format!("{got}; {due} was due")),
            None => PeerError::Closed(format!("the end of the connection; {due} was due")),
        }
    }
}

impl From<Expired> for PeerError {
    fn from(expired: Expired) -> Self {
        PeerError::Expired { expired, instead: "nothing".to_owned() }
    }
}
