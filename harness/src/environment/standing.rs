//! The standing configuration of the hub: what is routed whatever a case configures.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Environment;
use crate::stage::MARKER;

impl Environment {
    /// The standing configuration's routes: an anchor for each input, and one towards the cloud for each sender.
    pub fn anchors(&self) -> BTreeMap<String, Value> {
        let mut routes = BTreeMap::new();
        for (number, (module, input)) in self.blueprint.inputs.iter().enumerate() {
            routes.insert(
                format!("anchor-{number}"),
                json!(format!("FROM /messages/modules/{MARKER}/outputs/a{number} WHERE true INTO BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")")),
            );
        }
        // Names of routes are names of properties: a module's may have characters that no property has.
        for (number, module) in self.blueprint.modules.iter().enumerate() {
            routes.insert(
                format!("anchor-up-{number}"),
                json!(format!("FROM /messages/modules/{module}/outputs/up WHERE true INTO $upstream")),
            );
        }
        if !self.blueprint.leaf_devices.is_empty() {
            routes.insert(
                "anchor-up-leaf".into(),
                json!("FROM /messages WHERE own = 'marker' and not is_defined($connectionModuleId) INTO $upstream"),
            );
        }
        routes
    }

    /// The marker output whose anchor leads to an input.
    pub fn anchor_output(&self, module: &str, input: &str) -> Option<String> {
        self.blueprint
            .inputs
            .iter()
            .position(|(owner, name)| owner == module && name == input)
            .map(|number| format!("a{number}"))
    }

    /// The standing desired document of `$edgeHub`, with these routes.
    pub fn desired(&self, routes: &BTreeMap<String, Value>) -> Value {
        standing_desired(routes)
    }
}

/// The standing desired document of `$edgeHub`.
pub(super) fn standing_desired(routes: &BTreeMap<String, Value>) -> Value {
    json!({
        "schemaVersion": "1.1",
        "routes": routes,
        "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
    })
}
