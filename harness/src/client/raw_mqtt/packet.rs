//! MQTT 3.1.1 packets as plain bytes, right or wrong: nothing here checks what it writes.
//!
//! Source: MQTT 3.1.1 (OASIS), sections 2 and 3.

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xc0, 0];
/// DISCONNECT.
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

/// Everything CONNECT may carry; the default is the shape of a well-behaved client without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Protocol name.
    pub protocol: String,
    /// Protocol level.
    pub level: u8,
    /// Connect flags, instead of those that follow from the other fields.
    pub flags: Option<u8>,
    /// CleanSession.
    pub clean_session: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// Client id.
    pub client_id: String,
    /// Will.
    pub will: Option<Will>,
    /// User name.
    pub user_name: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// Bytes behind the last field, which make the packet wrong.
    pub surplus: Vec<u8>,
}

/// A will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// QoS, 0 to 3.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
}

impl Default for Connect {
    fn default() -> Self {
        Self {
            protocol: "MQTT".to_owned(),
            level: 4,
            flags: None,
            clean_session: true,
            keep_alive: 0,
            client_id: String::new(),
            will: None,
            user_name: None,
            password: None,
            surplus: Vec::new(),
        }
    }
}

impl Connect {
    /// The packet.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = string(self.protocol.as_bytes());
        body.push(self.level);
        body.push(self.flags.unwrap_or_else(|| self.own_flags()));
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(string(self.client_id.as_bytes()));
        if let Some(will) = &self.will {
            body.extend(string(will.topic.as_bytes()));
            body.extend(string(&will.payload));
        }
        body.extend(self.user_name.iter().flat_map(|name| string(name.as_bytes())));
        body.extend(self.password.iter().flat_map(|password| string(password)));
        body.extend(&self.surplus);
        frame(0x10, &body)
    }

    /// The flags that go with the fields.
    pub fn own_flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        u8::from(self.clean_session) << 1
            | will
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.user_name.is_some()) << 7
    }
}

/// A PUBLISH; the default is an empty one at QoS 0 without a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Packet id, written when `qos` is not 0.
    pub id: u16,
    /// QoS, 0 to 3.
    pub qos: u8,
    /// DUP.
    pub dup: bool,
    /// RETAIN.
    pub retain: bool,
    /// Payload.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// The packet.
    pub fn bytes(&self) -> Vec<u8> {
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = string(self.topic.as_bytes());
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        body.extend(self.payload);
        frame(first, &body)
    }
}

/// A PUBLISH at QoS 1.
pub fn publish(id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    Publish { topic, id, qos: 1, payload, ..Publish::default() }.bytes()
}

/// A PUBACK.
pub fn puback(id: u16) -> Vec<u8> {
    frame(0x40, &id.to_be_bytes())
}

/// A SUBSCRIBE; each filter with the QoS asked for.
pub fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(string(filter.as_bytes()));
        body.push(*qos);
    }
    frame(0x82, &body)
}

/// An UNSUBSCRIBE.
pub fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for filter in filters {
        body.extend(string(filter.as_bytes()));
    }
    frame(0xa2, &body)
}

/// A packet of this first byte around a body, with the length as short as it can be.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    packet.extend(length(body.len()));
    packet.extend(body);
    packet
}

/// A remaining length in one to four bytes, or five when the number needs them: more than MQTT allows.
pub fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Two bytes of length, and the bytes; of more than 65,535 the length is wrong.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let counted = u16::try_from(bytes.len() & 0xffff).expect("sixteen bits");
    [&counted.to_be_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_spelled_as_the_standard_has_them() {
        assert_eq!(publish(10, "a/b", b"x"), [0x32, 8, 0, 3, b'a', b'/', b'b', 0, 10, b'x']);
        assert_eq!(subscribe(10, &[("a/b", 1)]), [0x82, 8, 0, 10, 0, 3, b'a', b'/', b'b', 1]);
        assert_eq!(unsubscribe(2, &["a"]), [0xa2, 5, 0, 2, 0, 1, b'a']);
        assert_eq!(puback(0x0102), [0x40, 2, 1, 2]);
    }

    #[test]
    fn connect_carries_what_it_is_given_and_flags_that_go_with_it() {
        let connect = Connect {
            client_id: "d".to_owned(),
            keep_alive: 10,
            user_name: Some("u".to_owned()),
            password: Some(b"p".to_vec()),
            will: Some(Will { topic: "t".to_owned(), payload: vec![7], qos: 1, retain: false }),
            ..Connect::default()
        };
        let expected =
            [16, 25, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xce, 0, 10, 0, 1, b'd', 0, 1, b't', 0, 1, 7, 0, 1, b'u', 0, 1];
        let bytes = connect.bytes();
        assert_eq!(bytes[..expected.len()], expected);
        assert_eq!(bytes[expected.len()..], [b'p']);
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_need() {
        for (value, bytes) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0x80, 1]),
            (16_384, vec![0x80, 0x80, 1]),
            (268_435_455, vec![0xff, 0xff, 0xff, 0x7f]),
            (268_435_456, vec![0x80, 0x80, 0x80, 0x80, 1]),
        ] {
            assert_eq!(length(value), bytes, "{value}");
        }
    }
}
