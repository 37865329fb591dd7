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
use tokio::sync::{Mutex, mpsc, oneshot};
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
    /// Ends the task that listens, when it goes.
    listening: oneshot::Sender<()>,
    task: JoinHandle<Receiver>,
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
        let (listening, over) = oneshot::channel();
        let task = tokio::spawn(hear(receiver, to, over));
        Ok(MethodLinks { answers: answers.into(), requests, listening, task })
    }
}

impl MethodLinks {
    /// The next request; waits for it. `None` when the link is gone.
    pub async fn next(&mut self) -> Option<MethodRequest> {
        self.requests.recv().await
    }

    /// Requests that have come and were not taken yet.
    pub fn drain(&mut self) -> Vec<MethodRequest> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }

    /// Closes both links, and gives the requests that had come and were not taken.
    ///
    /// # Errors
    /// [`Unaccepted`] when the hub does not confirm it.
    pub async fn close(self) -> Result<Vec<MethodRequest>, Unaccepted> {
        let Self { answers, mut requests, listening, task } = self;
        drop(listening);
        let what = "the end of the links for methods";
        let closed = |reason: String| Unaccepted::Closed { what: what.to_owned(), reason };
        deadline::ACKNOWLEDGEMENT
            .wait(what, async {
                let receiver = task.await.map_err(|error| closed(error.to_string()))?;
                receiver.close().await.map_err(|error| closed(error.to_string()))?;
                answers.into_inner().close().await.map_err(|error| closed(error.to_string()))
            })
            .await??;
        Ok(std::iter::from_fn(|| requests.try_recv().ok()).collect())
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

async fn hear(
    mut receiver: Receiver,
    to: mpsc::UnboundedSender<MethodRequest>,
    mut over: oneshot::Receiver<()>,
) -> Receiver {
    loop {
        let delivery = tokio::select! {
            biased;
            _ = &mut over => return receiver,
            delivery = receiver.recv::<Body<Value>>() => match delivery {
                Ok(delivery) => delivery,
                Err(_) => return receiver,
            },
        };
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
            return receiver;
        }
    }
}
