//! Topics of PUBLISH packets in both directions, and the classes of filters.
//!
//! Source: Azure/iotedge, `appsettings_hub.json` (templates), `Microsoft.Azure.Devices.Edge.Hub.Mqtt` (
//! `MessageAddressConverter.cs`, `TwinAddressHelper.cs`, `SessionStateParser.cs`).

use crate::core::system;
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::{escaped_byte, unescape_if};

use super::bag::{self, Pair, Pairs};

/// What a client's PUBLISH asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Telemetry, from whoever the topic names.
    Telemetry {
        /// From the topic, which nothing compares with who is connected.
        sender: ClientId,
        /// Application properties.
        application: Pairs,
        /// System properties.
        system: Pairs,
    },
    /// Read the twin.
    TwinGet {
        /// Request id, as sent.
        rid: String,
    },
    /// Update reported properties.
    TwinPatch {
        /// Request id, as sent; empty when no answer is wanted.
        rid: String,
    },
    /// Answer a method request.
    MethodResponse {
        /// As sent.
        status: String,
        /// As sent.
        rid: String,
    },
    /// Acknowledged, and nothing happens.
    Dropped,
    /// The connection is closed.
    Fault,
}

/// What a filter wants of the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Direct methods.
    Methods,
    /// Changes of desired properties.
    Desired,
    /// Cloud-to-device messages.
    CloudToDevice,
    /// Answers to twin requests.
    TwinResponses,
    /// Input messages.
    Inputs,
}

const TWIN: &str = "$iothub/twin/";
/// Begin of the topics of calls.
pub const METHOD_REQUEST: &str = "$iothub/methods/POST/";
const METHOD_RESPONSE: &str = "$iothub/methods/res/";

/// Reads the topic of a client's PUBLISH.
pub fn read(topic: &str) -> Publish {
    if topic.trim().is_empty() {
        return if planted("PUB10-blank-topic-is-dropped") { Publish::Dropped } else { Publish::Fault };
    }
    if let Some(request) = topic.strip_prefix(TWIN) {
        let fault = if planted("TWIN07-other-twin-topics-are-dropped") { Publish::Dropped } else { Publish::Fault };
        return twin_request(request).unwrap_or(fault);
    }
    let normal = normalise(topic);
    if scheme_like(&normal) || normal.contains('\\') || normal.split('/').any(|part| part == "." || part == "..") {
        return Publish::Dropped;
    }
    telemetry(&normal).or_else(|| method_response(&normal)).unwrap_or(Publish::Dropped)
}

/// Classes a filter; `None` for one that has no effect.
pub fn class(filter: &str) -> Option<Class> {
    if filter.starts_with(METHOD_REQUEST) {
        Some(Class::Methods)
    } else if filter.starts_with("$iothub/twin/PATCH/properties/desired/") {
        Some(Class::Desired)
    } else if filter.ends_with("messages/devicebound/#") {
        Some(Class::CloudToDevice)
    } else if filter == "$iothub/twin/res/#" {
        Some(Class::TwinResponses)
    } else if is_inputs(filter) {
        Some(Class::Inputs).filter(|_| filter.contains("/inputs/") || !planted("SUB04-whole-module-takes-no-inputs"))
    } else if (filter == "foo/#" && planted("SUB02-any-tree-takes-inputs"))
        || (filter.contains("/inputs/") && planted("SUB05-single-input-takes-inputs"))
    {
        Some(Class::Inputs)
    } else {
        None
    }
}

/// Topic of an input message.
pub fn input(receiver: &ClientId, input: &str, application: &Pairs, system: &Pairs) -> String {
    let (device, module) = (&receiver.device, receiver.module.as_deref().unwrap_or_default());
    let bag = bag::outgoing(application, system);
    format!("devices/{device}/modules/{module}/inputs/{input}/{bag}").trim_end_matches('/').to_owned()
}

/// Topic of a cloud-to-device message. A module has none, but would have this one.
pub fn cloud_to_device(receiver: &ClientId, application: &[Pair], system: &[Pair]) -> String {
    let address = match &receiver.module {
        Some(module) => format!("devices/{}/modules/{module}/messages/devicebound", receiver.device),
        None => format!("devices/{}/messages/devicebound", receiver.device),
    };
    let bag = bag::outgoing(application, system);
    if bag.is_empty() { address } else { format!("{address}/{bag}") }
}

/// Topic of the answer to a twin request.
pub fn twin_response(status: u16, rid: &str) -> String {
    let version = if status == 204 && planted("TWIN02-version-is-appended") { "&$version=1" } else { "" };
    format!("$iothub/twin/res/{status}/?$rid={rid}{version}")
}

/// Topic of a change of desired properties.
pub fn desired(version: Option<i64>) -> String {
    match version {
        Some(version) => format!("$iothub/twin/PATCH/properties/desired/?$version={version}"),
        None => String::from("$iothub/twin/PATCH/properties/desired/"),
    }
}

