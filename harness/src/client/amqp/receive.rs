//! What comes to a client: messages for a module's inputs, and messages of the cloud for a device.

use std::time::Instant;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{Body, Modified};
use fe2o3_amqp::types::primitives::Value;
use tokio::sync::mpsc;

use super::message::{self, Message};
use super::{AmqpClient, ConnectError, Direction, note};
use crate::deadline::{Deadline, Expired};

/// A message for an input.
#[derive(Debug, Clone)]
pub struct Input {
    /// When it was read.
    pub at: Instant,
    /// The input its annotation names.
    pub input: String,
    /// The message.
    pub message: Message,
}

/// A message of the cloud that is not settled yet.
pub struct CloudMessage {
    /// When it was read.
    pub at: Instant,
    /// The message.
    pub message: Message,
    delivery: Delivery<Body<Value>>,
}

/// The link for messages of the cloud.
pub struct CloudMessages {
    receiver: Receiver,
}

/// What a client says of a message of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted: it is done.
    Complete,
    /// Rejected: nobody shall have it.
    Reject,
    /// Released: it shall come again.
    Abandon,
    /// Modified, which a hub does not understand.
    Modify,
}

impl AmqpClient {
    /// Attaches the link for all inputs of a module. Messages are accepted as they come.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] when the link is.
    pub async fn inputs(&self) -> Result<mpsc::UnboundedReceiver<Input>, ConnectError> {
        let modes = (SenderSettleMode::Mixed, ReceiverSettleMode::First);
        let mut receiver = self.receiver("inputs", "messages/events", modes, "").await?;
        let (to, inputs) = mpsc::unbounded_channel();
        let login = self.login.clone();
        tokio::spawn(async move {
            while let Ok(delivery) = receiver.recv::<Body<Value>>().await {
                let envelope = delivery.message();
                let input = match message::annotation(envelope, message::INPUT) {
                    Some(Value::String(input)) => input.clone(),
                    _ => String::new(),
                };
                let read = Input { at: Instant::now(), input, message: Message::read(envelope) };
                note(&login, Direction::FromHub, &format!("a message for input {:?}", read.input));
                // What was accepted does not come again, so it is handed on first.
                if to.send(read).is_err() || receiver.accept(&delivery).await.is_err() {
                    return;
                }
            }
        });
        Ok(inputs)
    }

    /// Attaches the link for messages of the cloud.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] when the link is.
    pub async fn cloud_messages(&self) -> Result<CloudMessages, ConnectError> {
        let modes = (SenderSettleMode::Mixed, ReceiverSettleMode::Second);
        let receiver = self.receiver("cloud", "messages/deviceBound", modes, "").await?;
        Ok(CloudMessages { receiver })
    }
}

impl CloudMessages {
    /// The next message; `None` when the link is gone.
    ///
    /// # Errors
    /// [`Expired`] when neither is seen in time.
    pub async fn next(&mut self, deadline: Deadline) -> Result<Option<CloudMessage>, Expired> {
        let delivery = deadline.wait("a message of the cloud", self.receiver.recv::<Body<Value>>()).await?;
        Ok(delivery.ok().map(|delivery| CloudMessage {
            at: Instant::now(),
            message: Message::read(delivery.message()),
            delivery,
        }))
    }

    /// Says what shall become of a message. A link that is gone takes no verdict, and is no error here.
    pub async fn settle(&mut self, message: &CloudMessage, verdict: Verdict) {
        let delivery = &message.delivery;
        let modified = Modified { delivery_failed: None, undeliverable_here: None, message_annotations: None };
        let _ = match verdict {
            Verdict::Complete => self.receiver.accept(delivery).await,
            Verdict::Reject => self.receiver.reject(delivery, None).await,
            Verdict::Abandon => self.receiver.release(delivery).await,
            Verdict::Modify => self.receiver.modify(delivery, modified).await,
        };
    }
}
