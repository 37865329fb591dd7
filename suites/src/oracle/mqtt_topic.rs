//! What a client's PUBLISH topic asks for, and the message it makes: the templates of the product, its rule for odd
//! characters, and the property bag.
//!
//! Source: Azure/iotedge 55353a64, `appsettings_hub.json`, `MessageAddressConverter.cs`, `TwinAddressHelper.cs`;
//! Azure/azure-iot-sdk-csharp, `UrlEncodedDictionarySerializer.cs`; as observed.

use std::collections::BTreeMap;

/// Properties by name; one without a value is `None`.
pub type Bag = BTreeMap<String, Option<String>>;

/// A message, as its receivers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who is named as the sending device.
    pub device: String,
    /// Who is named as the sending module.
    pub module: Option<String>,
    /// The output it came from.
    pub output: Option<String>,
    /// Everything in the bag, by the names of the wire.
    pub bag: Bag,
}

/// What a topic asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A message for the routes.
    Message(Told),
    /// Nothing: the packet is acknowledged and dropped.
    Nothing,
    /// A request or an answer that is no message.
    Request,
    /// A twin request whose fate is not this model's affair.
    Unsettled,
    /// The connection is closed; the requirement that says so.
    Close(&'static str),
}

/// Reads a topic. Wildcards in it are the packet's affair.
pub fn wanted(topic: &str) -> Wanted {
    if topic.chars().all(char::is_whitespace) {
        return Wanted::Close("MQTT-PUB-10");
    }
    if let Some(twin) = topic.strip_prefix("$iothub/twin/") {
        return match twin {
            "PATCH/properties/reported/" => Wanted::Request,
            _ if twin.starts_with("GET/") || twin.starts_with("PATCH/properties/reported/") => Wanted::Unsettled,
            _ => Wanted::Close("MQTT-PUB-07"),
        };
    }
    let topic = with_odd_characters_resolved(topic);
    let segments: Vec<&str> = topic.split('/').collect();
    let scheme = segments[0].find(':').is_some_and(|at| {
        let drive = at == 1 && segments[0].len() == 2 && segments[0].as_bytes()[0].is_ascii_alphabetic();
        !drive
    });
    if scheme || topic.contains('\\') || segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Wanted::Nothing;
    }
    if let Some(response) = topic.strip_prefix("$iothub/methods/res/") {
        let parts: Vec<&str> = response.split('/').collect();
        if parts.len() == 2 && parts[1].starts_with("?$rid=") {
            return Wanted::Request;
        }
    }
    message(&segments).unwrap_or(Wanted::Nothing)
}

/// The end of a topic: `devices/{d}` or `devices/{d}/modules/{m}`, `messages/events`, a bag, a slash.
fn message(segments: &[&str]) -> Option<Wanted> {
    let at = segments.len().checked_sub(2)?;
    let ends_at = |offset: usize| {
        let at = at.checked_sub(offset)?;
        (segments[at] == "messages" && segments[at + 1] == "events").then_some(at)
    };
    // The shortest form first: a bag may well be called `events`.
    let (address, bag) = if let Some(at) = ends_at(0) {
        (at, "")
    } else if let Some(at) = ends_at(1) {
        (at, segments[at + 2])
    } else {
        let at = ends_at(2).filter(|at| segments[at + 3].is_empty())?;
        (at, segments[at + 2])
    };
    let address = &segments[..address];
    let count = address.len();
    let names_devices = |at: usize| address[at].ends_with("devices");
    let (device, module) = if count >= 4 && address[count - 2] == "modules" && names_devices(count - 4) {
        (address[count - 3], Some(address[count - 1]))
    } else if count >= 2 && names_devices(count - 2) {
        (address[count - 1], None)
    } else {
        return None;
    };
    Some(told(device, module, bag).map_or(Wanted::Nothing, Wanted::Message))
}

fn told(device: &str, module: Option<&str>, bag: &str) -> Option<Told> {
    let mut bag = read_bag(bag)?;
    // The ids of the topic and the names of the bag share one table in the product.
    let device = bag.remove("deviceId").unwrap_or_else(|| Some(device.to_owned()))?;
    let module = bag.remove("moduleId").unwrap_or_else(|| module.map(str::to_owned));
    let output = match bag.remove("$.on") {
        Some(None) if module.is_some() => return None,
        output => output.flatten(),
    };
    bag.remove("$.ifid");
    let mut folded: Vec<String> = bag.keys().filter(|name| !is_system(name)).map(|name| name.to_lowercase()).collect();
    let all = folded.len();
    folded.sort();
    folded.dedup();
    (folded.len() == all).then_some(Told { device, module, output, bag })
}

/// Wire names of system properties a client may set, and receivers see.
const SYSTEM: [&str; 12] = [
    "$.mid",
    "$.cid",
    "$.uid",
    "$.to",
    "$.exp",
    "$.ct",
    "$.ce",
    "$.schema",
    "$.ctime",
    "$.sub",
    "ack",
    "iothub-operation",
];

fn is_system(name: &str) -> bool {
    SYSTEM.contains(&name)
}

