//! What a client gets: from a message of the hub to AMQP.
//!
//! Source: Azure/iotedge, `Hub.Amqp/AmqpMessageConverter.cs`, `Hub.Amqp/ClientConnectionHandler.cs`.

use fe2o3_amqp_types::messaging::{MessageId, Properties};
use serde_amqp::Value;
use serde_amqp::primitives::{Symbol, Timestamp};

use super::message::{Map, Message, annotate};
use super::peer::link::Parcel;
use crate::core::{CloudMessage, Envelope, system};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::escape;

type Pair = (String, Option<String>);

/// A message for an input of a module.
pub fn input(input: &str, envelope: &Envelope, ticket: u64) -> Parcel {
    let message = &envelope.message;
    let mut annotations = Map::new();
    if !planted("MOD01-input-is-not-named") {
        annotate(&mut annotations, "x-opt-input-name", input.to_owned());
    }
    let known = |name| value(&message.system, name);
    // Of a notification, whose twin changed comes before the hub that sent it.
    let device = known(system::REPORTING_DEVICE_ID).or_else(|| known(system::CONNECTION_DEVICE_ID));
    let module = known(system::REPORTING_MODULE_ID).or_else(|| known(system::CONNECTION_MODULE_ID));
    for (name, value) in [("iothub-connection-device-id", device), ("iothub-connection-module-id", module)] {
        let lost = planted("MOD03-sender-is-not-named")
            || (name.ends_with("module-id") && planted("X04-module-of-the-sender-is-lost-for-amqp"));
        if let Some(value) = value.filter(|_| !lost) {
            annotate(&mut annotations, name, value.to_owned());
        }
    }
    let properties = properties(&message.system);
    parcel(annotations, properties, &message.properties, &message.system, &message.body, ticket)
}

/// A message of the cloud.
pub fn from_cloud(to: &ClientId, message: &CloudMessage, ticket: u64) -> Parcel {
    let mut properties = properties(&message.system);
    if !planted("C2D03-address-is-as-the-cloud-wrote-it") {
        properties.to = Some(format!("/devices/{}", escape(&to.device)));
    }
    parcel(Map::new(), properties, &message.properties, &message.system, &message.body, ticket)
}

/// A message that is settled from the start: nobody waits to hear what became of it.
pub fn settled(message: &Message) -> Parcel {
    let ticket = planted("TWN11-answers-are-unsettled").then_some(u64::MAX);
    let tag = uuid::Uuid::new_v4().to_bytes_le().to_vec().into();
    Parcel { ticket, tag, payload: message.write(), delivery: None }
}

fn parcel(
    mut annotations: Map,
    properties: Properties,
    application: &[Pair],
    system: &[Pair],
    body: &bytes::Bytes,
    ticket: u64,
) -> Parcel {
    let lock = if planted("MOD04-lock-tokens-repeat") { uuid::Uuid::nil() } else { uuid::Uuid::new_v4() };
    annotate(&mut annotations, "x-opt-lock-token", lock.to_string());
    let known = |name| value(system, name);
    if let Some(time) = known(system::ENQUEUED_TIME).and_then(timestamp) {
        annotate(&mut annotations, "iothub-enqueuedtime", time);
    }
    if let Some(count) = known(system::DELIVERY_COUNT).and_then(|count| count.parse::<u8>().ok()) {
        annotate(&mut annotations, "iothub-deliverycount", count);
    }
    if let Some(number) = known(system::SEQUENCE_NUMBER).and_then(|number| number.parse::<u64>().ok()) {
        annotate(&mut annotations, "x-opt-sequence-number", number);
    }
    if let Some(component) = known(system::COMPONENT) {
        annotate(&mut annotations, "dt-subject", component.to_owned());
    }
    let mut shown = Map::new();
    let text = |text: Option<&str>| text.map_or(Value::Null, |text| Value::String(text.to_owned()));
    for (name, value) in application.iter().filter(|_| !planted("TEL06-application-properties-are-lost")) {
        if value.is_none() && planted("X02-names-without-a-value-are-lost-for-amqp") {
            continue;
        }
        shown.insert(Value::String(name.clone()), text(value.as_deref()));
    }
    for (name, kept) in [
        ("iothub-message-schema", system::MESSAGE_SCHEMA),
        ("iothub-creation-time-utc", system::CREATION_TIME),
        ("iothub-operation", system::OPERATION),
    ] {
        if let Some(value) = known(kept) {
            shown.insert(Value::String(name.to_owned()), Value::String(value.to_owned()));
        }
    }
    if let Some(output) = known(system::OUTPUT_NAME).filter(|_| planted("TEL04-output-name-is-shown")) {
        shown.insert(Value::String(String::from("iothub-outputname")), Value::String(output.to_owned()));
    }
    let length = if planted("X01-long-bodies-are-cut-for-amqp") { body.len().min(65_535) } else { body.len() };
    let message = Message {
        annotations: Some(annotations),
        properties: Some(properties),
        application: Some(shown),
        body: Some(body.slice(..length)),
        ..Message::default()
    };
    // As the product writes a GUID: the first three fields with their low byte first.
    let short = if planted("MOD13-tags-are-short") { 4 } else { 16 };
    let tag = lock.to_bytes_le()[..short].to_vec().into();
    Parcel { ticket: Some(ticket), tag, payload: message.write(), delivery: None }
}

