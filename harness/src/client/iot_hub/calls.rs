//! The record of what the device side was asked, in the order in which it reached the cloud.
//!
//! Each entry has its number under `sequence`, its time under `at_ms` (milliseconds since 1970), and under `call`:
//!
//! | `call` | further members |
//! |---|---|
//! | `connect` | `client_id`, `user_name`, `clean_session`, `keep_alive`, `accepted`, `answered` |
//! | `disconnect` | `client_id`; not for a connection that a newer one has displaced |
//! | `subscribe`, `unsubscribe` | `client_id`, `filters` |
//! | `twin_get` | `client_id`, `status`: null when it was swallowed |
//! | `reported` | `client_id`, `patch`, `status`: null when it was swallowed, `version`: the new one |
//! | `method_response` | `client_id`, `request`, `status`, `payload`, `taken`: whether somebody waited for it |
//! | `c2d_delivered`, `c2d_completed` | `client_id`, `message_id` |
//! | `file_upload`, `file_notification` | `client_id`, `about`: the blob or the correlation id, `accepted` |
//! | `blob_put` | `blob`, `accepted` |
//! | `scope`, `identity`, `put_module`, `get_module`, `list_modules`, `delete_module` | `client_id`: the caller, `accepted` |
//! | `refused_publish` | `client_id`, `topic`: one on which devices may not publish; it ends the connection |
//! | `unknown_path` | `method`, `path`: over HTTPS, answered 404 |
//!
//! Telemetry has a feed of its own.

use std::time::Instant;

use hyper::Method;
use serde_json::Value;

use super::{IotHub, ServiceError};
use crate::deadline::{CONNECT, Deadline, Expired};

impl IotHub {
    /// What the device side was asked since call number `from`, at once. Numbers begin with 1; each call has its own
    /// under `sequence`.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn calls(&self, from: u64) -> Result<Vec<Value>, ServiceError> {
        let answer = self.call(Method::GET, &format!("/edgecert/calls?from={from}&wait_ms=0"), None).await?;
        Ok(answer["calls"].as_array().cloned().unwrap_or_default())
    }

    /// The number that the next call will have.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn next_call(&self) -> Result<u64, ServiceError> {
        let answer = self.call(Method::GET, "/edgecert/calls/next", None).await?;
        Ok(answer["next"].as_u64().unwrap_or_default())
    }

    /// The first call from number `from` on that `wanted` says yes to; waits for it until the deadline. `what` names it.
    ///
    /// # Errors
    /// [`ServiceError::Expired`] when there was none in time; else as [`IotHub::patch_desired`].
    pub async fn call_that(
        &self,
        from: u64,
        deadline: Deadline,
        what: &str,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value, ServiceError> {
        let end = Instant::now() + deadline.limit;
        let mut from = from;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Expired { deadline, what: what.to_owned() }.into());
            }
            let path = format!("/edgecert/calls?from={from}&wait_ms={}", left.as_millis());
            let limit = Deadline { limit: left + CONNECT.limit, ..deadline };
            let answer = self.call_within(limit, Method::GET, &path, None).await?;
            if let Some(call) = answer["calls"].as_array().into_iter().flatten().find(|call| wanted(call)) {
                return Ok(call.clone());
            }
            from = answer["next"].as_u64().unwrap_or(from);
        }
    }
}
