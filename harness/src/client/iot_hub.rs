//! The service side of an IoT Hub, through its public REST API; the telemetry feed, the record of calls and the
//! conditions are the simulator's additions under `/edgecert/`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::http::{Answer, HttpClient, HttpError, Origin};
use super::property_bag::Properties;
use super::sas;

/// Service API version; the one the Python and .NET service SDKs send.
const API_VERSION: &str = "api-version=2021-04-12";

/// How long one poll of a feed may stay open.
const POLL: Duration = Duration::from_secs(20);

/// An IoT Hub seen from the service side.
pub struct IotHub {
    origin: Origin,
    http: HttpClient,
    authorization: String,
}

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

/// Which upstream connections a condition is about.
#[derive(Debug, Clone, Copy)]
pub enum Concerns<'a> {
    /// All of them.
    Everyone,
    /// Those of one identity.
    Identity(&'a str, Option<&'a str>),
}

impl IotHub {
    /// A client with the rights of a service policy.
    ///
    /// # Errors
    /// When the policy's key is not base64.
    pub fn new(origin: Origin, policy: &str, key: &str) -> Result<Self, sas::NotBase64> {
        let authorization = sas::token(&origin.host, key, Some(policy), Duration::from_secs(24 * 3600))?;
        Ok(Self { http: HttpClient::new(origin.clone()), origin, authorization })
    }

    /// Changes desired properties of a twin, and gives the new desired version.
    ///
    /// # Errors
    /// [`ServiceError`] when the cloud refuses or cannot be reached.
    pub async fn patch_desired(&self, device: &str, module: Option<&str>, desired: Value) -> Result<u64, ServiceError> {
        let patch = json!({"properties": {"desired": desired}});
        let twin = self.call(Method::PATCH, &twin_path(device, module), Some(patch)).await?;
        Ok(twin["properties"]["desired"]["$version"].as_u64().unwrap_or_default())
    }

    /// Replaces the desired properties of a twin, and gives the new desired version.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn replace_desired(
        &self,
        device: &str,
        module: Option<&str>,
        desired: Value,
    ) -> Result<u64, ServiceError> {
        let whole = json!({"properties": {"desired": desired}});
        let twin = self.call(Method::PUT, &twin_path(device, module), Some(whole)).await?;
        Ok(twin["properties"]["desired"]["$version"].as_u64().unwrap_or_default())
    }

    /// Reads a twin.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn twin(&self, device: &str, module: Option<&str>) -> Result<Value, ServiceError> {
        self.call(Method::GET, &twin_path(device, module), None).await
    }

    /// Sets a condition on the device side (`outage`, `refuse`, `delay`, `unauthorized`, `drop_acks`), and gives the
    /// number under which it is lifted.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn impose(&self, kind: &str, concerns: Concerns<'_>, delay: Duration) -> Result<u64, ServiceError> {
        let (device, module) = match concerns {
            Concerns::Everyone => (None, None),
            Concerns::Identity(device, module) => (Some(device), module),
        };
        let condition = json!({
            "kind": kind, "device_id": device, "module_id": module, "delay_ms": delay.as_millis() as u64,
        });
        let answer = self.call(Method::POST, "/edgecert/conditions", Some(condition)).await?;
        Ok(answer["id"].as_u64().unwrap_or_default())
    }

    /// Lifts a condition.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn lift(&self, condition: u64) -> Result<(), ServiceError> {
        self.call(Method::DELETE, &format!("/edgecert/conditions/{condition}"), None).await.map(drop)
    }

    /// What the device side was asked since call number `from`, at once.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn calls(&self, from: u64) -> Result<Vec<Value>, ServiceError> {
        let answer = self.call(Method::GET, &format!("/edgecert/calls?from={from}&wait_ms=0"), None).await?;
        Ok(answer["calls"].as_array().cloned().unwrap_or_default())
    }

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

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, ServiceError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}{API_VERSION}");
        let answer = self
            .http
            .request(
                method.clone(),
                &path,
                Some(&self.authorization),
                &[("if-match", "*")],
                body.map(|body| body.to_string()),
            )
            .await?;
        read(&format!("{method} {path}"), &answer)
    }
}

fn read(what: &str, answer: &Answer) -> Result<Value, ServiceError> {
    if !answer.status.is_success() {
        return Err(ServiceError::Refused {
            what: what.to_owned(),
            status: answer.status.as_u16(),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
        });
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&answer.body).map_err(|source| ServiceError::NotJson { what: what.to_owned(), source })
}

fn twin_path(device: &str, module: Option<&str>) -> String {
    match module {
        Some(module) => format!("/twins/{}/modules/{}", sas::escape(device), sas::escape(module)),
        None => format!("/twins/{}", sas::escape(device)),
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

/// The cloud's service side did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It could not be reached.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It refused.
    #[error("{what}: status {status}: {body}")]
    Refused {
        /// Method and path.
        what: String,
        /// Status code.
        status: u16,
        /// Its words.
        body: String,
    },
    /// Its record does not go back so far.
    #[error("telemetry from number {wanted} on is gone: the cloud's record begins at {first}")]
    Gone {
        /// The number asked for.
        wanted: u64,
        /// The first it has.
        first: u64,
    },
    /// It answered something else than JSON.
    #[error("{what}: the answer is not JSON: {source}")]
    NotJson {
        /// Method and path.
        what: String,
        /// Cause.
        source: serde_json::Error,
    },
}
