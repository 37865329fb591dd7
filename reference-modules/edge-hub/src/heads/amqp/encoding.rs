//! AMQP's encoding of values, as far as it must be known to find out where one ends.
//!
//! What is read with serde later has been walked over here first: a value that claims more elements than it has bytes, or
//! is nested deeper than anybody needs, is refused before anything is built of it.

use bytes::Bytes;

/// How deep values may be nested.
const MAX_DEPTH: usize = 24;

/// Bytes are no AMQP value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no AMQP value")]
pub struct Malformed;

/// Length of the value that stands at the front.
///
/// # Errors
/// [`Malformed`].
pub fn length(bytes: &[u8]) -> Result<usize, Malformed> {
    value(bytes, 0)
}

fn value(bytes: &[u8], depth: usize) -> Result<usize, Malformed> {
    let (&code, rest) = bytes.split_first().ok_or(Malformed)?;
    if code != 0 {
        return Ok(1 + content(code, rest, depth)?);
    }
    if depth >= MAX_DEPTH {
        return Err(Malformed);
    }
    let descriptor = value(rest, depth + 1)?;
    Ok(1 + descriptor + value(&rest[descriptor..], depth + 1)?)
}

/// Length of what stands behind a format code.
fn content(code: u8, bytes: &[u8], depth: usize) -> Result<usize, Malformed> {
    let length = match code {
        0x40..=0x45 => 0,
        0x50..=0x56 => 1,
        0x60 | 0x61 => 2,
        0x70..=0x74 => 4,
        0x80..=0x84 => 8,
        0x94 | 0x98 => 16,
        0xa0 | 0xa1 | 0xa3 => 1 + number(bytes, 1)?,
        0xb0 | 0xb1 | 0xb3 => 4 + number(bytes, 4)?,
        0xc0 | 0xc1 => compound(bytes, 1, code == 0xc1, depth)?,
        0xd0 | 0xd1 => compound(bytes, 4, code == 0xd1, depth)?,
        0xe0 => array(bytes, 1, depth)?,
        0xf0 => array(bytes, 4, depth)?,
        _ => return Err(Malformed),
    };
    if length <= bytes.len() { Ok(length) } else { Err(Malformed) }
}

/// A list or map: its size, how many elements, and these.
fn compound(bytes: &[u8], width: usize, pairs: bool, depth: usize) -> Result<usize, Malformed> {
    let (count, mut elements, length) = counted(bytes, width, depth)?;
    if pairs && count % 2 != 0 {
        return Err(Malformed);
    }
    for _ in 0..count {
        let length = value(elements, depth + 1)?;
        elements = &elements[length..];
    }
    if elements.is_empty() { Ok(length) } else { Err(Malformed) }
}

/// An array: its size, how many elements, what they all are, and these.
fn array(bytes: &[u8], width: usize, depth: usize) -> Result<usize, Malformed> {
    let (count, mut elements, length) = counted(bytes, width, depth)?;
    if let Some((0, rest)) = elements.split_first() {
        elements = &rest[value(rest, depth + 1)?..];
    }
    let (&code, mut elements) = elements.split_first().ok_or(Malformed)?;
    for _ in 0..count {
        let length = content(code, elements, depth + 1)?;
        elements = &elements[length..];
    }
    if elements.is_empty() { Ok(length) } else { Err(Malformed) }
}

/// How many elements, where they are, and how long all of it is. No more elements than bytes are believed.
fn counted(bytes: &[u8], width: usize, depth: usize) -> Result<(usize, &[u8], usize), Malformed> {
    let size = number(bytes, width)?;
    let body = bytes.get(width..width + size).ok_or(Malformed)?;
    let count = number(body, width)?;
    if depth >= MAX_DEPTH || count > body.len() {
        return Err(Malformed);
    }
    Ok((count, &body[width..], width + size))
}

fn number(bytes: &[u8], width: usize) -> Result<usize, Malformed> {
    match (width, bytes) {
        (1, &[one, ..]) => Ok(usize::from(one)),
        (4, &[a, b, c, d, ..]) => usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

/// Takes the described value at the front: the low byte of its descriptor, and the value. Every type of the standard has
/// a descriptor of which no other byte is set.
///
/// # Errors
/// [`Malformed`], also for a descriptor that is nothing of the standard.
pub fn take_described(bytes: &mut Bytes) -> Result<(u8, Bytes), Malformed> {
    let end = length(bytes)?;
    let (descriptor, value_at) = match bytes[..end] {
        [0, 0x53, code, ..] => (code, 3),
        [0, 0x80, 0, 0, 0, 0, 0, 0, 0, code, ..] => (code, 10),
        _ => return Err(Malformed),
    };
    let value = bytes.split_to(end).slice(value_at..);
    Ok((descriptor, value))
}

/// The bytes of a binary value.
///
/// # Errors
/// [`Malformed`] for any other.
pub fn binary(value: &Bytes) -> Result<Bytes, Malformed> {
    match value.first() {
        Some(0xa0) => Ok(value.slice(2..)),
        Some(0xb0) => Ok(value.slice(5..)),
        _ => Err(Malformed),
    }
}

/// Writes a described value whose value is encoded already.
pub fn write_described(bytes: &mut Vec<u8>, descriptor: u8, value: &[u8]) {
    bytes.extend([0, 0x53, descriptor]);
    bytes.extend(value);
}

/// Writes a section that holds bytes, unaltered.
pub fn write_data(bytes: &mut Vec<u8>, descriptor: u8, data: &[u8]) {
    bytes.extend([0, 0x53, descriptor]);
    match u8::try_from(data.len()) {
        Ok(length) => bytes.extend([0xa0, length]),
        Err(_) => {
            bytes.push(0xb0);
            bytes.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    bytes.extend(data);
}

#[cfg(test)]
mod tests {
    use serde_amqp::Value;
    use serde_amqp::primitives::{Array, OrderedMap, Symbol};

    use super::*;

    #[test]
    fn values_end_where_they_were_written_to() {
        let map: OrderedMap<Value, Value> =
            [(Value::Symbol(Symbol::from("k")), Value::List(vec![Value::Ulong(300), Value::Null]))]
                .into_iter()
                .collect();
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Uint(7),
            Value::String("x".repeat(300)),
            Value::Map(map),
            Value::Array(Array(vec![Value::Symbol(Symbol::from("a")), Value::Symbol(Symbol::from("bc"))])),
        ];
        for value in values {
            let mut bytes = serde_amqp::to_vec(&value).expect("plain data");
            let written = bytes.len();
            bytes.extend([0x41; 3]);
            assert_eq!(length(&bytes), Ok(written), "{value:?}");
            for end in 0..written {
                assert_eq!(length(&bytes[..end]), Err(Malformed), "{value:?} cut at {end}");
            }
        }
    }

    #[test]
    fn claims_that_cannot_be_true_are_refused() {
        let nested: Vec<u8> = std::iter::repeat_n([0x00, 0x53, 0x70], 100).flatten().chain([0x40]).collect();
        let refused: &[&[u8]] = &[
            &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x41],
            &[0xd0, 0, 0, 0, 4, 0, 0, 0, 9],
            &[0xc1, 2, 1, 0x40],
            &[0xb0, 0xff, 0xff, 0xff, 0xff],
            &[0x3f],
            &nested,
        ];
        for bytes in refused {
            assert_eq!(length(bytes), Err(Malformed), "{bytes:02x?}");
        }
    }
}
