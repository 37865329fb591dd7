//! From JSON members to typed fields, as lenient as the product's library: names ignore letter case, numbers may come
//! as strings, fractions or booleans. Source: `routing.md` 1.1 to 1.3.

use crate::core::lenient_json::Json;

/// A member that is missing or holds what its field cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Error converting value. Path '{path}'.")]
pub(super) struct Unbound {
    path: String,
}

impl Unbound {
    pub(super) fn new(path: impl Into<String>) -> Unbound {
        Unbound { path: path.into() }
    }
}

/// Members of an object by field name.
#[derive(Clone, Copy)]
pub(super) struct Members<'j>(&'j [(String, Json)]);

impl<'j> Members<'j> {
    pub(super) fn of(members: &'j [(String, Json)]) -> Members<'j> {
        Members(members)
    }

    /// Of an object only.
    pub(super) fn within(value: &'j Json, path: &str) -> Result<Members<'j>, Unbound> {
        match value {
            Json::Object(members) => Ok(Members(members)),
            _ => Err(Unbound::new(path)),
        }
    }

    /// The last member that is called so, in any letter case.
    pub(super) fn get(&self, name: &str) -> Option<&'j Json> {
        self.0.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A field that must be there and not null.
    pub(super) fn required(&self, name: &str) -> Result<&'j Json, Unbound> {
        self.get(name).filter(|value| **value != Json::Null).ok_or_else(|| Unbound::new(name))
    }
}

/// A field that holds a string; numbers and booleans are taken by their text.
pub(super) fn text(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) | Json::Date(text) | Json::Float { written: text, .. } => Some(text.clone()),
        Json::Integer(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A field that holds an array; null is as good as an empty one.
pub(super) fn elements<'j>(value: Option<&'j Json>, path: &str) -> Result<&'j [Json], Unbound> {
    match value {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(elements)) => Ok(elements),
        Some(_) => Err(Unbound::new(path)),
    }
}

/// A field of a whole-number type wider than 32 bits or unsigned: strings of digits count as their number, fractions
/// are rounded to the nearest integer (ties to even), `true` is 1.
pub(super) fn converted(value: &Json) -> Option<i64> {
    match value {
        Json::Integer(number) => Some(*number),
        Json::Float { value, .. } => {
            let rounded = value.round_ties_even();
            // 2^63 itself is one too many.
            (-(2f64.powi(63))..2f64.powi(63)).contains(&rounded).then_some(rounded as i64)
        }
        Json::Bool(value) => Some(i64::from(*value)),
        Json::Text(text) => integer(text),
        _ => None,
    }
}

/// An integer as text: blanks around it, one sign, leading zeros.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim_end_matches('\0').trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_converted_leniently() {
        let float = |value: f64| Json::Float { value, written: value.to_string() };
        for (value, expected) in [
            (float(8.5), Some(8)),
            (float(9.5), Some(10)),
            (Json::Bool(true), Some(1)),
            (Json::Text(String::from(" 05")), Some(5)),
            (Json::Text(String::from("5.0")), None),
            (float(9.3e18), None),
            (Json::Null, None),
            (Json::Array(Vec::new()), None),
        ] {
            assert_eq!(converted(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn names_ignore_case_and_the_last_one_counts() {
        let object = [(String::from("priority"), Json::Integer(1)), (String::from("PRIORITY"), Json::Integer(2))];
        assert_eq!(Members::of(&object).get("Priority"), Some(&Json::Integer(2)));
    }
}
