//! Values of AMQP's type system, written and read without anybody's help: what is judged has a codec of its own.
//!
//! Source: AMQP 1.0 (OASIS), part 1.

use std::fmt;

/// Deepest nesting that is read.
const DEEPEST: usize = 32;

/// A value; equal only to one of the same type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// null.
    Null,
    /// boolean.
    Boolean(bool),
    /// ubyte.
    Ubyte(u8),
    /// ushort.
    Ushort(u16),
    /// uint.
    Uint(u32),
    /// ulong.
    Ulong(u64),
    /// byte.
    Byte(i8),
    /// short.
    Short(i16),
    /// int.
    Int(i32),
    /// long.
    Long(i64),
    /// float.
    Float(f32),
    /// double.
    Double(f64),
    /// char.
    Char(u32),
    /// timestamp, in milliseconds since the epoch.
    Timestamp(i64),
    /// uuid.
    Uuid([u8; 16]),
    /// binary.
    Binary(Vec<u8>),
    /// string.
    String(String),
    /// symbol.
    Symbol(String),
    /// list.
    List(Vec<Value>),
    /// map, in its order.
    Map(Vec<(Value, Value)>),
    /// array.
    Array(Vec<Value>),
    /// A descriptor, and what it describes.
    Described(Box<Value>, Box<Value>),
    /// Bytes in the place of a value, right or wrong. Never read.
    Encoded(Vec<u8>),
}

/// A string.
pub fn string(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// A symbol.
pub fn symbol(text: impl Into<String>) -> Value {
    Value::Symbol(text.into())
}

/// A composite: a list behind a descriptor of this code. Trailing nulls are left out, as encoders do.
pub fn composite(code: u64, mut fields: Vec<Value>) -> Value {
    while fields.last() == Some(&Value::Null) {
        fields.pop();
    }
    Value::Described(Box::new(Value::Ulong(code)), Box::new(Value::List(fields)))
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        string(text)
    }
}

impl Value {
    /// Its encoding, in the shortest form there is.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Appends its encoding.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Value::Null => to.push(0x40),
            Value::Boolean(value) => to.push(if *value { 0x41 } else { 0x42 }),
            Value::Ubyte(value) => to.extend([0x50, *value]),
            Value::Ushort(value) => fixed(to, 0x60, &value.to_be_bytes()),
            Value::Uint(0) => to.push(0x43),
            Value::Uint(value) => match u8::try_from(*value) {
                Ok(small) => to.extend([0x52, small]),
                Err(_) => fixed(to, 0x70, &value.to_be_bytes()),
            },
            Value::Ulong(0) => to.push(0x44),
            Value::Ulong(value) => match u8::try_from(*value) {
                Ok(small) => to.extend([0x53, small]),
                Err(_) => fixed(to, 0x80, &value.to_be_bytes()),
            },
            Value::Byte(value) => fixed(to, 0x51, &value.to_be_bytes()),
            Value::Short(value) => fixed(to, 0x61, &value.to_be_bytes()),
            Value::Int(value) => match i8::try_from(*value) {
                Ok(small) => fixed(to, 0x54, &small.to_be_bytes()),
                Err(_) => fixed(to, 0x71, &value.to_be_bytes()),
            },
            Value::Long(value) => match i8::try_from(*value) {
                Ok(small) => fixed(to, 0x55, &small.to_be_bytes()),
                Err(_) => fixed(to, 0x81, &value.to_be_bytes()),
            },
            Value::Float(value) => fixed(to, 0x72, &value.to_be_bytes()),
            Value::Double(value) => fixed(to, 0x82, &value.to_be_bytes()),
            Value::Char(value) => fixed(to, 0x73, &value.to_be_bytes()),
            Value::Timestamp(value) => fixed(to, 0x83, &value.to_be_bytes()),
            Value::Uuid(value) => fixed(to, 0x98, value),
            Value::Binary(value) => variable(to, 0xa0, value),
            Value::String(value) => variable(to, 0xa1, value.as_bytes()),
            Value::Symbol(value) => variable(to, 0xa3, value.as_bytes()),
            Value::List(items) if items.is_empty() => to.push(0x45),
            Value::List(items) => {
                let body: Vec<u8> = items.iter().flat_map(Value::bytes).collect();
                compound(to, 0xc0, items.len(), &body);
            }
            Value::Map(pairs) => {
                let body: Vec<u8> =
                    pairs.iter().flat_map(|(key, value)| [key.bytes(), value.bytes()].concat()).collect();
                compound(to, 0xc1, 2 * pairs.len(), &body);
            }
            Value::Array(items) => array(to, items),
            Value::Described(descriptor, value) => {
                to.push(0);
                descriptor.write(to);
                value.write(to);
            }
            Value::Encoded(bytes) => to.extend(bytes),
        }
    }

    /// Takes one value from the front; `None` when there is none that can be read.
    pub fn take(from: &mut &[u8]) -> Option<Value> {
        take(from, DEEPEST)
    }

    /// The text of a string or a symbol.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// The number, of any unsigned type.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Ubyte(value) => Some(u64::from(*value)),
            Value::Ushort(value) => Some(u64::from(*value)),
            Value::Uint(value) => Some(u64::from(*value)),
            Value::Ulong(value) => Some(*value),
            _ => None,
        }
    }

    /// The fields of a list, described or not.
    pub fn fields(&self) -> Option<&[Value]> {
        match self {
            Value::List(fields) => Some(fields),
            Value::Described(_, value) => value.fields(),
            _ => None,
        }
    }

    /// The value of a key, in a map.
    pub fn entry(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(pairs) => pairs.iter().find(|(known, _)| known.text() == Some(key)).map(|(_, value)| value),
            _ => None,
        }
    }
}

