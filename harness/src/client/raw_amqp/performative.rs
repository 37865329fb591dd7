//! Performatives: as well-behaved peers write them, with everything open to be changed, and as the hub wrote them.
//!
//! Source: AMQP 1.0 (OASIS), part 2, section 2.7, and part 5, section 5.3.3.

use std::fmt;

use bytes::Bytes;

use super::value::{Value, composite, string, symbol};

/// open.
pub const OPEN: u64 = 0x10;
/// begin.
pub const BEGIN: u64 = 0x11;
/// attach.
pub const ATTACH: u64 = 0x12;
/// flow.
pub const FLOW: u64 = 0x13;
/// transfer.
pub const TRANSFER: u64 = 0x14;
/// disposition.
pub const DISPOSITION: u64 = 0x15;
/// detach.
pub const DETACH: u64 = 0x16;
/// end.
pub const END: u64 = 0x17;
/// close.
pub const CLOSE: u64 = 0x18;
/// sasl-mechanisms.
pub const SASL_MECHANISMS: u64 = 0x40;
/// sasl-init.
pub const SASL_INIT: u64 = 0x41;
/// sasl-outcome.
pub const SASL_OUTCOME: u64 = 0x44;
/// Received, a state of a delivery.
pub const RECEIVED: u64 = 0x23;
/// Accepted.
pub const ACCEPTED: u64 = 0x24;
/// Rejected.
pub const REJECTED: u64 = 0x25;
/// Released.
pub const RELEASED: u64 = 0x26;
/// Modified.
pub const MODIFIED: u64 = 0x27;

/// Fields of link properties, or of a connection's.
pub type Fields = Vec<(String, Value)>;

/// open; the default is the shape of a client that asks for nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// container-id.
    pub container_id: Value,
    /// hostname.
    pub hostname: Value,
    /// max-frame-size.
    pub max_frame_size: Option<u32>,
    /// channel-max.
    pub channel_max: Option<u16>,
    /// idle-time-out, in milliseconds.
    pub idle_time_out_ms: Option<u32>,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            container_id: string("edgecert"),
            hostname: string("edgehub"),
            max_frame_size: None,
            channel_max: None,
            idle_time_out_ms: None,
        }
    }
}

impl Open {
    /// The performative.
    pub fn value(&self) -> Value {
        composite(
            OPEN,
            vec![
                self.container_id.clone(),
                self.hostname.clone(),
                self.max_frame_size.map_or(Value::Null, Value::Uint),
                self.channel_max.map_or(Value::Null, Value::Ushort),
                self.idle_time_out_ms.map_or(Value::Null, Value::Uint),
            ],
        )
    }
}

/// begin; the default has windows that no test fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// next-outgoing-id.
    pub next_outgoing_id: u32,
    /// incoming-window.
    pub incoming_window: u32,
    /// outgoing-window.
    pub outgoing_window: u32,
    /// handle-max.
    pub handle_max: Option<u32>,
}

impl Default for Begin {
    fn default() -> Self {
        Self { next_outgoing_id: 0, incoming_window: 1_000_000, outgoing_window: 1_000_000, handle_max: None }
    }
}

impl Begin {
    /// The performative.
    pub fn value(&self) -> Value {
        composite(
            BEGIN,
            vec![
                Value::Null,
                Value::Uint(self.next_outgoing_id),
                Value::Uint(self.incoming_window),
                Value::Uint(self.outgoing_window),
                self.handle_max.map_or(Value::Null, Value::Uint),
            ],
        )
    }
}

/// Which end of a link somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It sends.
    Sender,
    /// It receives.
    Receiver,
}

/// attach; made by [`Attach::sender`] and [`Attach::receiver`].
#[derive(Debug, Clone, PartialEq)]
pub struct Attach {
    /// name.
    pub name: String,
    /// handle.
    pub handle: u32,
    /// role.
    pub role: Role,
    /// snd-settle-mode.
    pub snd_settle_mode: Option<u8>,
    /// rcv-settle-mode.
    pub rcv_settle_mode: Option<u8>,
    /// source.
    pub source: Value,
    /// target.
    pub target: Value,
    /// max-message-size.
    pub max_message_size: Option<u64>,
    /// properties; absent when empty.
    pub properties: Fields,
}

/// A source with an address.
pub fn source(address: impl Into<Value>) -> Value {
    composite(0x28, vec![address.into()])
}

/// A target with an address.
pub fn target(address: impl Into<Value>) -> Value {
    composite(0x29, vec![address.into()])
}

impl Attach {
    /// A client that sends to this address.
    pub fn sender(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            handle: 0,
            role: Role::Sender,
            snd_settle_mode: None,
            rcv_settle_mode: None,
            source: source("edgecert"),
            target: target(address),
            max_message_size: None,
            properties: Vec::new(),
        }
    }

    /// A client that receives from this address.
    pub fn receiver(name: &str, address: &str) -> Self {
        Self { role: Role::Receiver, source: source(address), target: target("edgecert"), ..Self::sender(name, "") }
    }

    /// The same, with a link property.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.properties.push((key.to_owned(), value.into()));
        self
    }

    /// The performative.
    pub fn value(&self) -> Value {
        let properties: Vec<(Value, Value)> =
            self.properties.iter().map(|(key, value)| (symbol(key), value.clone())).collect();
        composite(
            ATTACH,
            vec![
                string(&self.name),
                Value::Uint(self.handle),
                Value::Boolean(self.role == Role::Receiver),
                self.snd_settle_mode.map_or(Value::Null, Value::Ubyte),
                self.rcv_settle_mode.map_or(Value::Null, Value::Ubyte),
                self.source.clone(),
                self.target.clone(),
                Value::Null,
                Value::Null,
                if self.role == Role::Sender { Value::Uint(0) } else { Value::Null },
                self.max_message_size.map_or(Value::Null, Value::Ulong),
                Value::Null,
                Value::Null,
                if properties.is_empty() { Value::Null } else { Value::Map(properties) },
            ],
        )
    }
}

