//! The twin of one client, over its pair of links: answers by their request, and desired patches as a stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{
    Body, Data, Message as Envelope, MessageAnnotations, MessageId, Properties as Section,
};
use fe2o3_amqp::types::primitives::{Binary, Value};
use fe2o3_amqp::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{AmqpClient, ConnectError, Unaccepted, message};
use crate::deadline;

/// Where the reported properties are, for those who look at it.
const REPORTED: &str = "/properties/reported";
/// Where the desired properties are.
const DESIRED: &str = "/notifications/twin/properties/desired";

/// What the hub answered to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it came.
    pub at: Instant,
    /// Its status.
    pub status: i32,
    /// Its body.
    pub body: Bytes,
}

/// Desired properties, changed.
#[derive(Debug, Clone)]
pub struct DesiredPatch {
    /// When it came.
    pub at: Instant,
    /// Its body.
    pub body: Bytes,
}

type Awaited = Arc<Mutex<HashMap<String, oneshot::Sender<Answer>>>>;

/// The pair of links for the twin.
pub struct TwinLinks {
    requests: tokio::sync::Mutex<Sender>,
    awaited: Awaited,
    desired: mpsc::UnboundedReceiver<DesiredPatch>,
    ids: AtomicU64,
    task: JoinHandle<()>,
}

impl AmqpClient {
    /// Attaches the pair of links for the twin. From then on desired patches come too.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] when a link is.
    pub async fn twin(&self) -> Result<TwinLinks, ConnectError> {
        let correlation = format!("twin:{}", self.link_name(&self.login.name()));
        let modes = (SenderSettleMode::Settled, ReceiverSettleMode::First);
        let answers = self.receiver("twin-answers", "twin", modes, &correlation).await?;
        let requests = self.settled_sender("twin-requests", "twin", &correlation).await?;
        let awaited = Awaited::default();
        let (to, desired) = mpsc::unbounded_channel();
        let task = tokio::spawn(hear(answers, awaited.clone(), to));
        Ok(TwinLinks { requests: requests.into(), awaited, desired, ids: AtomicU64::new(0), task })
    }
}

impl TwinLinks {
    /// Reads the twin.
    ///
    /// # Errors
    /// [`Unaccepted`] when there is no answer.
    pub async fn get(&self) -> Result<Answer, Unaccepted> {
        self.ask("GET", "", Bytes::new()).await
    }

    /// Reports a patch: a body as it stands.
    ///
    /// # Errors
    /// As [`TwinLinks::get`].
    pub async fn report(&self, patch: impl Into<Bytes>) -> Result<Answer, Unaccepted> {
        self.ask("PATCH", REPORTED, patch.into()).await
    }

    /// Asks for desired patches, or to be spared them.
    ///
    /// # Errors
    /// As [`TwinLinks::get`].
    pub async fn subscribe(&self, wanted: bool) -> Result<Answer, Unaccepted> {
        self.ask(if wanted { "PUT" } else { "DELETE" }, DESIRED, Bytes::new()).await
    }

    /// The next desired patch; waits for it. `None` when the link is gone.
    pub async fn next_desired(&mut self) -> Option<DesiredPatch> {
        self.desired.recv().await
    }

    /// Desired patches that have come and were not taken yet.
    pub fn desired_so_far(&mut self) -> Vec<DesiredPatch> {
        std::iter::from_fn(|| self.desired.try_recv().ok()).collect()
    }

    /// Reports a patch and asks for no answer.
    ///
    /// # Errors
    /// [`Unaccepted`] when it cannot be sent.
    pub async fn report_without_answer(&self, patch: impl Into<Bytes>) -> Result<(), Unaccepted> {
        let annotations = MessageAnnotations::builder()
            .insert("operation", Value::String("PATCH".to_owned()))
            .insert("resource", Value::String(REPORTED.to_owned()));
        let request = Envelope::builder()
            .message_annotations(annotations.build())
            .properties(Section::default())
            .body(Data(Binary::from(patch.into().to_vec())))
            .build();
        let sendable = Sendable::builder().message(request).settled(true).build();
        let what = "room for a twin PATCH";
        let sent = deadline::TWIN.wait(what, async { self.requests.lock().await.send(sendable).await }).await?;
        sent.map(drop).map_err(|error| Unaccepted::Closed { what: what.to_owned(), reason: error.to_string() })
    }

    async fn ask(&self, operation: &str, resource: &str, body: Bytes) -> Result<Answer, Unaccepted> {
        let id = format!("r{}", self.ids.fetch_add(1, Ordering::Relaxed));
        let (done, answer) = oneshot::channel();
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), done);
        let mut annotations = MessageAnnotations::builder().insert("operation", Value::String(operation.to_owned()));
        if !resource.is_empty() {
            annotations = annotations.insert("resource", Value::String(resource.to_owned()));
        }
        let request = Envelope::builder()
            .message_annotations(annotations.build())
            .properties(Section { correlation_id: Some(MessageId::String(id)), ..Section::default() })
            .body(Data(Binary::from(body.to_vec())))
            .build();
        let sendable = Sendable::builder().message(request).settled(true).build();
        let what = format!("answer to a twin {operation}");
        let closed = |reason: String| Unaccepted::Closed { what: what.clone(), reason };
        let sending = deadline::TWIN.wait(&what, async { self.requests.lock().await.send(sendable).await });
        sending.await?.map_err(|error| closed(error.to_string()))?;
        deadline::TWIN.wait(&what, answer).await?.map_err(|_| closed("the link is gone".to_owned()))
    }
}

impl Drop for TwinLinks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(mut answers: Receiver, awaited: Awaited, desired: mpsc::UnboundedSender<DesiredPatch>) {
    while let Ok(delivery) = answers.recv::<Body<Value>>().await {
        let (at, envelope) = (Instant::now(), delivery.message());
        let body = message::body(&envelope.body);
        let id = envelope.properties.as_ref().and_then(|section| section.correlation_id.as_ref()).map(message::text_of);
        match (id, message::annotation(envelope, "status")) {
            (Some(id), Some(Value::Int(status))) => {
                let waiting = awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(Answer { at, status: *status, body });
                }
            }
            // What has neither is a patch.
            _ => {
                let _ = desired.send(DesiredPatch { at, body });
            }
        }
        // Settled already; this only gives credit back.
        if answers.accept(&delivery).await.is_err() {
            break;
        }
    }
    // Whoever still waits learns that nothing will come.
    awaited.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
