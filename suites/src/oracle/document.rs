//! The desired properties of `$edgeHub` as a document: what is read of it, or that it is refused.
//!
//! Source: `config/EdgeHubConfigParser.cs`, `EdgeHubDesiredProperties_1_*.cs`, `BrokerConfigValidator.cs`, and what
//! the product's code gave when it ran (`fixtures/vectors/edgehub-config.jsonl`).

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::broker::{Broker, broker};
use super::route::{Route, route};
use super::table::DEFAULT_PRIORITY;

/// A document that is accepted.
#[derive(Debug, Clone)]
pub struct Document {
    /// Schema version, as it was written.
    pub schema_version: String,
    /// Routes.
    pub routes: Vec<DocumentRoute>,
    /// Time to live for messages whose route names none; negative is for ever.
    pub time_to_live_secs: i64,
    /// Limit of the store in memory.
    pub max_size_bytes: Option<i64>,
    /// What the broker section declares, from schema version 1.2 on.
    pub broker: Option<Broker>,
    /// Whether there is an integrity section, in schema version 1.3.
    pub integrity: bool,
}

/// A route of a document.
#[derive(Debug, Clone)]
pub struct DocumentRoute {
    /// Its name, as errors carry it.
    pub name: String,
    /// The route.
    pub route: Route,
    /// Its priority.
    pub priority: u32,
    /// Its own time to live; 0 takes the document's.
    pub time_to_live_secs: u32,
}

/// A document that is refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

type Read<T> = Result<T, Refused>;

/// Reads a document.
///
/// # Errors
/// [`Refused`] when any part of it is wrong.
pub fn document(text: &str) -> Read<Document> {
    let root: Value = serde_json::from_str(text).map_err(|_| Refused)?;
    let root = root.as_object().ok_or(Refused)?;
    let schema_version = schema_text(text, root)?;
    // A number is looked at by its value: 1.10 is 1.1, and 1.0 is 1, which is no version.
    let minor = match &root["schemaVersion"] {
        Value::Number(number) => minor_version(&number.as_f64().ok_or(Refused)?.to_string())?,
        _ => minor_version(&schema_version)?,
    };
    let store = object(find(root, "storeAndForwardConfiguration"))?;
    let time_to_live_secs = match find(store, "timeToLiveSecs") {
        None => 0,
        Some(value) => integer(value).filter(|value| i32::try_from(*value).is_ok()).ok_or(Refused)?,
    };
    let max_size_bytes = match find(store, "storeLimits") {
        None | Some(Value::Null) => None,
        limits => match find(object(limits)?, "maxSizeBytes") {
            None => Some(0),
            Some(value) => Some(integer(value).ok_or(Refused)?),
        },
    };
    Ok(Document {
        schema_version,
        routes: routes(root, minor)?,
        time_to_live_secs,
        max_size_bytes,
        broker: match find(root, "mqttBroker") {
            Some(section) if minor >= 2 && !section.is_null() => Some(broker(object(Some(section))?)?),
            _ => None,
        },
        integrity: match find(root, "integrity") {
            Some(section) if minor >= 3 && !section.is_null() => object(Some(section)).map(|_| true)?,
            _ => false,
        },
    })
}

/// A member under any spelling of its name; the last of several.
pub(super) fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut found = None;
    for (known, value) in object {
        if known.eq_ignore_ascii_case(name) {
            found = Some(value);
        }
    }
    found
}

pub(super) fn object(value: Option<&Value>) -> Read<&Map<String, Value>> {
    value.and_then(Value::as_object).ok_or(Refused)
}

/// The version is the one member whose name is taken exactly as written. A number counts by its own text.
fn schema_text(text: &str, root: &Map<String, Value>) -> Read<String> {
    match root.get("schemaVersion") {
        Some(Value::String(version)) => Ok(version.clone()),
        Some(Value::Number(_)) => {
            let members: std::collections::HashMap<String, Box<RawValue>> =
                serde_json::from_str(text).map_err(|_| Refused)?;
            members.get("schemaVersion").map(|raw| raw.get().trim().to_owned()).ok_or(Refused)
        }
        _ => Err(Refused),
    }
}

