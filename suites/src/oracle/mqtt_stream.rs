//! What a hub must make of the bytes of a standing connection, packet by packet: a plain reading of MQTT 3.1.1 with the
//! product's stricter and laxer points.
//!
//! Where neither the standard nor the product's behaviour settles a matter (bytes that are no UTF-8, control characters,
//! a padded length), the reaction is [`Reaction::Open`]: an answer as to a good packet, or a close, but nothing else.
//!
//! Source: MQTT 3.1.1 (OASIS); Azure/DotNetty 0.7.6, `src/DotNetty.Codecs.Mqtt/MqttDecoder.cs`; as observed.

use super::mqtt::topic::{self, Publish};

/// What becomes of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// It is taken; nothing is answered.
    Silent,
    /// PUBACK with this id.
    Puback(u16),
    /// SUBACK with this id and these grants.
    Suback(u16, Vec<u8>),
    /// UNSUBACK with this id.
    Unsuback(u16),
    /// PINGRESP.
    Pingresp,
    /// The connection is closed without an answer; the requirement that says so.
    Close(&'static str),
    /// As [`Reaction::Close`], once the packet has been dealt with like any PUBLISH: what is answered out of turn, as
    /// PINGREQ is, may still be answered.
    CloseInTurn(&'static str),
    /// The client has left in good order; nothing is expected any more.
    Left,
    /// The hub may do this, or close.
    Open(Box<Reaction>),
}

/// The bytes of one direction of a connection, as far as they have not become packets.
#[derive(Debug, Clone)]
pub struct Stream {
    buffer: Vec<u8>,
    limit: usize,
}

impl Stream {
    /// A connection just accepted, by a hub that takes packets of this size.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), limit }
    }

    /// Takes bytes in, and gives the reaction to every packet they complete. Nothing follows a close.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Reaction> {
        self.buffer.extend(bytes);
        let mut reactions = Vec::new();
        while let Some((used, reaction)) = first(&self.buffer, self.limit) {
            let closed = matches!(reaction, Reaction::Close(_) | Reaction::CloseInTurn(_) | Reaction::Left);
            reactions.push(reaction);
            self.buffer.drain(..used.min(self.buffer.len()));
            if closed {
                break;
            }
        }
        reactions
    }

    /// How many bytes are needed to complete the packet that has begun; 0 when none has.
    pub fn missing(&self) -> usize {
        match (self.buffer.len(), header(&self.buffer)) {
            (0, _) => 0,
            (have, Header::Whole { begins, length }) => begins + length - have,
            (_, Header::Unfinished | Header::TooLong) => 1,
        }
    }
}

enum Header {
    Unfinished,
    TooLong,
    Whole { begins: usize, length: usize },
}

fn header(bytes: &[u8]) -> Header {
    let mut length = 0;
    for position in 0..4 {
        let Some(byte) = bytes.get(1 + position) else { return Header::Unfinished };
        length += usize::from(byte % 128) << (7 * position);
        if byte / 128 == 0 {
            return Header::Whole { begins: position + 2, length };
        }
    }
    Header::TooLong
}

const UNDECODABLE: Reaction = Reaction::Close("MQTT-ERR-01");

/// The first packet's size and what becomes of it, if that can be said already.
fn first(bytes: &[u8], limit: usize) -> Option<(usize, Reaction)> {
    match header(bytes) {
        Header::Unfinished => None,
        Header::TooLong => Some((bytes.len(), UNDECODABLE)),
        Header::Whole { begins, length } if begins + length > limit => {
            Some((bytes.len(), Reaction::Close("MQTT-LIM-01")))
        }
        Header::Whole { begins, length } => {
            let body = bytes.get(begins..begins + length)?;
            let plain = packet(bytes[0], body).unwrap_or(UNDECODABLE);
            let padded = begins > 2 && bytes[begins - 1] == 0;
            Some((begins + length, if padded { open(plain) } else { plain }))
        }
    }
}

fn open(reaction: Reaction) -> Reaction {
    match reaction {
        Reaction::Close(_) | Reaction::CloseInTurn(_) | Reaction::Left | Reaction::Open(_) => reaction,
        settled => Reaction::Open(Box::new(settled)),
    }
}

