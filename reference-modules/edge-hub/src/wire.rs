//! MQTT 3.1.1 packets as bytes: what both the head and the connections upstream are made of.
//!
//! The packets themselves are `mqtt-protocol-core`'s; here are the frames around them, and what the product checks
//! that the library does not.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::packet::v3_1_1::{
    Connack, Connect, Puback, Publish, Suback, Subscribe, Unsuback, Unsubscribe,
};
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, SubOpts};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};

use crate::faults::planted;

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// CONNECT with a level other than 4.
    #[error("protocol level")]
    Level,
    /// Anything else.
    #[error("malformed packet")]
    Malformed,
}

impl From<MqttError> for Undecodable {
    fn from(error: MqttError) -> Undecodable {
        match error {
            MqttError::UnsupportedProtocolVersion => Undecodable::Level,
            _ => Undecodable::Malformed,
        }
    }
}

/// A packet cannot be written: a text is longer than MQTT allows, or a topic holds a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text is too long for MQTT, or a topic holds a wildcard")]
pub struct Unwritable;

impl From<MqttError> for Unwritable {
    fn from(_: MqttError) -> Unwritable {
        Unwritable
    }
}

/// A PUBLISH that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Topic.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Packet id, unless QoS is 0.
    pub id: Option<u16>,
    /// DUP flag.
    pub dup: bool,
    /// RETAIN flag.
    pub retain: bool,
    /// Payload.
    pub payload: Bytes,
}

/// A packet that was read.
#[derive(Debug)]
pub enum Packet {
    /// CONNECT.
    Connect(Box<Connect>),
    /// CONNACK.
    Connack {
        /// Whether there was a session.
        present: bool,
        /// Return code.
        code: u8,
    },
    /// PUBLISH.
    Publish(Incoming),
    /// PUBACK.
    Puback(u16),
    /// PUBREC, PUBCOMP: never expected.
    Stray,
    /// PUBREL.
    Pubrel,
    /// SUBSCRIBE: filters and the QoS asked for.
    Subscribe(u16, Vec<(String, u8)>),
    /// SUBACK.
    Suback,
    /// UNSUBSCRIBE.
    Unsubscribe(u16, Vec<String>),
    /// UNSUBACK.
    Unsuback,
    /// PINGREQ.
    Pingreq,
    /// PINGRESP.
    Pingresp,
    /// DISCONNECT.
    Disconnect,
}

/// Takes the first whole packet out of what was received, if there is one.
///
/// # Errors
/// [`Undecodable`]; the connection is of no use any more.
pub fn take(received: &mut BytesMut, limit: usize) -> Result<Option<Packet>, Undecodable> {
    let Some(&first) = received.first() else { return Ok(None) };
    let mut length = 0_usize;
    let mut header = 1;
    loop {
        let Some(&byte) = received.get(header) else {
            return if header > 4 { Err(Undecodable::Malformed) } else { Ok(None) };
        };
        length |= usize::from(byte & 0x7f) << (7 * (header - 1));
        header += 1;
        if byte & 0x80 == 0 {
            break;
        }
        if header > 4 {
            return Err(Undecodable::Malformed);
        }
    }
    let limit = limit - usize::from(planted("LIM01-limit-is-one-byte-short"));
    if header + length > limit && !planted("LIM01-oversized-packet-is-taken") {
        return Err(Undecodable::Malformed);
    }
    if received.len() < header + length {
        return Ok(None);
    }
    received.advance(header);
    let body = received.split_to(length).freeze();
    packet(first, &body).map(Some)
}

fn packet(first: u8, body: &Bytes) -> Result<Packet, Undecodable> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let expected = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
    if kind != 3 && flags != expected {
        return Err(Undecodable::Malformed);
    }
    match kind {
        1 => connect(body),
        2 => match **body {
            [flags, code] if flags <= 1 => Ok(Packet::Connack { present: flags == 1, code }),
            _ => Err(Undecodable::Malformed),
        },
        3 => publish(flags, body),
        4 => id_alone(body).map(Packet::Puback),
        5 | 7 => id_alone(body).map(|_| Packet::Stray),
        6 => id_alone(body).map(|_| Packet::Pubrel),
        8 => subscribe(body),
        9 => id_first(body).map(|_| Packet::Suback),
        10 => unsubscribe(body),
        11 => id_alone(body).map(|_| Packet::Unsuback),
        12 if body.is_empty() => Ok(Packet::Pingreq),
        13 if body.is_empty() => Ok(Packet::Pingresp),
        14 if body.is_empty() => Ok(Packet::Disconnect),
        _ => Err(Undecodable::Malformed),
    }
}

fn connect(body: &Bytes) -> Result<Packet, Undecodable> {
    if planted("CONN11-mqisdp-is-told-its-level") && body.get(2..8) == Some(b"MQIsdp") {
        return Err(Undecodable::Level);
    }
    let (connect, used) = Connect::parse(body)?;
    let flags = body[7];
    let will = flags & 0x04 != 0;
    let reserved = flags & 0x01 != 0 && !planted("CONN11-reserved-flag-is-ignored");
    let inconsistent = reserved || (!will && flags & 0x38 != 0) || flags & 0x18 == 0x18;
    if used != body.len() || inconsistent {
        return Err(Undecodable::Malformed);
    }
    Ok(Packet::Connect(Box::new(connect)))
}

