//! A payload as the target gets it: the same JSON without insignificant white space, its numbers and dates spelled
//! anew. Members keep their order, and repeated ones stay.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::date;
use super::super::twin::text::{float, quoted};

/// Levels of a payload that the product reads; the body around it is one more.
const LEVELS: usize = 31;

/// Text on the way to the target.
pub(super) enum Compact {
    /// Compact JSON.
    Text(String),
    /// Nested too deep, or with a text or number that hubs may read differently.
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
            match date::read(&text.encode_utf16().collect::<Vec<_>>()) {
                Some(date) => quoted(&date.to_string(), to),
                None => quoted(&text, to),
            }
        }
        b'-' | b'0'..=b'9' if json.contains(['.', 'e', 'E']) => to.push_str(&finite(json)?),
        _ => to.push_str(json),
    }
    Some(())
}

fn finite(json: &str) -> Option<String> {
    let number: f64 = json.parse().ok()?;
    number.is_finite().then(|| float(number))
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
