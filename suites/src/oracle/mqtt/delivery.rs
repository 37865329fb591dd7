//! Topics of what the hub publishes to a client. Ids, input names, method names and `$rid` go in as they are, unescaped.
//!
//! Source: Azure/iotedge `Hub.Mqtt/ProtocolGatewayMessageConverter.cs` and the templates in `appsettings_hub.json`, as
//! recorded in `fixtures/vectors/mqtt-topics.jsonl`.

use super::{Pairs, bag, property, put};

/// The topic of a message to an input of a module. Compare the bag behind the last `/` as a set.
pub fn input(device: &str, module: &str, input: &str, properties: &Pairs, system: &Pairs) -> String {
    with_bag(&format!("devices/{device}/modules/{module}/inputs/{input}"), properties, system)
}

/// The topic of a cloud-to-device message.
pub fn cloud_to_device(device: &str, properties: &Pairs, system: &Pairs) -> String {
    with_bag(&format!("devices/{device}/messages/devicebound"), properties, system)
}

/// The topic of the answer to a twin request, `rid` as the client spelled it.
pub fn twin_response(status: &str, rid: &str) -> String {
    format!("$iothub/twin/res/{status}/?$rid={rid}")
}

/// The topic of a patch of desired properties.
pub fn desired(version: u64) -> String {
    format!("$iothub/twin/PATCH/properties/desired/?$version={version}")
}

/// The topic of a direct method's request.
pub fn method_request(name: &str, rid: &str) -> String {
    format!("$iothub/methods/POST/{name}/?$rid={rid}")
}

/// The pairs of the bag with which a message is delivered: the sender's properties, then what is shown of the system
/// properties. Where both have a name, the system's value counts.
pub fn delivered(properties: &Pairs, system: &Pairs) -> Pairs {
    let mut pairs = properties.clone();
    for (internal, value) in system {
        if let Some(wire) = property::shown(internal) {
            put(&mut pairs, wire, value.clone());
        }
    }
    pairs
}

/// An empty bag takes the slash before it along.
fn with_bag(topic: &str, properties: &Pairs, system: &Pairs) -> String {
    let bag = bag::write(&delivered(properties, system));
    if bag.is_empty() { topic.to_owned() } else { format!("{topic}/{bag}") }
}
