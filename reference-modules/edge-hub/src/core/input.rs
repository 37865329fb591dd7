//! What the core is told.

use std::sync::Arc;

use bytes::Bytes;

use super::cloud_to_device::CloudMessage;
use super::envelope::{Envelope, Telemetry, TwinChange};
use super::methods::CallerId;
use super::methods::request::MethodRequest;
use super::time::Timestamp;
use crate::identity::ClientId;

/// One connection of a client, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One PUBLISH: which connection, and its how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId {
    /// Where it came from.
    pub connection: ConnectionId,
    /// Counted by the protocol head.
    pub number: u64,
}

/// One queue of the running process; names of the store do not matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId {
    /// Endpoint, counted anew each time it is created.
    pub endpoint: u32,
    /// 0 (most urgent) to 9, or 2 000 000 000.
    pub priority: u32,
}

/// One request to store a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// One attempt to deliver a message to a module or device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// One attempt to send messages upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub u64);

/// One cloud-to-device message, as one connection upstream got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloudMessageId {
    /// Connections of its session before and with this one.
    pub connection: u64,
    /// Packet id or number of the delivery on it.
    pub packet: u32,
}

/// What a client is to be told that comes from IoT Hub unasked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Changes of its desired properties.
    pub desired: bool,
    /// Calls of its methods.
    pub methods: bool,
    /// Cloud-to-device messages.
    pub cloud_to_device: bool,
}

impl Listening {
    /// Whether there is anything.
    pub fn is_any(self) -> bool {
        self.desired || self.methods || self.cloud_to_device
    }
}

/// One request about a client's twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinRequestId(pub u64);

/// A message in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the queue.
    pub offset: u64,
    /// When it was accepted.
    pub enqueued: Timestamp,
    /// Milliseconds it may wait; `None` is for ever.
    pub time_to_live_millis: Option<u64>,
    /// The message.
    pub envelope: Arc<Envelope>,
}

impl Entry {
    /// Whether it has waited as long as it may. A time to live of zero is over at once.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.time_to_live_millis.is_some_and(|limit| now.since(self.enqueued).as_millis() >= u128::from(limit))
    }
}

/// How a delivery to a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The client has it.
    Delivered,
    /// It may succeed later: no filter accepts it, or the connection is gone.
    Failed,
    /// The client does not want it, or can never have it.
    Rejected,
    /// The client does not want it now. Only messages of the cloud come again for that.
    Released,
}

/// How an attempt upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// IoT Hub has all of it.
    Accepted,
    /// It may succeed later.
    Failed,
    /// The sender does not exist any more, or is disabled.
    SenderGone,
}

/// How an update of the hub's own reported properties ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// IoT Hub has it.
    Accepted,
    /// It may succeed later.
    Failed,
    /// IoT Hub does not take it.
    Refused,
}

