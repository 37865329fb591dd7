//! What a hub says to a reported patch, by its bytes alone.

use super::text::{self, written};
use super::{Json, empty, read};

/// Levels of objects and arrays below the root.
pub const DEPTH: usize = 10;
/// Bytes of a name.
pub const NAME_BYTES: usize = 1024;
/// Bytes of a text, and of any other value that is not a whole number.
pub const VALUE_BYTES: usize = 4096;
/// Bytes of the whole patch, written compactly.
pub const PATCH_BYTES: usize = 32_768;
/// The whole numbers that can be told apart everywhere.
pub const INTEGERS: std::ops::RangeInclusive<i64> = -(1 << 52)..=(1 << 52) - 1;

/// How a patch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks a rule: 400.
    Invalid,
    /// It cannot be read, or holds a number that cannot: 500.
    Unreadable,
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Invalid => 400,
            Refusal::Unreadable => 500,
        }
    }
}

/// The patch that is applied. Anything but an object is a patch that changes nothing.
///
/// # Errors
/// The [`Refusal`].
pub fn reported(body: &[u8]) -> Result<Json, Refusal> {
    if String::from_utf8_lossy(body).chars().all(char::is_whitespace) {
        return Err(Refusal::Invalid);
    }
    let root = read(body).ok_or(Refusal::Unreadable)?;
    let Json::Object(members) = &root else { return Ok(empty()) };
    if written(&root).len() > PATCH_BYTES {
        return Err(Refusal::Invalid);
    }
    // In the order of the document: an unreadable number counts only when nothing before it is invalid.
    object(members, 0, false)?;
    Ok(root)
}

fn object(members: &[(Vec<u16>, Json)], level: usize, in_array: bool) -> Result<(), Refusal> {
    for (name, member) in members {
        let name = String::from_utf16_lossy(name);
        if name.len() > NAME_BYTES || name.chars().any(is_refused) {
            return Err(Refusal::Invalid);
        }
        value(member, level + 1, in_array)?;
    }
    Ok(())
}

/// Whether a name with this character is refused.
pub fn is_refused(c: char) -> bool {
    matches!(c, '.' | '$' | '#') || c.is_control() || c.is_whitespace()
}

fn value(json: &Json, level: usize, in_array: bool) -> Result<(), Refusal> {
    let good = match json {
        Json::Object(members) if level <= DEPTH => return object(members, level, in_array),
        Json::Array(elements) if level <= DEPTH => {
            return elements.iter().try_for_each(|element| value(element, level + 1, true));
        }
        Json::Object(_) | Json::Array(_) | Json::Other => false,
        Json::Null => !in_array,
        Json::Bool(_) => true,
        Json::Integer(digits) => match digits.parse::<i64>() {
            Ok(number) => INTEGERS.contains(&number),
            Err(_) => return Err(Refusal::Unreadable),
        },
        Json::Float(number) => text::float(*number).len() <= VALUE_BYTES,
        Json::Text(units) => String::from_utf16_lossy(units).len() <= VALUE_BYTES,
        Json::Date(date) => date.to_string().len() <= VALUE_BYTES,
    };
    if good { Ok(()) } else { Err(Refusal::Invalid) }
}
