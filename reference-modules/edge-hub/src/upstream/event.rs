//! A message as IoT Hub gets it, by whatever protocol.

use crate::core::{Envelope, date, system};
use crate::faults::planted;

/// System properties that go upstream, in the order the product writes them.
const CARRIED: [&str; 9] = [
    system::MESSAGE_ID,
    system::CORRELATION_ID,
    system::USER_ID,
    system::CONTENT_TYPE,
    system::CONTENT_ENCODING,
    system::TO,
    system::CREATION_TIME,
    system::MESSAGE_SCHEMA,
    system::COMPONENT,
];

/// The one interface whose id goes upstream.
const SECURITY_AGENT: &str = "urn:azureiot:Security:SecurityAgent:1";

/// What of a message's system properties goes upstream, under the names of [`system`].
pub fn carried(envelope: &Envelope) -> Vec<(&'static str, String)> {
    let surplus = planted("MSG04-expiry-goes-upstream").then_some(&system::EXPIRY);
    let mut carried = Vec::new();
    for &name in CARRIED.iter().chain(surplus) {
        if name == system::MESSAGE_ID && planted("MSG04-message-id-is-lost-upstream") {
            continue;
        }
        if let Some(value) = envelope.system(name).filter(|value| !value.is_empty()) {
            let value = match name {
                system::CREATION_TIME => date::round_trip(value).unwrap_or_else(|| value.to_owned()),
                _ => value.to_owned(),
            };
            carried.push((name, value));
        }
    }
    if let Some(interface) = envelope.system(system::INTERFACE_ID).filter(|id| id.eq_ignore_ascii_case(SECURITY_AGENT))
    {
        carried.push((system::INTERFACE_ID, interface.to_owned()));
    }
    carried
}
