//! What becomes of each part of a message between two protocols.
//!
//! Source: edgeHub's `MqttMessageConverter` tables and `edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Amqp/AmqpMessageConverter.cs`.

use std::collections::BTreeMap;

use harness::client::property_bag::Properties;
use harness::transport::Transport;

/// Whoever gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// A module, over this transport.
    Module(Transport),
    /// The cloud.
    Cloud,
}

/// A system property, and who gets to see it.
struct Property {
    /// As route conditions name it.
    name: &'static str,
    /// A module that speaks MQTT.
    mqtt: bool,
    /// A module that speaks AMQP.
    amqp: bool,
    /// The cloud.
    cloud: bool,
}

const fn seen(name: &'static str, mqtt: bool, amqp: bool, cloud: bool) -> Property {
    Property { name, mqtt, amqp, cloud }
}

/// System properties that senders of each protocol can set, and who sees them with the same value. The cloud sees
/// `creationTime` too, spelled anew. `ack` is a property of its own on AMQP, and is left out here.
const SYSTEM: [Property; 12] = [
    seen("messageId", true, true, true),
    seen("cid", true, true, true),
    seen("userId", true, true, true),
    seen("to", true, true, true),
    seen("contentType", true, true, true),
    seen("contentEncoding", true, true, true),
    seen("messageSchema", true, true, true),
    seen("dt-subject", true, true, true),
    seen("creationTime", true, true, false),
    seen("absolute-expiry-time", true, true, false),
    seen("operation", true, true, false),
    seen("iothub-interface-id", false, false, false),
];

/// Properties of which the cloud sees something that is not compared.
const SPELLED_ANEW: &str = "creationTime";

/// Names of all system properties a sender of any protocol can set.
pub const NAMES: [&str; 12] = {
    let mut names = [""; 12];
    let mut at = 0;
    while at < 12 {
        names[at] = SYSTEM[at].name;
        at += 1;
    }
    names
};

/// The system properties a receiver must see of those that were sent.
pub fn system(sent: &Properties, receiver: Receiver) -> BTreeMap<String, String> {
    let visible = |property: &&Property| match receiver {
        Receiver::Module(transport) if transport.is_mqtt() => property.mqtt,
        Receiver::Module(_) => property.amqp,
        Receiver::Cloud => property.cloud,
    };
    let value = |property: &Property| {
        let (name, value) = sent.iter().find(|(name, _)| name == property.name)?;
        Some((name.clone(), value.clone().filter(|value| !value.is_empty())?))
    };
    SYSTEM.iter().filter(visible).filter_map(value).collect()
}

/// What a receiver did see, as far as [`system`] speaks of it.
pub fn seen_system(delivered: &Properties, receiver: Receiver) -> BTreeMap<String, String> {
    let compared = |name: &str| NAMES.contains(&name) && !(receiver == Receiver::Cloud && name == SPELLED_ANEW);
    let value = |(name, value): &(String, Option<String>)| {
        Some((name.clone(), value.clone().filter(|value| !value.is_empty())?))
    };
    delivered.iter().filter(|(name, _)| compared(name)).filter_map(value).collect()
}

/// Application properties as they must arrive, or as they did: over MQTT an empty value and none are one.
pub fn application(properties: &Properties, sender: Transport, receiver: Receiver) -> BTreeMap<String, Option<String>> {
    let exact = matches!(receiver, Receiver::Module(transport) if !transport.is_mqtt()) && !sender.is_mqtt();
    let value = |value: &Option<String>| value.clone().filter(|value| exact || !value.is_empty());
    properties.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}
