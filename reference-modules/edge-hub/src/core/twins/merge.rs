//! Merging and comparing documents. Source: `twins-methods.md` 2.5.

use crate::core::lenient_json::Json;
use crate::faults::planted;

/// What becomes of a null in a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// It deletes what stands.
    Delete,
    /// It is kept, to delete something far away.
    Keep,
}

/// Lays a patch over a document. An object that is new comes in as it is, nulls below it included.
pub(crate) fn merge(base: &mut Json, patch: &Json, nulls: Nulls) {
    let (Json::Object(members), Json::Object(changes)) = (&mut *base, patch) else {
        if !(planted("T13-arrays-are-merged-by-element") && merge_elements(base, patch)) {
            *base = patch.clone();
        }
        return;
    };
    for (name, change) in changes {
        let known = members.iter().position(|(known, _)| known == name);
        match (known, change) {
            (Some(at), Json::Null) if nulls == Nulls::Delete => {
                members.remove(at);
            }
            (None, Json::Null) if nulls == Nulls::Delete => {}
            (Some(at), Json::Null) => members[at].1 = Json::Null,
            (Some(at), change) => merge(&mut members[at].1, change, nulls),
            (None, change) => members.push((name.clone(), change.clone())),
        }
    }
}

/// Only a planted fault merges arrays.
fn merge_elements(base: &mut Json, patch: &Json) -> bool {
    let (Json::Array(elements), Json::Array(changes)) = (base, patch) else { return false };
    for (number, change) in changes.iter().enumerate() {
        match elements.get_mut(number) {
            Some(element) => *element = change.clone(),
            None => elements.push(change.clone()),
        }
    }
    true
}

/// The patch that leads from one object to another; without a member when they are the same.
pub(crate) fn diff(from: &Json, to: &Json) -> Json {
    let (from, to) = (members(from), members(to));
    let mut changes = Vec::new();
    for (name, before) in from {
        let after = to.iter().find(|(known, _)| known == name).map(|(_, after)| after);
        match (before, after) {
            (_, None) if planted("DES13-deletion-is-left-out-of-the-repair") => {}
            (_, None) => changes.push((name.clone(), Json::Null)),
            (Json::Object(_), Some(after @ Json::Object(_))) => {
                let nested = diff(before, after);
                if nested != Json::Object(Vec::new()) && !planted("DES03-nested-changes-are-left-out-of-the-repair") {
                    changes.push((name.clone(), nested));
                }
            }
            (before, Some(after)) if !same(before, after) => changes.push((name.clone(), after.clone())),
            _ => {}
        }
    }
    let is_new = |(name, _): &&(String, Json)| !from.iter().any(|(known, _)| known == name);
    changes.extend(to.iter().filter(is_new).cloned());
    Json::Object(changes)
}

fn members(document: &Json) -> &[(String, Json)] {
    match document {
        Json::Object(members) => members,
        _ => &[],
    }
}

/// Equality of values: the order of members does not matter, nor how a float or a date is spelled.
fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let found = |(name, value): &(String, Json)| {
                other.iter().find(|(known, _)| known == name).is_some_and(|(_, other)| same(value, other))
            };
            one.len() == other.len() && one.iter().all(found)
        }
        (Json::Float { .. } | Json::Date(_), Json::Float { .. } | Json::Date(_)) => {
            instant(one.compact()) == instant(other.compact())
        }
        (one, other) => one == other,
    }
}

/// A date without its zone: the product compares the clocks.
fn instant(text: String) -> String {
    match text.strip_suffix("Z\"").or_else(|| text.strip_suffix("+00:00\"")) {
        Some(clock) => format!("{clock}\""),
        None => text,
    }
}
