//! The service side of an IoT Hub, through its public REST API; what a real IoT Hub does not have, such as the telemetry
//! feed over HTTP, the record of calls and the conditions, are the simulator's additions under `/edgecert/`.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use super::http::{Answer, HttpClient, Origin};
use super::sas;
use crate::deadline::Deadline;

mod calls;
mod cloud_to_device;
mod conditions;
mod error;
mod identities;
mod methods;
mod telemetry;
mod twins;
mod uploads;

pub use cloud_to_device::{CloudMessage, DeliveryLimits, MessageState, QueuedMessage};
pub use conditions::{Concerns, Condition, Kind, Operation};
pub use error::ServiceError;
pub use identities::Keys;
pub use methods::{MethodCall, MethodResult};
pub use telemetry::{Telemetry, TelemetryFeed};
pub use uploads::Upload;

/// Service API version; the one the Python and .NET service SDKs send.
const API_VERSION: &str = "api-version=2021-04-12";

/// An IoT Hub seen from the service side.
pub struct IotHub {
    origin: Origin,
    http: HttpClient,
    authorization: String,
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

    /// A call that changes something known, whatever its etag.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, ServiceError> {
        self.exchange(&self.http, method, path, &[("if-match", "*")], body).await
    }

    /// A call that makes something new.
    async fn create(&self, path: &str, body: Value) -> Result<Value, ServiceError> {
        self.exchange(&self.http, Method::PUT, path, &[], Some(body)).await
    }

    /// A call whose answer may take up to `limit`. It has a connection of its own, so it holds up no other.
    async fn call_within(
        &self,
        limit: Deadline,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, ServiceError> {
        let http = HttpClient::new(self.origin.clone()).waiting(limit);
        self.exchange(&http, method, path, &[], body).await
    }

    async fn exchange(
        &self,
        http: &HttpClient,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> Result<Value, ServiceError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}{API_VERSION}");
        let body = body.map(|body| body.to_string());
        let answer = http.request(method.clone(), &path, Some(&self.authorization), headers, body).await?;
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

/// The path of a device or module below `root`.
fn path_of(root: &str, device: &str, module: Option<&str>) -> String {
    match module {
        Some(module) => format!("/{root}/{}/modules/{}", sas::escape(device), sas::escape(module)),
        None => format!("/{root}/{}", sas::escape(device)),
    }
}
