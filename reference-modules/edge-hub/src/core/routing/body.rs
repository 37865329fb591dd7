//! `$body` paths: which bodies can be asked, and what a path finds in one. Source: `routing.md` 3.6.

use std::borrow::Cow;

use super::message::Message;
use super::text::Text;
use super::value::Dynamic;
use crate::core::lenient_json::{self, Json};
use crate::faults::planted;

/// A body that conditions can look into: content type and encoding say that it is JSON, and it is an object.
pub(super) fn read(message: &Message) -> Option<Json> {
    let system = |name: &str| {
        let (_, value) = message.system.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        value.as_deref()
    };
    let any_body = planted("R08-any-body-is-json");
    if !any_body {
        let content_type = system("contentType")?;
        let without_parameters = content_type.split(';').next().unwrap_or(content_type);
        let content_type =
            if planted("BODY01-content-type-may-have-parameters") { without_parameters } else { content_type };
        if !content_type.eq_ignore_ascii_case("application/json") {
            return None;
        }
    }
    let encoding = match system("contentEncoding") {
        None if planted("BODY01-encoding-defaults-to-utf-8") || any_body => "utf-8",
        encoding => encoding?,
    };
    let text = decode(&message.body, &encoding.to_ascii_lowercase())?;
    if planted("BODY13-strict-json-only") && serde_json::from_str::<serde_json::Value>(&text).is_err() {
        return None;
    }
    match lenient_json::read(&text) {
        Ok(object @ Json::Object(_)) => Some(object),
        Err(_) if planted("BODY02-text-behind-the-object-is-ignored") => {
            let end = text.rfind('}')?;
            lenient_json::read(&text[..=end]).ok()
        }
        Err(_) if planted("BODY02-unreadable-body-is-empty") => Some(Json::Object(Vec::new())),
        _ => None,
    }
}

/// Malformed bytes become U+FFFD; a byte-order mark stays and makes the text unreadable.
fn decode<'b>(body: &'b [u8], encoding: &str) -> Option<Cow<'b, str>> {
    match encoding {
        "utf-8" => Some(String::from_utf8_lossy(body)),
        "utf8" if planted("BODY01-utf8-without-dash-is-accepted") => Some(String::from_utf8_lossy(body)),
        "utf-16" | "utf-32" if planted("BODY01-utf-8-only") => None,
        "utf-16" => {
            let units: Vec<u16> =
                body.chunks(2).map(|unit| unit.try_into().map_or(0xdc00, u16::from_le_bytes)).collect();
            Some(Cow::Owned(String::from_utf16_lossy(&units)))
        }
        "utf-32" => {
            let characters = body.chunks(4).map(|bytes| {
                let code = bytes.try_into().ok().map(u32::from_le_bytes);
                code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
            });
            Some(Cow::Owned(characters.collect()))
        }
        _ => None,
    }
}

/// A path behind `$body.`.
#[derive(Clone, Debug)]
pub(super) struct BodyPath {
    /// `None` for paths that the compile stage passes although they can never be followed.
    steps: Option<Vec<Step>>,
}

#[derive(Clone, Debug)]
enum Step {
    Member(String),
    /// `*`: all members of an object.
    AnyMember,
    Index(usize),
}

impl BodyPath {
    /// Checks a path as the compile stage does: segments up to the first that is followed by neither a dot nor an
    /// opening bracket.
    ///
    /// Quirk: the rest is not looked at, so `a[0]x` and `a]b` are accepted, and Undefined for every message.
    pub(super) fn parse(path: &str) -> Option<BodyPath> {
        let mut rest = path;
        loop {
            let (name, behind) = identifier(rest);
            if name.is_empty() || name.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            rest = match behind.strip_prefix('[') {
                Some(bracket) => index(bracket)?.1,
                None => behind,
            };
            match rest.strip_prefix('.') {
                Some(next) => rest = next,
                None => break,
            }
        }
        Some(BodyPath { steps: steps(path) })
    }

    /// What the path finds in a body.
    pub(super) fn select<'b>(&self, body: &'b Json) -> Dynamic<'b> {
        let Some(steps) = &self.steps else {
            return Dynamic::Undefined;
        };
        let found = steps
            .iter()
            .fold(vec![body], |found, step| found.into_iter().flat_map(|value| step.from(value)).collect::<Vec<_>>());
        match found.as_slice() {
            [] if planted("BODY04-missing-member-is-undefined") => Dynamic::Undefined,
            [] => Dynamic::Missing,
            [one] => scalar(one),
            _ => Dynamic::Undefined,
        }
    }
}

