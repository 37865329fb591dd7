//! What the core wants done.

use std::sync::Arc;

use bytes::Bytes;

use super::cloud_to_device::CloudMessage;
use super::envelope::Envelope;
use super::events::Event;
use super::input::{
    AppendId, CloudMessageId, ConnectionId, DeliveryId, Listening, PublishId, QueueId, SendId, TwinRequestId,
};
use super::methods::{CallerId, MethodOutcome};
use super::time::Timestamp;
use crate::identity::ClientId;

/// What became of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored in every queue its routes name, if any.
    Accepted,
    /// Over the size limit: dropped.
    TooLarge {
        /// By the product's count.
        size: usize,
    },
    /// The store failed: it must not be acknowledged.
    NotStored,
}

/// One copy of a message for one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Where.
    pub queue: QueueId,
    /// Milliseconds it may wait; `None` is for ever.
    pub time_to_live_millis: Option<u64>,
}

/// Which document of the hub's own twin is to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// As last seen, good or bad.
    Seen,
    /// As last applied.
    Applied,
}

/// What became of a message of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// The device has it.
    Complete,
    /// The device never wants it. Only AMQP upstream can say so.
    Reject,
    /// The device does not want it now. Only AMQP upstream can say so.
    Abandon,
}

/// Something to do. The order of outputs is the order in which to do them.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a queue, and tell with [`super::Input::QueueOpened`].
    OpenQueue {
        /// Its id from now on.
        queue: QueueId,
        /// Its name in the store.
        name: String,
    },
    /// Forget a queue's id. Its entries stay.
    CloseQueue {
        /// Which.
        queue: QueueId,
    },
    /// Erase a queue's entries, and forget its id.
    DeleteQueue {
        /// Which.
        queue: QueueId,
    },
    /// Store a message in all these queues or in none, and tell with [`super::Input::Stored`].
    Append {
        /// Names the request.
        append: AppendId,
        /// What.
        envelope: Arc<Envelope>,
        /// When it was accepted.
        enqueued: Timestamp,
        /// Where.
        copies: Vec<Copy>,
    },
    /// Read entries, and tell with [`super::Input::Read`].
    Read {
        /// Where.
        queue: QueueId,
        /// First position.
        from: u64,
        /// How many at most.
        limit: usize,
    },
    /// Everything before this position is settled.
    Checkpoint {
        /// Where.
        queue: QueueId,
        /// First unsettled position.
        offset: u64,
    },
    /// Remove what is settled or expired, and tell with [`super::Input::Cleaned`].
    Clean {
        /// Where.
        queue: QueueId,
        /// First unsettled position.
        checkpoint: u64,
        /// Settled positions that were skipped as expired, not delivered.
        skipped: Vec<u64>,
        /// Look at every entry, not only as far as the first that stays.
        entire: bool,
    },
    /// Remember the hub's own desired properties.
    Remember {
        /// As what.
        as_what: Remembered,
        /// The document.
        document: String,
    },
    /// Remember what is held of a client's twin.
    RememberTwin {
        /// Whose.
        client: ClientId,
        /// What.
        document: String,
    },
    /// From now on the in-memory store takes this many bytes; `None` is any number.
    LimitStore(Option<u64>),
    /// A PUBLISH has been dealt with.
    Answer {
        /// Which.
        publish: PublishId,
        /// How.
        verdict: Verdict,
    },
    /// What a client gets for a request about its twin, before the PUBLISH with the request is acknowledged.
    TwinResponse {
        /// Which request.
        publish: PublishId,
        /// As HTTP has it.
        status: u16,
        /// The twin, or nothing.
        document: Bytes,
    },
    /// Tell a client of a change of its desired properties.
    DesiredPatch {
        /// Whom.
        connection: ConnectionId,
        /// Version of the document behind it.
        version: Option<i64>,
        /// A JSON object.
        patch: Bytes,
    },
    /// Deliver a message to a module, and tell with [`super::Input::Settled`].
    Deliver {
        /// To whom.
        connection: ConnectionId,
        /// Names the attempt.
        delivery: DeliveryId,
        /// Input of the module.
        input: String,
        /// What.
        envelope: Arc<Envelope>,
    },
    /// Call a method of a client, whose answer is told with [`super::Input::MethodAnswered`].
    CallMethod {
        /// Whose.
        connection: ConnectionId,
        /// Names the call.
        rid: String,
        /// Method.
        name: String,
        /// Argument.
        payload: Bytes,
    },
    /// A call of somebody in the process is over.
    MethodReturned {
        /// Who waits.
        caller: CallerId,
        /// What became of it.
        outcome: MethodOutcome,
    },
    /// Read identities again, and tell with [`super::Input::IdentitiesRefreshed`].
    RefreshIdentities {
        /// For which call of the hub's own method.
        rid: String,
        /// Whose.
        clients: Vec<ClientId>,
    },
    /// Deliver a message of the cloud, and tell with [`super::Input::Settled`] when the device has it.
    DeliverFromCloud {
        /// On which connection.
        connection: ConnectionId,
        /// Names the attempt.
        delivery: DeliveryId,
        /// Whom IoT Hub sent it to.
        to: ClientId,
        /// What.
        message: Arc<CloudMessage>,
    },
    /// Close a connection without a word.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// Send upstream in this order on the sender's own connection, and tell with [`super::Input::Sent`].
    Send {
        /// Names the attempt.
        send: SendId,
        /// On whose behalf.
        sender: ClientId,
        /// What.
        messages: Vec<Arc<Envelope>>,
    },
    /// Update the hub's own reported properties, and tell with [`super::Input::Reported`].
    Report {
        /// A JSON object.
        patch: String,
    },
    /// Read the hub's own twin, and tell with [`super::Input::Twin`].
    FetchTwin,
    /// Read the twin of a client, and tell with [`super::Input::TwinAnswered`].
    ReadTwin {
        /// Whose.
        client: ClientId,
        /// Names the request.
        request: TwinRequestId,
    },
    /// Update reported properties of a client, and tell with [`super::Input::TwinAnswered`].
    PatchTwin {
        /// Whose.
        client: ClientId,
        /// Names the request.
        request: TwinRequestId,
        /// A JSON object.
        patch: Bytes,
    },
    /// Find out whether IoT Hub answers on the hub's own connection, and tell with [`super::Input::Probed`].
    Probe,
    /// Listen for this on a client's own connection upstream, which is kept open for it.
    Listen {
        /// Whose.
        client: ClientId,
        /// For what; nothing else.
        listening: Listening,
    },
    /// A client that listened is gone: close its connection upstream when nothing is under way on it.
    Leave {
        /// Whose.
        client: ClientId,
    },
    /// Answer a call from the cloud.
    AnswerCloudMethod {
        /// Who was called.
        client: ClientId,
        /// The cloud's id of the call.
        rid: String,
        /// The client's status.
        status: i32,
        /// The client's answer.
        payload: Bytes,
    },
    /// Tell IoT Hub what became of a device's message.
    SettleCloudMessage {
        /// Whose.
        client: ClientId,
        /// Which.
        message: CloudMessageId,
        /// What.
        feedback: Feedback,
    },
    /// A configuration is in force: protocol heads may open.
    Ready,
    /// There will be no configuration: the process must end.
    CannotStart {
        /// Why.
        reason: String,
    },
    /// Something to count.
    Event(Event),
    /// Something to say.
    Log(String),
    /// Something to warn of.
    Warn(String),
}

impl Output {
    /// What it promises is not stored: an update of reported properties has failed then.
    pub fn withdraw(&mut self) {
        if let Output::TwinResponse { status, .. } = self {
            if *status == super::twins::STORED {
                *status = 500;
            }
        }
    }
}