/// 0 to 3, of a version 1.
fn minor_version(version: &str) -> Read<u32> {
    let mut numbers = Vec::new();
    for part in version.split('.') {
        let part = part.trim_matches(|c: char| c.is_ascii_whitespace());
        let digits = part.strip_prefix('+').unwrap_or(part);
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            return Err(Refused);
        }
        numbers.push(digits.parse::<u32>().ok().filter(|number| *number <= i32::MAX as u32).ok_or(Refused)?);
    }
    match numbers[..] {
        [1, minor @ 0..=3] | [1, minor @ 0..=3, _] | [1, minor @ 0..=3, _, _] => Ok(minor),
        _ => Err(Refused),
    }
}

fn routes(root: &Map<String, Value>, minor: u32) -> Read<Vec<DocumentRoute>> {
    let routes = match (find(root, "routes"), minor) {
        (Some(Value::Object(routes)), _) => routes,
        (None | Some(Value::Null), 0) => return Ok(Vec::new()),
        (_, 0) | (None, _) => return Err(Refused),
        (Some(Value::Array(list)), _) if !list.is_empty() => return Err(Refused),
        (Some(_), _) => return Ok(Vec::new()),
    };
    let mut read = Vec::new();
    for (name, value) in routes {
        match (minor, value) {
            (0, Value::Object(_) | Value::Array(_)) => return Err(Refused),
            (0, value) => {
                let text = as_text(value).unwrap_or_default();
                if text.trim().is_empty() {
                    continue;
                }
                if name.trim().is_empty() {
                    return Err(Refused);
                }
                read.push(named(name.clone(), &text, DEFAULT_PRIORITY, 0)?);
            }
            (_, Value::String(text)) => read.push(named(path_name(name)?, text, DEFAULT_PRIORITY, 0)?),
            (_, Value::Object(members)) => {
                let text = find(members, "route").and_then(as_text).ok_or(Refused)?;
                let priority = find(members, "priority").map_or(Ok(DEFAULT_PRIORITY), rounded)?;
                if priority > 9 && priority != DEFAULT_PRIORITY {
                    return Err(Refused);
                }
                let time_to_live = find(members, "timeToLiveSecs").map_or(Ok(0), rounded)?;
                read.push(named(path_name(name)?, &text, priority, time_to_live)?);
            }
            _ => return Err(Refused),
        }
    }
    Ok(read)
}

fn named(name: String, text: &str, priority: u32, time_to_live_secs: u32) -> Read<DocumentRoute> {
    Ok(DocumentRoute { name, route: route(text).map_err(|_| Refused)?, priority, time_to_live_secs })
}

/// From 1.1 on a route is called by the path of its member.
fn path_name(name: &str) -> Read<String> {
    const SPECIAL: &[char] = &[
        '.', ' ', '\'', '/', '"', '[', ']', '(', ')', '\t', '\n', '\r', '\u{c}', '\u{8}', '\\', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    match name {
        "" => Err(Refused),
        name if name.contains(SPECIAL) => Ok(format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))),
        name => Ok(name.to_owned()),
    }
}

/// Scalars other than null, as text.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        _ => None,
    }
}

/// Whole numbers, and texts that hold one.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => plain_digits(text)?.parse().ok(),
        _ => None,
    }
}

/// What can be made a 32-bit number without sign: fractions go to the nearest, halves to the even one.
fn rounded(value: &Value) -> Read<u32> {
    let number = match value {
        Value::Bool(truth) => return Ok(u32::from(*truth)),
        Value::String(text) => return plain_digits(text).and_then(|text| text.parse().ok()).ok_or(Refused),
        Value::Number(number) => number.as_f64().ok_or(Refused)?,
        _ => return Err(Refused),
    };
    let below = number.floor();
    let nearest = match number - below {
        part if part < 0.5 => below,
        part if part > 0.5 => below + 1.0,
        _ if below % 2.0 == 0.0 => below,
        _ => below + 1.0,
    };
    if (0.0..=f64::from(u32::MAX)).contains(&nearest) { Ok(nearest as u32) } else { Err(Refused) }
}

fn plain_digits(text: &str) -> Option<&str> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())).then_some(text)
}