/// Whether the first packet of these bytes is a CONNECT that a hub may accept, the client's rights aside. `None` when
/// it is not whole.
///
/// Names that hold odd characters may be refused too, so this says only what must not be accepted.
pub fn acceptable(bytes: &[u8], limit: usize) -> Option<bool> {
    let (begins, length) = match header(bytes) {
        Header::Unfinished => return None,
        Header::TooLong => return Some(false),
        Header::Whole { begins, length } if begins + length > limit => return Some(false),
        Header::Whole { begins, length } => (begins, length),
    };
    let mut body = Body { bytes: bytes.get(begins..begins + length)?, odd: false };
    Some(bytes[0] == 0x10 && connect(&mut body).is_some() && body.bytes.is_empty())
}

fn connect(body: &mut Body<'_>) -> Option<()> {
    let name = body.text()?;
    let (level, flags) = (body.byte()?, body.byte()?);
    body.number()?;
    body.text()?;
    let (will, user, password) = (flags & 4 != 0, flags & 0x80 != 0, flags & 0x40 != 0);
    if will {
        body.text()?;
        body.blob()?;
    }
    if user {
        body.text()?;
    }
    if password {
        body.blob()?;
    }
    let consistent = flags & 1 == 0 && (will || flags & 0x38 == 0) && flags & 0x18 != 0x18 && (user || !password);
    (name == "MQTT" && level == 4 && consistent).then_some(())
}

/// `None` for a packet that cannot be decoded.
fn packet(first: u8, body: &[u8]) -> Option<Reaction> {
    let mut body = Body { bytes: body, odd: false };
    let reaction = match (first >> 4, first & 15) {
        (3, flags) => publish(flags, &mut body)?,
        (4 | 5 | 7, 0) => body.id().map(|_| Reaction::Silent)?,
        (6, 2) => body.id().map(|_| Reaction::Close("MQTT-ERR-03"))?,
        (8, 2) => {
            let id = body.id()?;
            let mut granted = Vec::new();
            while granted.is_empty() || !body.bytes.is_empty() {
                let filter = body.text()?;
                let asked = body.byte()?;
                if !well_formed(&filter) || asked > 2 {
                    return Some(Reaction::Close("MQTT-SUB-07"));
                }
                granted.push(asked.min(1));
            }
            Reaction::Suback(id, granted)
        }
        (10, 2) => {
            let id = body.id()?;
            loop {
                if !well_formed(&body.text()?) {
                    return Some(Reaction::Close("MQTT-SUB-07"));
                }
                if body.bytes.is_empty() {
                    break Reaction::Unsuback(id);
                }
            }
        }
        (12, 0) => Reaction::Pingresp,
        (14, 0) => Reaction::Left,
        _ => return None,
    };
    if !body.bytes.is_empty() {
        return None;
    }
    Some(if body.odd { open(reaction) } else { reaction })
}

fn publish(flags: u8, body: &mut Body<'_>) -> Option<Reaction> {
    let (qos, duplicate) = (flags >> 1 & 3, flags & 8 != 0);
    if qos == 3 {
        return None;
    }
    let topic = body.text()?;
    let id = if qos > 0 { body.id()? } else { 0 };
    body.bytes = &[];
    if topic.is_empty() {
        return None;
    }
    if topic.chars().skip(1).any(|character| matches!(character, '#' | '+')) {
        return Some(Reaction::Close("MQTT-ERR-02"));
    }
    let done = if qos == 0 { Reaction::Silent } else { Reaction::Puback(id) };
    let done = match topic::publish(&topic) {
        _ if topic.trim().is_empty() => return Some(Reaction::CloseInTurn("MQTT-PUB-10")),
        // What becomes of twin requests is not this model's affair.
        Publish::Fault if !is_twin_request(&topic) => return Some(Reaction::CloseInTurn("MQTT-PUB-07")),
        _ if qos == 2 => return Some(Reaction::CloseInTurn("MQTT-QOS-02")),
        Publish::TwinPatch { rid } if rid.is_empty() => done,
        Publish::Fault | Publish::TwinGet { .. } | Publish::TwinPatch { .. } => open(done),
        _ => done,
    };
    // The standard forbids DUP at QoS 0; what a hub makes of it is its own affair.
    Some(if qos == 0 && duplicate { open(done) } else { done })
}

