//! Topics of IoT Hub.

use crate::core::{Envelope, system};
use crate::heads::mqtt::bag;
use crate::identity::ClientId;
use crate::upstream::event;

/// Where changes of desired properties come from.
pub const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";

/// Where calls of methods come from.
pub const METHODS: &str = "$iothub/methods/POST/";

/// Where answers to twin requests come from.
pub const RESPONSES: &str = "$iothub/twin/res/";

/// Where, in the topic of a device, cloud-to-device messages come from.
pub const DEVICEBOUND: &str = "/messages/devicebound";

/// What a bag calls system properties that go upstream.
const WIRE: [(&str, &str); 11] = [
    ("$.mid", system::MESSAGE_ID),
    ("$.cid", system::CORRELATION_ID),
    ("$.uid", system::USER_ID),
    ("$.ct", system::CONTENT_TYPE),
    ("$.ce", system::CONTENT_ENCODING),
    ("$.to", system::TO),
    ("$.ctime", system::CREATION_TIME),
    ("$.schema", system::MESSAGE_SCHEMA),
    ("$.sub", system::COMPONENT),
    ("$.exp", system::EXPIRY),
    ("$.ifid", system::INTERFACE_ID),
];

/// Topic of an event, sent on the connection of `sender`.
pub fn event(sender: &ClientId, envelope: &Envelope) -> String {
    let carried = event::carried(envelope);
    let wire = |name: &str| WIRE.iter().find(|(_, known)| *known == name).map(|(wire, _)| *wire);
    let system = carried.iter().filter_map(|(name, value)| Some((wire(name)?, Some(value.as_str()))));
    let properties = envelope
        .message
        .properties
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref().filter(|value| !value.is_empty())));
    let bag = bag::write(system.chain(properties));
    match &sender.module {
        Some(module) => format!("devices/{}/modules/{module}/messages/events/{bag}", sender.device),
        None => format!("devices/{}/messages/events/{bag}", sender.device),
    }
}

/// The filter for messages of the cloud for an identity.
pub fn devicebound(client: &ClientId) -> String {
    match &client.module {
        Some(module) => format!("devices/{}/modules/{module}{DEVICEBOUND}/#", client.device),
        None => format!("devices/{}{DEVICEBOUND}/#", client.device),
    }
}

/// Status and id of the request, from a topic behind [`RESPONSES`].
pub fn response(topic: &str) -> Option<(u16, String)> {
    let (status, query) = topic.split_once("/?")?;
    let rid = query.split('&').find_map(|pair| pair.strip_prefix("$rid="))?;
    Some((status.parse().ok()?, rid.to_owned()))
}
