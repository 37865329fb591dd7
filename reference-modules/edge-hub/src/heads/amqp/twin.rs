//! Twin links: requests of a client, answers, and changes of desired properties.
//!
//! Source: Azure/iotedge, `Hub.Amqp/linkhandlers/TwinReceivingLinkHandler.cs`, `Hub.Amqp/AmqpTwinMessageConverter.cs`.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{MessageId, Properties};
use serde_amqp::Value;

use super::inputs::settled;
use super::message::{Map, Message, annotate};
use super::peer::link::Parcel;
use crate::faults::planted;

/// What a client wants to be done with its twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read it.
    Get,
    /// Update reported properties.
    Patch,
    /// Tell of changes of desired properties.
    Put,
    /// Tell no more of them.
    Delete,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What for, if that is known.
    pub operation: Option<Operation>,
    /// Names it in the answer, if there is to be one.
    pub correlation: Option<String>,
    /// The patch, or nothing.
    pub body: Bytes,
}

/// Reads a request; `None` when it is rejected: it names no correlation at all, or a patch has no body.
pub fn read(message: &Message) -> Option<Request> {
    let operation = message.annotated("operation").and_then(|operation| match operation {
        "GET" => Some(Operation::Get),
        "PATCH" => Some(Operation::Patch),
        "PUT" => Some(Operation::Put),
        "DELETE" => Some(Operation::Delete),
        _ => None,
    });
    if message.annotation("resource").is_none() && planted("TWN09-resource-is-needed") {
        return None;
    }
    let correlation = message.correlation()?;
    let body = message.body.clone();
    if operation == Some(Operation::Patch) && body.is_none() {
        return None;
    }
    let correlation = Some(correlation).filter(|correlation| !correlation.trim().is_empty());
    Some(Request { operation, correlation, body: body.unwrap_or_default() })
}

/// The answer to a request.
pub fn answer(correlation: &str, status: u16, document: &Bytes) -> Parcel {
    let mut annotations = Map::new();
    let status = if status == 204 && planted("TWN03-update-is-answered-200") { 200 } else { i32::from(status) };
    let value = if planted("TWN02-status-is-a-long") { Value::Long(status.into()) } else { Value::Int(status) };
    annotate(&mut annotations, "status", value);
    let correlation_id = Some(MessageId::String(correlation.to_owned()));
    let correlation_id = correlation_id.filter(|_| !planted("TWN01-answer-does-not-name-its-request"));
    let properties = Properties { correlation_id, ..Properties::default() };
    settled(&Message {
        annotations: Some(annotations),
        properties: Some(properties),
        body: Some(document.clone()),
        ..Message::default()
    })
}

/// A change of desired properties: it has no correlation, and is known by that.
pub fn changed(patch: &Bytes) -> Parcel {
    let mut message = Message { body: Some(patch.clone()), ..Message::default() };
    if planted("TWN05-changes-have-a-correlation") {
        let correlation_id = Some(MessageId::String(uuid::Uuid::new_v4().to_string()));
        message.properties = Some(Properties { correlation_id, ..Properties::default() });
    }
    settled(&message)
}
