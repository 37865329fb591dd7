//! Documents of twins, and updates of reported properties.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::core::lenient_json::{self, Json};
use crate::core::twins::{Nulls, diff, merge, read_patch};

/// The answer to a row of these files; `None` for others.
pub(super) fn answer(row: &Value) -> Option<Value> {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let result = match row["op"].as_str()? {
        "merge" => {
            let nulls = if row["nulls"] == "delete" { Nulls::Delete } else { Nulls::Keep };
            both(text("base"), text("patch"), |mut base, patch| {
                merge(&mut base, &patch, nulls);
                base
            })
        }
        "diff" => both(text("from"), text("to"), |from, to| diff(&from, &to)),
        "reported" => {
            let body = match row["body64"].as_str() {
                Some(body) => STANDARD.decode(body).ok()?,
                None => text("body").into(),
            };
            reported(&body, row["result"].get("json").is_some())
        }
        _ => return None,
    };
    Some(json!({ "result": result }))
}

/// Both texts are read as the hub reads a body: what is no object counts as an empty one.
fn both(one: &str, other: &str, work: impl FnOnce(Json, Json) -> Json) -> Value {
    let read = |text| {
        let document = lenient_json::read(text).ok()?;
        Some(if matches!(document, Json::Object(_)) { document } else { Json::Object(Vec::new()) })
    };
    match (read(one), read(other)) {
        (Some(one), Some(other)) => json!({ "json": work(one, other).compact() }),
        _ => json!({ "error": "refused" }),
    }
}

/// The product takes any root.
fn reported(body: &[u8], with_document: bool) -> Value {
    match read_patch(body, true) {
        Ok(patch) if with_document => json!({ "status": 204, "json": patch.compact() }),
        Ok(_) => json!({ "status": 204 }),
        Err(refused) => json!({ "status": refused.status() }),
    }
}
