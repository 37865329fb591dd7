//! What a session is asked to do, and what the hub's own has to say.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::core::{CloudMessageId, Envelope, Listening, SendId};

/// Something to do for the identity.
pub enum Job {
    /// Send events, and tell [`crate::core::Input::Sent`].
    Telemetry {
        /// Names the attempt.
        send: SendId,
        /// What, in order.
        messages: Vec<Arc<Envelope>>,
    },
    /// Read the twin.
    TwinGet {
        /// Status and document; dropped when there is no answer.
        answer: oneshot::Sender<(u16, Bytes)>,
    },
    /// Update reported properties.
    TwinPatch {
        /// A JSON object.
        patch: Bytes,
        /// Status; dropped when there is no answer.
        answer: oneshot::Sender<(u16, Bytes)>,
    },
    /// Listen for this from now on, and for nothing else: the session stays open for it.
    Listen(Listening),
    /// The client is gone: listen for nothing, and close as soon as nothing is under way.
    Leave,
    /// Answer a call from the cloud.
    MethodResponse {
        /// The cloud's id of the call.
        rid: String,
        /// The client's status.
        status: i32,
        /// The client's answer.
        payload: Bytes,
    },
    /// A cloud-to-device message has reached its device. One that has not is left alone, and IoT Hub sends it again.
    Complete(CloudMessageId),
}

/// What the hub's own session has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The connection stands (again).
    Connected,
    /// The connection is gone.
    Lost,
    /// Desired properties changed.
    Desired(String),
}