/// Properties that are not empty.
fn properties(system: &[Pair]) -> Properties {
    let known = |name| value(system, name).map(str::to_owned);
    let symbol = |name| value(system, name).map(Symbol::from);
    let lost = planted("A17-user-id-and-encoding-are-lost");
    Properties {
        message_id: known(system::MESSAGE_ID).map(MessageId::String),
        user_id: known(system::USER_ID).filter(|_| !lost).map(|id| id.into_bytes().into()),
        to: known(system::TO),
        correlation_id: known(system::CORRELATION_ID).map(MessageId::String),
        content_type: symbol(system::CONTENT_TYPE),
        content_encoding: symbol(system::CONTENT_ENCODING).filter(|_| !lost),
        absolute_expiry_time: value(system, system::EXPIRY)
            .filter(|_| !planted("X03-expiry-is-lost-for-amqp"))
            .and_then(timestamp),
        ..Properties::default()
    }
}

fn value<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    let (_, value) = pairs.iter().find(|(known, _)| known == name)?;
    value.as_deref().filter(|value| !value.is_empty())
}

/// A date of any writing; one without zone is taken for UTC.
fn timestamp(text: &str) -> Option<Timestamp> {
    let time = text.parse::<jiff::Timestamp>().or_else(|_| format!("{text}Z").parse());
    time.ok().map(|time| Timestamp::from_milliseconds(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::Telemetry;

    #[test]
    fn a_module_sees_where_a_message_comes_from() {
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let envelope = Envelope::telemetry(
            "edge1",
            Telemetry {
                sender: ClientId::module("edge1", "sensor"),
                properties: vec![pair("a", "1"), (String::from("b"), None)],
                system: vec![
                    pair(system::MESSAGE_ID, "7"),
                    pair(system::OUTPUT_NAME, "out"),
                    pair(system::USER_ID, "me"),
                    pair(system::EXPIRY, "2026-01-01T00:00:00.0000000Z"),
                ],
                body: Bytes::from_static(b"body"),
                edge_message_id: String::from("id"),
            },
        );
        let parcel = input("in1", &envelope, 3);
        assert_eq!(parcel.tag.len(), 16);
        let message = Message::read(&parcel.payload).expect("well-formed");
        assert_eq!(message.annotated("x-opt-input-name"), Some("in1"));
        assert_eq!(message.annotated("iothub-connection-device-id"), Some("edge1"));
        assert_eq!(message.annotated("iothub-connection-module-id"), Some("sensor"));
        let lock = message.annotated("x-opt-lock-token").expect("there is one");
        assert_eq!(uuid::Uuid::parse_str(lock).expect("a GUID").to_bytes_le().to_vec(), parcel.tag.to_vec());
        let properties = message.properties.expect("there are some");
        assert_eq!(properties.message_id, Some(MessageId::String(String::from("7"))));
        assert_eq!(properties.user_id.map(|id| id.to_vec()), Some(b"me".to_vec()));
        assert_eq!(properties.absolute_expiry_time, Some(Timestamp::from_milliseconds(1_767_225_600_000)));
        let application = message.application.expect("there are some");
        assert_eq!(application.get(&Value::String(String::from("a"))), Some(&Value::String(String::from("1"))));
        assert_eq!(application.get(&Value::String(String::from("b"))), Some(&Value::Null));
        assert_eq!(application.len(), 2);
    }
}
