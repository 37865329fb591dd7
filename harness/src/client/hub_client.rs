//! A client of the hub in words that no protocol owns: what it sends and gets is the same over each transport.
//!
//! - [`HubClient`]: a connection, telemetry, inputs. [`twin`]: the client's own twin.
//!
//! What only one protocol has is asked of that protocol's client: [`HubClient::mqtt`].

use std::time::Instant;

use tokio::sync::mpsc;

use super::amqp::message::Message;
use super::amqp::{self, AmqpClient};
use super::error::{ConnectError, Unanswered};
use super::mqtt::{self, MqttClient};
use crate::deadline::{Deadline, Expired};

pub mod twin;

/// A connection that was accepted.
pub enum HubClient {
    /// Over MQTT.
    Mqtt(Box<MqttClient>),
    /// Over AMQP.
    Amqp(Box<AmqpClient>),
}

/// What a client presents.
pub enum Login {
    /// In CONNECT.
    Mqtt(mqtt::Login),
    /// On `$cbs`.
    Amqp(amqp::Login),
}

/// A message under way.
pub enum Pending {
    /// PUBACK is due.
    Mqtt(mqtt::Pending),
    /// A disposition is due.
    Amqp(amqp::Pending),
}

/// A message that came to an input.
#[derive(Debug, Clone)]
pub struct Input {
    /// When it was read.
    pub at: Instant,
    /// The module that the hub means.
    pub module: String,
    /// The input that the hub means.
    pub input: String,
    /// The message.
    pub message: Message,
    /// The topic it came on, where there are topics.
    pub topic: String,
}

impl HubClient {
    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`] when the client is not accepted.
    pub async fn connect(login: Login) -> Result<Self, ConnectError> {
        Ok(match login {
            Login::Mqtt(login) => HubClient::Mqtt(Box::new(MqttClient::connect(login).await?)),
            Login::Amqp(login) => HubClient::Amqp(Box::new(AmqpClient::connect(login).await?)),
        })
    }

    /// Hands a message to the connection. Its fate is in the value returned.
    pub async fn send(&self, message: &Message) -> Pending {
        match self {
            HubClient::Mqtt(client) => Pending::Mqtt(client.send(message).await),
            HubClient::Amqp(client) => Pending::Amqp(client.send(message).await),
        }
    }

    /// As [`HubClient::send`], in the plainest spelling there is: a hub that reads another one wrongly shall be found by
    /// the test that is about it.
    pub async fn send_plainly(&self, output: Option<&str>, message: &Message) -> Pending {
        match self {
            HubClient::Mqtt(client) => Pending::Mqtt(client.send_plainly(output, message).await),
            HubClient::Amqp(client) => {
                let mut message = message.clone();
                message.system.extend(output.map(|output| ("outputName".to_owned(), Some(output.to_owned()))));
                Pending::Amqp(client.send(&message).await)
            }
        }
    }

    /// Asks for what comes to the inputs of a module. It is acknowledged as it comes.
    ///
    /// # Errors
    /// [`Unanswered`] when the hub does not grant it.
    pub async fn inputs(&mut self) -> Result<mpsc::UnboundedReceiver<Input>, Unanswered> {
        match self {
            HubClient::Mqtt(client) => client.inputs().await,
            HubClient::Amqp(client) => {
                let mut received = client.inputs().await?;
                let (to, inputs) = mpsc::unbounded_channel();
                let module = client.login().module.clone().unwrap_or_default();
                tokio::spawn(async move {
                    while let Some(amqp::receive::Input { at, input, message }) = received.recv().await {
                        if to.send(Input { at, module: module.clone(), input, message, topic: String::new() }).is_err()
                        {
                            return;
                        }
                    }
                });
                Ok(inputs)
            }
        }
    }

    /// Whether the connection still stands, and if not, why.
    pub fn ended(&self) -> Option<String> {
        match self {
            HubClient::Mqtt(client) => client.ended(),
            HubClient::Amqp(client) => client.ended(),
        }
    }

    /// Waits until the hub closes the connection, and says how it was seen.
    ///
    /// # Errors
    /// [`Expired`] when it still stands at the deadline.
    pub async fn closed(&self, deadline: Deadline) -> Result<String, Expired> {
        match self {
            HubClient::Mqtt(client) => client.closed(deadline).await,
            HubClient::Amqp(client) => client.closed(deadline).await,
        }
    }

    /// Leaves in good order.
    pub async fn disconnect(self) {
        match self {
            HubClient::Mqtt(client) => client.disconnect().await,
            HubClient::Amqp(client) => client.disconnect().await,
        }
    }

    /// The client of MQTT, when it is one.
    pub fn mqtt(&self) -> Option<&MqttClient> {
        match self {
            HubClient::Mqtt(client) => Some(client),
            HubClient::Amqp(_) => None,
        }
    }
}

impl Pending {
    /// Waits until the hub has taken the message.
    ///
    /// # Errors
    /// [`Unanswered`] when it refuses, the connection ends, or the deadline passes first.
    pub async fn acknowledged(self) -> Result<(), Unanswered> {
        match self {
            Pending::Mqtt(pending) => pending.acknowledged().await,
            Pending::Amqp(pending) => Ok(pending.acknowledged().await?),
        }
    }
}
