//! What a session is asked to do, and what the hub's own has to say.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::core::{CloudMessageId, Envelope, Feedback, Input, Listening, SendId, TwinRequestId};
use crate::engine::Engine;

/// Something to do for the identity.
pub enum Job {
    /// Send events, and tell [`Input::Sent`].
    Telemetry {
        /// Names the attempt.
        send: SendId,
        /// What, in order.
        messages: Vec<Arc<Envelope>>,
    },
    /// Read the twin.
    TwinGet {
        /// Who asks.
        asker: Asker,
    },
    /// Update reported properties.
    TwinPatch {
        /// A JSON object.
        patch: Bytes,
        /// Who asks.
        asker: Asker,
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
    /// Say what became of a cloud-to-device message. One of which nothing is said IoT Hub sends again.
    Settle(CloudMessageId, Feedback),
}

/// Who asks something about a twin, and is answered.
pub enum Asker {
    /// The core, with [`Input::TwinAnswered`]: in the order of everything else that comes on the connection.
    Core(TwinRequestId),
    /// The hub itself, about its own twin; without an answer it is dropped.
    Hub(oneshot::Sender<(u16, Bytes)>),
}

impl Asker {
    /// Passes on status and document, or that there is no answer.
    pub fn answer(self, engine: &Engine, answer: Option<(u16, Bytes)>) {
        match (self, answer) {
            (Asker::Core(request), answer) => engine.tell(Input::TwinAnswered { request, answer }),
            (Asker::Hub(waiting), Some(answer)) => {
                // It may not wait any more.
                let _ = waiting.send(answer);
            }
            (Asker::Hub(_), None) => {}
        }
    }
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
