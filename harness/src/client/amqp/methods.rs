//! Direct methods over the pair of links: requests as they come, and answers.

use std::time::Instant;

use bytes::Bytes;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{
    ApplicationProperties, Body, Data, Message as Envelope, MessageId, Properties as Section,
};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Value};
use fe2o3_amqp::{Receiver, Sender};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use super::{AmqpClient, ConnectError, Unaccepted, message};
use crate::deadline;

/// Application property with the name of a method.
const NAME: &str = "IoThub-methodname";
/// Application property with the status of an answer.
const STATUS: &str = "IoThub-status";

/// A request for a method.
#[derive(Debug, Clone)]
pub struct MethodRequest {
    /// When it was read.
    pub at: Instant,
    /// Name of the method.
    pub name: String,
    /// Id under which the answer is awaited.
    pub id: String,
    /// Payload.
    pub payload: Bytes,
}

/// The pair of links for methods.
pub struct MethodLinks {
    answers: Mutex<Sender>,
    requests: mpsc::UnboundedReceiver<MethodRequest>,
    task: JoinHandle<()>,
}

impl AmqpClient {
    /// Attaches the pair of links for methods; from then on the client can be called.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] when a link is.
    pub async fn methods(&self) -> Result<MethodLinks, ConnectError> {
        const WHERE: &str = "methods/deviceBound";
        let correlation = format!("methods:{}", self.link_name(&self.login.name()));
        let answers = self.settled_sender("method-answers", WHERE, &correlation).await?;
        let modes = (SenderSettleMode::Settled, ReceiverSettleMode::First);
        let receiver = self.receiver("method-requests", WHERE, modes, &correlation).await?;
        let (to, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(hear(receiver, to));
        Ok(MethodLinks { answers: answers.into(), requests, task })
    }
}

impl MethodLinks {
    /// The next request; waits for it. `None` when the link is gone.
    pub async fn next(&mut self) -> Option<MethodRequest> {
        self.requests.recv().await
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`Unaccepted`] when the answer cannot be sent.
    pub async fn answer(&self, id: &str, status: i32, payload: impl Into<Bytes>) -> Result<(), Unaccepted> {
        let answer = Envelope::builder()
            .properties(Section { correlation_id: Some(MessageId::String(id.to_owned())), ..Section::default() })
            .application_properties(ApplicationProperties::builder().insert(STATUS, SimpleValue::Int(status)).build())
            .body(Data(Binary::from(payload.into().to_vec())))
            .build();
        let sendable = Sendable::builder().message(answer).settled(true).build();
        let what = "room for the answer to a method";
        let sent = deadline::METHOD.wait(what, async { self.answers.lock().await.send(sendable).await }).await?;
        sent.map(drop).map_err(|error| Unaccepted::Closed { what: what.to_owned(), reason: error.to_string() })
    }
}

impl Drop for MethodLinks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(mut receiver: Receiver, to: mpsc::UnboundedSender<MethodRequest>) {
    while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
        let envelope = delivery.message();
        let name = envelope.application_properties.as_ref().and_then(|all| all.0.get(NAME));
        let id = envelope.properties.as_ref().and_then(|section| section.correlation_id.as_ref());
        let request = MethodRequest {
            at: Instant::now(),
            name: match name {
                Some(SimpleValue::String(name)) => name.clone(),
                _ => String::new(),
            },
            id: id.map(message::text_of).unwrap_or_default(),
            payload: message::body(&envelope.body),
        };
        if to.send(request).is_err() || receiver.accept(&delivery).await.is_err() {
            return;
        }
    }
}
