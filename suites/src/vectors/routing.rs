//! Rows about routing: conditions, routes, sources, and the configuration as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::oracle::{self, Message, RouteRefusal, Sink, Source, Stage, Truth};

/// What the oracle answers; `None` for other rows.
pub fn answer(row: &Value) -> Option<Value> {
    if row["condition"].is_string() && row["message"].is_object() {
        return Some(condition(row));
    }
    if row["route"].is_string() {
        return Some(route(row["route"].as_str()?));
    }
    if row["pattern"].is_string() {
        return Some(source(row));
    }
    match row["op"].as_str() {
        Some("config") => Some(configuration(row["document"].as_str()?)),
        _ => None,
    }
}

fn configuration(text: &str) -> Value {
    let Ok(document) = oracle::document(text) else { return json!({ "result": { "error": "refused" } }) };
    let mut routes = document.routes;
    routes.sort_by(|one, other| one.name.encode_utf16().cmp(other.name.encode_utf16()));
    let routes: Vec<Value> = routes
        .iter()
        .map(|named| {
            let (sink, endpoint) = match &named.route.sink {
                Sink::Upstream => ("upstream", "iothub".to_owned()),
                Sink::Input { module, input } => ("input", format!("edge1/{module}/{input}")),
            };
            json!({
                "name": named.name, "source": named.route.source, "condition": named.route.condition, "sink": sink,
                "endpoint": endpoint, "priority": named.priority, "timeToLiveSecs": named.time_to_live_secs,
            })
        })
        .collect();
    json!({ "result": {
        "ok": true,
        "schemaVersion": document.schema_version,
        "routes": routes,
        "timeToLiveSecs": document.time_to_live_secs,
        "infinite": document.time_to_live_secs < 0,
        "maxSizeBytes": document.max_size_bytes,
        "broker": document.broker.map(|broker| json!({"bridges": broker.bridges, "statements": broker.statements})),
        "integrity": document.integrity,
    }})
}

fn condition(row: &Value) -> Value {
    let pairs = |value: &Value| {
        let members = value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned))).collect::<Vec<_>>()
    };
    let message = Message {
        source: Source::LeafDevice,
        properties: pairs(&row["message"]["app"]),
        system: pairs(&row["message"]["sys"]),
        body: STANDARD.decode(row["message"]["body_base64"].as_str().unwrap_or_default()).unwrap_or_default(),
    };
    match oracle::condition(row["condition"].as_str().unwrap_or_default()) {
        Err(Stage::Parse) => json!({ "result": "compile-error", "stage": "route" }),
        Err(Stage::Compile) => json!({ "result": "compile-error", "stage": "compile" }),
        Ok(condition) => json!({ "result": match condition.evaluate(&message) {
            Truth::True => "true",
            Truth::False => "false",
            Truth::Undefined => "undefined",
        }}),
    }
}

fn route(text: &str) -> Value {
    let parsed = match oracle::route(text) {
        Ok(parsed) => parsed,
        Err(refusal) => {
            let error = match refusal {
                RouteRefusal::Grammar => "grammar",
                RouteRefusal::Sink => "sink",
                RouteRefusal::Empty => "empty",
            };
            return json!({ "result": "parse-error", "error": error });
        }
    };
    let mut answer = json!({
        "result": "ok",
        "source": parsed.source,
        "condition": parsed.condition,
        "compiles": parsed.compiles(),
    });
    match parsed.sink {
        Sink::Upstream => answer["sink"] = json!("upstream"),
        Sink::Input { module, input } => {
            answer["sink"] = json!("module");
            answer["module"] = json!(module);
            answer["input"] = json!(input);
        }
    }
    answer
}

fn source(row: &Value) -> Value {
    let message = &row["message"];
    let source = match message["kind"].as_str() {
        Some("module") => Source::Module {
            module: message["module"].as_str().unwrap_or_default().to_owned(),
            output: message["output"].as_str().map(str::to_owned),
        },
        Some("twin") => Source::TwinChange,
        _ => Source::LeafDevice,
    };
    let text = format!("FROM {} INTO $upstream", row["pattern"].as_str().unwrap_or_default());
    let pattern = oracle::route(&text).map(|route| route.source).unwrap_or_default();
    json!({
        "normalized": pattern,
        "message_source": oracle::own_path(&source),
        "match": oracle::source_matches(&pattern, &source),
    })
}
