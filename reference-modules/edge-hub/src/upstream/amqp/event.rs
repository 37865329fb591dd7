//! A message as IoT Hub gets it over AMQP: alone, or several in a batch.
//!
//! Source: azure-iot-sdk-csharp, `iothub/device/src/Transport/AmqpIot/AmqpIotMessageConverter.cs`.

use std::io;
use std::sync::Arc;

use fe2o3_amqp::types::messaging::{ApplicationProperties, Batch, Data, Message, MessageAnnotations, Properties};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Symbol, Value};

use crate::core::{Envelope, system};
use crate::upstream::event;

/// The message format of a batch: each data section is a message.
const BATCH: u32 = 0x8001_3700;

/// What goes over the link.
pub type Sendable = fe2o3_amqp::Sendable<Batch<Data>>;

/// What is sent for these messages.
///
/// # Errors
/// When there is a message that cannot be encoded.
pub fn sendable(messages: &[Arc<Envelope>]) -> io::Result<Sendable> {
    if let [single] = messages {
        let message = message(single);
        return Ok(Sendable { message, message_format: 0, settled: Some(false) });
    }
    let parts = messages.iter().map(|envelope| Ok(Data(Binary::from(encoded(&message(envelope))?))));
    let body = Batch::new(parts.collect::<io::Result<Vec<_>>>()?);
    let message = Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: None,
        application_properties: None,
        body,
        footer: None,
    };
    Ok(Sendable { message, message_format: BATCH, settled: Some(false) })
}

fn message(envelope: &Envelope) -> Message<Batch<Data>> {
    let mut properties = Properties::default();
    let mut application = ApplicationProperties::default();
    let mut annotations = MessageAnnotations::default();
    for (name, value) in event::carried(envelope) {
        match name {
            system::MESSAGE_ID => properties.message_id = Some(value.into()),
            system::CORRELATION_ID => properties.correlation_id = Some(value.into()),
            system::USER_ID => properties.user_id = Some(Binary::from(value.into_bytes())),
            system::TO => properties.to = Some(value),
            system::CONTENT_TYPE => properties.content_type = Some(Symbol(value)),
            system::CONTENT_ENCODING => properties.content_encoding = Some(Symbol(value)),
            system::CREATION_TIME => {
                application.0.insert("iothub-creation-time-utc".to_owned(), SimpleValue::String(value));
            }
            system::MESSAGE_SCHEMA => {
                application.0.insert("iothub-message-schema".to_owned(), SimpleValue::String(value));
            }
            _ => {
                annotations.0.insert(name.into(), Value::String(value));
            }
        }
    }
    for (name, value) in &envelope.message.properties {
        let value = value.clone().map_or(SimpleValue::Null, SimpleValue::String);
        application.0.insert(name.clone(), value);
    }
    let annotated = !annotations.0.is_empty();
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: annotated.then_some(annotations),
        properties: Some(properties),
        application_properties: Some(application),
        body: Batch::new(vec![Data(Binary::from(envelope.message.body.to_vec()))]),
        footer: None,
    }
}

/// The sections of a message, one after another.
fn encoded(message: &Message<Batch<Data>>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(annotations) = &message.message_annotations {
        bytes.extend(serde_amqp::to_vec(annotations).map_err(io::Error::other)?);
    }
    bytes.extend(serde_amqp::to_vec(&message.properties).map_err(io::Error::other)?);
    bytes.extend(serde_amqp::to_vec(&message.application_properties).map_err(io::Error::other)?);
    for data in message.body.iter() {
        bytes.extend(serde_amqp::to_vec(data).map_err(io::Error::other)?);
    }
    Ok(bytes)
}
