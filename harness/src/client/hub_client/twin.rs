//! The twin of one client, read and changed over whatever it speaks.

use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use super::HubClient;
use crate::client::amqp::AmqpClient;
use crate::client::amqp::twin::TwinLinks;
use crate::client::error::Unanswered;
use crate::client::mqtt;
use crate::deadline::{Deadline, Expired};

/// A connected client, as far as its own twin goes.
pub enum TwinClient {
    /// Over MQTT.
    Mqtt(Box<mqtt::twin::TwinClient>),
    /// Over AMQP.
    Amqp {
        /// The connection.
        client: Box<AmqpClient>,
        /// The pair of links.
        links: TwinLinks,
    },
}

/// What the hub answered to a request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it came.
    pub at: Instant,
    /// Its status.
    pub status: u16,
    /// The request it names, where that is the caller's choice.
    pub rid: String,
    /// Its topic, where there are topics.
    pub topic: String,
    /// Its payload.
    pub body: Bytes,
}

/// Desired properties, changed.
#[derive(Debug, Clone)]
pub struct DesiredPatch {
    /// When it came.
    pub at: Instant,
    /// The version named beside it; where none is, that in it.
    pub version: Option<u64>,
    /// Its topic, where there are topics.
    pub topic: String,
    /// Its QoS, where there is one.
    pub qos: u8,
    /// Its payload.
    pub body: Bytes,
}

impl TwinClient {
    /// Listens for answers on a connection that has just been made.
    ///
    /// # Errors
    /// [`Unanswered`] when the hub does not grant it.
    pub async fn open(client: HubClient) -> Result<Self, Unanswered> {
        Ok(match client {
            HubClient::Mqtt(client) => TwinClient::Mqtt(Box::new(mqtt::twin::TwinClient::open(*client).await?)),
            HubClient::Amqp(client) => {
                let mut links = client.twin().await?;
                // The link brings desired patches with it, which nobody has asked for yet.
                granted(links.subscribe(false).await?.into())?;
                links.desired_so_far();
                TwinClient::Amqp { client, links }
            }
        })
    }

    /// Reads the twin.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes first.
    pub async fn get(&self) -> Result<Answer, Unanswered> {
        match self {
            TwinClient::Mqtt(client) => client.get().await,
            TwinClient::Amqp { links, .. } => Ok(links.get().await?.into()),
        }
    }

    /// Reports a patch: a payload as it stands.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn report(&self, patch: impl Into<Bytes>) -> Result<Answer, Unanswered> {
        match self {
            TwinClient::Mqtt(client) => client.report(patch).await,
            TwinClient::Amqp { links, .. } => Ok(links.report(patch).await?.into()),
        }
    }

    /// Reports a patch and waits for nothing.
    ///
    /// # Errors
    /// As [`TwinClient::get`], when it cannot be sent.
    pub async fn report_in_passing(&self, patch: impl Into<Bytes>) -> Result<(), Unanswered> {
        match self {
            TwinClient::Mqtt(client) => drop(client.report_without_answer(patch).await),
            TwinClient::Amqp { links, .. } => links.report_without_answer(patch).await?,
        }
        Ok(())
    }

    /// Subscribes to desired patches.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn subscribe(&self) -> Result<(), Unanswered> {
        match self {
            TwinClient::Mqtt(client) => client.subscribe().await,
            TwinClient::Amqp { links, .. } => granted(links.subscribe(true).await?.into()),
        }
    }

    /// Ends that subscription.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn unsubscribe(&self) -> Result<(), Unanswered> {
        match self {
            TwinClient::Mqtt(client) => client.unsubscribe().await,
            TwinClient::Amqp { links, .. } => granted(links.subscribe(false).await?.into()),
        }
    }

    /// The next desired patch; waits for it.
    ///
    /// # Errors
    /// [`Expired`] when none comes in time, or the connection ends.
    pub async fn next_desired(&mut self, deadline: Deadline) -> Result<DesiredPatch, Expired> {
        match self {
            TwinClient::Mqtt(client) => client.next_desired(deadline).await,
            TwinClient::Amqp { links, .. } => {
                let what = "a desired patch";
                let next = deadline.wait(what, links.next_desired()).await?;
                next.map(Into::into).ok_or_else(|| Expired { deadline, what: what.to_owned() })
            }
        }
    }

    /// Desired patches that have come and were not taken yet.
    pub fn desired_so_far(&mut self) -> Vec<DesiredPatch> {
        match self {
            TwinClient::Mqtt(client) => client.desired_so_far(),
            TwinClient::Amqp { links, .. } => links.desired_so_far().into_iter().map(Into::into).collect(),
        }
    }

    /// Leaves in good order.
    pub async fn disconnect(self) {
        match self {
            TwinClient::Mqtt(client) => client.disconnect().await,
            TwinClient::Amqp { client, .. } => client.disconnect().await,
        }
    }

    /// The client of MQTT, for requests that only MQTT has.
    ///
    /// # Panics
    /// When it speaks something else: whoever asks is a test over MQTT only.
    pub fn mqtt(&self) -> &mqtt::twin::TwinClient {
        match self {
            TwinClient::Mqtt(client) => client,
            TwinClient::Amqp { .. } => panic!("a test about MQTT runs over AMQP; it must say what it speaks"),
        }
    }
}

fn granted(answer: Answer) -> Result<(), Unanswered> {
    match answer.status {
        200..=299 => Ok(()),
        status => Err(Unanswered::Refused(format!("with {status}"))),
    }
}

impl From<crate::client::amqp::twin::Answer> for Answer {
    fn from(answer: crate::client::amqp::twin::Answer) -> Self {
        Self {
            at: answer.at,
            // A status that is none is that of no answer there is.
            status: answer.status.try_into().unwrap_or_default(),
            rid: String::new(),
            topic: String::new(),
            body: answer.body,
        }
    }
}

impl From<crate::client::amqp::twin::DesiredPatch> for DesiredPatch {
    fn from(patch: crate::client::amqp::twin::DesiredPatch) -> Self {
        let document: Value = serde_json::from_slice(&patch.body).unwrap_or_default();
        let version = document["$version"].as_u64();
        Self { at: patch.at, version, topic: String::new(), qos: 0, body: patch.body }
    }
}

impl Answer {
    /// The payload as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl DesiredPatch {
    /// The payload as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
