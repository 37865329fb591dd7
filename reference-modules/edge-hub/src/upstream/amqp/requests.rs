//! Requests about twins and their answers, calls of methods and theirs.
//!
//! Source: azure-iot-sdk-csharp, `iothub/device/src/Transport/AmqpIot/AmqpIotSendingLink.cs` and
//! `AmqpIotReceivingLink.cs`.

use bytes::Bytes;
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::{
    ApplicationProperties, Body, Data, Message, MessageAnnotations, MessageId, Properties,
};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Value};
use serde_json::Value as Json;

use super::links::Delivery;
use crate::upstream::line::Heard;

/// A request about the twin.
pub enum Twin {
    /// Read it.
    Get,
    /// Update reported properties.
    Patch(Bytes),
    /// Hear of changed desired properties.
    Subscribe,
    /// Hear of them no more.
    Unsubscribe,
}

impl Twin {
    /// The request, under an id.
    pub fn message(self, rid: &str) -> Message<Data> {
        const DESIRED: &str = "/notifications/twin/properties/desired";
        let (operation, resource, body) = match self {
            Twin::Get => ("GET", None, Bytes::new()),
            Twin::Patch(patch) => ("PATCH", Some("/properties/reported"), patch),
            Twin::Subscribe => ("PUT", Some(DESIRED), Bytes::new()),
            Twin::Unsubscribe => ("DELETE", Some(DESIRED), Bytes::new()),
        };
        let mut annotations = MessageAnnotations::default();
        annotations.0.insert("operation".into(), Value::String(operation.to_owned()));
        if let Some(resource) = resource {
            annotations.0.insert("resource".into(), Value::String(resource.to_owned()));
            annotations.0.insert("version".into(), Value::Null);
        }
        Message {
            header: None,
            delivery_annotations: None,
            message_annotations: Some(annotations),
            properties: Some(Properties::builder().correlation_id(rid.to_owned()).build()),
            application_properties: None,
            body: Data(Binary::from(body.to_vec())),
            footer: None,
        }
    }
}

/// An answer about the twin, or without an id a change of desired properties.
pub fn twin_news(delivery: Delivery) -> Option<Heard> {
    let message = delivery.into_message();
    let id = message.properties.and_then(|properties| properties.correlation_id);
    let status =
        message.message_annotations.and_then(|annotations| match annotations.0.get(&OwnedKey::from("status")) {
            Some(Value::Int(status)) => u16::try_from(*status).ok(),
            _ => None,
        });
    let document = data(message.body);
    match id {
        // Without a status it is as good as done.
        Some(MessageId::String(rid)) => Some(Heard::TwinAnswer { rid, status: status.unwrap_or(200), document }),
        Some(_) => None,
        None => {
            let version = serde_json::from_slice::<Json>(&document).ok()?["$version"].as_i64();
            Some(Heard::Desired { patch: document, version })
        }
    }
}

/// A call of a method.
pub fn call(delivery: Delivery) -> Option<Heard> {
    let message = delivery.into_message();
    let rid = match message.properties?.correlation_id? {
        MessageId::Uuid(guid) => uuid::Uuid::from_bytes(guid.into_inner()).to_string(),
        MessageId::String(text) => text,
        _ => return None,
    };
    match message.application_properties?.0.get("IoThub-methodname") {
        Some(SimpleValue::String(name)) => Some(Heard::Method { rid, name: name.clone(), payload: data(message.body) }),
        _ => None,
    }
}

/// The answer to a call; `None` when its id cannot be IoT Hub's.
pub fn answer(rid: &str, status: i32, payload: &[u8]) -> Option<Message<Data>> {
    let guid: uuid::Uuid = rid.parse().ok()?;
    let id = MessageId::Uuid((*guid.as_bytes()).into());
    let mut application = ApplicationProperties::default();
    application.0.insert("IoThub-status".to_owned(), SimpleValue::Int(status));
    Some(Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties::builder().correlation_id(id).build()),
        application_properties: Some(application),
        body: Data(Binary::from(payload.to_vec())),
        footer: None,
    })
}

/// The bytes of all data sections; of any other body none.
pub fn data(body: Body<Value>) -> Bytes {
    match body {
        Body::Data(parts) => parts.into_iter().flat_map(|part| part.0.into_vec()).collect::<Vec<u8>>().into(),
        _ => Bytes::new(),
    }
}
