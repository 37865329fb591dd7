//! The body of a call: `{"methodName":..,"payload":..,"responseTimeoutInSeconds":..,"connectTimeoutInSeconds":..}`.
//!
//! Names of members match in any letter case, of repeated ones the last counts, others are ignored; what stands behind
//! the object is not read. Source: Azure/iotedge `Hub.Http/MethodRequest.cs`, `MethodRequestValidator.cs`, as recorded
//! in `fixtures/vectors/method-request.jsonl`.

use serde::Deserialize as _;

use super::super::json;
use super::super::value::same_name;
use super::compact::{Compact, Members, compact};

/// The longest name, in UTF-16 units.
pub const LONGEST_NAME: usize = 100;
/// The largest payload, in bytes of compact JSON.
pub const LARGEST_PAYLOAD: usize = 131_072;
/// Least, most and usual response timeout.
pub const RESPONSE_TIMEOUT_SECS: (i32, i32, i32) = (5, 300, 30);
/// Least, most and usual connect timeout.
pub const CONNECT_TIMEOUT_SECS: (i32, i32, i32) = (0, 300, 0);

/// A call that can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the method.
    pub name: String,
    /// Compact JSON, if there is a payload.
    pub payload: Option<String>,
    /// Response timeout.
    pub response_timeout_secs: i32,
    /// Connect timeout.
    pub connect_timeout_secs: i32,
}

/// What is made of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It is a call.
    Call(Call),
    /// It is none.
    Refused,
    /// A strict hub refuses it, the product's lenient reader may take it, and either is right: no strict JSON, or nested
    /// deeper than the product reads.
    Open,
}

/// Reads a body.
pub fn read(text: &str) -> Reading {
    let Some(members) = members(text) else {
        let utf16: Vec<u16> = text.encode_utf16().collect();
        return if json::object(&utf16).is_some() { Reading::Open } else { Reading::Refused };
    };
    let mut draft = Draft::default();
    for (name, value) in &members.0 {
        match draft.take(name, value.get()) {
            Ok(()) => {}
            Err(reading) => return reading,
        }
    }
    draft.validated()
}

fn members(text: &str) -> Option<Members> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Members::deserialize(&mut reader).ok()
}

#[derive(Default)]
struct Draft {
    name: Option<String>,
    payload: Option<String>,
    response_timeout_secs: Option<i32>,
    connect_timeout_secs: Option<i32>,
}

impl Draft {
    fn take(&mut self, name: &str, value: &str) -> Result<(), Reading> {
        if same_name(name, "methodName") {
            // One that is null is none, and a later one may still be.
            self.name = if value == "null" { None } else { Some(text_of(value).ok_or(Reading::Refused)?) };
        } else if same_name(name, "payload") {
            self.payload = match compact(value) {
                Compact::Text(text) => Some(text),
                Compact::Open => return Err(Reading::Open),
            };
        } else if same_name(name, "responseTimeoutInSeconds") {
            self.response_timeout_secs = seconds(value)?;
        } else if same_name(name, "connectTimeoutInSeconds") {
            self.connect_timeout_secs = seconds(value)?;
        }
        Ok(())
    }

    fn validated(self) -> Reading {
        let Some(name) = self.name else { return Reading::Refused };
        let within = |secs: Option<i32>, (least, most, usual): (i32, i32, i32)| {
            let secs = secs.unwrap_or(usual);
            (least..=most).contains(&secs).then_some(secs)
        };
        let times = (
            within(self.response_timeout_secs, RESPONSE_TIMEOUT_SECS),
            within(self.connect_timeout_secs, CONNECT_TIMEOUT_SECS),
        );
        let named = !name.trim().is_empty() && name.encode_utf16().count() <= LONGEST_NAME;
        let fits = self.payload.as_ref().is_none_or(|payload| payload.len() <= LARGEST_PAYLOAD);
        match times {
            (Some(response_timeout_secs), Some(connect_timeout_secs)) if named && fits => {
                Reading::Call(Call { name, payload: self.payload, response_timeout_secs, connect_timeout_secs })
            }
            _ => Reading::Refused,
        }
    }
}

/// A text; a number or boolean is taken as it is spelled.
fn text_of(value: &str) -> Option<String> {
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(value.to_owned()),
    }
}

/// An integer of 32 bits, also in a text with blanks around; null and an empty text stand for the usual.
fn seconds(value: &str) -> Result<Option<i32>, Reading> {
    let text = match value.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b'"') => text_of(value).ok_or(Reading::Refused)?,
        Some(b'-' | b'0'..=b'9') => value.to_owned(),
        _ => return Err(Reading::Refused),
    };
    match text.trim() {
        "" if text.is_empty() => Ok(None),
        "" => Err(Reading::Open),
        digits => digits.parse().map(Some).map_err(|_| Reading::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(body: &str) -> Call {
        match read(body) {
            Reading::Call(call) => call,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn members_match_in_any_case_and_the_last_counts() {
        let read = call(r#"{"METHODNAME":"a","methodName":"b","payload":1,"Payload":{"x":[1e3, "ü"]}} behind"#);
        assert_eq!((read.name.as_str(), read.payload.as_deref()), ("b", Some(r#"{"x":[1000.0,"ü"]}"#)));
        assert_eq!((read.response_timeout_secs, read.connect_timeout_secs), (30, 0));
    }

    #[test]
    fn limits_are_inclusive() {
        for (name, good) in [("n".repeat(100), true), ("n".repeat(101), false), (" \t".to_owned(), false)] {
            let body = serde_json::json!({"methodName": name, "payload": 1}).to_string();
            assert_eq!(matches!(read(&body), Reading::Call(_)), good, "{} characters", name.len());
        }
        for (size, good) in [(LARGEST_PAYLOAD - 2, true), (LARGEST_PAYLOAD - 1, false)] {
            let body = serde_json::json!({"methodName": "n", "payload": "x".repeat(size)}).to_string();
            assert_eq!(matches!(read(&body), Reading::Call(_)), good, "{size} letters");
        }
        let times = [("5", "0", true), ("300", "300", true), ("4", "0", false), ("301", "0", false)];
        for (response, connect, good) in times.into_iter().chain([("5", "-1", false), ("5", "301", false)]) {
            let body = format!(
                r#"{{"methodName":"n","responseTimeoutInSeconds":{response},"connectTimeoutInSeconds":{connect}}}"#
            );
            assert_eq!(matches!(read(&body), Reading::Call(_)), good, "{body}");
        }
    }

    #[test]
    fn what_only_a_lenient_reader_takes_is_open() {
        for body in [r#"{"methodName":"a",}"#, "{'methodName':'a'}", r#"{"methodName":"a"/* b */}"#] {
            assert_eq!(read(body), Reading::Open, "{body}");
        }
        assert_eq!(call(r#"{"methodName":null,"methodName":"a"}"#).name, "a");
        for body in ["", "null", "[]", "\"a\"", "{\"methodName\":", "{\"methodName\":null}", "nothing"] {
            assert_eq!(read(body), Reading::Refused, "{body}");
        }
    }
}
