//! Shared access signatures.

use serde_json::{Value, json};

use crate::identity::ClientId;
use crate::sas::{Refused, Token};
use crate::scope::{Authentication, ServiceIdentity};

/// The answer to a row of `sas-token.jsonl`; `None` for others.
pub(super) fn answer(row: &Value) -> Option<Value> {
    if row["op"] != "sas" {
        return None;
    }
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let claimed = match row["module"].as_str() {
        Some(module) => ClientId::module(text("device"), module),
        None => ClientId::device(text("device")),
    };
    let stored = ServiceIdentity {
        client: claimed.clone(),
        enabled: row["state"] == "enabled",
        authentication: match row["auth"].as_str() {
            Some("sas") => Authentication::Sas { primary: text("primaryKey"), secondary: text("secondaryKey") },
            _ => Authentication::Other,
        },
        entry: Value::Null,
    };
    let Ok(token) = Token::read(&text("token"), row["nowMs"].as_u64()?) else {
        return Some(json!({ "result": { "valid": false, "stage": "parse" } }));
    };
    let verdict = match token.proves(&claimed, &stored, [&text("iotHub"), &text("gateway")]) {
        Ok(()) => json!({ "valid": true }),
        Err(Refused::Key) => json!({ "valid": false, "stage": "authenticate" }),
        Err(reason) => json!({ "valid": false, "reason": reason.to_string() }),
    };
    let mut result = verdict;
    result["audience"] = json!(token.audience);
    Some(json!({ "result": result }))
}