/// flow that gives a link credit. `received` counts deliveries that have come on it.
pub fn credit(handle: u32, received: u32, credit: u32) -> Value {
    composite(
        FLOW,
        vec![
            Value::Uint(1),
            Value::Uint(1_000_000),
            Value::Uint(0),
            Value::Uint(1_000_000),
            Value::Uint(handle),
            Value::Uint(received),
            Value::Uint(credit),
        ],
    )
}

/// transfer.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// handle.
    pub handle: u32,
    /// delivery-id.
    pub delivery_id: Option<u32>,
    /// delivery-tag.
    pub delivery_tag: Vec<u8>,
    /// message-format.
    pub message_format: u32,
    /// settled.
    pub settled: bool,
    /// more.
    pub more: bool,
}

impl Transfer {
    /// The performative.
    pub fn value(&self) -> Value {
        composite(
            TRANSFER,
            vec![
                Value::Uint(self.handle),
                self.delivery_id.map_or(Value::Null, Value::Uint),
                Value::Binary(self.delivery_tag.clone()),
                Value::Uint(self.message_format),
                Value::Boolean(self.settled),
                Value::Boolean(self.more),
            ],
        )
    }
}

/// disposition of one delivery by its receiver; `state` is the code of an outcome.
pub fn disposition(delivery_id: u32, settled: bool, state: Option<u64>) -> Value {
    composite(
        DISPOSITION,
        vec![
            Value::Boolean(true),
            Value::Uint(delivery_id),
            Value::Null,
            Value::Boolean(settled),
            state.map_or(Value::Null, |code| composite(code, Vec::new())),
        ],
    )
}

/// detach that closes.
pub fn detach(handle: u32) -> Value {
    composite(DETACH, vec![Value::Uint(handle), Value::Boolean(true)])
}

/// end.
pub fn end() -> Value {
    composite(END, Vec::new())
}

/// close.
pub fn close() -> Value {
    composite(CLOSE, Vec::new())
}

/// sasl-init of a mechanism.
pub fn sasl_init(mechanism: &str, response: Option<&[u8]>) -> Value {
    composite(
        SASL_INIT,
        vec![symbol(mechanism), response.map_or(Value::Null, |bytes| Value::Binary(bytes.to_vec())), string("edgehub")],
    )
}

/// A performative of the hub.
#[derive(Debug, Clone, PartialEq)]
pub struct Performative {
    /// Its descriptor.
    pub code: u64,
    /// Its fields, as many as were written.
    pub fields: Vec<Value>,
    /// What follows it.
    pub payload: Bytes,
}

/// An error as a detach, an end, a close or a rejected outcome carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// condition.
    pub condition: String,
    /// description.
    pub description: Option<String>,
}

impl Error {
    /// The error that a value is.
    pub fn read(value: &Value) -> Option<Self> {
        let fields = value.fields()?;
        let Some(Value::Symbol(condition)) = fields.first() else { return None };
        let description = fields.get(1).and_then(Value::text).map(str::to_owned);
        Some(Self { condition: condition.clone(), description })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.condition)?;
        self.description.iter().try_for_each(|text| write!(f, " ({text})"))
    }
}

impl Performative {
    /// The performative at the front of a frame's body.
    pub fn read(body: Bytes) -> Option<Self> {
        let mut rest = body.as_ref();
        let Value::Described(descriptor, value) = Value::take(&mut rest)? else { return None };
        let (Value::Ulong(code), Value::List(fields)) = (*descriptor, *value) else { return None };
        let payload = body.slice(body.len() - rest.len()..);
        Some(Self { code, fields, payload })
    }

    /// A field by its position; null when it was not written.
    pub fn field(&self, position: usize) -> &Value {
        self.fields.get(position).unwrap_or(&Value::Null)
    }

    /// The error a detach, an end or a close carries.
    pub fn error(&self) -> Option<Error> {
        Error::read(self.field(match self.code {
            DETACH => 2,
            _ => 0,
        }))
    }

    /// The handle it names, when it is about a link.
    pub fn handle(&self) -> Option<u32> {
        let position = match self.code {
            ATTACH => 1,
            FLOW => 4,
            TRANSFER | DETACH => 0,
            _ => return None,
        };
        self.field(position).number().and_then(|handle| u32::try_from(handle).ok())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self.code {
            OPEN => "OPEN",
            BEGIN => "BEGIN",
            ATTACH => "ATTACH",
            FLOW => "FLOW",
            TRANSFER => "TRANSFER",
            DISPOSITION => "DISPOSITION",
            DETACH => "DETACH",
            END => "END",
            CLOSE => "CLOSE",
            SASL_MECHANISMS => "sasl-mechanisms",
            SASL_INIT => "sasl-init",
            SASL_OUTCOME => "sasl-outcome",
            _ => "a performative of another kind",
        }
    }
}

impl fmt::Display for Performative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(handle) = self.handle() {
            write!(f, " {handle}")?;
        }
        match self.code {
            ATTACH => write!(f, " {}", self.field(0)),
            TRANSFER => write!(f, ", {} bytes", self.payload.len()),
            DETACH | END | CLOSE => match self.error() {
                Some(error) => write!(f, " with {error}"),
                None => f.write_str(" without an error"),
            },
            SASL_OUTCOME => write!(f, " {}", self.field(0)),
            _ => Ok(()),
        }
    }
}