fn publish(flags: u8, body: &Bytes) -> Result<Packet, Undecodable> {
    let (publish, _) = Publish::parse(flags, Arc::from(&**body))?;
    let id = publish.packet_id();
    // The product looks for wildcards behind the first character only.
    let mut behind_first = publish.topic_name().chars();
    let wild = behind_first.next().is_none() || behind_first.any(|character| matches!(character, '#' | '+'));
    if (wild && !planted("ERR02-wildcard-topic-is-dropped")) || id == Some(0) {
        return Err(Undecodable::Malformed);
    }
    let payload = body.slice(body.len() - publish.payload().len()..);
    Ok(Packet::Publish(Incoming {
        topic: publish.topic_name().to_owned(),
        qos: publish.qos() as u8,
        id,
        dup: publish.dup(),
        retain: publish.retain(),
        payload,
    }))
}

fn subscribe(body: &Bytes) -> Result<Packet, Undecodable> {
    let (subscribe, used) = Subscribe::parse(body)?;
    let mut filters = Vec::with_capacity(subscribe.entries().len());
    let mut options_at = 2;
    for entry in subscribe.entries() {
        let filter = entry.topic_filter();
        options_at += 2 + filter.len();
        // The library lets reserved bits beside the QoS pass.
        let reserved = body.get(options_at).is_none_or(|options| options & !3 != 0);
        options_at += 1;
        if !well_formed(filter) || reserved {
            return Err(Undecodable::Malformed);
        }
        filters.push((filter.to_owned(), entry.sub_opts().qos() as u8));
    }
    if used != body.len() || subscribe.packet_id() == 0 {
        return Err(Undecodable::Malformed);
    }
    Ok(Packet::Subscribe(subscribe.packet_id(), filters))
}

fn unsubscribe(body: &Bytes) -> Result<Packet, Undecodable> {
    let (unsubscribe, used) = Unsubscribe::parse(body)?;
    let filters: Vec<String> = unsubscribe.entries().iter().map(|filter| filter.as_str().to_owned()).collect();
    if used != body.len() || unsubscribe.packet_id() == 0 || !filters.iter().all(|filter| well_formed(filter)) {
        return Err(Undecodable::Malformed);
    }
    Ok(Packet::Unsubscribe(unsubscribe.packet_id(), filters))
}

/// Wildcards stand for whole levels, and `#` for the last.
fn well_formed(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut good = !filter.is_empty();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        good &= match level {
            "#" => last,
            "+" => true,
            other => !other.contains(['#', '+']) || planted("SUB07-misplaced-wildcard-is-granted"),
        };
    }
    good
}

fn id_alone(body: &Bytes) -> Result<u16, Undecodable> {
    let surplus = body.len() > 2 && planted("ERR01-surplus-bytes-are-ignored");
    if body.len() == 2 || surplus { id_first(body) } else { Err(Undecodable::Malformed) }
}

fn id_first(body: &Bytes) -> Result<u16, Undecodable> {
    match **body {
        [high, low, ..] if high | low != 0 => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Undecodable::Malformed),
    }
}

/// CONNECT of a client that leaves no will.
///
/// # Errors
/// [`Unwritable`].
pub fn write_connect(
    client: &str,
    user: &str,
    password: &str,
    keep_alive_secs: u16,
    clean: bool,
) -> Result<Vec<u8>, Unwritable> {
    let connect = Connect::builder()
        .client_id(client)?
        .user_name(user)?
        .password(password.as_bytes())?
        .keep_alive(keep_alive_secs)
        .clean_session(clean)
        .build()?;
    Ok(connect.to_continuous_buffer())
}

/// CONNACK.
pub fn write_connack(session_present: bool, code: ConnectReturnCode) -> Vec<u8> {
    Connack::builder()
        .session_present(session_present)
        .return_code(code)
        .build()
        .expect("both fields are set")
        .to_continuous_buffer()
}

/// PUBLISH: without id for QoS 0, else QoS 1.
///
/// # Errors
/// [`Unwritable`].
pub fn write_publish(topic: &str, id: Option<u16>, payload: &[u8]) -> Result<Vec<u8>, Unwritable> {
    let builder = Publish::builder().topic_name(topic)?.payload(payload);
    let publish = match id {
        Some(id) => builder.qos(Qos::AtLeastOnce).packet_id(id),
        None => builder.qos(Qos::AtMostOnce),
    };
    Ok(publish.build()?.to_continuous_buffer())
}

