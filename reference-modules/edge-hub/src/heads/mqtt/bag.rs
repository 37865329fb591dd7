//! The property bag at the end of a topic, and the wire names of system properties.
//!
//! Source: Azure/azure-iot-sdk-csharp, `UrlEncodedDictionarySerializer.cs`; Azure/iotedge,
//! `Microsoft.Azure.Devices.Edge.Hub.Core/SystemProperties.cs`.

use crate::core::system;
use crate::faults::planted;
use crate::percent::{escape, unescape};

/// A name and its value, if it has one.
pub type Pair = (String, Option<String>);

/// Names and values in order.
pub type Pairs = Vec<Pair>;

/// A bag that cannot be read; the message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed property bag")]
pub struct Malformed;

/// Wire name, internal name, whether receivers of the hub see it. All of these may be sent by clients.
const NAMES: &[(&str, &str, bool)] = &[
    ("$.mid", system::MESSAGE_ID, true),
    ("$.cid", system::CORRELATION_ID, true),
    ("$.uid", system::USER_ID, true),
    ("$.to", system::TO, true),
    ("$.exp", system::EXPIRY, true),
    ("$.ct", system::CONTENT_TYPE, true),
    ("$.ce", system::CONTENT_ENCODING, true),
    ("$.schema", system::MESSAGE_SCHEMA, true),
    ("$.ctime", system::CREATION_TIME, true),
    ("$.sub", system::COMPONENT, true),
    ("ack", system::ACK, true),
    ("iothub-operation", system::OPERATION, true),
    ("$.on", system::OUTPUT_NAME, false),
    ("$.ifid", system::INTERFACE_ID, false),
];

/// Wire names of what the hub says about the sender. A client's own properties of these names are its own affair.
/// Of a notification, those whose twin changed come before the hub that sent it.
const SENDER: [(&str, &str); 4] = [
    ("$.cdid", system::REPORTING_DEVICE_ID),
    ("$.cmid", system::REPORTING_MODULE_ID),
    ("$.cdid", system::CONNECTION_DEVICE_ID),
    ("$.cmid", system::CONNECTION_MODULE_ID),
];

/// Reads a bag. A bare key and a key with an empty value both have no value; the last of a name counts.
///
/// # Errors
/// [`Malformed`] for an empty key or a second `=` within a pair.
pub fn read(bag: &str) -> Result<Pairs, Malformed> {
    let mut pairs = Pairs::new();
    for pair in bag.split('&').filter(|_| !bag.trim().is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name.is_empty() || value.contains('=') {
            return Err(Malformed);
        }
        let name = if planted("PUB02-escaped-names-are-not-decoded") { name.to_owned() } else { unescape(name) };
        let value = Some(unescape(value)).filter(|value| !value.is_empty());
        let value =
            if planted("BAG01-plus-is-read-as-blank") { value.map(|value| value.replace('+', " ")) } else { value };
        match pairs.iter_mut().find(|(known, _)| *known == name) {
            Some(_) if planted("BAG05-first-duplicate-wins") => {}
            Some((_, earlier)) => *earlier = value,
            None => pairs.push((name, value)),
        }
    }
    Ok(pairs)
}

/// Writes a bag.
pub fn write<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut bag = String::new();
    for (number, (name, value)) in pairs.into_iter().enumerate() {
        if number > 0 {
            bag.push('&');
        }
        bag.push_str(&if planted("BAG02-dollar-is-not-escaped") && name.starts_with("$.") {
            name.to_owned()
        } else {
            escape(name)
        });
        match value {
            Some(value) => {
                bag.push('=');
                bag.push_str(&if planted("BAG01-values-are-not-escaped") {
                    value.replace('%', "%25")
                } else {
                    escape(value)
                });
            }
            None if planted("BAG03-bare-key-gains-an-equals-sign") => bag.push('='),
            None => {}
        }
    }
    bag
}

/// Parts what a client sent into application and system properties.
pub fn classify(pairs: Pairs) -> (Pairs, Pairs) {
    let mut application = Pairs::new();
    let mut system = Pairs::new();
    for (name, value) in pairs {
        let internal = NAMES.iter().find(|(wire, ..)| *wire == name).map(|(_, internal, _)| *internal);
        match internal {
            Some(internal) => system.push((internal.to_owned(), value)),
            None => application.push((name, value)),
        }
    }
    (application, system)
}

/// The bag a receiver of the hub sees: application properties, then system properties. What the hub knows of the
/// sender takes the place of application properties of the same wire name.
pub fn outgoing(application: &[Pair], system: &[Pair]) -> String {
    let mut shown: Vec<(&str, Option<&str>)> = Vec::new();
    let reported = |name: &str| SENDER[..2].iter().any(|(_, known)| *known == name);
    let (reported, others): (Vec<_>, Vec<_>) = system.iter().partition(|(name, _)| reported(name));
    for (name, value) in reported.into_iter().chain(others) {
        let Some(wire) = wire_name(name).filter(|wire| !lost(wire)) else { continue };
        if !shown.iter().any(|(known, _)| *known == wire) {
            shown.push((wire, value.as_deref()));
        }
    }
    let overwritten = |name: &str| {
        let forged = planted("BAG07-forged-sender-is-shown") && SENDER.iter().any(|(wire, _)| *wire == name);
        !forged && shown.iter().any(|(wire, _)| *wire == name)
    };
    let mut kept: Vec<(&str, Option<&str>)> = application
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .filter(|(name, _)| !overwritten(name))
        .collect();
    if kept.len() > 1 && planted("MSG02-last-application-property-is-lost") {
        kept.pop();
    }
    let own: Vec<&str> = kept.iter().map(|(name, _)| *name).collect();
    let system = shown.into_iter().filter(|(wire, _)| !own.contains(wire));
    write(kept.iter().copied().chain(system))
}

fn wire_name(internal: &str) -> Option<&'static str> {
    let everything = planted("R09-output-name-is-shown") && internal == system::OUTPUT_NAME
        || planted("DLV03-interface-id-is-shown") && internal == system::INTERFACE_ID;
    NAMES
        .iter()
        .filter(|(_, _, shown)| *shown || everything)
        .map(|(wire, known, _)| (*wire, *known))
        .chain(SENDER)
        .find(|(_, known)| *known == internal)
        .map(|(wire, _)| wire)
}

/// Whether a planted fault loses this system property on its way to a module.
fn lost(wire: &str) -> bool {
    match wire {
        "$.mid" => planted("R10-message-id-is-lost"),
        "$.cid" => planted("R10-correlation-id-is-lost"),
        "$.uid" => planted("R10-user-id-is-lost"),
        "$.ct" => planted("R10-content-type-is-lost"),
        "$.ce" => planted("R10-content-encoding-is-lost"),
        "$.cdid" => planted("DLV02-sending-device-is-not-named"),
        "$.cmid" => planted("DLV02-sending-module-is-not-named"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_overwrites_a_forged_sender_where_it_knows_better() {
        let forged = vec![(String::from("$.cdid"), Some(String::from("x"))), (String::from("$.cmid"), None)];
        let known = vec![(system::CONNECTION_DEVICE_ID.to_owned(), Some(String::from("leaf1")))];
        assert_eq!(outgoing(&forged, &known), "%24.cmid&%24.cdid=leaf1");
    }
}
