//! What a node can be worth.

use std::cmp::Ordering;

use super::Message;

/// A value. Text is UTF-16, as the product compares it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Undefined,
    /// The literal, or JSON's.
    Null,
    /// A member a body does not have. It is null everywhere but in `is_null`.
    Missing,
    Bool(bool),
    Number(f64),
    Text(Vec<u16>),
    /// A property that is there and has no value.
    NoText,
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Value::Text(text.encode_utf16().collect())
    }

    /// A number, or undefined where it is none.
    pub(super) fn number(number: f64) -> Self {
        if number.is_nan() { Value::Undefined } else { Value::Number(number) }
    }

    /// Order of kinds where kinds differ.
    fn rank(&self) -> Option<u8> {
        Some(match self {
            Value::Undefined => return None,
            Value::Bool(_) => 1,
            Value::Number(_) => 2,
            Value::Text(_) | Value::NoText => 3,
            Value::Null | Value::Missing => 4,
        })
    }
}

/// Compares values of one static type; undefined when a side is, or has no text.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

/// Compares where one side comes from a body: kinds that differ are ordered, and so is a number that is none.
pub(super) fn compare_dynamic(left: &Value, right: &Value) -> Option<Ordering> {
    let ranks = left.rank()?.cmp(&right.rank()?);
    Some(match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
        }
        (Value::NoText, Value::NoText) => Ordering::Equal,
        (Value::NoText, Value::Text(_)) => Ordering::Less,
        (Value::Text(_), Value::NoText) => Ordering::Greater,
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        _ => ranks,
    })
}

/// Whether two names are one: letter by letter, whatever the case.
pub(super) fn same_name(left: &str, right: &str) -> bool {
    left.chars().map(upper).eq(right.chars().map(upper))
}

/// A letter's upper case where that is one letter of the same length.
pub(super) fn upper(letter: char) -> char {
    let mut mapped = letter.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) if one.len_utf16() == letter.len_utf16() => one,
        _ => letter,
    }
}

/// A letter's lower case where that is one letter of the same length.
pub(super) fn lower(letter: char) -> char {
    let mut mapped = letter.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) if one.len_utf16() == letter.len_utf16() => one,
        _ => letter,
    }
}

/// A property's value, looked up whatever the case.
pub(super) fn look_up(properties: &[(String, Option<String>)], name: &str) -> Option<Value> {
    let (_, value) = properties.iter().find(|(known, _)| same_name(known, name))?;
    Some(value.as_deref().map_or(Value::NoText, Value::text))
}

/// The value of a system property as text.
pub(super) fn system_text<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.system.iter().find(|(known, _)| same_name(known, name))?.1.as_deref()
}
