//! Direct methods over whatever a client speaks: requests as they come, and answers.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::HubClient;
use crate::client::amqp::AmqpClient;
use crate::client::amqp::methods::MethodLinks;
use crate::client::error::Unanswered;
use crate::client::mqtt::MqttClient;
use crate::client::mqtt::methods::{MethodRequests, REQUESTS};

/// Filter of answers about the twin, which comes with nothing unasked.
const HARMLESS: &str = "$iothub/twin/res/#";

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
    /// QoS it came with, where there is one.
    pub qos: u8,
}

/// A connected client, as far as calls of its methods go.
pub enum MethodClient {
    /// Over MQTT.
    Mqtt {
        /// The connection.
        client: Box<MqttClient>,
        /// What comes.
        requests: MethodRequests,
    },
    /// Over AMQP.
    Amqp {
        /// The connection.
        client: Box<AmqpClient>,
        /// The pair of links, while the client can be called.
        links: Option<Box<MethodLinks>>,
        /// What came over links that are closed.
        left: VecDeque<MethodRequest>,
    },
}

impl MethodClient {
    /// A client that cannot be called yet.
    pub fn of(client: HubClient) -> Self {
        match client {
            HubClient::Mqtt(mut client) => {
                let requests = MethodRequests::of(&mut client);
                MethodClient::Mqtt { client, requests }
            }
            HubClient::Amqp(client) => MethodClient::Amqp { client, links: None, left: VecDeque::new() },
        }
    }

    /// Asks for requests: from then on the client can be called.
    ///
    /// # Errors
    /// [`Unanswered`] when the hub does not grant it.
    pub async fn subscribe(&mut self) -> Result<(), Unanswered> {
        match self {
            MethodClient::Mqtt { client, .. } => client.subscribe(REQUESTS).await.map(drop),
            MethodClient::Amqp { links: Some(_), .. } => Ok(()),
            MethodClient::Amqp { client, links, .. } => {
                *links = Some(Box::new(Box::pin(client.methods()).await?));
                Ok(())
            }
        }
    }

    /// Asks for no more requests.
    ///
    /// # Errors
    /// [`Unanswered`] when the hub does not confirm it.
    pub async fn unsubscribe(&mut self) -> Result<(), Unanswered> {
        match self {
            MethodClient::Mqtt { client, .. } => client.unsubscribe(REQUESTS).await,
            MethodClient::Amqp { links, left, .. } => {
                if let Some(links) = links.take() {
                    left.extend(Box::pin(links.close()).await?.into_iter().map(Into::into));
                }
                Ok(())
            }
        }
    }

    /// Returns when the hub's core knows of the connection: over MQTT a client has its CONNACK before.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes first.
    pub async fn known(&self) -> Result<(), Unanswered> {
        match self {
            MethodClient::Mqtt { client, .. } => client.subscribe(HARMLESS).await.map(drop),
            MethodClient::Amqp { .. } => Ok(()),
        }
    }

    /// The next request; waits for it. `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<MethodRequest> {
        match self {
            MethodClient::Mqtt { requests, .. } => requests.next().await,
            MethodClient::Amqp { links, left, .. } => match (left.pop_front(), links) {
                (Some(request), _) => Some(request),
                (None, Some(links)) => links.next().await.map(Into::into),
                // Nothing can come.
                (None, None) => std::future::pending().await,
            },
        }
    }

    /// Requests that have come and were not taken yet.
    pub fn drain(&mut self) -> Vec<MethodRequest> {
        match self {
            MethodClient::Mqtt { requests, .. } => requests.drain(),
            MethodClient::Amqp { links, left, .. } => {
                let came = links.iter_mut().flat_map(|links| links.drain()).map(Into::into);
                left.drain(..).chain(came).collect()
            }
        }
    }

    /// What came and is no request, for a reader.
    pub fn others(&self) -> Vec<String> {
        match self {
            MethodClient::Mqtt { requests, .. } => requests.others.iter().map(|other| other.topic.clone()).collect(),
            MethodClient::Amqp { .. } => Vec::new(),
        }
    }

    /// Whether it has a way to answer: over MQTT it always has; over AMQP it takes a link, which who does not listen has
    /// not.
    pub fn can_answer(&self) -> bool {
        match self {
            MethodClient::Mqtt { .. } => true,
            MethodClient::Amqp { links, .. } => links.is_some(),
        }
    }

    /// Answers a request, and waits until the hub has the answer, where it says so. A status that is no number is for
    /// tests over MQTT only.
    ///
    /// # Errors
    /// [`Unanswered`] when the answer cannot be given.
    pub async fn answer(&self, id: &str, status: &str, payload: impl Into<Bytes>) -> Result<(), Unanswered> {
        match self {
            MethodClient::Mqtt { client, .. } => client.answer_method(id, status, payload).await.acknowledged().await,
            MethodClient::Amqp { links: Some(links), .. } => {
                let number = status.parse().map_err(|_| Unanswered::Refused(format!("AMQP has no status {status}")))?;
                Ok(Box::pin(links.answer(id, number, payload)).await?)
            }
            MethodClient::Amqp { .. } => Err(Unanswered::Refused("there is no link for answers".to_owned())),
        }
    }

    /// Leaves in good order.
    pub async fn disconnect(self) {
        match self {
            MethodClient::Mqtt { client, .. } => client.disconnect().await,
            MethodClient::Amqp { client, .. } => Box::pin(client.disconnect()).await,
        }
    }

    /// The client of MQTT, for what only MQTT has.
    ///
    /// # Panics
    /// When it speaks something else: whoever asks is a test over MQTT only.
    pub fn mqtt(&self) -> &MqttClient {
        match self {
            MethodClient::Mqtt { client, .. } => client,
            MethodClient::Amqp { .. } => panic!("a test about MQTT runs over AMQP; it must say what it speaks"),
        }
    }
}

impl From<crate::client::amqp::methods::MethodRequest> for MethodRequest {
    fn from(request: crate::client::amqp::methods::MethodRequest) -> Self {
        let crate::client::amqp::methods::MethodRequest { at, name, id, payload } = request;
        Self { at, name, id, payload, qos: 0 }
    }
}
