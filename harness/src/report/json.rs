//! `report.json`: a report for programs.

use super::v1::{Report, SCHEMA};

/// The JSON Schema every `report.json` satisfies.
pub const JSON_SCHEMA: &str = include_str!("../../report.schema.json");

/// The text of `report.json`.
pub fn text(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("a report holds only strings, numbers, lists and maps with string keys");
    text.push('\n');
    text
}

/// Reads a `report.json` back.
///
/// # Errors
/// [`ReadError`] when the text is not a report, or a report of another version.
pub fn read(text: &str) -> Result<Report, ReadError> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    match value.get("schema").and_then(|schema| schema.as_str()) {
        Some(SCHEMA) => Ok(serde_json::from_value(value)?),
        other => Err(ReadError::Version { found: other.unwrap_or("none").to_owned() }),
    }
}

/// A text that is no report this version can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or not of the report's shape.
    #[error("not a report: {0}")]
    Shape(#[from] serde_json::Error),
    /// A report, or something else, of another version.
    #[error("the schema is `{found}`, and only `{SCHEMA}` can be read")]
    Version {
        /// What stands there.
        found: String,
    },
}
