//! Rows about twins: documents merged and compared, and reported patches.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::oracle::twin::{self, Json, Nulls};

/// What the oracle answers; `None` for other rows.
pub fn answer(row: &Value) -> Option<Value> {
    let document = |name: &str| Some(as_document(row[name].as_str()?));
    let written = match row["op"].as_str()? {
        "merge" => {
            let nulls = if row["nulls"] == "keep" { Nulls::Keep } else { Nulls::Delete };
            document("base")?.zip(document("patch")?).map(|(base, patch)| twin::merge(&base, &patch, nulls))
        }
        "diff" => document("from")?.zip(document("to")?).map(|(from, to)| twin::diff(&from, &to)),
        "reported" => return reported(row),
        _ => return None,
    };
    Some(
        json!({ "result": written.map_or(json!({ "error": "refused" }), |json| json!({ "json": twin::written(&json) })) }),
    )
}

/// A document as a hub reads it: what is no object counts as an empty one.
fn as_document(text: &str) -> Option<Json> {
    twin::read(text.as_bytes()).map(|json| if matches!(json, Json::Object(_)) { json } else { twin::empty() })
}

fn reported(row: &Value) -> Option<Value> {
    let body = match (row["body"].as_str(), row["body64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, coded) => STANDARD.decode(coded?).ok()?,
    };
    Some(json!({ "result": match twin::reported(&body) {
        Ok(patch) => json!({ "status": 204, "json": twin::written(&patch) }),
        Err(refusal) => json!({ "status": refusal.status() }),
    } }))
}
