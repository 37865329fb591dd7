//! Packets of the hub, exactly as they came, and what they mean.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

/// One packet of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// All its bytes, fixed header included.
    pub bytes: Bytes,
    /// Where the body begins.
    body: usize,
}

/// What a PUBLISH of the hub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Topic.
    pub topic: String,
    /// Packet id, unless QoS is 0.
    pub id: Option<u16>,
    /// QoS.
    pub qos: u8,
    /// DUP.
    pub dup: bool,
    /// RETAIN.
    pub retain: bool,
    /// Payload.
    pub payload: Bytes,
}

impl Packet {
    /// Takes one whole packet from the front of a buffer. A length of more than four bytes takes all there is: no
    /// packet follows it that could be told apart.
    pub fn take(buffer: &mut BytesMut) -> Option<Packet> {
        let mut length = 0usize;
        for (position, byte) in buffer.iter().copied().enumerate().skip(1).take(4) {
            length |= usize::from(byte & 0x7f) << (7 * (position - 1));
            if byte & 0x80 == 0 {
                let body = position + 1;
                return (buffer.len() >= body + length)
                    .then(|| Packet { bytes: buffer.split_to(body + length).freeze(), body });
            }
        }
        if buffer.len() < 5 {
            return None;
        }
        let body = buffer.len();
        Some(Packet { bytes: buffer.split().freeze(), body })
    }

    /// Session-present flag and return code, if this is a CONNACK.
    pub fn connack(&self) -> Option<(bool, u8)> {
        match (self.bytes[0], self.body()) {
            (0x20, &[flags, code]) => Some((flags == 1, code)),
            _ => None,
        }
    }

    /// Packet id, if this is a PUBACK.
    pub fn puback(&self) -> Option<u16> {
        self.id_of(0x40).filter(|_| self.body().len() == 2)
    }

    /// Packet id and return codes, if this is a SUBACK.
    pub fn suback(&self) -> Option<(u16, &[u8])> {
        Some((self.id_of(0x90)?, &self.body()[2..]))
    }

    /// Packet id, if this is an UNSUBACK.
    pub fn unsuback(&self) -> Option<u16> {
        self.id_of(0xb0).filter(|_| self.body().len() == 2)
    }

    /// Whether this is a PINGRESP.
    pub fn is_pingresp(&self) -> bool {
        self.bytes.as_ref() == [0xd0, 0]
    }

    /// What it says, if this is a PUBLISH that can be read.
    pub fn publish(&self) -> Option<Published> {
        let first = self.bytes[0];
        if first >> 4 != 3 {
            return None;
        }
        let mut body = self.bytes.slice(self.body..);
        let length = usize::from(body.try_get_u16().ok()?);
        if body.len() < length {
            return None;
        }
        let topic = String::from_utf8(body.split_to(length).to_vec()).ok()?;
        let qos = first >> 1 & 3;
        let id = if qos > 0 { Some(body.try_get_u16().ok()?) } else { None };
        Some(Published { topic, id, qos, dup: first & 8 != 0, retain: first & 1 != 0, payload: body })
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    fn id_of(&self, first: u8) -> Option<u16> {
        let (id, _) = self.body().split_first_chunk()?;
        (self.bytes[0] == first).then(|| u16::from_be_bytes(*id))
    }
}

/// Names of packet types, by number. Source: MQTT 3.1.1, table 2.1.
const NAMES: [&str; 16] = [
    "packet of type 0",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "packet of type 15",
];

/// The name of the type a packet's first byte says.
pub fn name(first: u8) -> &'static str {
    NAMES[usize::from(first >> 4)]
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.bytes[0]))?;
        if let Some(published) = self.publish() {
            write!(f, " at QoS {}", published.qos)?;
            if let Some(id) = published.id {
                write!(f, " with id {id}")?;
            }
            return write!(f, " on {:?}, {} bytes", published.topic, published.payload.len());
        }
        if let Some((present, code)) = self.connack() {
            return write!(f, " 0x{code:02x}, session present {}", u8::from(present));
        }
        if let Some((id, codes)) = self.suback() {
            return write!(f, " {id} granting {codes:?}");
        }
        if let Some(id) = self.puback().or_else(|| self.unsuback()) {
            return write!(f, " {id}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet;
    use super::*;

    fn taken(bytes: &[u8]) -> Vec<Packet> {
        let mut buffer = BytesMut::from(bytes);
        std::iter::from_fn(|| Packet::take(&mut buffer)).collect()
    }

    #[test]
    fn packets_are_told_apart_whatever_pieces_they_come_in() {
        let whole = [packet::puback(7), packet::publish(1, "t", &[1; 300]), packet::PINGREQ.to_vec()].concat();
        assert_eq!(taken(&whole).len(), 3);
        for cut in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..cut]);
            let mut packets: Vec<Packet> = std::iter::from_fn(|| Packet::take(&mut buffer)).collect();
            buffer.extend_from_slice(&whole[cut..]);
            packets.extend(std::iter::from_fn(|| Packet::take(&mut buffer)));
            assert_eq!(packets, taken(&whole), "cut at {cut}");
        }
    }

    #[test]
    fn each_packet_says_what_it_is() {
        let bytes = [
            vec![0x20, 2, 1, 5],
            packet::puback(9),
            vec![0x90, 4, 0, 3, 0, 1],
            vec![0xb0, 2, 0, 4],
            vec![0xd0, 0],
            packet::publish(1, "a", b"xy"),
        ];
        let packets = taken(&bytes.concat());
        assert_eq!(packets[0].connack(), Some((true, 5)));
        assert_eq!(packets[1].puback(), Some(9));
        assert_eq!(packets[2].suback(), Some((3, [0, 1].as_slice())));
        assert_eq!(packets[3].unsuback(), Some(4));
        assert!(packets[4].is_pingresp());
        let publish = packets[5].publish().expect("a PUBLISH");
        assert_eq!((publish.topic.as_str(), publish.id, publish.payload.as_ref()), ("a", Some(1), b"xy".as_slice()));
        assert_eq!(packets[5].to_string(), "PUBLISH at QoS 1 with id 1 on \"a\", 2 bytes");
        assert_eq!(packets[0].puback(), None);
    }

    #[test]
    fn a_length_of_five_bytes_is_kept_and_named() {
        let packets = taken(&[0x30, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].bytes.len(), 6);
        assert_eq!(packets[0].publish(), None);
    }
}
