//! `$body` paths: which compile, and what they select.

use super::Message;
use super::json::{self, Json};
use super::value::{Value, system_text};

/// A path as it is followed. `None` when it can be followed in no message.
pub(super) struct Path(Option<Vec<Step>>);

enum Step {
    Member(Vec<u16>),
    /// Any member of an object.
    Any,
    /// An element; an index too large for the product selects nothing that exists.
    Element(Option<usize>),
}

/// Characters that no member name in a path has.
const NO_NAME: &str = "()<>@,;:\\\"/[]?={} .\t\r\n";

impl Path {
    /// Whether a path compiles: a beginning of it has to be names with indexes, separated by dots.
    pub(super) fn compiles(path: &str) -> bool {
        let mut rest = path;
        loop {
            let length = rest.find(|c| NO_NAME.contains(c) && c != ' ').unwrap_or(rest.len());
            let name = &rest[..length];
            if name.is_empty() || name.bytes().all(|byte| byte.is_ascii_digit()) {
                return false;
            }
            rest = &rest[length..];
            if let Some(index) = rest.strip_prefix('[') {
                let digits = index.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 || !index[digits..].starts_with(']') {
                    return false;
                }
                rest = &index[digits + 1..];
            }
            match rest.strip_prefix('.') {
                Some(next) => rest = next,
                // Whatever else follows is not looked at.
                None => return true,
            }
        }
    }

    /// Takes a path apart.
    pub(super) fn of(path: &str) -> Self {
        Self(steps(path))
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let path = match path.strip_prefix('$') {
        Some("") => return Some(Vec::new()),
        Some(rest) if rest.starts_with('.') => &rest[1..],
        Some(rest) if rest.starts_with('[') => rest,
        _ => path,
    };
    let mut steps = Vec::new();
    let mut rest = path;
    let mut name_due = !rest.starts_with('[');
    while name_due || !rest.is_empty() {
        if name_due {
            let length = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            if length == 0 {
                return None;
            }
            steps.push(match &rest[..length] {
                "*" => Step::Any,
                name => Step::Member(name.encode_utf16().collect()),
            });
            rest = &rest[length..];
            name_due = false;
        } else if let Some(next) = rest.strip_prefix('.') {
            rest = next;
            name_due = true;
        } else {
            let (digits, after) = rest.strip_prefix('[')?.split_once(']')?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Element(digits.parse::<i32>().ok().map(|index| index as usize)));
            rest = after;
        }
    }
    Some(steps)
}

/// What a path selects in a message.
pub(super) fn select(message: &Message, path: &Path) -> Value {
    let (Some(steps), Some(root)) = (&path.0, readable(message)) else { return Value::Undefined };
    let mut selected = vec![&root];
    for step in steps {
        let mut next = Vec::new();
        for json in selected {
            match (step, json) {
                (Step::Element(None), _) => return Value::Undefined,
                (Step::Member(name), Json::Object(members)) => {
                    next.extend(members.iter().find(|(known, _)| known == name).map(|(_, json)| json))
                }
                (Step::Any, Json::Object(members)) => next.extend(members.iter().map(|(_, json)| json)),
                (Step::Element(Some(index)), Json::Array(elements)) => next.extend(elements.get(*index)),
                _ => {}
            }
        }
        selected = next;
    }
    match selected[..] {
        [] => Value::Missing,
        [Json::Null] => Value::Null,
        [Json::Bool(truth)] => Value::Bool(*truth),
        [Json::Integer(digits)] => digits.parse().map_or(Value::Undefined, Value::Number),
        [Json::Float(number)] => Value::Number(*number),
        [Json::Text(text)] => Value::Text(text.clone()),
        _ => Value::Undefined,
    }
}

/// The body as JSON, if the message says that it is.
fn readable(message: &Message) -> Option<Json> {
    let encoding = system_text(message, "contentEncoding")?.to_ascii_lowercase();
    if !system_text(message, "contentType")?.eq_ignore_ascii_case("application/json") {
        return None;
    }
    let body = &message.body;
    // A byte order mark of any encoding spoils the body.
    let marks: [&[u8]; 5] =
        [&[0xEF, 0xBB, 0xBF], &[0xFF, 0xFE], &[0xFE, 0xFF], &[0xFF, 0xFE, 0, 0], &[0, 0, 0xFE, 0xFF]];
    if marks.iter().any(|mark| body.starts_with(mark)) {
        return None;
    }
    let text: Vec<u16> = match encoding.as_str() {
        "utf-8" => String::from_utf8_lossy(body).encode_utf16().collect(),
        "utf-16" => {
            let (pairs, odd) = (body.chunks_exact(2), body.len() % 2);
            let units: Vec<u16> = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            let mut text: Vec<u16> = String::from_utf16_lossy(&units).encode_utf16().collect();
            text.extend((odd == 1).then_some(0xFFFD));
            text
        }
        "utf-32" => {
            let code = |four: &[u8]| four.try_into().ok().map(u32::from_le_bytes).and_then(char::from_u32);
            let text: String = body.chunks(4).map(|four| code(four).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.encode_utf16().collect()
        }
        _ => return None,
    };
    json::object(&text)
}
