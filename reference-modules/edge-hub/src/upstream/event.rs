//! A message as IoT Hub gets it.

use crate::core::{Envelope, date, system};
use crate::faults::planted;
use crate::heads::mqtt::bag;
use crate::identity::ClientId;

/// System properties that go upstream, in the order the product writes them.
const CARRIED: [(&str, &str); 9] = [
    ("$.mid", system::MESSAGE_ID),
    ("$.cid", system::CORRELATION_ID),
    ("$.uid", system::USER_ID),
    ("$.ct", system::CONTENT_TYPE),
    ("$.ce", system::CONTENT_ENCODING),
    ("$.to", system::TO),
    ("$.ctime", system::CREATION_TIME),
    ("$.schema", system::MESSAGE_SCHEMA),
    ("$.sub", system::COMPONENT),
];

/// The one interface whose id goes upstream.
const SECURITY_AGENT: &str = "urn:azureiot:Security:SecurityAgent:1";

/// Topic of an event, sent on the connection of `sender`.
pub fn topic(sender: &ClientId, envelope: &Envelope) -> String {
    let mut pairs: Vec<(&str, Option<String>)> = Vec::new();
    let surplus = ("$.exp", system::EXPIRY);
    let carried = CARRIED.iter().chain(planted("MSG04-expiry-goes-upstream").then_some(&surplus));
    for &(wire, name) in carried {
        if name == system::MESSAGE_ID && planted("MSG04-message-id-is-lost-upstream") {
            continue;
        }
        if let Some(value) = envelope.system(name).filter(|value| !value.is_empty()) {
            let value = match name {
                system::CREATION_TIME => date::round_trip(value).unwrap_or_else(|| value.to_owned()),
                _ => value.to_owned(),
            };
            pairs.push((wire, Some(value)));
        }
    }
    if let Some(interface) = envelope.system(system::INTERFACE_ID).filter(|id| id.eq_ignore_ascii_case(SECURITY_AGENT))
    {
        pairs.push(("$.ifid", Some(interface.to_owned())));
    }
    for (name, value) in &envelope.message.properties {
        pairs.push((name, value.clone().filter(|value| !value.is_empty())));
    }
    let bag = bag::write(pairs.iter().map(|(name, value)| (*name, value.as_deref())));
    match &sender.module {
        Some(module) => format!("devices/{}/modules/{module}/messages/events/{bag}", sender.device),
        None => format!("devices/{}/messages/events/{bag}", sender.device),
    }
}
