//! Rows about bodies of method calls.

use serde_json::{Value, json};

use crate::oracle::method::{Reading, body};

/// Payloads longer than this are recorded by their size alone.
const LONGEST_SHOWN: usize = 4096;

/// What the oracle answers; `None` for other rows.
pub fn answer(row: &Value) -> Option<Value> {
    if row["op"] != "method" {
        return None;
    }
    let result = match body::read(row["body"].as_str()?) {
        Reading::Call(call) => {
            let mut result = json!({
                "ok": true,
                "methodName": call.name,
                "payloadBytes": call.payload.as_ref().map(String::len),
                "responseTimeoutSecs": call.response_timeout_secs,
                "connectTimeoutSecs": call.connect_timeout_secs,
            });
            if call.payload.as_ref().is_none_or(|payload| payload.len() <= LONGEST_SHOWN) {
                result["payload"] = json!(call.payload);
            }
            result
        }
        Reading::Refused => json!({ "error": "refused" }),
        // Agrees with any result.
        Reading::Open => return Some(json!({})),
    };
    Some(json!({ "result": result }))
}
