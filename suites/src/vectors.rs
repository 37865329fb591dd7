//! Results recorded from the product's code, replayed: what a program answers, and whether that agrees.
//!
//! - `routing`, `mqtt`, `methods`, `twin`: the oracle's answers, by kind of row.
//! - `compare`: when an answer agrees with the recorded result.
//!
//! What the files ask is listed in `fixtures/vectors/README.md`.

mod compare;
mod methods;
mod mqtt;
mod routing;
mod twin;

pub use compare::difference;
use serde_json::{Map, Value};

/// What the oracle answers to one row; `None` for kinds of row it has no opinion on.
pub fn answer(row: &Value) -> Option<Value> {
    let answers: [fn(&Value) -> Option<Value>; 4] = [routing::answer, mqtt::answer, methods::answer, twin::answer];
    answers.into_iter().find_map(|answer| answer(row))
}

/// Whether a row is of a kind that is answered but not compared.
type Kind = fn(&Value) -> bool;

/// Rows that are not compared, and why.
const NOT_COMPARED: [(Kind, &str); 1] = [(
    |row| row["uncertain"].is_string(),
    "uncertain: the product's newer runtime may treat these escapes differently",
)];

/// Why no answer to a row is compared with the recorded result, if none is.
pub fn not_compared(row: &Value) -> Option<&'static str> {
    NOT_COMPARED.iter().find(|(is, _)| is(row)).map(|(_, reason)| *reason)
}

/// Members of a row that identify it in a list of differences.
const SHOWN: [&str; 20] = [
    "condition",
    "route",
    "pattern",
    "op",
    "document",
    "bag",
    "pairs",
    "topic",
    "filter",
    "to",
    "username",
    "token",
    "nowMs",
    "base",
    "patch",
    "nulls",
    "from",
    "tag",
    "body",
    "body64",
];

/// What identifies a row in a list of differences.
pub fn label(row: &Value) -> String {
    let id = row["id"].as_str().unwrap_or("?");
    let shown: Map<String, Value> =
        SHOWN.iter().filter_map(|name| Some(((*name).to_owned(), row.get(*name)?.clone()))).collect();
    format!("{id} {}", Value::Object(shown))
}
