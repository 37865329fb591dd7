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

/// What a template captures, in its order.
type Captures<'topic> = Vec<(&'static str, &'topic str)>;

/// What the first template that fits captures.
fn captures(topic: &str) -> Option<Captures<'_>> {
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
fn fit<'topic>(template: &'static str, segments: &[&'topic str]) -> Option<Captures<'topic>> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Device and module of a message, where a topic is one.
    fn sender(topic: &str) -> Option<(Option<String>, Option<String>)> {
        let Publish::Telemetry(message) = publish(topic) else { return None };
        let id = |name: &str| message.system(name).map(str::to_owned);
        Some((id("connectionDeviceId"), id("connectionModuleId")))
    }

    fn device(id: &str) -> Option<(Option<String>, Option<String>)> {
        Some((Some(id.to_owned()), None))
    }

    #[test]
    fn anything_may_stand_before_the_last_devices() {
        let rows = [
            "devices/d/messages/events",
            "/devices/d/messages/events/",
            "xdevices/d/messages/events//",
            "devices/e/messages/events/devices/d/messages/events/a=b/",
            "c:/devices/d/messages/events/",
        ];
        for topic in rows {
            assert_eq!(sender(topic), device("d"), "{topic}");
        }
    }

    #[test]
    fn other_addresses_are_dropped() {
        let rows = [
            "foo/bar",
            "$iothub/foo",
            "$iothub/methods/POST/x/?$rid=1",
            "devices/d/other",
            "devices/d/messages/events///",
            "devices/d/messages/events/a=b//",
            "devices/d/messages/events ",
            "devices/d/messages/events/a/b",
            "x:y/devices/d/messages/events/",
            "devices\\d/messages/events/",
            "devices/./messages/events/",
            "devices/../devices/d/messages/events/",
            "devices/d/messages/events/a=b=c",
        ];
        for topic in rows {
            assert_eq!(publish(topic), Publish::Dropped, "{topic}");
        }
    }

    #[test]
    fn ids_lose_their_escapes_only_when_the_whole_topic_does() {
        assert_eq!(sender("devices/dev%201/messages/events/name=e"), device("dev%201"));
        assert_eq!(sender("devices/dev%201/messages/events/name=%C3%A9"), device("dev 1"));
        assert_eq!(sender("devices/dev%201/messages/events/n%61me"), device("dev 1"));
        assert_eq!(sender("devices/%24edgeHub%2F/messages/events/é"), device("%24edgeHub%2F"));
    }

    #[test]
    fn of_twin_topics_only_the_two_requests_succeed() {
        let get = |rid: &str| Publish::TwinGet { rid: rid.to_owned() };
        let patch = |rid: &str| Publish::TwinPatch { rid: rid.to_owned() };
        let rows = [
            ("$iothub/twin/GET/?$rid=4/2=%41", get("4/2=%41")),
            ("$iothub/twin/GET//?$version=1&x&$rid=1", get("1")),
            ("$iothub/twin/GET/?&$rid=1", get("1")),
            ("$iothub/twin/GET/?&&$rid=1", Publish::Fault),
            ("$iothub/twin/GET/?$rid=", Publish::Fault),
            ("$iothub/twin/GET/", Publish::Fault),
            ("$iothub/twin/", Publish::Fault),
            ("$iothub/twin/PATCH/properties/reported/", patch("")),
            ("$iothub/twin/PATCH/properties/reported/x/?$rid=1", Publish::Fault),
            ("$iothub/twin/PATCH/properties/reported/?$rid=1&$rid=1", Publish::Fault),
            ("x/$iothub/twin/GET/?$rid=1", Publish::Dropped),
            (" ", Publish::Fault),
        ];
        for (topic, expected) in rows {
            assert_eq!(publish(topic), expected, "{topic}");
        }
    }

    #[test]
    fn further_pairs_belong_to_the_rid_of_a_response() {
        let response =
            |status: &str, rid: &str| Publish::MethodResponse { status: status.to_owned(), rid: rid.to_owned() };
        assert_eq!(publish("$iothub/methods/res/200/?$rid=a&b=c"), response("200", "a&b=c"));
        assert_eq!(publish("$iothub/methods/res/ -5/?$rid="), response(" -5", ""));
    }

    #[test]
    fn a_message_without_sender_or_with_an_unnamed_output_goes_nowhere() {
        let fate = |topic: &str| match publish(topic) {
            Publish::Telemetry(message) => Some(message.fate()),
            _ => None,
        };
        assert_eq!(fate("x/$iothub/methods/res/200/?$rid=1"), Some(Fate::Dropped));
        assert_eq!(fate("devices/d/modules/m/messages/events/$.on="), Some(Fate::Dropped));
        assert_eq!(fate("devices/d/modules/m/messages/events/$.on=o"), Some(Fate::Routed));
        assert_eq!(fate("devices/d/messages/events/$.on=o"), Some(Fate::Routed));
    }

    proptest! {
        /// What escapes a bag is written with changes ids, but no pair.
        #[test]
        fn a_bag_means_the_same_whether_or_not_its_topic_is_normalised(name in "\\PC{1,8}", value in "\\PC{0,8}") {
            let plain = bag::write(&[(name, Some(value))]);
            prop_assert_eq!(bag::read(&normalised(&format!("{plain}&%41"))), bag::read(&format!("{plain}&%41")));
        }

        /// A message delivered on its topic reads, as a PUBLISH to one's own events would, as what was sent.
        #[test]
        fn what_is_written_is_read(pairs in proptest::collection::btree_map("[a-z$.é /&=+%]{1,6}", "\\PC{1,6}", 0..4)) {
            let sent: Pairs = pairs.into_iter().map(|(name, value)| (name, Some(value))).collect();
            prop_assert_eq!(bag::read(&bag::write(&sent)), Ok(sent));
        }
    }
}