/// `None` for a bag that cannot be read.
fn read_bag(bag: &str) -> Option<Bag> {
    let mut read = Bag::new();
    if bag.trim().is_empty() {
        return Some(read);
    }
    for pair in bag.split('&') {
        let mut parts = pair.split('=');
        let name = parts.next().filter(|name| !name.is_empty())?;
        let value = parts.next().unwrap_or_default();
        if parts.next().is_some() {
            return None;
        }
        read.insert(unescaped(name), Some(unescaped(value)).filter(|value| !value.is_empty()));
    }
    Some(read)
}

/// Escapes are resolved as far as they are UTF-8; the others stay.
fn unescaped(text: &str) -> String {
    resolved(text, |_| true)
}

/// Resolves runs of escapes: of each run the parts that are UTF-8 and that `wanted` wants.
fn resolved(text: &str, wanted: impl Fn(char) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        // The longest escape that is one character of UTF-8.
        let character = (1..=4).find_map(|size| {
            let escape = text.get(at..at + 3 * size)?;
            let whole = (0..size).all(|number| value(&escape.as_bytes()[3 * number..]).is_some());
            let decoded: Vec<u8> = (0..size).filter_map(|number| value(&escape.as_bytes()[3 * number..])).collect();
            let decoded = std::str::from_utf8(&decoded).ok().filter(|_| whole)?;
            let mut characters = decoded.chars();
            let only = characters.next().filter(|_| characters.next().is_none())?;
            Some((only, 3 * size))
        });
        match character {
            Some((character, used)) if wanted(character) => {
                out.push(character);
                at += used;
            }
            _ => {
                let plain = text[at..].chars().next().expect("at is on a border of characters");
                out.push(plain);
                at += plain.len_utf8();
            }
        }
    }
    out
}

/// The byte that the escape at the front stands for.
fn value(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// A topic that holds a character beyond ASCII, or an escape that no URI would have, is rewritten as a whole.
fn with_odd_characters_resolved(topic: &str) -> String {
    let odd_escape = |at: usize| {
        value(&topic.as_bytes()[at..]).is_some_and(|byte| {
            byte >= 0x80 || byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
        })
    };
    if topic.is_ascii() && !(0..topic.len()).any(odd_escape) {
        return topic.to_owned();
    }
    resolved(topic, |character| !character.is_control() && !"%\\:/?#[]@!$&'()*+,;=".contains(character))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RECORDED: &str = include_str!("../../../fixtures/vectors/mqtt-topics.jsonl");

    fn kind(wanted: &Wanted) -> &'static str {
        match wanted {
            Wanted::Message(_) => "telemetry",
            Wanted::Nothing => "dropped",
            Wanted::Request => "request",
            Wanted::Unsettled => "unsettled",
            Wanted::Close(_) => "fault",
        }
    }

    /// Wire name of a system property, by the name the recordings use.
    const INTERNAL: [(&str, &str); 12] = [
        ("messageId", "$.mid"),
        ("cid", "$.cid"),
        ("userId", "$.uid"),
        ("to", "$.to"),
        ("absolute-expiry-time", "$.exp"),
        ("contentType", "$.ct"),
        ("contentEncoding", "$.ce"),
        ("messageSchema", "$.schema"),
        ("creationTime", "$.ctime"),
        ("dt-subject", "$.sub"),
        ("ack", "ack"),
        ("operation", "iothub-operation"),
    ];

    fn recorded(row: &Value) -> Option<Told> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (system, properties) = (row["result"]["system"].as_object()?, row["result"]["properties"].as_object()?);
        let mut bag: Bag = properties.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        for (internal, wire) in INTERNAL {
            bag.extend(system.get(internal).map(|value| ((*wire).to_owned(), text(value))));
        }
        Some(Told {
            device: text(&system["connectionDeviceId"])?,
            module: system.get("connectionModuleId").and_then(text),
            output: system.get("outputName").and_then(text),
            bag,
        })
    }

    #[test]
    fn topics_are_read_as_recorded() {
        let mut wrong = Vec::new();
        for line in RECORDED.lines() {
            let row: Value = serde_json::from_str(line).expect("each line is JSON");
            if row["op"] != "publish" || row.get("uncertain").is_some() {
                continue;
            }
            let read = wanted(row["topic"].as_str().expect("text"));
            let agrees = match (row["result"]["kind"].as_str().expect("text"), &read) {
                ("telemetry", Wanted::Message(told)) => Some(told) == recorded(&row).as_ref(),
                // What the recorded part lets pass, and the next one refuses: no device, or an output without a name.
                ("telemetry", Wanted::Nothing) => {
                    let system = &row["result"]["system"];
                    system["connectionDeviceId"].is_null() || system.get("outputName") == Some(&json!(null))
                }
                ("method-response", Wanted::Request) => true,
                ("twin-get" | "twin-patch" | "fault", Wanted::Unsettled | Wanted::Request) => true,
                (recorded, read) => recorded == kind(read),
            };
            if !agrees {
                wrong.push(format!("{row}\n  {read:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    }
}
