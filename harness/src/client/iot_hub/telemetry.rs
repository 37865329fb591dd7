//! Telemetry as it reached the cloud.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{IotHub, ServiceError};
use crate::client::http::HttpClient;
use crate::client::property_bag::Properties;

/// How long one poll of a feed may stay open.
const POLL: Duration = Duration::from_secs(20);

/// A telemetry message as it reached the cloud.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// When the harness read it.
    pub at: Instant,
    /// Device of the connection it came over.
    pub device: String,
    /// Module of the connection, if it was a module's.
    pub module: Option<String>,
    /// Application properties.
    pub properties: Properties,
    /// System properties, named as route conditions name them.
    pub system: Properties,
    /// Body.
    pub body: Bytes,
    /// MQTT topic it came on.
    pub topic: String,
}

#[derive(Deserialize)]
struct TelemetryPage {
    events: Vec<TelemetryEvent>,
    next: u64,
}

#[derive(Deserialize)]
struct TelemetryEvent {
    sequence: u64,
    connection_device_id: String,
    connection_module_id: Option<String>,
    #[serde(default)]
    topic: String,
    properties: Properties,
    system: Properties,
    body_base64: String,
}

/// Telemetry from the moment the feed was opened, in the order it reached the cloud.
pub struct TelemetryFeed {
    events: mpsc::UnboundedReceiver<Telemetry>,
    task: JoinHandle<()>,
}

impl IotHub {
    /// Telemetry from number `from` on, and the number to ask from next; waits up to `wait` while there is none.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`]; [`ServiceError::Gone`] when the cloud no longer has that number.
    pub async fn telemetry_from(&self, from: u64, wait: Duration) -> Result<(Vec<Telemetry>, u64), ServiceError> {
        let path = format!("/edgecert/telemetry?from={from}&wait_ms={}", wait.as_millis());
        let answer = self.http.request(Method::GET, &path, Some(&self.authorization), &[], None).await?;
        let page: TelemetryPage = serde_json::from_slice(&answer.body)
            .map_err(|source| ServiceError::NotJson { what: format!("GET {path}"), source })?;
        match page.events.first() {
            Some(first) if first.sequence != from => Err(ServiceError::Gone { wanted: from, first: first.sequence }),
            _ => Ok((page.events.into_iter().map(Telemetry::from).collect(), page.next)),
        }
    }

    /// Opens the telemetry feed, from the first message the cloud still has. It ends when the cloud is gone, and when
    /// messages were dropped from the cloud's record before they could be read.
    pub fn telemetry(&self) -> TelemetryFeed {
        let (to, events) = mpsc::unbounded_channel();
        let http = HttpClient::new(self.origin.clone());
        let authorization = self.authorization.clone();
        let task = tokio::spawn(async move {
            let mut from = 1;
            let mut expected = None;
            loop {
                let path = format!("/edgecert/telemetry?from={from}&wait_ms={}", POLL.as_millis() / 2);
                let answer = http.request(Method::GET, &path, Some(&authorization), &[], None).await;
                let page = answer.ok().and_then(|answer| serde_json::from_slice::<TelemetryPage>(&answer.body).ok());
                // The cloud ends with its environment; so does the feed.
                let Some(page) = page else { return };
                from = page.next;
                for event in page.events {
                    if expected.is_some_and(|expected| expected != event.sequence) {
                        return;
                    }
                    expected = Some(event.sequence + 1);
                    if to.send(event.into()).is_err() {
                        return;
                    }
                }
            }
        });
        TelemetryFeed { events, task }
    }
}

impl From<TelemetryEvent> for Telemetry {
    fn from(event: TelemetryEvent) -> Self {
        Self {
            at: Instant::now(),
            device: event.connection_device_id,
            module: event.connection_module_id,
            properties: event.properties,
            system: event.system,
            body: STANDARD.decode(event.body_base64).unwrap_or_default().into(),
            topic: event.topic,
        }
    }
}

impl TelemetryFeed {
    /// The next message; waits for it. `None` when the cloud is gone.
    pub async fn next(&mut self) -> Option<Telemetry> {
        self.events.recv().await
    }

    /// What has come and was not taken yet.
    pub fn drain(&mut self) -> Vec<Telemetry> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

impl Drop for TelemetryFeed {
    fn drop(&mut self) {
        self.task.abort();
    }
}
