//! The routing language and the configuration of `$edgeHub`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::core::routing::{Config, Message, MessageSource, Outcome, Route, RouteError, RoutingTable, Sink, evaluate};

/// The edge device of the recordings.
const EDGE_DEVICE_ID: &str = "edge1";

/// The answer to a row of these files; `None` for others.
pub(super) fn answer(row: &Value) -> Option<Value> {
    if row["op"] == "config" {
        return Some(json!({ "result": config(row["document"].as_str()?) }));
    }
    if let Some(condition) = row["condition"].as_str().filter(|_| row["message"]["body_base64"].is_string()) {
        return condition_row(condition, &row["message"]);
    }
    if let Some(route) = row["id"].as_str().and(row["route"].as_str()) {
        return Some(route_row(route));
    }
    source_row(row["pattern"].as_str()?, &row["message"])
}

/// `conditions.jsonl`: the outcome of a route with this condition.
fn condition_row(condition: &str, message: &Value) -> Option<Value> {
    let message = Message {
        source: MessageSource::Device,
        properties: pairs(&message["app"]),
        system: pairs(&message["sys"]),
        body: STANDARD.decode(message["body_base64"].as_str()?).ok()?.into(),
    };
    let Ok(route) = Route::parse(&format!("FROM /messages WHERE {condition} INTO $upstream")) else {
        return Some(json!({ "result": "compile-error", "stage": "route" }));
    };
    Some(match evaluate(&route.condition, &message) {
        None => json!({ "result": "compile-error", "stage": "compile" }),
        Some(Outcome::True) => json!({ "result": "true" }),
        Some(Outcome::False) => json!({ "result": "false" }),
        Some(Outcome::Undefined) => json!({ "result": "undefined" }),
    })
}

fn pairs(properties: &Value) -> Vec<(String, Option<String>)> {
    let pairs = properties.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned))).collect()
}

/// `routes.jsonl`: how a route string is taken apart.
fn route_row(route: &str) -> Value {
    let Route { source, condition, sink } = match Route::parse(route) {
        Ok(route) => route,
        Err(error) => {
            let kind = match error {
                RouteError::Grammar => "grammar",
                RouteError::Empty => "empty",
                _ => "sink",
            };
            return json!({ "result": "parse-error", "error": kind });
        }
    };
    let document = json!({
        "schemaVersion": "1.0", "routes": { "r": route }, "storeAndForwardConfiguration": {},
    });
    let compiles =
        Config::parse(EDGE_DEVICE_ID, &document.to_string()).is_ok_and(|config| RoutingTable::compile(&config).is_ok());
    let mut answer = json!({ "result": "ok", "source": source, "condition": condition, "compiles": compiles });
    match sink {
        Sink::Upstream => answer["sink"] = json!("upstream"),
        Sink::Input { module, input } => {
            answer["sink"] = json!("module");
            answer["module"] = json!(module);
            answer["input"] = json!(input);
        }
    }
    answer
}

/// `sources.jsonl`: whether a path takes a message.
fn source_row(pattern: &str, message: &Value) -> Option<Value> {
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let message = Message {
        source: match message["kind"].as_str()? {
            "device" => MessageSource::Device,
            "twin" => MessageSource::TwinChange,
            "module" => MessageSource::Module { module: text("module")?, output: text("output") },
            _ => return None,
        },
        properties: Vec::new(),
        system: Vec::new(),
        body: bytes::Bytes::new(),
    };
    let document = json!({
        "schemaVersion": "1.0",
        "routes": { "r": format!("FROM {pattern} INTO $upstream") },
        "storeAndForwardConfiguration": {},
    });
    let config = Config::parse(EDGE_DEVICE_ID, &document.to_string()).ok()?;
    let table = RoutingTable::compile(&config).ok()?;
    Some(json!({
        "normalized": config.routes.first()?.source,
        "message_source": message.source.path(),
        "match": !table.destinations(&message).is_empty(),
    }))
}

/// `edgehub-config.jsonl`: the parse stage of a whole document.
fn config(document: &str) -> Value {
    let mut config = match Config::parse(EDGE_DEVICE_ID, document) {
        Ok(config) => config,
        Err(cause) => return json!({ "error": cause.to_string() }),
    };
    config.routes.sort_by(|one, other| one.name.cmp(&other.name));
    let routes: Vec<Value> = config
        .routes
        .iter()
        .map(|route| {
            let (sink, endpoint) = match &route.sink {
                Sink::Upstream => ("upstream", String::from("iothub")),
                Sink::Input { module, input } => ("input", format!("{EDGE_DEVICE_ID}/{module}/{input}")),
            };
            json!({
                "name": route.name, "source": route.source, "condition": route.condition, "sink": sink,
                "endpoint": endpoint, "priority": route.priority, "timeToLiveSecs": route.time_to_live_secs,
            })
        })
        .collect();
    let broker = config.broker.map(|counts| json!({ "bridges": counts.bridges, "statements": counts.statements }));
    json!({
        "ok": true, "schemaVersion": config.schema_version, "routes": routes,
        "timeToLiveSecs": config.time_to_live_secs, "infinite": config.time_to_live_secs < 0,
        "maxSizeBytes": config.max_size_bytes, "broker": broker, "integrity": config.integrity,
    })
}
