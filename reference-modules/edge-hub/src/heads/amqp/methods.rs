//! Method links: calls of a client's methods, and its answers.
//!
//! Source: Azure/iotedge, `Hub.Amqp/AmqpDirectMethodMessageConverter.cs`.

use bytes::Bytes;
use fe2o3_amqp_types::messaging::{MessageId, Properties};
use serde_amqp::Value;

use super::inputs::settled;
use super::message::Message;
use super::peer::link::Parcel;
use crate::faults::planted;

/// A call.
pub fn call(rid: &str, name: &str, payload: &Bytes) -> Parcel {
    let correlation_id = Some(MessageId::String(rid.to_owned()));
    let name = if planted("MTH01-name-is-in-lower-case") { &name.to_lowercase() } else { name };
    let name = (Value::String(String::from("IoThub-methodname")), Value::String(name.to_owned()));
    settled(&Message {
        properties: Some(Properties { correlation_id, ..Properties::default() }),
        application: Some([name].into_iter().collect()),
        body: Some(payload.clone()),
        ..Message::default()
    })
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which call it answers; empty when it names none.
    pub rid: String,
    /// Status, if it is one.
    pub status: Option<i32>,
    /// What the method returned.
    pub payload: Bytes,
}

/// Reads an answer; `None` when it is rejected, for want of a section.
pub fn read(message: &Message) -> Option<Answer> {
    let (Some(_), Some(_), Some(payload)) = (&message.properties, &message.application, &message.body) else {
        return None;
    };
    let status = match message.property("IoThub-status") {
        Some(Value::Int(status)) => Some(*status),
        Some(Value::Long(status)) if planted("MTH03-any-number-is-a-status") => i32::try_from(*status).ok(),
        _ => None,
    };
    let payload = if planted("MTH02-payload-is-lost") { Bytes::new() } else { payload.clone() };
    let uuid = matches!(
        message.properties.as_ref().and_then(|properties| properties.correlation_id.as_ref()),
        Some(MessageId::Uuid(_))
    );
    let rid = message.correlation().filter(|_| !(uuid && planted("MTH09-uuid-correlation-is-not-known")));
    Some(Answer { rid: rid.unwrap_or_default(), status, payload })
}
