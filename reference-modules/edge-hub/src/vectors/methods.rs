//! Bodies of method calls.

use serde_json::{Value, json};

use crate::core::methods::request::Body;

/// A longer payload is recorded by its length alone.
const MAX_RECORDED_BYTES: usize = 4096;

/// The answer to a row of `method-request.jsonl`; `None` for others.
pub(super) fn answer(row: &Value) -> Option<Value> {
    if row["op"] != "method" {
        return None;
    }
    let text = row["body"].as_str()?;
    let result = match Body::read(text.as_bytes()) {
        Err(error) => json!({ "ok": false, "stage": "bind", "error": error.to_string() }),
        Ok(body) => match body.validate() {
            Err(error) => json!({ "ok": false, "stage": "validate", "error": error.to_string() }),
            Ok(()) => accepted(&body),
        },
    };
    Some(json!({ "result": result }))
}

fn accepted(body: &Body) -> Value {
    let bytes = body.payload.as_ref().map(String::len);
    let mut result = json!({
        "ok": true,
        "methodName": body.name,
        "payloadBytes": bytes,
        "responseTimeoutSecs": body.response_timeout_secs,
        "connectTimeoutSecs": body.connect_timeout_secs,
    });
    if bytes.is_none_or(|bytes| bytes <= MAX_RECORDED_BYTES) {
        result["payload"] = json!(body.payload);
    }
    result
}
