//! A cloud-to-device message as IoT Hub sends it over AMQP.

use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::types::messaging::{ApplicationProperties, MessageId, Properties};
use fe2o3_amqp::types::primitives::SimpleValue;

use super::links::Delivery;
use super::requests::data;
use crate::core::{CloudMessage, Timestamp, system};

/// Application properties that are the system's.
const SYSTEM: [(&str, &str); 3] = [
    ("iothub-ack", system::ACK),
    ("iothub-message-schema", system::MESSAGE_SCHEMA),
    ("iothub-creation-time-utc", system::CREATION_TIME),
];

/// Reads a message, and what it is settled by.
pub fn read(delivery: Delivery) -> (CloudMessage, DeliveryInfo) {
    let (info, message) = delivery.into_parts();
    let mut read = CloudMessage { body: data(message.body), ..CloudMessage::default() };
    let Properties {
        message_id,
        user_id,
        to,
        correlation_id,
        content_type,
        content_encoding,
        absolute_expiry_time,
        ..
    } = message.properties.unwrap_or_default();
    let known = [
        (system::MESSAGE_ID, message_id.and_then(text)),
        (system::TO, to),
        (system::CORRELATION_ID, correlation_id.and_then(text)),
        (system::USER_ID, user_id.map(|id| String::from_utf8_lossy(&id).into_owned())),
        (system::CONTENT_TYPE, content_type.map(|symbol| symbol.0)),
        (system::CONTENT_ENCODING, content_encoding.map(|symbol| symbol.0)),
        (system::EXPIRY, absolute_expiry_time.map(|time| instant(time.milliseconds()).to_text())),
    ];
    read.system
        .extend(known.into_iter().filter(|(_, value)| value.is_some()).map(|(name, value)| (name.to_owned(), value)));
    let ApplicationProperties(properties) = message.application_properties.unwrap_or_default();
    for (name, value) in properties {
        let value = match value {
            SimpleValue::String(text) => Some(text),
            SimpleValue::Symbol(symbol) => Some(symbol.0),
            _ => None,
        };
        match SYSTEM.iter().find(|(wire, _)| *wire == name) {
            Some((_, name)) => read.system.push(((*name).to_owned(), value)),
            None => read.properties.push((name, value)),
        }
    }
    (read, info)
}

fn text(id: MessageId) -> Option<String> {
    match id {
        MessageId::String(text) => Some(text),
        MessageId::Ulong(number) => Some(number.to_string()),
        MessageId::Uuid(guid) => Some(uuid::Uuid::from_bytes(guid.into_inner()).to_string()),
        MessageId::Binary(_) => None,
    }
}

fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}
