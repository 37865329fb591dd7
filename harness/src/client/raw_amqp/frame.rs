//! Frames as bytes, and what they mean. Source: AMQP 1.0 (OASIS), part 2, sections 2.2 and 2.3.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::performative::Performative;
use super::value::Value;

/// The header of the AMQP layer.
pub const AMQP: [u8; 8] = *b"AMQP\0\x01\0\0";
/// The header of the SASL layer.
pub const SASL: [u8; 8] = *b"AMQP\x03\x01\0\0";

/// What a frame carries: AMQP.
pub const TYPE_AMQP: u8 = 0;
/// What a frame carries: SASL.
pub const TYPE_SASL: u8 = 1;

/// What the hub wrote: a header, or a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// Eight bytes that begin a layer.
    Header([u8; 8]),
    /// A frame.
    Frame(Frame),
}

/// A frame of the hub, exactly as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// All its bytes.
    pub bytes: Bytes,
}

/// A frame around a body; nothing here checks what is written.
pub fn frame(kind: u8, channel: u16, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + body.len()).expect("no frame is that long");
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend([2, kind]);
    bytes.extend(channel.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A frame of the AMQP layer with a performative, and what follows it.
pub fn amqp(channel: u16, performative: &Value, payload: &[u8]) -> Vec<u8> {
    let mut body = performative.bytes();
    body.extend(payload);
    frame(TYPE_AMQP, channel, &body)
}

/// A frame of the SASL layer.
pub fn sasl(performative: &Value) -> Vec<u8> {
    frame(TYPE_SASL, 0, &performative.bytes())
}

/// A frame without a body: a sign of life.
pub fn empty() -> Vec<u8> {
    frame(TYPE_AMQP, 0, &[])
}

impl Incoming {
    /// Takes what is whole from the front of a buffer. A length below that of a frame's header takes all there is: no
    /// frame follows it that could be told apart.
    pub fn take(buffer: &mut BytesMut) -> Option<Incoming> {
        if buffer.len() < 8 {
            return None;
        }
        if buffer.starts_with(b"AMQP") {
            let header = buffer.split_to(8);
            return Some(Incoming::Header(header[..].try_into().expect("eight bytes")));
        }
        let size = u32::from_be_bytes(buffer[..4].try_into().expect("four bytes")) as usize;
        if size < 8 {
            return Some(Incoming::Frame(Frame { bytes: buffer.split().freeze() }));
        }
        (buffer.len() >= size).then(|| Incoming::Frame(Frame { bytes: buffer.split_to(size).freeze() }))
    }
}

impl Frame {
    /// Type of the frame.
    pub fn kind(&self) -> u8 {
        self.bytes[5]
    }

    /// Channel.
    pub fn channel(&self) -> u16 {
        u16::from_be_bytes([self.bytes[6], self.bytes[7]])
    }

    /// What stands behind its header.
    pub fn body(&self) -> Bytes {
        let from = usize::from(self.bytes[4]) * 4;
        self.bytes.slice(from.min(self.bytes.len())..)
    }

    /// The performative in it, when it has one that can be read.
    pub fn performative(&self) -> Option<Performative> {
        Performative::read(self.body())
    }
}

impl fmt::Display for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incoming::Header(header) => write!(f, "header AMQP {:?}", &header[4..]),
            Incoming::Frame(frame) => match frame.performative() {
                Some(performative) => write!(f, "{performative}"),
                None if frame.body().is_empty() => f.write_str("an empty frame"),
                None => write!(f, "a frame of {} bytes that cannot be read", frame.bytes.len()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::performative::{self, Begin};
    use super::*;

    #[test]
    fn frames_and_headers_are_told_apart_whatever_pieces_they_come_in() {
        let whole = [SASL.to_vec(), amqp(3, &Begin::default().value(), b""), empty()].concat();
        for cut in 0..whole.len() {
            let mut buffer = BytesMut::from(&whole[..cut]);
            let mut taken: Vec<Incoming> = std::iter::from_fn(|| Incoming::take(&mut buffer)).collect();
            buffer.extend_from_slice(&whole[cut..]);
            taken.extend(std::iter::from_fn(|| Incoming::take(&mut buffer)));
            assert_eq!(taken.len(), 3, "cut at {cut}");
            assert_eq!(taken[0], Incoming::Header(SASL));
            let Incoming::Frame(begin) = &taken[1] else { panic!("{}", taken[1]) };
            assert_eq!(begin.channel(), 3);
            assert_eq!(begin.performative().map(|begin| begin.code), Some(performative::BEGIN));
        }
    }
}
