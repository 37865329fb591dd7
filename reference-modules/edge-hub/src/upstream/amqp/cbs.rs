//! Claims-based security: a token for each identity, over a pair of links of the connection.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::{AmqpValue, ApplicationProperties, Body, Message, MessageId, Properties};
use fe2o3_amqp::types::primitives::{SimpleValue, Timestamp, Value};
use fe2o3_amqp::{Receiver, Sender, Session};
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::engine::now;

const NODE: &str = "$cbs";
const TOKEN_TYPE: &str = "azure-devices.net:sastoken";
/// How long a token lasts.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Status and description, for whoever waits for the answer to a request.
type Waiting = std::sync::Mutex<HashMap<String, oneshot::Sender<(i32, String)>>>;

/// The pair of links.
pub struct Cbs {
    requests: Mutex<Sender>,
    waiting: Arc<Waiting>,
    answers: AbortHandle,
    _session: SessionHandle<()>,
}

impl Cbs {
    /// Attaches the links, in a session of their own.
    pub async fn open(connection: &mut ConnectionHandle<()>) -> io::Result<Cbs> {
        let mut session = Session::begin(connection).await.map_err(io::Error::other)?;
        let requests = Sender::attach(&mut session, "cbs-sender", NODE).await.map_err(io::Error::other)?;
        let answers = Receiver::attach(&mut session, "cbs-receiver", NODE).await.map_err(io::Error::other)?;
        let waiting = Arc::<Waiting>::default();
        let answers = tokio::spawn(hear(answers, waiting.clone())).abort_handle();
        Ok(Cbs { requests: Mutex::new(requests), waiting, answers, _session: session })
    }

    /// Has an identity let in.
    ///
    /// # Errors
    /// `PermissionDenied` when IoT Hub does not let it in, and others when it cannot say.
    pub async fn put_token(&self, audience: &str, token: &str) -> io::Result<()> {
        let id = Uuid::new_v4().to_string();
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), answer);
        let expiration = i64::try_from(now().as_millis()).unwrap_or(i64::MAX)
            + i64::try_from(LIFETIME.as_millis()).unwrap_or_default();
        let request = Message::builder()
            .properties(Properties::builder().message_id(id).reply_to("cbs-receiver").build())
            .application_properties(
                ApplicationProperties::builder()
                    .insert("operation", "put-token")
                    .insert("type", TOKEN_TYPE)
                    .insert("name", audience)
                    .insert("expiration", SimpleValue::Timestamp(Timestamp::from_milliseconds(expiration)))
                    .build(),
            )
            .body(AmqpValue(Value::String(token.to_owned())))
            .build();
        self.requests.lock().await.send(request).await.map_err(io::Error::other)?;
        let (status, description) = answered.await.map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let kind = match status {
            200 | 202 => return Ok(()),
            401 | 403 | 404 => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        Err(io::Error::new(kind, format!("IoT Hub refused the token for {audience}: {status} {description}")))
    }
}

impl Drop for Cbs {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

/// Hands answers to whoever waits for them, until the link ends.
async fn hear(mut answers: Receiver, waiting: Arc<Waiting>) {
    while let Ok(delivery) = answers.recv::<Body<Value>>().await {
        if answers.accept(&delivery).await.is_err() {
            break;
        }
        let message = delivery.into_message();
        let id = message.properties.and_then(|properties| properties.correlation_id);
        let said = message.application_properties.map(|properties| properties.0).unwrap_or_default();
        let status = match said.get("status-code") {
            Some(SimpleValue::Int(status)) => *status,
            _ => -1,
        };
        let description = match said.get("status-description") {
            Some(SimpleValue::String(description)) => description.clone(),
            _ => String::new(),
        };
        if let Some(MessageId::String(id)) = id {
            let answer = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // Who gave up waiting needs none.
            let _ = answer.map(|answer| answer.send((status, description)));
        }
    }
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
