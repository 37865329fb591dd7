//! What a client sends: from AMQP to a message of the hub.
//!
//! Source: Azure/iotedge, `Hub.Amqp/AmqpMessageConverter.cs`, `Hub.Amqp/linkhandlers/EventsLinkHandler.cs`,
//! `Hub.Amqp/AmqpExceptionsHelper.cs`.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use fe2o3_amqp_types::definitions::Error;
use serde_amqp::Value;

use super::condition::error;
use super::message::{Message, id_text, text};
use super::peer::Delivery;
use crate::core::{MAX_MESSAGE_BYTES, Telemetry, Timestamp, Verdict, system};
use crate::faults::planted;
use crate::identity::ClientId;

/// The message format of a batch: its data sections are messages.
const BATCH: u32 = 0x8001_3700;

/// Size above which a transfer is refused before anything in it is looked at.
const MAX_RAW_BYTES: usize = 614_400;

type Pairs = Vec<(String, Option<String>)>;

/// Application properties that are properties of the system.
const RESERVED: [(&str, &str); 4] = [
    ("iothub-outputname", system::OUTPUT_NAME),
    ("iothub-message-schema", system::MESSAGE_SCHEMA),
    ("iothub-creation-time-utc", system::CREATION_TIME),
    ("iothub-operation", system::OPERATION),
];

/// Reads what a delivery holds: one message, or those of a batch in order.
///
/// # Errors
/// What `rejected` says.
pub fn read(sender: &ClientId, delivery: &Delivery) -> Result<VecDeque<Telemetry>, Error> {
    let message = Message::read(&delivery.payload).map_err(|_| server_error())?;
    if message.size > MAX_RAW_BYTES && !planted("TEL03-raw-size-is-not-limited") {
        return Err(quoted("amqp:not-allowed", "Invalid action performed"));
    }
    let batch = delivery.format == BATCH && !planted("A01-batch-is-one-message");
    if !batch {
        return Ok(VecDeque::from([telemetry(sender, &message)?]));
    }
    let inner = |data: &Bytes| telemetry(sender, &Message::read(data).map_err(|_| server_error())?);
    let mut messages: VecDeque<Telemetry> = message.data.iter().map(inner).collect::<Result<_, _>>()?;
    if planted("A01-inner-properties-are-lost") {
        messages.iter_mut().for_each(|message| message.properties.clear());
    }
    Ok(messages)
}

/// What `rejected` says of a message the hub did not take.
pub fn refusal(verdict: Verdict) -> Option<Error> {
    match verdict {
        Verdict::Accepted => None,
        Verdict::TooLarge { size } => Some(quoted(
            "amqp:link:message-size-exceeded",
            &format!(
                "Message size is {size} bytes which is greater than the max size {MAX_MESSAGE_BYTES} bytes allowed"
            ),
        )),
        Verdict::NotStored if planted("TEL14-full-store-is-an-internal-error") => Some(server_error()),
        Verdict::NotStored => Some(quoted("com.microsoft:device-container-throttled", "The store of the hub is full")),
    }
}

/// What `rejected` says of anything not foreseen.
fn server_error() -> Error {
    quoted("amqp:internal-error", "Encountered server error")
}

/// The product writes these texts as JSON.
fn quoted(condition: &str, description: &str) -> Error {
    error(condition, format!("\"{description}\""))
}

/// A message needs properties, be they empty, and a body.
fn telemetry(sender: &ClientId, message: &Message) -> Result<Telemetry, Error> {
    let needed = message.application.is_none() && planted("A07-application-properties-are-needed");
    if message.properties.is_none() || needed {
        return Err(server_error());
    }
    let body = message.body.clone();
    let body = body.or_else(|| planted("TEL18-no-body-is-an-empty-one").then(Bytes::new)).ok_or_else(server_error)?;
    let (properties, mut system) = application(message)?;
    let mut add = |name: &str, value: Option<String>| {
        if value.is_some() {
            system.push((name.to_owned(), value));
        }
    };
    if let Some(properties) = &message.properties {
        let symbol =
            |value: &Option<serde_amqp::primitives::Symbol>| value.as_ref().map(|value| value.as_str().to_owned());
        add(system::MESSAGE_ID, properties.message_id.as_ref().map(id_text));
        add(system::CORRELATION_ID, properties.correlation_id.as_ref().map(id_text));
        add(system::USER_ID, properties.user_id.as_ref().map(|id| String::from_utf8_lossy(id).into_owned()));
        add(system::TO, properties.to.clone());
        add(system::CONTENT_TYPE, symbol(&properties.content_type));
        add(system::CONTENT_ENCODING, symbol(&properties.content_encoding));
        add(system::EXPIRY, properties.absolute_expiry_time.as_ref().and_then(|time| date(time.milliseconds())));
    }
    if let Some(Value::Timestamp(time)) = message.annotation("iothub-enqueuedtime") {
        add(system::ENQUEUED_TIME, date(time.milliseconds()));
    }
    if let Some(Value::Ubyte(count)) = message.annotation("iothub-deliverycount") {
        add(system::DELIVERY_COUNT, Some(count.to_string()));
    }
    if let Some(Value::Ulong(number @ 1..)) = message.annotation("x-opt-sequence-number") {
        add(system::SEQUENCE_NUMBER, Some(number.to_string()));
    }
    for (annotation, name) in [
        ("x-opt-lock-token", system::LOCK_TOKEN),
        ("iothub-interface-id", system::INTERFACE_ID),
        ("dt-subject", system::COMPONENT),
    ] {
        add(name, message.annotated(annotation).map(str::to_owned));
    }
    let mut sender = sender.clone();
    if let Some(forged) =
        message.annotated("iothub-connection-device-id").filter(|_| planted("TEL12-sender-names-itself"))
    {
        sender = ClientId::device(forged);
    }
    let edge_message_id = uuid::Uuid::new_v4().to_string();
    Ok(Telemetry { sender, properties, system, body, edge_message_id })
}

