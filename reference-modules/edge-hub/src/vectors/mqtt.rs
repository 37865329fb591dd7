//! Texts of the MQTT head.

use serde_json::{Map, Value, json};

use crate::core::system;
use crate::heads::mqtt::bag::{self, Pairs};
use crate::heads::mqtt::topics::{self, Class, Publish};
use crate::heads::mqtt::user_name::UserName;
use crate::identity::ClientId;

/// The answer to a row of these files; `None` for others.
pub(super) fn answer(row: &Value) -> Option<Value> {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    let result = match row["op"].as_str()? {
        "bag-read" => bag_read(text("bag")),
        "bag-write" => {
            let pairs = pairs(&row["pairs"]);
            json!({ "bag": bag::write(pairs.iter().map(|(name, value)| (name.as_str(), value.as_deref()))) })
        }
        "publish" => publish(text("topic")),
        "subscribe" => subscribe(text("filter")),
        "deliver" if text("to") == "input" => {
            let receiver = ClientId::module(text("device"), text("module"));
            let (properties, system) = (pairs(&row["properties"]), pairs(&row["system"]));
            json!({ "topic": topics::input(&receiver, text("input"), &properties, &system) })
        }
        "deliver" if text("to") == "c2d" => {
            let receiver = ClientId::device(text("device"));
            let (properties, system) = (pairs(&row["properties"]), pairs(&row["system"]));
            json!({ "topic": topics::cloud_to_device(&receiver, &properties, &system) })
        }
        "deliver" if text("to") == "twin-response" => twin_response(&pairs(&row["system"])),
        "username" => user_name(text("username")),
        _ => return None,
    };
    Some(json!({ "result": result }))
}

fn pairs(value: &Value) -> Pairs {
    let pair = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str().map(str::to_owned)));
    value.as_array().into_iter().flatten().filter_map(pair).collect()
}

fn object(pairs: &Pairs) -> Value {
    let entries = pairs.iter().map(|(name, value)| (name.clone(), json!(value)));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// Alone, a bag ends at a raw slash.
fn bag_read(bag: &str) -> Value {
    match bag::read(bag.split('/').next().unwrap_or_default()) {
        Ok(pairs) => json!({ "pairs": pairs }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn publish(topic: &str) -> Value {
    match topics::read(topic) {
        Publish::Telemetry { sender, application, mut system } => {
            system.push((system::CONNECTION_DEVICE_ID.to_owned(), Some(sender.device)));
            system.extend(sender.module.map(|module| (system::CONNECTION_MODULE_ID.to_owned(), Some(module))));
            json!({ "kind": "telemetry", "system": object(&system), "properties": object(&application) })
        }
        Publish::MethodResponse { status, rid } => json!({
            "kind": "method-response", "system": {}, "properties": { "statusCode": status, "correlationId": rid },
        }),
        Publish::TwinGet { rid } => json!({ "kind": "twin-get", "rid": rid }),
        Publish::TwinPatch { rid } => json!({ "kind": "twin-patch", "rid": rid }),
        Publish::Dropped => json!({ "kind": "dropped" }),
        Publish::Fault => json!({ "kind": "fault" }),
    }
}

/// Without a status there is no response to write.
fn twin_response(system: &Pairs) -> Value {
    let value = |name: &str| system.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref());
    let status = value("statusCode").and_then(|status| status.parse().ok());
    match (status, value("correlationId")) {
        (Some(status), Some(rid)) => json!({ "topic": topics::twin_response(status, rid) }),
        _ => json!({ "error": "refused" }),
    }
}

/// A blank filter does not pass the codec, so it has no class.
fn subscribe(filter: &str) -> Value {
    if filter.trim().is_empty() {
        return json!({ "error": "blank" });
    }
    json!({ "class": match topics::class(filter) {
        Some(Class::Methods) => "Methods",
        Some(Class::Desired) => "DesiredPropertyUpdates",
        Some(Class::CloudToDevice) => "C2D",
        Some(Class::TwinResponses) => "TwinResponse",
        Some(Class::Inputs) => "ModuleMessages",
        None => "Unknown",
    }})
}

fn user_name(text: &str) -> Value {
    let Some(name) = UserName::read(text) else { return json!({ "error": "refused" }) };
    let chain = name.auth_chain.as_deref().unwrap_or_default();
    let links: Vec<&str> = chain.split(';').filter(|link| !link.is_empty()).collect();
    let actor = links.last().filter(|_| links.len() > 1);
    json!({
        "device": name.client.device,
        "module": name.client.module.clone().unwrap_or_default(),
        "clientType": name.client_type,
        "modelId": name.model_id,
        "authChain": name.auth_chain,
        "clientId": name.client.to_string(),
        "actor": actor,
    })
}
