//! Standing monitors: what every history must show, whatever its own claim is.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Delivered, History, Identity, MARK, Place, Sent, value_of};
use crate::client::property_bag::Properties;

/// A promise that holds in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// Nothing arrives that nobody sent.
    Origin,
    /// Bodies arrive byte for byte.
    Body,
    /// Application properties arrive as they were sent.
    ApplicationProperties,
    /// System properties that travel arrive as they were sent.
    SystemProperties,
    /// A message names its sender, and only its sender.
    Sender,
    /// An acknowledged message arrives at most once at each place.
    Once,
    /// What one sender sent to one place arrives in that order.
    Order,
}

/// A monitor that went off.
#[derive(Debug, Clone)]
pub struct Breach {
    /// Which one.
    pub monitor: Monitor,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub observed: String,
    /// Index of the delivery in the history.
    pub delivery: usize,
}

/// System properties that reach a module input. Source: edgeHub's MQTT property mapping.
const TO_INPUT: [&str; 12] = [
    "messageId",
    "cid",
    "userId",
    "to",
    "absolute-expiry-time",
    "contentType",
    "contentEncoding",
    "messageSchema",
    "creationTime",
    "operation",
    "ack",
    "dt-subject",
];

/// System properties that reach the cloud with their value unchanged. `creationTime` travels too, spelled anew.
const TO_UPSTREAM: [&str; 8] =
    ["messageId", "cid", "userId", "to", "contentType", "contentEncoding", "messageSchema", "dt-subject"];

/// Looks at a whole history and gives the first breach, in order of arrival.
pub fn first_breach(history: &History, edge_device: &str) -> Option<Breach> {
    let sent: BTreeMap<&str, (usize, &Sent)> =
        history.sent.iter().enumerate().map(|(index, sent)| (sent.mark.as_str(), (index, sent))).collect();
    let mut seen = BTreeSet::new();
    let mut latest: BTreeMap<(&Identity, &Place), usize> = BTreeMap::new();
    for (delivery, delivered) in history.delivered.iter().enumerate() {
        let breach =
            |monitor, expected: String, observed: String| Some(Breach { monitor, expected, observed, delivery });
        let Some((index, sent)) = delivered.mark().and_then(|mark| sent.get(mark)) else {
            return breach(
                Monitor::Origin,
                format!("only messages of this case arrive at {}", delivered.at),
                format!("a message nobody sent: topic {}, {} bytes", delivered.topic, delivered.body.len()),
            );
        };
        let mark = &sent.mark;
        if let Some((monitor, expected, observed)) = altered(sent, delivered, edge_device) {
            return breach(monitor, expected, observed);
        }
        if !seen.insert((mark, &delivered.at)) {
            return breach(
                Monitor::Once,
                format!("{mark} arrives at {} once", delivered.at),
                format!("{mark} arrived there again"),
            );
        }
        let before = latest.insert((&sent.by, &delivered.at), *index);
        if before.is_some_and(|before| before > *index) {
            return breach(
                Monitor::Order,
                format!("{} receives what {} sent in the order it was sent", delivered.at, sent.by),
                format!("{mark} arrived after a later message"),
            );
        }
    }
    None
}

/// How a message differs from what its sender sent: which monitor that concerns, what was expected, and what arrived.
pub fn altered(sent: &Sent, delivered: &Delivered, edge_device: &str) -> Option<(Monitor, String, String)> {
    let mark = &sent.mark;
    if sent.body != delivered.body {
        return Some((
            Monitor::Body,
            format!("{mark} has a body of {} bytes: {}", sent.body.len(), excerpt(&sent.body)),
            format!("{mark} arrived with {} bytes: {}", delivered.body.len(), excerpt(&delivered.body)),
        ));
    }
    if normalised(&sent.properties) != normalised(&delivered.properties) {
        return Some((
            Monitor::ApplicationProperties,
            format!("{mark} has the application properties {}", listed(&sent.properties)),
            format!("{mark} arrived with {}", listed(&delivered.properties)),
        ));
    }
    if let Some((name, wanted, got)) = system_difference(sent, delivered) {
        return Some((
            Monitor::SystemProperties,
            format!("{mark} arrives at {} with {name} = {wanted:?}", delivered.at),
            format!("{name} = {got:?}"),
        ));
    }
    let observed = wrong_sender(sent, delivered, edge_device)?;
    Some((Monitor::Sender, format!("{mark} names its sender, {}", sent.by), observed))
}

/// Properties as a set: order is no promise, and over MQTT an empty value and no value are one.
fn normalised(properties: &Properties) -> BTreeSet<(String, String)> {
    properties.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default())).collect()
}

fn system_difference(sent: &Sent, delivered: &Delivered) -> Option<(&'static str, Option<String>, Option<String>)> {
    let travelling: &[&'static str] = match delivered.at {
        Place::Input { .. } => &TO_INPUT,
        Place::Upstream => &TO_UPSTREAM,
    };
    travelling.iter().find_map(|name| {
        let wanted = value_of(&sent.system, name).filter(|value| !value.is_empty());
        let got = value_of(&delivered.system, name).filter(|value| !value.is_empty());
        (wanted != got).then(|| (*name, wanted.map(str::to_owned), got.map(str::to_owned)))
    })
}

fn wrong_sender(sent: &Sent, delivered: &Delivered, edge_device: &str) -> Option<String> {
    let (device, module) = match &sent.by {
        Identity::Module(module) => (edge_device, Some(module.as_str())),
        Identity::LeafDevice(device) => (device.as_str(), None),
    };
    let (got_device, got_module) = match &delivered.connection {
        Some((device, module)) => (Some(device.as_str()), module.as_deref()),
        None => (value_of(&delivered.system, "connectionDeviceId"), value_of(&delivered.system, "connectionModuleId")),
    };
    let right = got_device == Some(device) && got_module == module;
    (!right).then(|| format!("it arrived as sent by device {got_device:?}, module {got_module:?}"))
}

fn listed(properties: &Properties) -> String {
    let listed: Vec<String> = properties
        .iter()
        .filter(|(name, _)| name != MARK)
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value:?}"),
            None => name.clone(),
        })
        .collect();
    if listed.is_empty() { "(none)".to_owned() } else { listed.join(", ") }
}

fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(60).collect();
    format!("{text:?}")
}
