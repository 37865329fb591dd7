//! Is an update of reported properties acceptable? Source: `twins-methods.md` 2.4.

use crate::core::lenient_json::{self, Json, is_integer};
use crate::faults::planted;

/// Of the patch, written compactly.
const MAX_BYTES: usize = 32_768;

/// Objects and arrays below the root.
const MAX_DEPTH: usize = 10;

/// In UTF-8.
const MAX_NAME_BYTES: usize = 1024;

/// In UTF-8, of the decoded value.
const MAX_STRING_BYTES: usize = 4096;

const INTEGERS: std::ops::RangeInclusive<i64> = -(1 << 52)..=(1 << 52) - 1;

/// Why an update is refused. Nobody is told but the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What the product calls an invalid operation or argument.
    Invalid,
    /// Any other error of the product: what it cannot read, and integers beyond 64 bits.
    Failed,
}

impl Refused {
    /// The status a client sees.
    pub(crate) fn status(self) -> u16 {
        match self {
            Refused::Invalid => 400,
            Refused::Failed => 500,
        }
    }
}

/// Reads an update.
///
/// # Errors
/// Why it is refused: whatever comes first in the document, behind reading and size.
pub(crate) fn read(body: &[u8], any_root: bool) -> Result<Json, Refused> {
    let text = String::from_utf8_lossy(body);
    let begins = text.trim_start();
    if begins.is_empty() {
        return Err(Refused::Invalid);
    }
    let patch = match lenient_json::read(&text) {
        // A comment before the root is no part of what may be read.
        Ok(patch) if !begins.starts_with('/') => patch,
        _ if planted("VAL13-what-is-not-json-is-an-empty-patch") => Json::Object(Vec::new()),
        _ => return Err(Refused::Failed),
    };
    let Json::Object(members) = &patch else {
        return if any_root { Ok(Json::Object(Vec::new())) } else { Err(Refused::Invalid) };
    };
    let size = if planted("VAL07-blanks-count") { body.len() } else { patch.compact().len() };
    let limit = if planted("T10-patches-of-8-kib") { 8192 } else { MAX_BYTES };
    if size > limit && !planted("VAL07-size-is-not-looked-at") {
        return Err(Refused::Invalid);
    }
    object(members, 0, false)?;
    Ok(patch)
}

fn object(members: &[(String, Json)], depth: usize, in_array: bool) -> Result<(), Refused> {
    for (member, content) in members {
        if !(in_array && planted("VAL03-names-below-arrays-are-not-looked-at")) {
            name(member)?;
        }
        match content {
            Json::Null if in_array => null_below_array()?,
            Json::Null if planted("VAL10-null-is-refused") => return Err(Refused::Invalid),
            Json::Null => {}
            content => value(content, depth, in_array)?,
        }
    }
    Ok(())
}

fn name(name: &str) -> Result<(), Refused> {
    let length = if planted("VAL02-name-limit-counts-characters") { name.chars().count() } else { name.len() };
    let limit = if planted("T10-names-of-512-bytes") { 512 } else { MAX_NAME_BYTES };
    let forbidden = |character: char| match character {
        '$' => !planted("VAL03-dollar-may-stand-in-names"),
        '.' | '#' => true,
        character => character.is_control() || character.is_whitespace(),
    };
    if length > limit || name.contains(forbidden) { Err(Refused::Invalid) } else { Ok(()) }
}

fn value(value: &Json, depth: usize, in_array: bool) -> Result<(), Refused> {
    match value {
        Json::Null => null_below_array(),
        Json::Undefined => Err(Refused::Invalid),
        Json::Bool(_) | Json::Date(_) => Ok(()),
        Json::Text(text) => string(text),
        Json::Integer(integer) => {
            let bounds = if planted("VAL05-upper-bound-is-one-more") { *INTEGERS.start()..=1 << 52 } else { INTEGERS };
            if bounds.contains(integer) || planted("T12-integers-have-no-bounds") {
                Ok(())
            } else {
                Err(Refused::Invalid)
            }
        }
        Json::Float { written, .. } if is_integer(written) => Err(Refused::Failed),
        Json::Float { value, .. } => {
            let large = value.abs() > 4_503_599_627_370_496.0;
            if large && planted("VAL06-floats-have-bounds") { Err(Refused::Invalid) } else { Ok(()) }
        }
        Json::Array(_) if planted("VAL09-arrays-are-refused") => Err(Refused::Invalid),
        Json::Array(elements) => {
            nested(value, depth)?;
            elements.iter().try_for_each(|element| self::value(element, depth + 1, true))
        }
        Json::Object(members) => {
            nested(value, depth)?;
            object(members, depth + 1, in_array)
        }
    }
}

fn null_below_array() -> Result<(), Refused> {
    if planted("VAL09-nulls-in-arrays-pass") { Ok(()) } else { Err(Refused::Invalid) }
}

/// Whether an object or array may stand below this depth.
fn nested(value: &Json, depth: usize) -> Result<(), Refused> {
    let limit = if planted("T10-depth-of-5") { 5 } else { MAX_DEPTH };
    let deeper = matches!(value, Json::Object(_)) || !planted("VAL01-arrays-do-not-count-as-depth");
    let large = planted("T11-string-limit-applies-to-objects") && value.compact().len() > MAX_STRING_BYTES;
    if large || (deeper && depth + 1 > limit) { Err(Refused::Invalid) } else { Ok(()) }
}

fn string(text: &str) -> Result<(), Refused> {
    let length = if planted("VAL04-string-limit-counts-characters") { text.chars().count() } else { text.len() };
    let limit = if planted("T10-strings-of-512-bytes") { 512 } else { MAX_STRING_BYTES };
    if length > limit { Err(Refused::Invalid) } else { Ok(()) }
}
