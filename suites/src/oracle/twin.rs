//! Twins as documents: how a body is read and written again, merged and compared, and which patch a hub takes.
//!
//! - [`text`]: from bytes to a document and back.
//! - [`mod@merge`]: patches applied; the patch that leads from one document to another.
//! - [`patch`]: the limits of a reported patch.
//!
//! Source: Azure/iotedge `Hub.Core/twin/ReportedPropertiesValidator.cs`, `Edge.Util/JsonEx.cs`, as recorded in
//! `fixtures/vectors/reported-patch.jsonl` and `twin-merge-diff.jsonl`.

pub mod merge;
pub mod patch;
pub mod text;

pub use super::json::Json;
pub use merge::{Nulls, diff, in_order, merge, same};
pub use patch::{Refusal, reported};
pub use text::{read, written};

/// An object without members.
pub fn empty() -> Json {
    Json::Object(Vec::new())
}

/// The value of a member.
pub fn member<'a>(document: &'a Json, name: &str) -> Option<&'a Json> {
    let Json::Object(members) = document else { return None };
    members.iter().find(|(known, _)| String::from_utf16_lossy(known) == name).map(|(_, value)| value)
}

/// A document without one of its members.
pub fn without(document: &Json, name: &str) -> Json {
    let Json::Object(members) = document else { return document.clone() };
    Json::Object(members.iter().filter(|(known, _)| String::from_utf16_lossy(known) != name).cloned().collect())
}

/// `$version` of a section.
pub fn version(section: &Json) -> Option<u64> {
    match member(section, "$version") {
        Some(Json::Integer(digits)) => digits.parse().ok(),
        _ => None,
    }
}