fn fixed(to: &mut Vec<u8>, constructor: u8, bytes: &[u8]) {
    to.push(constructor);
    to.extend(bytes);
}

/// Of variable width; the constructor with a length of four bytes is 0x10 above the one with a length of one.
fn variable(to: &mut Vec<u8>, constructor: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => to.extend([constructor, length]),
        Err(_) => {
            to.push(constructor + 0x10);
            to.extend(length(bytes.len()));
        }
    }
    to.extend(bytes);
}

/// A list or a map; the length counts the field that counts items.
fn compound(to: &mut Vec<u8>, constructor: u8, count: usize, body: &[u8]) {
    match (u8::try_from(body.len() + 1), u8::try_from(count)) {
        (Ok(length), Ok(count)) => to.extend([constructor, length, count]),
        _ => {
            to.push(constructor + 0x10);
            to.extend(length(body.len() + 4));
            to.extend(length(count));
        }
    }
    to.extend(body);
}

/// All items have the constructor of the first, in its widest form.
fn array(to: &mut Vec<u8>, items: &[Value]) {
    let (constructor, item): (u8, fn(&Value) -> Vec<u8>) = match items.first() {
        Some(Value::Symbol(_)) => (0xb3, counted),
        Some(Value::String(_)) => (0xb1, counted),
        Some(Value::Binary(_)) => (0xb0, counted),
        Some(first) => (first.bytes()[0], |value| value.bytes()[1..].to_vec()),
        None => (0x40, |_| Vec::new()),
    };
    let mut body = vec![constructor];
    items.iter().for_each(|value| body.extend(item(value)));
    compound(to, 0xe0, items.len(), &body);
}

fn counted(value: &Value) -> Vec<u8> {
    let bytes = match value {
        Value::Binary(bytes) => bytes.as_slice(),
        other => other.text().unwrap_or_default().as_bytes(),
    };
    [length(bytes.len()).as_slice(), bytes].concat()
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("no value is that long").to_be_bytes()
}

