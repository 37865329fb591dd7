//! Cloud-to-device messages: sending them, and what has become of them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{IotHub, ServiceError};
use crate::client::property_bag::Properties;
use crate::client::sas;

/// A message to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudMessage {
    /// Its id, by which it is found in the queue.
    pub message_id: String,
    /// Application properties.
    pub properties: Properties,
    /// Further system properties, named as route conditions name them.
    pub system: Properties,
    /// How long the cloud keeps it; IoT Hub's default when nothing is said.
    pub time_to_live: Option<Duration>,
    /// Body.
    pub body: Bytes,
}

/// A message in the queue of a device, or one that has left it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QueuedMessage {
    /// Its id.
    pub message_id: String,
    /// What has become of it.
    pub state: MessageState,
    /// How often it was handed to a connection.
    pub delivery_count: u64,
}

/// What has become of a message to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It waits for the device.
    Enqueued,
    /// It was handed to a connection, which has not said what became of it.
    Locked,
    /// The device has it.
    Completed,
    /// Its time was over.
    Expired,
    /// It was handed over too often.
    Exhausted,
    /// The device does not want it.
    Rejected,
    /// It was purged.
    Purged,
}

/// How the cloud hands out messages to devices; IoT Hub's own figures are those it starts with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryLimits {
    /// How long a message that was handed out is kept for its receiver, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock_ms: Option<u64>,
    /// How often a message is handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delivery_count: Option<u64>,
    /// How long a message is kept when its sender does not say, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_live_ms: Option<u64>,
}

impl CloudMessage {
    /// A message without properties.
    pub fn new(message_id: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            message_id: message_id.into(),
            properties: Vec::new(),
            system: Vec::new(),
            time_to_live: None,
            body: body.into(),
        }
    }
}

impl IotHub {
    /// Sends a message to a device, or tries to send one to a module.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] when the queue is full, for modules, and for whom the cloud does not know; else as
    /// [`IotHub::patch_desired`].
    pub async fn send_to_device(
        &self,
        device: &str,
        module: Option<&str>,
        message: &CloudMessage,
    ) -> Result<(), ServiceError> {
        let body = json!({
            "device_id": device,
            "module_id": module,
            "message_id": message.message_id,
            "properties": message.properties,
            "system": message.system,
            "time_to_live_ms": message.time_to_live.map(|time| time.as_millis() as u64),
            "body_base64": STANDARD.encode(&message.body),
        });
        self.call(Method::POST, "/edgecert/cloud_to_device", Some(body)).await.map(drop)
    }

    /// All messages ever sent to a device, in that order, and what has become of them.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn device_queue(&self, device: &str) -> Result<Vec<QueuedMessage>, ServiceError> {
        self.queue_at(&format!("/edgecert/cloud_to_device/{}", sas::escape(device))).await
    }

    /// The same of a module. Nobody but the cloud hands out messages to modules.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn module_queue(&self, device: &str, module: &str) -> Result<Vec<QueuedMessage>, ServiceError> {
        let (device, module) = (sas::escape(device), sas::escape(module));
        self.queue_at(&format!("/edgecert/cloud_to_device/{device}?module={module}")).await
    }

    async fn queue_at(&self, path: &str) -> Result<Vec<QueuedMessage>, ServiceError> {
        let answer = self.call(Method::GET, path, None).await?;
        serde_json::from_value(answer["messages"].clone())
            .map_err(|source| ServiceError::NotJson { what: format!("GET {path}"), source })
    }

    /// Takes away what waits for a device, and gives how many messages that were.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn purge_queue(&self, device: &str) -> Result<u64, ServiceError> {
        let answer = self.call(Method::DELETE, &format!("/devices/{}/commands", sas::escape(device)), None).await?;
        Ok(answer["totalMessagesPurged"].as_u64().unwrap_or_default())
    }

    /// Changes how messages are handed out, for all devices and from now on.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn limit_deliveries(&self, limits: &DeliveryLimits) -> Result<(), ServiceError> {
        let limits: Value = serde_json::to_value(limits).expect("limits are plain data");
        self.call(Method::PUT, "/edgecert/cloud_to_device", Some(limits)).await.map(drop)
    }
}