/// Topic of a call of a method. The name is not escaped.
pub fn method_request(name: &str, rid: &str) -> String {
    if planted("DM01-request-id-without-a-dollar") {
        return format!("{METHOD_REQUEST}{name}/?rid={rid}");
    }
    format!("{METHOD_REQUEST}{name}/?$rid={rid}")
}

/// `^devices/.+/modules/.+/#$`
fn is_inputs(filter: &str) -> bool {
    let Some(middle) = filter.strip_prefix("devices/").and_then(|rest| rest.strip_suffix("/#")) else {
        return false;
    };
    let mut from = 0;
    while let Some(at) = middle[from..].find("/modules/").map(|at| from + at) {
        if at > 0 && at + "/modules/".len() < middle.len() {
            return true;
        }
        from = at + 1;
    }
    false
}

/// Templates are anchored at the end of the topic only.
fn telemetry(topic: &str) -> Option<Publish> {
    let parts: Vec<&str> = topic.split('/').collect();
    let (head, bag) = match parts[..] {
        [ref head @ .., "messages", "events"] | [ref head @ .., "messages", "events", ""] => (head, ""),
        [.., "messages", "events", _, ""] if planted("PUB01-slash-behind-the-bag-is-refused") => return None,
        [ref head @ .., "messages", "events", bag] | [ref head @ .., "messages", "events", bag, ""] => (head, bag),
        _ => return None,
    };
    let sender = match *head {
        [.., devices, device, "modules", module] if devices.ends_with("devices") => ClientId::module(device, module),
        [.., devices, _]
            if devices.ends_with("devices") && !bag.is_empty() && planted("R17-leaf-with-a-bag-is-refused") =>
        {
            return Some(Publish::Dropped);
        }
        [.., devices, device] if devices.ends_with("devices") => ClientId::device(device),
        _ => return None,
    };
    match bag::read(bag) {
        Ok(pairs) => Some(classified(sender, pairs)),
        Err(_) if planted("BAG04-malformed-bag-closes-the-connection") => Some(Publish::Fault),
        Err(_) => Some(Publish::Dropped),
    }
}

/// The bag is read into the table that holds the ids of the topic, so `deviceId` and `moduleId` in it replace them.
fn classified(mut sender: ClientId, pairs: Pairs) -> Publish {
    let mut own = Pairs::new();
    for (name, value) in pairs {
        match name.as_str() {
            // A message without a device is nobody's.
            "deviceId" => match value {
                Some(device) => sender.device = device,
                None => return Publish::Dropped,
            },
            "moduleId" => sender.module = value,
            "$.cdid" if planted("MSG06-forged-device-is-believed") => sender.device = value.unwrap_or_default(),
            _ => own.push((name, value)),
        }
    }
    let (application, system) = bag::classify(own);
    let mut folded: Vec<String> = application.iter().map(|(name, _)| name.to_lowercase()).collect();
    folded.sort();
    let collide = folded.windows(2).any(|pair| pair[0] == pair[1]);
    let nameless_output = system.iter().any(|(name, value)| name == system::OUTPUT_NAME && value.is_none());
    if collide || (nameless_output && sender.module.is_some()) {
        return Publish::Dropped;
    }
    Publish::Telemetry { sender, application, system }
}

fn method_response(topic: &str) -> Option<Publish> {
    let (status, rid) = topic.strip_prefix(METHOD_RESPONSE)?.split_once('/')?;
    let rid = rid.strip_prefix("?$rid=").filter(|rid| !rid.contains('/'))?;
    Some(Publish::MethodResponse { status: status.to_owned(), rid: rid.to_owned() })
}

fn twin_request(request: &str) -> Option<Publish> {
    let (get, rest) = match request.strip_prefix("GET/") {
        Some(rest) => (true, rest),
        None => match request.strip_prefix("PATCH/properties/desired/") {
            Some(rest) if planted("DES14-desired-properties-can-be-written") => (false, rest),
            _ => (false, request.strip_prefix("PATCH/properties/reported/")?),
        },
    };
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let query = match rest.strip_prefix('?') {
        Some(query) => query,
        None if rest.is_empty() => "",
        None => return None,
    };
    let mut names = Vec::new();
    let mut rid = String::new();
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if names.contains(&name) {
            return None;
        }
        if name == "$rid" {
            let decoded = planted("TWIN08-request-id-is-decoded");
            rid = if decoded { unescape_if(value, |_| true) } else { value.to_owned() };
        }
        if name == "$version" && planted("RPT17-version-is-a-precondition") {
            return None;
        }
        names.push(name);
    }
    match (get, rid.trim().is_empty()) {
        (true, true) if planted("TWIN06-read-without-a-request-id-is-dropped") => Some(Publish::Dropped),
        (true, true) => None,
        (true, false) => Some(Publish::TwinGet { rid }),
        (false, true) => Some(Publish::TwinPatch { rid: String::new() }),
        (false, false) => Some(Publish::TwinPatch { rid }),
    }
}

