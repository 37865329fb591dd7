//! What the benches feed the hub: messages and configurations like those of a small plant.
//!
//! - `criterion/`: one file for each hot path, in time per call.
//! - `ratios/`: the two promises about growth, as ratios within one run.

use bytes::Bytes;
use edge_hub::core::Envelope;
use edge_hub::core::routing::{Config, Message, MessageSource, RoutingTable};
use serde_json::{Map, Value, json};

/// About a hundred bytes of telemetry.
pub const BODY: &[u8] =
    br#"{"machine":{"temperature":21.4,"pressure":1013.25},"ambient":{"humidity":24},"seq":104729,"ok":true}"#;

/// Telemetry of the output `readings` of a module, with three application properties.
pub fn message(module: &str) -> Message {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
    };
    Message {
        source: MessageSource::Module { module: module.to_owned(), output: Some(String::from("readings")) },
        properties: pairs(&[("line", "press-7"), ("grade", "12"), ("alarm", "no")]),
        system: pairs(&[
            ("messageId", "6b7cf0f2-1a5e-4a0c-8d5a-0c6a5b5f3f10"),
            ("contentType", "application/json"),
            ("contentEncoding", "utf-8"),
            ("connectionDeviceId", "edge1"),
            ("connectionModuleId", module),
        ]),
        body: Bytes::from_static(BODY),
    }
}

/// The same, on its way to the store.
pub fn envelope(module: &str) -> Envelope {
    Envelope::stored(message(module))
}

/// The table of these routes.
///
/// # Panics
/// When a route is none.
pub fn table(routes: impl IntoIterator<Item = String>) -> RoutingTable {
    let routes: Map<String, Value> =
        routes.into_iter().enumerate().map(|(number, route)| (format!("r{number}"), Value::String(route))).collect();
    let document = json!({
        "schemaVersion": "1.1", "routes": routes, "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
    });
    let config = Config::parse("edge1", &document.to_string()).expect("a configuration");
    RoutingTable::compile(&config).expect("conditions that compile")
}

/// A route from everything of one module to an input of its own number.
pub fn route(module: &str, condition: &str, number: usize) -> String {
    format!(
        "FROM /messages/modules/{module}/outputs/* WHERE {condition} INTO \
         BrokeredEndpoint(\"/modules/sink/inputs/i{number}\")"
    )
}