/// Something happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// The process has started; what an earlier one remembered.
    Started {
        /// Desired properties last seen.
        cached: Option<String>,
        /// Desired properties last applied.
        applied: Option<String>,
    },
    /// Twins of clients that an earlier process remembered.
    TwinsRemembered(Vec<(ClientId, String)>),
    /// A client was authenticated and accepted.
    Connected {
        /// Its connection.
        connection: ConnectionId,
        /// Who it is.
        client: ClientId,
    },
    /// What the client wants has changed.
    Subscribed {
        /// Its connection.
        connection: ConnectionId,
        /// Whether a filter for inputs stands.
        inputs: bool,
        /// What other filters stand.
        listening: Listening,
    },
    /// A connection ended.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// A client sent telemetry.
    Published {
        /// To be acknowledged.
        publish: PublishId,
        /// What it sent.
        telemetry: Telemetry,
    },
    /// A client wants to read its twin.
    TwinGet {
        /// To be answered.
        publish: PublishId,
        /// Whose.
        client: ClientId,
    },
    /// A client updated its reported properties.
    TwinChanged {
        /// To be acknowledged.
        publish: PublishId,
        /// What it reported.
        change: TwinChange,
    },
    /// The store opened a queue.
    QueueOpened {
        /// Which.
        queue: QueueId,
        /// First unsettled position.
        checkpoint: u64,
        /// Position of the next entry.
        tail: u64,
        /// Entries between them.
        length: u64,
    },
    /// The store has every copy, at these positions in the order of the request; or none.
    Stored {
        /// Which request.
        append: AppendId,
        /// Positions, or `None` when it failed.
        offsets: Option<Vec<u64>>,
    },
    /// Entries the store was asked for.
    Read {
        /// Which queue.
        queue: QueueId,
        /// In order.
        entries: Vec<Entry>,
        /// Where to read on.
        next: u64,
    },
    /// The store removed what was settled or expired.
    Cleaned {
        /// Which queue.
        queue: QueueId,
        /// Last copies that nobody had taken: sender and output.
        expired: Vec<(String, String)>,
        /// Entries that remain.
        remaining: u64,
    },
    /// A delivery to a module or device ended.
    Settled {
        /// Which.
        delivery: DeliveryId,
        /// How.
        outcome: DeliveryOutcome,
    },
    /// An attempt upstream ended.
    Sent {
        /// Which.
        send: SendId,
        /// How many messages, from the first, IoT Hub has.
        accepted: usize,
        /// How.
        outcome: SendOutcome,
    },
    /// The hub's own desired properties, whole.
    Twin(String),
    /// A change of the hub's own desired properties.
    DesiredPatch(String),
    /// The hub's own twin could not be read in all the time there was.
    TwinUnobtainable(String),
    /// An update of the hub's own reported properties ended.
    Reported {
        /// How.
        outcome: ReportOutcome,
    },
    /// IoT Hub answered a request about a client's twin, or it did not.
    TwinAnswered {
        /// Which.
        request: TwinRequestId,
        /// Status and document.
        answer: Option<(u16, Bytes)>,
    },
    /// IoT Hub has, or has not, answered [`super::Output::Probe`].
    Probed,
    /// The hub's own connection upstream stands (again).
    UpstreamConnected,
    /// The hub's own connection upstream is gone.
    UpstreamLost,
    /// A client's connection upstream stands again after it was lost, and listens for what it did.
    ListensAgain {
        /// Whose.
        client: ClientId,
    },
    /// Desired properties of a client changed.
    DesiredChanged {
        /// Whose.
        client: ClientId,
        /// The patch, byte for byte.
        patch: Bytes,
        /// The version IoT Hub named.
        version: Option<i64>,
    },
    /// Somebody in the process calls a method of a client; to be answered with [`super::Output::MethodReturned`].
    MethodCalled {
        /// Who waits.
        caller: CallerId,
        /// Whose method.
        target: ClientId,
        /// Which, and with what.
        request: MethodRequest,
    },
    /// A client answered a call of its methods.
    MethodAnswered {
        /// Its connection.
        connection: ConnectionId,
        /// Request id, as sent.
        rid: String,
        /// Status, as sent.
        status: String,
        /// Payload.
        payload: Bytes,
    },
    /// Identities were read again.
    IdentitiesRefreshed {
        /// For which call of the hub's own method.
        rid: String,
        /// Why not, if so.
        error: Option<String>,
    },
    /// The cloud calls a method of a client; to be answered with [`super::Output::AnswerCloudMethod`].
    CloudMethod {
        /// Whose.
        client: ClientId,
        /// The cloud's id of the call.
        rid: String,
        /// Method.
        name: String,
        /// Argument.
        payload: Bytes,
    },
    /// A message of the cloud for a device; to be completed with [`super::Output::SettleCloudMessage`], or left.
    CloudMessage {
        /// For whom.
        client: ClientId,
        /// Names it, unless IoT Hub wants no acknowledgement.
        id: Option<CloudMessageId>,
        /// The message.
        message: CloudMessage,
    },
    /// Time went by.
    Elapsed,
}
