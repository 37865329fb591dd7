//! Files that devices uploaded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{IotHub, ServiceError};
use crate::client::sas;

/// An upload that a device asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The name it was given.
    pub blob_name: String,
    /// What the device said of its end; nothing while it has not.
    pub succeeded: Option<bool>,
    /// What is in the storage.
    pub body: Option<Bytes>,
}

#[derive(Deserialize)]
struct Written {
    blob_name: String,
    succeeded: Option<bool>,
    body_base64: Option<String>,
}

impl IotHub {
    /// All uploads that a device asked for, in that order.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn uploads(&self, device: &str) -> Result<Vec<Upload>, ServiceError> {
        let path = format!("/edgecert/uploads/{}", sas::escape(device));
        let answer: Value = self.call(Method::GET, &path, None).await?;
        let written: Vec<Written> = serde_json::from_value(answer["uploads"].clone())
            .map_err(|source| ServiceError::NotJson { what: format!("GET {path}"), source })?;
        Ok(written.into_iter().map(Upload::from).collect())
    }
}

impl From<Written> for Upload {
    fn from(written: Written) -> Self {
        Self {
            blob_name: written.blob_name,
            succeeded: written.succeeded,
            body: written.body_base64.and_then(|body| STANDARD.decode(body).ok()).map(Bytes::from),
        }
    }
}
