//! Frames and protocol headers as bytes. What is in a frame is `fe2o3-amqp-types`'; here is what stands around it.

use bytes::{Buf as _, Bytes, BytesMut};
use fe2o3_amqp_types::performatives::Performative;
use serde::Serialize;

use super::encoding;

/// Protocol id of AMQP itself.
pub const AMQP: u8 = 0;
/// Protocol id of the SASL layer.
pub const SASL: u8 = 3;

/// Largest frame that is taken.
pub const MAX_FRAME_BYTES: usize = 65_536;

/// A frame without a body, which says that somebody is still there.
pub const EMPTY: [u8; 8] = [0, 0, 0, 8, 2, 0, 0, 0];

/// The header of a protocol in version 1.0.0.
pub const fn protocol_header(id: u8) -> [u8; 8] {
    [b'A', b'M', b'Q', b'P', id, 1, 0, 0]
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Its length, or where its body begins, cannot be.
    #[error("malformed frame")]
    Framing,
    /// Its body is none of the performatives.
    #[error("malformed performative")]
    Body,
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0 for AMQP, 1 for SASL.
    pub kind: u8,
    /// Channel.
    pub channel: u16,
    /// What it says; nothing when it only keeps the connection alive.
    pub body: Bytes,
}

/// Takes the first whole frame out of what was received, if there is one.
///
/// # Errors
/// [`Undecodable::Framing`]; the connection is of no use any more.
pub fn take(received: &mut BytesMut, limit: usize) -> Result<Option<Frame>, Undecodable> {
    let &[a, b, c, d, offset, kind, high, low, ..] = &received[..] else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| Undecodable::Framing)?;
    let body_at = usize::from(offset) * 4;
    if length > limit || body_at < 8 || body_at > length {
        return Err(Undecodable::Framing);
    }
    if received.len() < length {
        return Ok(None);
    }
    let mut frame = received.split_to(length).freeze();
    frame.advance(body_at);
    Ok(Some(Frame { kind, channel: u16::from_be_bytes([high, low]), body: frame }))
}

/// Reads a performative, and the payload behind it.
///
/// # Errors
/// [`Undecodable::Body`].
pub fn read(body: &Bytes) -> Result<(Performative, Bytes), Undecodable> {
    let end = encoding::length(body).map_err(|_| Undecodable::Body)?;
    let performative = serde_amqp::from_slice(&body[..end]).map_err(|_| Undecodable::Body)?;
    Ok((performative, body.slice(end..)))
}

/// Writes a frame.
pub fn write(bytes: &mut Vec<u8>, kind: u8, channel: u16, performative: &[u8], payload: &[u8]) {
    let length = u32::try_from(8 + performative.len() + payload.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend([2, kind]);
    bytes.extend(channel.to_be_bytes());
    bytes.extend(performative);
    bytes.extend(payload);
}

/// The bytes of a performative.
pub fn encode(performative: &impl Serialize) -> Vec<u8> {
    serde_amqp::to_vec(performative).expect("performatives are plain data")
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::performatives::Close;

    use super::*;

    fn take_one(bytes: &[u8]) -> Result<Option<Frame>, Undecodable> {
        take(&mut BytesMut::from(bytes), 512)
    }

    #[test]
    fn a_frame_is_taken_only_when_it_is_whole() {
        let mut bytes = Vec::new();
        write(&mut bytes, 0, 7, &encode(&Close { error: None }), b"");
        for end in 0..bytes.len() {
            assert_eq!(take_one(&bytes[..end]), Ok(None), "{end} bytes");
        }
        let frame = take_one(&bytes).expect("well-formed").expect("whole");
        assert_eq!((frame.kind, frame.channel), (0, 7));
        assert!(matches!(read(&frame.body), Ok((Performative::Close(_), payload)) if payload.is_empty()));
    }

    #[test]
    fn what_cannot_be_a_frame_is_refused() {
        for bytes in
            [[0, 0, 0, 7, 2, 0, 0, 0], [0, 0, 0, 8, 1, 0, 0, 0], [0, 0, 0, 8, 3, 0, 0, 0], [0, 0, 2, 1, 2, 0, 0, 0]]
        {
            assert_eq!(take_one(&bytes), Err(Undecodable::Framing), "{bytes:02x?}");
        }
        assert_eq!(take_one(&EMPTY).map(|frame| frame.map(|frame| frame.body)), Ok(Some(Bytes::new())));
    }
}