/// PUBLISH at QoS 1 whose topic may be longer than its length can say, as the product writes it: only a planted fault
/// does.
pub fn write_wrapped(topic: &str, payload: &[u8]) -> Vec<u8> {
    let said = u16::try_from(topic.len() % 0x1_0000).unwrap_or_default();
    let mut bytes = vec![0x32];
    let mut length = 2 + topic.len() + 2 + payload.len();
    loop {
        let low = u8::try_from(length % 128).unwrap_or_default();
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    bytes.extend(said.to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend([0, 1]);
    bytes.extend(payload);
    bytes
}

/// PUBACK.
pub fn write_puback(id: u16) -> Vec<u8> {
    Puback::builder().packet_id(id).build().expect("ids are not zero").to_continuous_buffer()
}

/// SUBSCRIBE at QoS 1.
///
/// # Errors
/// [`Unwritable`].
pub fn write_subscribe(id: u16, filters: &[impl AsRef<str>]) -> Result<Vec<u8>, Unwritable> {
    let mut entries = Vec::with_capacity(filters.len());
    for filter in filters {
        entries.push(SubEntry::new(filter.as_ref(), SubOpts::new().set_qos(Qos::AtLeastOnce))?);
    }
    let subscribe = Subscribe::builder().packet_id(id).entries(entries).build()?;
    Ok(subscribe.to_continuous_buffer())
}

/// UNSUBSCRIBE.
///
/// # Errors
/// [`Unwritable`].
pub fn write_unsubscribe(id: u16, filters: &[String]) -> Result<Vec<u8>, Unwritable> {
    let unsubscribe = Unsubscribe::builder().packet_id(id).entries(filters.to_vec())?.build()?;
    Ok(unsubscribe.to_continuous_buffer())
}

/// In the place of a granted QoS: the filter is refused. The product never writes it.
pub const REFUSED: u8 = 0x80;

/// SUBACK.
pub fn write_suback(id: u16, granted: &[u8]) -> Vec<u8> {
    let mut granted = granted.to_vec();
    if planted("QOS04-grants-in-reverse-order") {
        granted.reverse();
    }
    let codes = granted.iter().map(|qos| match *qos {
        REFUSED => SubackReturnCode::Failure,
        0 => SubackReturnCode::SuccessMaximumQos0,
        _ => SubackReturnCode::SuccessMaximumQos1,
    });
    Suback::builder()
        .packet_id(id)
        .return_codes(codes.collect())
        .build()
        .expect("SUBSCRIBE has an id and filters")
        .to_continuous_buffer()
}

/// UNSUBACK.
pub fn write_unsuback(id: u16) -> Vec<u8> {
    Unsuback::builder().packet_id(id).build().expect("ids are not zero").to_continuous_buffer()
}

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xc0, 0];

/// PINGRESP.
pub const PINGRESP: [u8; 2] = [0xd0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Packet>, Undecodable> {
        take(&mut BytesMut::from(bytes), 262_144)
    }

    #[test]
    fn a_packet_is_taken_only_when_it_is_whole() {
        let bytes = write_publish("a/b", Some(7), b"body").expect("short");
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Ok(None)), "{end} bytes");
        }
        let Ok(Some(Packet::Publish(publish))) = read(&bytes) else { panic!("not read") };
        assert_eq!((publish.topic.as_str(), publish.qos, publish.id), ("a/b", 1, Some(7)));
        assert_eq!(&publish.payload[..], b"body");
    }

    #[test]
    fn a_packet_at_the_limit_is_taken_and_one_byte_more_is_not() {
        let bytes = write_publish("t", None, &[0; 100]).expect("short");
        assert!(take(&mut BytesMut::from(&bytes[..]), bytes.len()).is_ok());
        assert!(take(&mut BytesMut::from(&bytes[..2]), bytes.len() - 1).is_err(), "refused by its length alone");
    }

    #[test]
    fn what_the_product_cannot_decode_is_refused() {
        let broken: &[&[u8]] = &[
            &[0x00, 0x00],
            &[0xf0, 0x00],
            &[0x82, 0x02, 0x00, 0x01],
            &[0x80, 0x06, 0x00, 0x01, 0x00, 0x01, b'a', 0x00],
            &[0x82, 0x06, 0x00, 0x00, 0x00, 0x01, b'a', 0x00],
            &[0x82, 0x08, 0x00, 0x01, 0x00, 0x03, b'a', b'#', b'b', 0x00],
            &[0x30, 0x05, 0x00, 0x03, b'a', b'/', b'#'],
            &[0x82, 0x06, 0x00, 0x01, 0x00, 0x01, b'a', 0x03],
            &[0x82, 0x0a, 0x00, 0x01, 0x00, 0x01, b'b', 0x01, 0x00, 0x01, b'a', 0x04],
            &[0x30, 0x02, 0x00, 0x00],
            &[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01],
            &[0x32, 0x05, 0x00, 0x01, b'a', 0x00, 0x00],
            &[0xc0, 0x01, 0x00],
            &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
        ];
        for bytes in broken {
            assert!(read(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn another_protocol_level_is_told_apart_from_noise() {
        let mut bytes = write_connect("c", "u", "p", 60, true).expect("short");
        bytes[8] = 5;
        assert_eq!(read(&bytes).err(), Some(Undecodable::Level));
        bytes[8] = 4;
        bytes[9] |= 1;
        assert_eq!(read(&bytes).err(), Some(Undecodable::Malformed));
    }
}
