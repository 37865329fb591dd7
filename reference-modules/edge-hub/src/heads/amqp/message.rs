//! Messages: the sections they are made of.

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::messaging::{MessageId, Properties};
use serde_amqp::Value;
use serde_amqp::primitives::{OrderedMap, Symbol};

use super::encoding::{Malformed, binary, take_described, write_data, write_described};
use crate::faults::planted;

const MESSAGE_ANNOTATIONS: u8 = 0x72;
const PROPERTIES: u8 = 0x73;
const APPLICATION_PROPERTIES: u8 = 0x74;
const DATA: u8 = 0x75;
const SEQUENCE: u8 = 0x76;
const VALUE: u8 = 0x77;

/// A map of AMQP, in order.
pub type Map = OrderedMap<Value, Value>;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Message annotations.
    pub annotations: Option<Map>,
    /// Properties.
    pub properties: Option<Properties>,
    /// Application properties.
    pub application: Option<Map>,
    /// Data sections, concatenated; or the encoding of whatever else stands in the place of a body.
    pub body: Option<Bytes>,
    /// The data sections one by one.
    pub data: Vec<Bytes>,
    /// Bytes of properties, application properties and body as they came.
    pub size: usize,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] when it is none.
    pub fn read(payload: &Bytes) -> Result<Message, Malformed> {
        let mut rest = payload.clone();
        let mut message = Message::default();
        let mut encoded = BytesMut::new();
        while !rest.is_empty() {
            let whole = rest.clone();
            let (descriptor, value) = take_described(&mut rest)?;
            let section = &whole[..whole.len() - rest.len()];
            if matches!(descriptor, PROPERTIES..=VALUE) {
                message.size += value.len();
            }
            match descriptor {
                MESSAGE_ANNOTATIONS => message.annotations = Some(read_map(&value)?),
                PROPERTIES => message.properties = Some(serde_amqp::from_slice(section).map_err(|_| Malformed)?),
                APPLICATION_PROPERTIES => message.application = Some(read_map(&value)?),
                DATA => message.data.push(binary(&value)?),
                SEQUENCE | VALUE => encoded.extend_from_slice(&value),
                // Header, delivery annotations and footer tell nobody behind the hub anything.
                0x70 | 0x71 | 0x78 => {}
                _ => return Err(Malformed),
            }
        }
        message.body = match &message.data[..] {
            [] => Some(encoded.freeze()).filter(|encoded| !encoded.is_empty()),
            [only] => Some(only.clone()),
            [first, ..] if planted("TEL08-first-data-section-is-all") => Some(first.clone()),
            several => Some(several.concat().into()),
        };
        Ok(message)
    }

    /// Writes a message. A body is written as one data section.
    pub fn write(&self) -> Bytes {
        let mut bytes = Vec::new();
        if let Some(annotations) = self.annotations.as_ref().filter(|map| !map.is_empty()) {
            write_described(&mut bytes, MESSAGE_ANNOTATIONS, &encode(&Value::Map(annotations.clone())));
        }
        if let Some(properties) = &self.properties {
            bytes.extend(serde_amqp::to_vec(properties).expect("properties are plain data"));
        }
        if let Some(application) = self.application.as_ref().filter(|map| !map.is_empty()) {
            write_described(&mut bytes, APPLICATION_PROPERTIES, &encode(&Value::Map(application.clone())));
        }
        if let Some(body) = &self.body {
            if planted("MOD02-body-is-a-value") {
                write_data(&mut bytes, VALUE, body);
                return bytes.into();
            }
            write_data(&mut bytes, DATA, body);
        }
        bytes.into()
    }

    /// A message annotation. Keys are symbols.
    pub fn annotation(&self, name: &str) -> Option<&Value> {
        self.annotations.as_ref()?.get(&Value::Symbol(Symbol::from(name)))
    }

    /// A message annotation that is a text; one of another type is none.
    pub fn annotated(&self, name: &str) -> Option<&str> {
        text(self.annotation(name)?)
    }

    /// An application property.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.application.as_ref()?.get(&Value::String(name.to_owned()))
    }

    /// Correlation id, as text.
    pub fn correlation(&self) -> Option<String> {
        self.properties.as_ref()?.correlation_id.as_ref().map(id_text)
    }
}

/// A value that is a text.
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// An id of any type, as text.
pub fn id_text(id: &MessageId) -> String {
    match id {
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => uuid::Uuid::from_bytes(*uuid.as_inner()).to_string(),
        MessageId::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        MessageId::String(text) => text.clone(),
    }
}

/// Adds an annotation.
pub fn annotate(annotations: &mut Map, name: &str, value: impl Into<Value>) {
    annotations.insert(Value::Symbol(Symbol::from(name)), value.into());
}

fn read_map(value: &Bytes) -> Result<Map, Malformed> {
    match serde_amqp::from_slice(value) {
        Ok(Value::Map(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Malformed),
    }
}

fn encode(value: &Value) -> Vec<u8> {
    serde_amqp::to_vec(value).expect("values are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_can_be_read() {
        let mut annotations = Map::new();
        annotate(&mut annotations, "operation", String::from("GET"));
        let message = Message {
            annotations: Some(annotations),
            properties: Some(Properties { to: Some(String::from("x")), ..Properties::default() }),
            body: Some(Bytes::from_static(b"body")),
            ..Message::default()
        };
        let read = Message::read(&message.write()).expect("well-formed");
        assert_eq!(read.annotated("operation"), Some("GET"));
        assert_eq!((&read.properties, &read.body), (&message.properties, &message.body));
    }

    #[test]
    fn a_value_is_kept_as_it_is_encoded() {
        for (section, body) in [
            (&b"\0\x53\x77\xa1\x02hi"[..], &b"\xa1\x02hi"[..]),
            (b"\0\x53\x76\xc0\x05\x01\xa1\x02hi", b"\xc0\x05\x01\xa1\x02hi"),
            (b"\0\x53\x75\xa0\x01a\0\x53\x75\xa0\x01b", b"ab"),
            (b"\0\x53\x75\xa0\x00", b""),
        ] {
            let message = Message::read(&Bytes::copy_from_slice(section)).expect("well-formed");
            assert_eq!(message.body.as_deref(), Some(body));
        }
        assert_eq!(Message::read(&Bytes::new()).map(|message| message.body), Ok(None));
    }
}
