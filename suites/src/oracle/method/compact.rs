//! A payload as the target gets it: the same JSON without insignificant white space, its numbers spelled anew.
//!
//! Members keep their order, and repeated ones stay. Not modelled: texts that look like dates, which the product spells
//! anew.

use std::fmt::Write as _;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::date;

/// Levels of a payload that the product reads; the body around it is one more.
const LEVELS: usize = 31;

/// Text on the way to the target.
pub(super) enum Compact {
    /// Compact JSON.
    Text(String),
    /// Nested too deep, or with a text or number that hubs may read or write differently.
    Open,
}

/// Rewrites strict JSON.
pub(super) fn compact(json: &str) -> Compact {
    let mut text = String::new();
    match write(json, 0, &mut text) {
        Some(()) => Compact::Text(text),
        None => Compact::Open,
    }
}

fn write(json: &str, level: usize, to: &mut String) -> Option<()> {
    match json.as_bytes().first()? {
        b'{' | b'[' if level == LEVELS => return None,
        b'{' => {
            to.push('{');
            for (at, (name, value)) in serde_json::from_str::<Members>(json).ok()?.0.iter().enumerate() {
                to.push_str(if at == 0 { "" } else { "," });
                quoted(name, to);
                to.push(':');
                write(value.get(), level + 1, to)?;
            }
            to.push('}');
        }
        b'[' => {
            to.push('[');
            for (at, value) in serde_json::from_str::<Vec<Box<RawValue>>>(json).ok()?.iter().enumerate() {
                to.push_str(if at == 0 { "" } else { "," });
                write(value.get(), level + 1, to)?;
            }
            to.push(']');
        }
        b'"' => {
            let text: String = serde_json::from_str(json).ok()?;
            if date::read(&text.encode_utf16().collect::<Vec<_>>()).is_some() {
                return None;
            }
            quoted(&text, to);
        }
        b'-' | b'0'..=b'9' if json.contains(['.', 'e', 'E']) => to.push_str(&float(json.parse().ok()?)?),
        _ => to.push_str(json),
    }
    Some(())
}

fn quoted(text: &str, to: &mut String) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            // The product escapes these line ends beside what JSON demands.
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                write!(to, "\\u{:04x}", u32::from(c)).expect("writing to a string does not fail");
            }
            _ => to.push(c),
        }
    }
    to.push('"');
}

/// The shortest number that reads the same, with a point; with an exponent from 1e17 up and below 1e-4.
fn float(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e17).contains(&size) {
        let scientific = format!("{number:E}");
        let (digits, exponent) = scientific.split_once('E')?;
        let exponent: i32 = exponent.parse().ok()?;
        let sign = if exponent < 0 { '-' } else { '+' };
        return Some(format!("{digits}E{sign}{:02}", exponent.abs()));
    }
    let plain = number.to_string();
    Some(if plain.contains('.') { plain } else { plain + ".0" })
}

/// Members in order, repeated ones included.
pub(super) struct Members(pub(super) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