/// Application properties, without those that are the system's. Only texts have a value.
fn application(message: &Message) -> Result<(Pairs, Pairs), Error> {
    let (mut properties, mut system) = (Pairs::new(), Pairs::new());
    let mut names = HashSet::new();
    for (name, value) in message.application.iter().flat_map(|map| map.iter()) {
        let name = text(name).ok_or_else(server_error)?;
        let value = text(value).map(str::to_owned);
        let reserved = RESERVED.iter().find(|(known, _)| *known == name);
        match reserved.filter(|(known, _)| !(planted("TEL04-output-name-is-a-property") && *known == RESERVED[0].0)) {
            Some((_, known)) => system.extend(value.map(|value| ((*known).to_owned(), Some(value)))),
            // Routing finds them in any letter case, so two of one name in other letters cannot be told apart.
            None if !names.insert(name.to_lowercase()) => return Err(server_error()),
            None => properties.push((name.to_owned(), value)),
        }
    }
    Ok((properties, system))
}

fn date(millis: i64) -> Option<String> {
    u64::try_from(millis).ok().map(|millis| Timestamp::from_millis(millis).to_text())
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::messaging::Properties;

    use super::super::message::{Map, annotate};
    use super::*;

    fn delivery(payload: Bytes, format: u32) -> Delivery {
        Delivery { id: 0, format, settled: false, payload }
    }

    fn message(application: &[(&str, Value)]) -> Message {
        let pairs = application.iter().map(|(name, value)| (Value::String((*name).to_owned()), value.clone()));
        Message {
            properties: Some(Properties::default()),
            application: Some(pairs.collect()),
            body: Some(Bytes::from_static(b"x")),
            ..Message::default()
        }
    }

    fn one(message: &Message) -> Result<Telemetry, String> {
        let read = read(&ClientId::device("d"), &delivery(message.write(), 0));
        read.map(|mut messages| messages.pop_front().expect("one")).map_err(|error| format!("{:?}", error.condition))
    }

    #[test]
    fn properties_go_where_they_belong() {
        let mut message = message(&[
            ("iothub-outputname", Value::from(String::from("out"))),
            ("a", Value::from(String::from("1"))),
            ("b", Value::Int(7)),
        ]);
        let mut annotations = Map::new();
        annotate(&mut annotations, "dt-subject", String::from("part"));
        annotate(&mut annotations, "x-opt-sequence-number", Value::Uint(9));
        message.annotations = Some(annotations);
        message.properties = Some(Properties {
            message_id: Some(7_u64.into()),
            absolute_expiry_time: Some(1_767_225_600_000_i64.into()),
            ..Properties::default()
        });
        let telemetry = one(&message).expect("good");
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        assert_eq!(telemetry.properties, [pair("a", Some("1")), pair("b", None)]);
        let system = [
            pair("outputName", Some("out")),
            pair("messageId", Some("7")),
            pair("absolute-expiry-time", Some("2026-01-01T00:00:00.0000000Z")),
            pair("dt-subject", Some("part")),
        ];
        assert_eq!(telemetry.system, system);
    }

    #[test]
    fn what_cannot_be_converted_is_rejected() {
        let whole = message(&[]);
        let two_cases = message(&[("a", Value::Null), ("A", Value::Null)]);
        for broken in
            [Message { properties: None, ..whole.clone() }, Message { body: None, ..whole.clone() }, two_cases]
        {
            assert!(one(&broken).expect_err("broken").contains("amqp:internal-error"));
        }
        assert!(one(&Message { application: None, ..whole }).is_ok());
    }

    #[test]
    fn a_batch_is_its_messages() {
        let mut batch = Vec::new();
        for _ in 0..3 {
            super::super::encoding::write_data(&mut batch, 0x75, &message(&[]).write());
        }
        let sender = ClientId::device("d");
        assert_eq!(read(&sender, &delivery(batch.clone().into(), BATCH)).map(|messages| messages.len()), Ok(3));
        super::super::encoding::write_data(&mut batch, 0x75, b"garbage");
        assert!(read(&sender, &delivery(batch.into(), BATCH)).is_err());
        assert_eq!(read(&sender, &delivery(Bytes::new(), BATCH)).map(|messages| messages.len()), Ok(0));
    }
}