/// Whether a topic begins as one of the two requests about twins does.
fn is_twin_request(topic: &str) -> bool {
    let request = topic.strip_prefix("$iothub/twin/").unwrap_or_default();
    ["GET/", "PATCH/properties/reported/"].iter().any(|verb| request.starts_with(verb))
}

/// Wildcards stand alone on their level, and `#` on the last one.
fn well_formed(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    let good = |(number, level): (usize, &&str)| {
        *level == "+" || (*level == "#" && number + 1 == levels.len()) || !level.contains(['+', '#'])
    };
    !filter.is_empty() && levels.iter().enumerate().all(good)
}

/// What is left of a body.
struct Body<'a> {
    bytes: &'a [u8],
    /// Whether a text held something the standard warns of.
    odd: bool,
}

impl Body<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn id(&mut self) -> Option<u16> {
        self.number().filter(|id| *id != 0)
    }

    fn blob(&mut self) -> Option<&[u8]> {
        let length = usize::from(self.number()?);
        let blob = self.bytes.get(..length)?;
        self.bytes = &self.bytes[length..];
        Some(blob)
    }

    fn text(&mut self) -> Option<String> {
        let text = self.blob()?.to_vec();
        let text = text.as_slice();
        let read = String::from_utf8_lossy(text);
        let warned = |character: char| {
            character.is_control()
                || matches!(u32::from(character) & 0xffff, 0xfffe | 0xffff)
                || noncharacter(character)
        };
        self.odd |= std::str::from_utf8(text).is_err() || read.chars().any(warned);
        Some(read.into_owned())
    }
}

fn noncharacter(character: char) -> bool {
    ('\u{fdd0}'..='\u{fdef}').contains(&character)
}

#[cfg(test)]
mod tests {
    use harness::client::raw_mqtt::packet;

    use super::*;

    fn reactions(bytes: &[u8]) -> Vec<Reaction> {
        Stream::new(262_144).feed(bytes)
    }

    #[test]
    fn good_packets_are_answered_whatever_pieces_they_come_in() {
        let bytes = [
            packet::publish(7, "foo/bar", b"x"),
            packet::subscribe(8, &[("a/#", 2), ("b", 0)]),
            packet::unsubscribe(9, &["a/#"]),
            packet::PINGREQ.to_vec(),
        ]
        .concat();
        let expected =
            [Reaction::Puback(7), Reaction::Suback(8, vec![1, 0]), Reaction::Unsuback(9), Reaction::Pingresp];
        assert_eq!(reactions(&bytes), expected);
        let mut stream = Stream::new(262_144);
        let one_by_one: Vec<Reaction> = bytes.chunks(1).flat_map(|piece| stream.feed(piece)).collect();
        assert_eq!(one_by_one, expected);
        assert_eq!(stream.missing(), 0);
    }

    #[test]
    fn bad_packets_close_and_nothing_follows() {
        for (bytes, requirement) in [
            (vec![0x00, 0], "MQTT-ERR-01"),
            (vec![0x30, 0x80, 0x80, 0x80, 0x80, 1], "MQTT-ERR-01"),
            (vec![0x62, 2, 0, 1], "MQTT-ERR-03"),
            (vec![0x82, 6, 0, 1, 0, 1, b'a', 3], "MQTT-SUB-07"),
            (packet::publish(1, "a/#", b""), "MQTT-ERR-02"),
            (vec![0x30, 0xff, 0xff, 0x7f], "MQTT-LIM-01"),
        ] {
            let bytes = [bytes, packet::PINGREQ.to_vec()].concat();
            assert_eq!(reactions(&bytes), [Reaction::Close(requirement)], "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_missing_of_a_packet_is_known() {
        let mut stream = Stream::new(262_144);
        assert_eq!(stream.feed(&[0x30]), []);
        assert_eq!(stream.missing(), 1);
        assert_eq!(stream.feed(&[10, 0]), []);
        assert_eq!(stream.missing(), 9);
    }
}
