//! What a PUBLISH of a client is, by its topic; and, re-exported, the topics of what the hub publishes.
//!
//! Source: Azure/iotedge `Hub.Mqtt/MessageAddressConverter.cs`, `ProtocolGatewayMessageConverter.cs`,
//! `MessagingServiceClient.cs`, the templates in `appsettings_hub.json`, `UriPathTemplate.cs` of the protocol gateway; as
//! recorded in `fixtures/vectors/mqtt-topics.jsonl`.

pub use super::delivery::{cloud_to_device, delivered, desired, input, method_request, twin_response};
use super::escape::{decode_where, escaped_bytes, is_unreserved};
use super::{Pairs, bag, property, put, twin};

/// What becomes of a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publish {
    /// A message to be routed.
    Telemetry(Telemetry),
    /// The answer to a direct method.
    MethodResponse {
        /// As it is spelled; a number or not.
        status: String,
        /// As it is spelled, further pairs included.
        rid: String,
    },
    /// A request for the twin.
    TwinGet {
        /// As it is spelled.
        rid: String,
    },
    /// A patch of reported properties.
    TwinPatch {
        /// As it is spelled. Without one, or with a blank one, there is no answer.
        rid: String,
    },
    /// Acknowledged, and nothing happens.
    Dropped,
    /// The connection is closed, without an acknowledgement.
    Fault,
}

/// A message as its topic tells it, before the hub adds properties of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telemetry {
    /// System properties under the hub's names; the sender is in `connectionDeviceId` and `connectionModuleId`.
    pub system: Pairs,
    /// The sender's own properties.
    pub properties: Pairs,
}

/// What the checks behind the topic make of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes to the routes, unless it is too large.
    Routed,
    /// Acknowledged and dropped: it has no sender, or a module's output has an empty name.
    Dropped,
    /// Not settled: the sender's device was replaced by nothing (`deviceId=`), or a device named an empty output.
    Unsettled,
}

impl Telemetry {
    /// The value of a system property, by the hub's name.
    pub fn system(&self, name: &str) -> Option<&str> {
        named(&self.system, name).flatten()
    }

    /// What becomes of the message behind its topic.
    pub fn fate(&self) -> Fate {
        let output = named(&self.system, "outputName");
        let unnamed = output.is_some_and(|output| output.is_none_or(str::is_empty));
        match named(&self.system, "connectionDeviceId") {
            None => Fate::Dropped,
            Some(None) => Fate::Unsettled,
            Some(Some(_)) if unnamed && self.system("connectionModuleId").is_some() => Fate::Dropped,
            Some(Some(_)) if unnamed => Fate::Unsettled,
            Some(Some(_)) => Fate::Routed,
        }
    }
}

fn named<'pairs>(pairs: &'pairs Pairs, name: &str) -> Option<Option<&'pairs str>> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_deref())
}

/// Templates in the order of the product; the first that fits the end of a topic decides. `{..}` is a segment.
const TEMPLATES: [&str; 7] = [
    "devices/{deviceId}/messages/events",
    "devices/{deviceId}/messages/events/{bag}",
    "devices/{deviceId}/messages/events/{bag}/",
    "devices/{deviceId}/modules/{moduleId}/messages/events",
    "devices/{deviceId}/modules/{moduleId}/messages/events/{bag}",
    "devices/{deviceId}/modules/{moduleId}/messages/events/{bag}/",
    "$iothub/methods/res/{statusCode}/?$rid={correlationId}",
];

/// What a template captures that is no property of its own.
const SENDER: [(&str, &str); 2] = [("deviceId", "connectionDeviceId"), ("moduleId", "connectionModuleId")];

