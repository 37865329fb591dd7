//! Messages under names that no protocol owns, and as AMQP spells them.
//!
//! Source: `edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Amqp/AmqpMessageConverter.cs`.

use bytes::Bytes;
use fe2o3_amqp::types::messaging::annotations::{Annotations, OwnedKey};
use fe2o3_amqp::types::messaging::{
    ApplicationProperties, Batch, Body, Data, Message as Envelope, MessageAnnotations, MessageId, Properties as Section,
};
use fe2o3_amqp::types::primitives::{Binary, OrderedMap, SimpleValue, Symbol, Timestamp, Value};
use jiff::tz::Offset;

use crate::client::property_bag::Properties;

/// System properties that are application properties on the wire, as (wire name, the name route conditions use).
const IN_APPLICATION: [(&str, &str); 5] = [
    ("iothub-outputname", "outputName"),
    ("iothub-message-schema", "messageSchema"),
    ("iothub-creation-time-utc", "creationTime"),
    ("iothub-operation", "operation"),
    ("iothub-ack", "ack"),
];

/// System properties that are message annotations on the wire.
const IN_ANNOTATIONS: [(&str, &str); 4] = [
    ("dt-subject", "dt-subject"),
    ("iothub-interface-id", "iothub-interface-id"),
    ("iothub-connection-device-id", "connectionDeviceId"),
    ("iothub-connection-module-id", "connectionModuleId"),
];

/// The annotation that names the input a message is for.
pub const INPUT: &str = "x-opt-input-name";
/// The annotation with the name of a message's delivery.
pub const LOCK_TOKEN: &str = "x-opt-lock-token";

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Application properties; one that is no string is `None`.
    pub properties: Properties,
    /// System properties, named as route conditions name them; the output name among them.
    pub system: Properties,
    /// Body.
    pub body: Bytes,
}

impl Message {
    /// The message as the library sends it; the properties section is always there, since a hub refuses messages without.
    pub fn envelope(&self) -> Envelope<Data> {
        let mut section = Section::default();
        let mut application: OrderedMap<String, SimpleValue> = OrderedMap::new();
        let mut annotations = Annotations::new();
        let value = |value: &Option<String>| value.clone().map_or(SimpleValue::Null, SimpleValue::String);
        for (name, text) in &self.properties {
            application.insert(name.clone(), value(text));
        }
        for (name, text) in &self.system {
            let known = |names: &[(&'static str, &'static str)]| {
                names.iter().find(|(_, known)| known == name).map(|(wire, _)| *wire)
            };
            if let Some(wire) = known(&IN_APPLICATION) {
                application.insert(wire.to_owned(), value(text));
            } else if let Some(wire) = known(&IN_ANNOTATIONS) {
                annotations.insert(OwnedKey::from(wire), Value::String(text.clone().unwrap_or_default()));
            } else {
                put(&mut section, name, text.clone().unwrap_or_default());
            }
        }
        Envelope {
            header: None,
            delivery_annotations: None,
            message_annotations: (!annotations.is_empty()).then_some(MessageAnnotations(annotations)),
            properties: Some(section),
            application_properties: (!application.is_empty()).then_some(ApplicationProperties(application)),
            body: Data(Binary::from(self.body.to_vec())),
            footer: None,
        }
    }

    /// The message a delivery of the hub carries.
    pub fn read(envelope: &Envelope<Body<Value>>) -> Self {
        let mut message = Self { body: body(&envelope.body), ..Self::default() };
        if let Some(section) = &envelope.properties {
            message.system = system(section);
        }
        for (name, value) in envelope.application_properties.iter().flat_map(|all| all.0.iter()) {
            let text = match value {
                SimpleValue::String(text) => Some(text.clone()),
                _ => None,
            };
            match IN_APPLICATION.iter().find(|(wire, _)| wire == name) {
                Some((_, known)) => message.system.push(((*known).to_owned(), text)),
                None => message.properties.push((name.clone(), text)),
            }
        }
        for (wire, known) in IN_ANNOTATIONS {
            if let Some(Value::String(text)) = annotation(envelope, wire) {
                message.system.push((known.to_owned(), Some(text.clone())));
            }
        }
        message
    }
}

