//! From what a client sent to what the routing model is asked about.

use std::collections::BTreeSet;

use harness::observe::history::{Identity, Place, Sent};

use crate::oracle::{self, Message, Sink, Source};

/// The message as the hub routes it: with what the hub stamps on it, and with what MQTT does to it.
///
/// Source: system properties the hub adds, `routing/RoutingEdgeHub.cs`; a property without value and one with an empty
/// value are one on MQTT.
pub fn routed(sent: &Sent, edge_device: &str) -> Message {
    let (source, device, module) = match &sent.by {
        Identity::LeafDevice(device) => (Source::LeafDevice, device.as_str(), None),
        Identity::Module(module) => {
            (Source::Module { module: module.clone(), output: sent.output.clone() }, edge_device, Some(module.as_str()))
        }
    };
    let mut system = sent.system.clone();
    let mut stamp = |name: &str, value: &str| system.push((name.to_owned(), Some(value.to_owned())));
    stamp("connectionDeviceId", device);
    if let Some(module) = module {
        stamp("connectionModuleId", module);
    }
    if let Some(output) = &sent.output {
        stamp("outputName", output);
    }
    stamp("edgeMessageId", "00000000-0000-0000-0000-000000000000");
    stamp("edgeHubOriginInterface", if module.is_some() { "internal" } else { "downstream" });
    Message { source, properties: on_mqtt(&sent.properties), system: on_mqtt(&system), body: sent.body.to_vec() }
}

fn on_mqtt(properties: &[(String, Option<String>)]) -> Vec<(String, Option<String>)> {
    properties.iter().map(|(name, value)| (name.clone(), value.clone().filter(|value| !value.is_empty()))).collect()
}

/// The places a message must reach, and no others.
pub fn places(table: &oracle::Table, message: &Message) -> BTreeSet<Place> {
    table
        .deliveries(message)
        .into_iter()
        .map(|delivery| match delivery.sink {
            Sink::Upstream => Place::Upstream,
            Sink::Input { module, input } => Place::Input { module, input },
        })
        .collect()
}
