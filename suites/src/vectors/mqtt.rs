//! Rows about the texts of the MQTT head: bags, topics, filters, user names, tokens.

use serde_json::{Map, Value, json};

use crate::oracle::mqtt::{Class, Pairs, Publish, bag, filter, token, topic, user_name};

/// What the oracle answers; `None` for other rows.
pub fn answer(row: &Value) -> Option<Value> {
    let text = |name: &str| row[name].as_str();
    let result = match text("op")? {
        "bag-read" => bag::read(text("bag")?).map_or_else(|_| refused(), |read| json!({ "pairs": list(&read) })),
        "bag-write" => json!({ "bag": bag::write(&pairs(&row["pairs"])) }),
        "publish" => published(topic::publish(text("topic")?)),
        "subscribe" => {
            filter::class(text("filter")?).map_or_else(refused, |class| json!({ "class": class_name(class) }))
        }
        "deliver" => deliver(row)?.map_or_else(refused, |topic| json!({ "topic": topic })),
        "username" => user_name(text("username")?).map_or_else(refused, |name| {
            json!({
                "device": name.device, "module": name.module.unwrap_or_default(), "clientType": name.client_type,
                "modelId": name.model_id, "authChain": name.auth_chain, "clientId": name.client_id,
                "actor": name.actor,
            })
        }),
        "sas" => sas(row)?,
        _ => return None,
    };
    Some(json!({ "result": result }))
}

fn refused() -> Value {
    json!({ "error": "refused" })
}

/// `[[name, value or null], ..]`.
fn pairs(value: &Value) -> Pairs {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let pairs = value.as_array().into_iter().flatten();
    pairs.map(|pair| (text(&pair[0]).unwrap_or_default(), text(&pair[1]))).collect()
}

fn list(pairs: &Pairs) -> Value {
    pairs.iter().map(|(name, value)| json!([name, value])).collect()
}

fn object(pairs: Pairs) -> Value {
    pairs.into_iter().map(|(name, value)| (name, json!(value))).collect::<Map<_, _>>().into()
}

fn published(what: Publish) -> Value {
    match what {
        Publish::Telemetry(message) => json!({
            "kind": "telemetry", "system": object(message.system), "properties": object(message.properties),
        }),
        Publish::MethodResponse { status, rid } => json!({
            "kind": "method-response", "system": {}, "properties": {"statusCode": status, "correlationId": rid},
        }),
        Publish::TwinGet { rid } => json!({ "kind": "twin-get", "rid": rid }),
        Publish::TwinPatch { rid } => json!({ "kind": "twin-patch", "rid": rid }),
        Publish::Dropped => json!({ "kind": "dropped" }),
        Publish::Fault => json!({ "kind": "fault" }),
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Methods => "Methods",
        Class::DesiredPropertyUpdates => "DesiredPropertyUpdates",
        Class::CloudToDevice => "C2D",
        Class::TwinResponse => "TwinResponse",
        Class::ModuleMessages => "ModuleMessages",
        Class::Unknown => "Unknown",
    }
}

/// The topic, or nothing where the message does not tell one; `None` for kinds of message that are not recorded.
fn deliver(row: &Value) -> Option<Option<String>> {
    let id = |name: &str| row[name].as_str().unwrap_or_default();
    let (properties, system) = (pairs(&row["properties"]), pairs(&row["system"]));
    let known = |name: &str| system.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref());
    match id("to") {
        "input" => Some(Some(topic::input(id("device"), id("module"), id("input"), &properties, &system))),
        "c2d" => Some(Some(topic::cloud_to_device(id("device"), &properties, &system))),
        "twin-response" => {
            let (status, rid) = (known("statusCode"), known("correlationId"));
            Some(status.zip(rid).map(|(status, rid)| topic::twin_response(status, rid)))
        }
        _ => None,
    }
}

fn sas(row: &Value) -> Option<Value> {
    use token::Verdict;
    let text = |name: &str| row[name].as_str();
    let claim = token::Claim {
        iot_hub: text("iotHub")?,
        gateway: text("gateway")?,
        device: text("device")?,
        module: text("module"),
    };
    let stored = token::Stored {
        symmetric: text("auth")? == "sas",
        enabled: text("state")? == "enabled",
        primary: text("primaryKey")?,
        secondary: text("secondaryKey")?,
    };
    let mut result = match token::judge(text("token")?, row["nowMs"].as_i64()?, &claim, &stored) {
        Verdict::Unreadable | Verdict::Expired => return Some(json!({ "valid": false, "stage": "parse" })),
        Verdict::Good => json!({ "valid": true }),
        Verdict::KeyUnusable => json!({ "valid": false, "stage": "authenticate" }),
        Verdict::AuthenticationType => json!({ "valid": false, "reason": "authentication-type" }),
        Verdict::Disabled => json!({ "valid": false, "reason": "disabled" }),
        Verdict::Signature => json!({ "valid": false, "reason": "signature" }),
        Verdict::Audience => json!({ "valid": false, "reason": "audience" }),
        Verdict::Identity => json!({ "valid": false, "reason": "identity" }),
        Verdict::Host => json!({ "valid": false, "reason": "host" }),
    };
    let token = token::read(text("token")?).ok()?;
    result["audience"] = json!(token.audience);
    result["keyName"] = json!(token.key_name);
    result["signature"] = json!(token.signature);
    result["expiresMs"] = json!(token.expires_ms);
    Some(result)
}