/// How many items without a width an array may claim to have: they stand for themselves, and take memory all the same.
const MANY_OF_NO_WIDTH: usize = 4_096;

fn take(from: &mut &[u8], depth: usize) -> Option<Value> {
    let [constructor] = bytes(from)?;
    if constructor == 0 {
        let deeper = depth.checked_sub(1)?;
        let descriptor = take(from, deeper)?;
        return Some(Value::Described(Box::new(descriptor), Box::new(take(from, deeper)?)));
    }
    take_as(constructor, from, depth)
}

/// What a constructor says stands here.
fn take_as(constructor: u8, from: &mut &[u8], depth: usize) -> Option<Value> {
    Some(match constructor {
        0x40 => Value::Null,
        0x41 => Value::Boolean(true),
        0x42 => Value::Boolean(false),
        0x56 => Value::Boolean(bytes(from)? == [1u8]),
        0x50 => Value::Ubyte(u8::from_be_bytes(bytes(from)?)),
        0x60 => Value::Ushort(u16::from_be_bytes(bytes(from)?)),
        0x43 => Value::Uint(0),
        0x52 => Value::Uint(u32::from(u8::from_be_bytes(bytes(from)?))),
        0x70 => Value::Uint(u32::from_be_bytes(bytes(from)?)),
        0x44 => Value::Ulong(0),
        0x53 => Value::Ulong(u64::from(u8::from_be_bytes(bytes(from)?))),
        0x80 => Value::Ulong(u64::from_be_bytes(bytes(from)?)),
        0x51 => Value::Byte(i8::from_be_bytes(bytes(from)?)),
        0x61 => Value::Short(i16::from_be_bytes(bytes(from)?)),
        0x54 => Value::Int(i32::from(i8::from_be_bytes(bytes(from)?))),
        0x71 => Value::Int(i32::from_be_bytes(bytes(from)?)),
        0x55 => Value::Long(i64::from(i8::from_be_bytes(bytes(from)?))),
        0x81 => Value::Long(i64::from_be_bytes(bytes(from)?)),
        0x72 => Value::Float(f32::from_be_bytes(bytes(from)?)),
        0x82 => Value::Double(f64::from_be_bytes(bytes(from)?)),
        0x73 => Value::Char(u32::from_be_bytes(bytes(from)?)),
        0x83 => Value::Timestamp(i64::from_be_bytes(bytes(from)?)),
        0x98 => Value::Uuid(bytes(from)?),
        0xa0 | 0xb0 => Value::Binary(sized(constructor, from)?.to_vec()),
        0xa1 | 0xb1 => Value::String(std::str::from_utf8(sized(constructor, from)?).ok()?.to_owned()),
        0xa3 | 0xb3 => Value::Symbol(std::str::from_utf8(sized(constructor, from)?).ok()?.to_owned()),
        0x45 => Value::List(Vec::new()),
        0xc0 | 0xd0 => Value::List(items(constructor, from, depth.checked_sub(1)?)?),
        0xc1 | 0xd1 => {
            let mut items = items(constructor, from, depth.checked_sub(1)?)?.into_iter();
            let mut pairs = Vec::new();
            while let Some(key) = items.next() {
                pairs.push((key, items.next()?));
            }
            Value::Map(pairs)
        }
        0xe0 | 0xf0 => {
            let depth = depth.checked_sub(1)?;
            let mut body = sized(constructor, from)?;
            let count = count(constructor, &mut body)?;
            let [of] = bytes(&mut body)?;
            if count > body.len().max(MANY_OF_NO_WIDTH) {
                return None;
            }
            Value::Array((0..count).map(|_| take_as(of, &mut body, depth)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn bytes<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (value, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*value)
}

/// The bytes of a value of variable width: constructors from 0xb0 have a length of four bytes in odd rows.
fn sized<'a>(constructor: u8, from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = count(constructor, from)?;
    let (value, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(value)
}

fn count(constructor: u8, from: &mut &[u8]) -> Option<usize> {
    if constructor >> 4 & 1 == 0 {
        return Some(usize::from(u8::from_be_bytes(bytes(from)?)));
    }
    usize::try_from(u32::from_be_bytes(bytes(from)?)).ok()
}

fn items(constructor: u8, from: &mut &[u8], depth: usize) -> Option<Vec<Value>> {
    let mut body = sized(constructor, from)?;
    let count = count(constructor, &mut body)?;
    (0..count).map(|_| take(&mut body, depth)).collect()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Ubyte(value) => write!(f, "ubyte {value}"),
            Value::Ushort(value) => write!(f, "ushort {value}"),
            Value::Uint(value) => write!(f, "uint {value}"),
            Value::Ulong(value) => write!(f, "ulong {value}"),
            Value::Byte(value) => write!(f, "byte {value}"),
            Value::Short(value) => write!(f, "short {value}"),
            Value::Int(value) => write!(f, "int {value}"),
            Value::Long(value) => write!(f, "long {value}"),
            Value::String(value) => write!(f, "{value:?}"),
            Value::Symbol(value) => write!(f, "symbol {value}"),
            Value::Binary(value) => write!(f, "{} bytes", value.len()),
            Value::Map(pairs) => {
                let told: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                write!(f, "{{{}}}", told.join(", "))
            }
            Value::List(items) | Value::Array(items) => {
                let told: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", told.join(", "))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(value: &Value) -> Option<Value> {
        let bytes = value.bytes();
        let mut rest = bytes.as_slice();
        Value::take(&mut rest).filter(|_| rest.is_empty())
    }

    #[test]
    fn values_are_spelled_as_the_standard_has_them() {
        for (value, bytes) in [
            (Value::Uint(0), vec![0x43]),
            (Value::Uint(7), vec![0x52, 7]),
            (Value::Uint(300), vec![0x70, 0, 0, 1, 0x2c]),
            (Value::Int(-1), vec![0x54, 0xff]),
            (string("hi"), vec![0xa1, 2, b'h', b'i']),
            (symbol("s"), vec![0xa3, 1, b's']),
            (Value::List(vec![]), vec![0x45]),
            (Value::List(vec![Value::Null, Value::Boolean(true)]), vec![0xc0, 3, 2, 0x40, 0x41]),
            (Value::Map(vec![(symbol("a"), Value::Ulong(1))]), vec![0xc1, 6, 2, 0xa3, 1, b'a', 0x53, 1]),
            (Value::Array(vec![symbol("a")]), vec![0xe0, 7, 1, 0xb3, 0, 0, 0, 1, b'a']),
            (composite(0x24, vec![Value::Null]), vec![0, 0x53, 0x24, 0x45]),
        ] {
            assert_eq!(value.bytes(), bytes, "{value}");
            assert_eq!(again(&value), Some(value));
        }
    }

    #[test]
    fn long_values_are_read_back() {
        let long = "x".repeat(300);
        let value = Value::List((0..300).map(|_| string(&*long)).collect());
        assert_eq!(again(&value), Some(value));
        let array = Value::Array((0..300).map(|_| symbol(&*long)).collect());
        assert_eq!(again(&array), Some(array));
    }

    #[test]
    fn what_is_cut_short_or_nested_without_end_is_no_value() {
        let whole = Value::List(vec![string("abc"), Value::Ulong(1_000)]).bytes();
        for end in 0..whole.len() {
            assert_eq!(Value::take(&mut &whole[..end]), None, "{end}");
        }
        assert_eq!(Value::take(&mut [0; 100].as_slice()), None);
        let nothings = [0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40];
        assert_eq!(Value::take(&mut nothings.as_slice()), None);
        let few = [0xf0, 0, 0, 0, 5, 0, 0, 0, 3, 0x41];
        assert_eq!(Value::take(&mut few.as_slice()), Some(Value::Array(vec![Value::Boolean(true); 3])));
    }
}