/// A first segment that reads as a URI's scheme; a drive letter does not.
fn scheme_like(topic: &str) -> bool {
    let (first, _) = topic.split_once('/').unwrap_or((topic, ""));
    let drive = matches!(first.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic());
    first.contains(':') && !drive
}

/// A topic with a character that a URI would have escaped, or an escape that a URI would not have, is rewritten as a
/// whole.
fn normalise(topic: &str) -> String {
    let bytes = topic.as_bytes();
    let odd_escape = |at: usize| {
        escaped_byte(&bytes[at..])
            .is_some_and(|byte| byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    if topic.is_ascii() && !(0..bytes.len()).any(odd_escape) {
        return topic.to_owned();
    }
    unescape_if(topic, |character| !character.is_control() && !r"%\:/?#[]@!$&'()*+,;=".contains(character))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn object(pairs: &Pairs) -> Value {
        let entries = pairs.iter().map(|(name, value)| (name.clone(), json!(value)));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    fn answer(row: &Value) -> Option<Value> {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let pairs = |name: &str| serde_json::from_value::<Pairs>(row[name].clone()).expect("pairs");
        match text("op") {
            "publish" => Some(match read(text("topic")) {
                Publish::Telemetry { sender, application, mut system } => {
                    system.push((system::CONNECTION_DEVICE_ID.to_owned(), Some(sender.device)));
                    system.extend(sender.module.map(|module| (system::CONNECTION_MODULE_ID.to_owned(), Some(module))));
                    json!({"kind": "telemetry", "system": object(&system), "properties": object(&application)})
                }
                Publish::MethodResponse { status, rid } => {
                    json!({"kind": "method-response", "system": {}, "properties": {"statusCode": status, "correlationId": rid}})
                }
                Publish::TwinGet { rid } => json!({"kind": "twin-get", "rid": rid}),
                Publish::TwinPatch { rid } => json!({"kind": "twin-patch", "rid": rid}),
                Publish::Dropped => json!({"kind": "dropped"}),
                Publish::Fault => json!({"kind": "fault"}),
            }),
            "subscribe" => Some(match class(text("filter")) {
                Some(Class::Methods) => json!({"class": "Methods"}),
                Some(Class::Desired) => json!({"class": "DesiredPropertyUpdates"}),
                Some(Class::CloudToDevice) => json!({"class": "C2D"}),
                Some(Class::TwinResponses) => json!({"class": "TwinResponse"}),
                Some(Class::Inputs) => json!({"class": "ModuleMessages"}),
                None => json!({"class": "Unknown"}),
            }),
            "deliver" if text("to") == "input" => {
                let receiver = ClientId::module(text("device"), text("module"));
                Some(json!({"topic": input(&receiver, text("input"), &pairs("properties"), &pairs("system"))}))
            }
            "deliver" if text("to") == "c2d" => {
                let receiver = ClientId::device(text("device"));
                Some(json!({"topic": cloud_to_device(&receiver, &pairs("properties"), &pairs("system"))}))
            }
            _ => None,
        }
    }

    /// The bag of a topic has no order, and errors carry texts nobody relies on.
    fn comparable(mut result: Value) -> Value {
        if let Some(topic) = result["topic"].as_str() {
            let (address, bag) = topic.rsplit_once('/').unwrap_or((topic, ""));
            let mut pairs: Vec<&str> = bag.split('&').collect();
            pairs.sort_unstable();
            return json!({"address": address, "bag": pairs});
        }
        if let Some(object) = result.as_object_mut() {
            object.remove("error");
            object.remove("message");
        }
        if result["kind"] == "telemetry" {
            // Checks that the recorded part does not make: a message needs a device, and an output that is named a name.
            let system = &result["system"];
            let nameless =
                system.get("outputName").is_some_and(Value::is_null) && system["connectionModuleId"].is_string();
            if system["connectionDeviceId"].is_null() || nameless {
                return json!({"kind": "dropped"});
            }
            let system = result["system"].as_object_mut().expect("an object");
            if system.get("connectionModuleId").is_some_and(Value::is_null) {
                system.remove("connectionModuleId");
            }
        }
        result
    }

    #[test]
    fn topics_are_read_and_written_as_recorded() {
        let rows = include_str!("../../../../../fixtures/vectors/mqtt-topics.jsonl");
        let mut wrong = Vec::new();
        for row in rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("json")) {
            let blank_filter = row["op"] == "subscribe" && row["result"].get("error").is_some();
            if row.get("uncertain").is_some() || blank_filter {
                continue;
            }
            let Some(answer) = answer(&row) else { continue };
            if comparable(answer.clone()) != comparable(row["result"].clone()) {
                wrong.push(format!("{row}\n  {answer}"));
            }
        }
        assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    }
}
