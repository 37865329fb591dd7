//! Direct methods, called from the cloud.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{IotHub, ServiceError, path_of};
use crate::deadline::Deadline;

/// IoT Hub waits this long for an answer when the caller does not say.
const DEFAULT_RESPONSE_TIMEOUT_SECS: u64 = 30;
/// What the way there and back may take beyond the times that a call names.
const GRACE_SECS: u64 = 15;

/// A call of a direct method.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodCall {
    /// Name of the method.
    pub name: String,
    /// Its argument.
    pub payload: Value,
    /// How long the cloud waits for an answer.
    pub response_timeout_secs: Option<u64>,
    /// How long the cloud waits for somebody who listens.
    pub connect_timeout_secs: Option<u64>,
}

/// What the one called answered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MethodResult {
    /// Its status.
    pub status: i64,
    /// Its payload; null when there was none.
    #[serde(default)]
    pub payload: Value,
}

impl MethodCall {
    /// A call that leaves both times to the cloud.
    pub fn new(name: impl Into<String>, payload: Value) -> Self {
        Self { name: name.into(), payload, response_timeout_secs: None, connect_timeout_secs: None }
    }

    /// The same call with another time to wait for an answer.
    #[must_use]
    pub fn answered_within(self, seconds: u64) -> Self {
        Self { response_timeout_secs: Some(seconds), ..self }
    }

    fn limit(&self) -> Deadline {
        let seconds = self.response_timeout_secs.unwrap_or(DEFAULT_RESPONSE_TIMEOUT_SECS)
            + self.connect_timeout_secs.unwrap_or_default()
            + GRACE_SECS;
        Deadline { name: "METHOD", limit: Duration::from_secs(seconds) }
    }
}

impl IotHub {
    /// Calls a direct method of a device or module. Calls may run side by side.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] with status 404 and code `404103` when nobody listens, with 504 and `504101` when no
    /// answer came in time; else as [`IotHub::patch_desired`].
    pub async fn invoke(
        &self,
        device: &str,
        module: Option<&str>,
        call: &MethodCall,
    ) -> Result<MethodResult, ServiceError> {
        let mut body = json!({ "methodName": call.name, "payload": call.payload });
        if let Some(seconds) = call.response_timeout_secs {
            body["responseTimeoutInSeconds"] = seconds.into();
        }
        if let Some(seconds) = call.connect_timeout_secs {
            body["connectTimeoutInSeconds"] = seconds.into();
        }
        let path = format!("{}/methods", path_of("twins", device, module));
        let answer = self.call_within(call.limit(), Method::POST, &path, Some(body)).await?;
        serde_json::from_value(answer).map_err(|source| ServiceError::NotJson { what: format!("POST {path}"), source })
    }
}