/// A message annotation.
pub fn annotation<'a, B>(envelope: &'a Envelope<B>, name: &str) -> Option<&'a Value> {
    envelope.message_annotations.as_ref()?.0.get(&OwnedKey::from(name))
}

/// An id, whatever type it has, as text.
pub fn text_of(id: &MessageId) -> String {
    match id {
        MessageId::String(text) => text.clone(),
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => hyphenated(&uuid.clone().into_inner()),
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// A UUID as it is written.
pub fn hyphenated(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The bytes of all data sections; other bodies have none.
pub fn body(body: &Body<Value>) -> Bytes {
    match body {
        Body::Data(sections) => data(sections),
        _ => Bytes::new(),
    }
}

fn data(sections: &Batch<Data>) -> Bytes {
    sections.iter().flat_map(|section| section.0.iter().copied()).collect()
}

fn put(section: &mut Section, name: &str, text: String) {
    match name {
        "messageId" => section.message_id = Some(MessageId::String(text)),
        "cid" => section.correlation_id = Some(MessageId::String(text)),
        "userId" => section.user_id = Some(Binary::from(text.into_bytes())),
        "to" => section.to = Some(text),
        "contentType" => section.content_type = Some(Symbol::from(text)),
        "contentEncoding" => section.content_encoding = Some(Symbol::from(text)),
        "absolute-expiry-time" => {
            let parsed = text.parse::<jiff::Timestamp>().ok();
            section.absolute_expiry_time = parsed.map(|at| Timestamp::from_milliseconds(at.as_millisecond()));
        }
        // There is no place for it on this protocol.
        _ => {}
    }
}

fn system(section: &Section) -> Properties {
    let mut system = Vec::new();
    let mut note = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            system.push((name.to_owned(), Some(text)));
        }
    };
    note("messageId", section.message_id.as_ref().map(text_of));
    note("cid", section.correlation_id.as_ref().map(text_of));
    note("userId", section.user_id.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    note("to", section.to.clone());
    note("contentType", section.content_type.as_ref().map(|symbol| symbol.0.clone()));
    note("contentEncoding", section.content_encoding.as_ref().map(|symbol| symbol.0.clone()));
    let expiry = section.absolute_expiry_time.as_ref().map(|at| at.milliseconds());
    note("absolute-expiry-time", expiry.and_then(round_trip));
    system
}

/// A point in time as the product writes it: seven digits behind the second.
pub fn round_trip(milliseconds: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(milliseconds).ok()?;
    Some(format!("{}Z", Offset::UTC.to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S%.7f")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_read_back_is_the_message_written() {
        let pair = |name: &str, text: &str| (name.to_owned(), Some(text.to_owned()));
        let message = Message {
            properties: vec![pair("mark", "m1"), ("bare".to_owned(), None)],
            system: vec![
                pair("messageId", "7"),
                pair("cid", "8"),
                pair("userId", "u"),
                pair("to", "/t"),
                pair("contentType", "application/json"),
                pair("contentEncoding", "utf-8"),
                pair("absolute-expiry-time", "2030-01-02T03:04:05.0060000Z"),
                pair("outputName", "out"),
                pair("messageSchema", "s"),
            ],
            body: Bytes::from_static(b"{}"),
        };
        let envelope = message.envelope();
        let Envelope {
            header,
            delivery_annotations,
            message_annotations,
            properties,
            application_properties,
            body,
            footer,
        } = envelope;
        let body = Body::Data([body].into_iter().collect());
        let read = Message::read(&Envelope {
            header,
            delivery_annotations,
            message_annotations,
            properties,
            application_properties,
            body,
            footer,
        });
        assert_eq!(read, message);
    }
}
