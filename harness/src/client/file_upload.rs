//! File upload, as a leaf device does it at an IoT Hub itself: it asks for a place, writes there, and says that it has.
//!
//! Source: Microsoft Learn, iot-hub-devguide-file-upload; the storage's side: "Put Blob".

use bytes::Bytes;
use serde_json::{Value, json};

use super::http::HttpError;
use super::https::{HttpsAnswer, HttpsClient, HttpsRequest};
use crate::deadline;

/// Version of the device API.
const API_VERSION: &str = "api-version=2021-04-12";

/// Uploads a file with a token of the device.
///
/// # Errors
/// [`NotUploaded`] says which of the three requests was not answered as it must be.
pub async fn upload(
    iot_hub: &HttpsClient,
    device: &str,
    token: &str,
    name: &str,
    body: Bytes,
) -> Result<(), NotUploaded> {
    let asked = HttpsRequest::new("POST", format!("/devices/{device}/files?{API_VERSION}"))
        .token(token)
        .json(json!({ "blobName": name }).to_string());
    let place: Value = answered(iot_hub, &asked, 200).await?.json().unwrap_or_default();
    let part = |name: &str| place[name].as_str().unwrap_or_default().to_owned();
    let target = format!("/{}/{}{}", part("containerName"), part("blobName"), part("sasToken"));
    let written = HttpsRequest { body, ..HttpsRequest::new("PUT", target).header("x-ms-blob-type", "BlockBlob") };
    answered(iot_hub, &written, 201).await?;
    let told = HttpsRequest::new("POST", format!("/devices/{device}/files/notifications?{API_VERSION}"))
        .token(token)
        .json(json!({ "correlationId": part("correlationId"), "isSuccess": true }).to_string());
    answered(iot_hub, &told, 204).await.map(drop)
}

async fn answered(iot_hub: &HttpsClient, request: &HttpsRequest, status: u16) -> Result<HttpsAnswer, NotUploaded> {
    let answer = iot_hub.send(request, deadline::CONNECT).await?;
    if answer.status == status {
        Ok(answer)
    } else {
        Err(NotUploaded::Refused { request: request.to_string(), answer: answer.to_string() })
    }
}

/// A file that was not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum NotUploaded {
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A request was refused.
    #[error("{request}: {answer}")]
    Refused {
        /// Verb, path and query.
        request: String,
        /// Status and body.
        answer: String,
    },
}