/// What becomes of a PUBLISH to a topic.
pub fn publish(topic: &str) -> Publish {
    if topic.trim().is_empty() {
        return Publish::Fault;
    }
    if let Some(rest) = topic.strip_prefix(twin::PREFIX) {
        return twin::request(rest);
    }
    let topic = normalised(topic);
    let Some(captures) = captures(&topic) else { return Publish::Dropped };
    match captures.as_slice() {
        // The pattern tolerates a prefix, the address of a response does not: with one it is a message without sender.
        [("statusCode", status), ("correlationId", rid)] if topic.starts_with("$iothub/methods/res/") => {
            Publish::MethodResponse { status: (*status).to_owned(), rid: (*rid).to_owned() }
        }
        _ => telemetry(&captures).map_or(Publish::Dropped, Publish::Telemetry),
    }
}

/// Sorts captures and bag into system properties and the sender's own; `None` for what is dropped.
fn telemetry(captures: &[(&str, &str)]) -> Option<Telemetry> {
    let mut table = Pairs::new();
    for (name, value) in captures {
        if *name == "bag" {
            // Read into the table of the captures: a property named `deviceId` replaces the sender's device.
            bag::read(value).ok()?.into_iter().for_each(|(name, value)| put(&mut table, &name, value));
        } else {
            put(&mut table, name, Some((*value).to_owned()));
        }
    }
    let mut message = Telemetry::default();
    for (name, value) in table {
        let sender = SENDER.iter().find(|(capture, _)| *capture == name).map(|(_, internal)| *internal);
        match sender.or_else(|| property::taken(&name)) {
            Some(internal) => put(&mut message.system, internal, value),
            None => message.properties.push((name, value)),
        }
    }
    (!names_differ_in_case_only(&message.properties)).then_some(message)
}

fn names_differ_in_case_only(properties: &Pairs) -> bool {
    let mut names: Vec<String> = properties.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort_unstable();
    names.windows(2).any(|two| two[0] == two[1])
}

/// What the first template that fits captures, in its order.
fn captures(topic: &str) -> Option<Vec<(&'static str, &str)>> {
    let segments: Vec<&str> = topic.split('/').collect();
    if is_read_as_another_address(topic, &segments) {
        return None;
    }
    TEMPLATES.iter().find_map(|template| fit(template, &segments))
}

/// The product reads a topic as the path of a URI first. A scheme is none of a path (`c:` alone passes, as a drive), and
/// backslashes and dots move segments away.
fn is_read_as_another_address(topic: &str, segments: &[&str]) -> bool {
    let scheme =
        segments[0].contains(':') && !matches!(segments[0].as_bytes(), [drive, b':'] if drive.is_ascii_alphabetic());
    scheme || topic.contains('\\') || segments.iter().any(|segment| [".", ".."].contains(segment))
}

/// Fits a template to the last segments of a topic. Its first word may have anything before it.
fn fit<'topic>(template: &'static str, segments: &[&'topic str]) -> Option<Vec<(&'static str, &'topic str)>> {
    let template: Vec<&'static str> = template.split('/').collect();
    let last = &segments[segments.len().checked_sub(template.len())?..];
    if !last[0].ends_with(template[0]) {
        return None;
    }
    let mut captures = Vec::new();
    for (pattern, segment) in template.iter().zip(last).skip(1) {
        match pattern.split_once('{') {
            Some((word, name)) => captures.push((name.strip_suffix('}')?, segment.strip_prefix(word)?)),
            None if pattern == segment => {}
            None => return None,
        }
    }
    Some(captures)
}

/// A topic with a raw character outside ASCII, or an escape of such or of an unreserved one, is normalised as a whole:
/// it loses its escapes, but for those of controls, of reserved characters and of what is not UTF-8.
fn normalised(topic: &str) -> String {
    const KEPT: &str = "%\\:/?#[]@!$&'()*+,;=";
    let needless = |byte: u8| !byte.is_ascii() || is_unreserved(byte);
    if topic.is_ascii() && !escaped_bytes(topic).into_iter().any(needless) {
        return topic.to_owned();
    }
    decode_where(topic, |character| !character.is_control() && !KEPT.contains(character))
}