impl Step {
    fn from<'b>(&self, value: &'b Json) -> Vec<&'b Json> {
        match (self, value) {
            (Step::Member(name), Json::Object(members)) => {
                let is = |key: &str| {
                    if planted("BODY03-members-ignore-case") { key.eq_ignore_ascii_case(name) } else { key == name }
                };
                members.iter().find(|(key, _)| is(key)).map(|(_, value)| value).into_iter().collect()
            }
            (Step::AnyMember, Json::Object(members)) => members.iter().map(|(_, value)| value).collect(),
            (Step::Index(at), Json::Array(elements)) if planted("BODY07-indexes-count-from-one") => {
                at.checked_sub(1).and_then(|at| elements.get(at)).into_iter().collect()
            }
            (Step::Index(at), Json::Array(elements)) => elements.get(*at).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// The value of a leaf. Quirk: a string that looks like a date has been made one by the reader and is lost.
fn scalar(value: &Json) -> Dynamic<'_> {
    match value {
        Json::Null => Dynamic::Null,
        Json::Bool(value) => Dynamic::Bool(*value),
        Json::Integer(number) => Dynamic::Number(*number as f64),
        Json::Float { value, .. } => Dynamic::Number(*value),
        Json::Text(text) => Dynamic::Text(Some(Text::borrowed(text))),
        Json::Date(text) if planted("BODY05-dates-are-strings") => Dynamic::Text(Some(Text::borrowed(text))),
        Json::Object(_) | Json::Array(_) if planted("BODY05-objects-are-null") => Dynamic::Null,
        Json::Date(_) | Json::Undefined | Json::Object(_) | Json::Array(_) => Dynamic::Undefined,
    }
}

fn identifier(path: &str) -> (&str, &str) {
    path.split_at(path.find(['.', '[', ']']).unwrap_or(path.len()))
}

/// Digits up to a closing bracket, and what is behind.
fn index(bracket: &str) -> Option<(&str, &str)> {
    let (digits, behind) = bracket.split_once(']')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some((digits, behind))
}

/// The whole path as it is followed; a leading `$` is the root.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = match path.strip_prefix('$').filter(|rest| rest.is_empty() || rest.starts_with(['.', '['])) {
        Some(behind) => behind.to_owned(),
        None => format!(".{path}"),
    };
    while !rest.is_empty() {
        let behind = if let Some(bracket) = rest.strip_prefix('[') {
            let (digits, behind) = index(bracket)?;
            if planted("BODY07-second-index-is-refused") && matches!(steps.last(), Some(Step::Index(_))) {
                return None;
            }
            steps.push(Step::Index(usize::try_from(digits.parse::<i32>().ok()?).ok()?));
            behind
        } else {
            let (name, behind) = identifier(rest.strip_prefix('.')?);
            steps.push(match name {
                "" => return None,
                "*" => Step::AnyMember,
                name => Step::Member(name.to_owned()),
            });
            behind
        };
        rest = behind.to_owned();
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(path: &str) -> Option<String> {
        let body =
            lenient_json::read(r#"{"a":{"b":7},"m":[[1],[3]],"o":{"x":1},"at":"2031-02-03T04:05:06Z"}"#).unwrap();
        Some(format!("{:?}", BodyPath::parse(path)?.select(&body)))
    }

    #[test]
    fn paths_select_scalars_only() {
        assert_eq!(select("a.b").as_deref(), Some("Number(7.0)"));
        assert_eq!(select("$.a.b").as_deref(), Some("Number(7.0)"));
        assert_eq!(select("m[1][0]").as_deref(), Some("Number(3.0)"));
        assert_eq!(select("o.*").as_deref(), Some("Number(1.0)"));
        assert_eq!(select("a.B").as_deref(), Some("Missing"));
        assert_eq!(select("m[9]").as_deref(), Some("Missing"));
        for undefined in ["a", "$", "at", "*", "m[0]", "m[2147483648]", "m[0]x", "a.b]", "a]b"] {
            assert_eq!(select(undefined).as_deref(), Some("Undefined"), "{undefined}");
        }
    }

    #[test]
    fn malformed_paths_do_not_compile() {
        for path in ["", "a.", "a..b", ".a", "[0]", "a[", "a[]", "a[-1]", "a[x]", "a['x']", "5", "a.5", "m[0]."] {
            assert!(BodyPath::parse(path).is_none(), "{path}");
        }
    }
}
