//! The property bag of an MQTT topic: application properties and, under wire names, system properties.
//!
//! This is the harness's own reading and writing of it; the hub under test has its own.
//! Source: IoT Hub device SDKs, `UrlEncodedDictionarySerializer`; wire names as edgeHub maps them.

use percent_encoding::percent_decode_str;

use super::sas::escape;

/// Properties in order; a property without a value is `None`.
pub type Properties = Vec<(String, Option<String>)>;

/// System properties a client may set or see, as (wire name, the name route conditions use).
pub const SYSTEM: [(&str, &str); 16] = [
    ("$.mid", "messageId"),
    ("$.cid", "cid"),
    ("$.uid", "userId"),
    ("$.to", "to"),
    ("$.exp", "absolute-expiry-time"),
    ("$.ct", "contentType"),
    ("$.ce", "contentEncoding"),
    ("$.schema", "messageSchema"),
    ("$.ctime", "creationTime"),
    ("iothub-operation", "operation"),
    ("ack", "ack"),
    ("$.sub", "dt-subject"),
    ("$.on", "outputName"),
    ("$.ifid", "iothub-interface-id"),
    ("$.cdid", "connectionDeviceId"),
    ("$.cmid", "connectionModuleId"),
];

/// Writes a bag: names and values escaped, a missing value as the bare name.
pub fn write(properties: &[(String, Option<String>)]) -> String {
    let pairs: Vec<String> = properties
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{}={}", escape(name), escape(value)),
            None => escape(name),
        })
        .collect();
    pairs.join("&")
}

/// Writes a bag of application properties and of system properties, the latter named as route conditions name them.
pub fn write_message(application: &[(String, Option<String>)], system: &[(String, Option<String>)]) -> String {
    let mut all = application.to_vec();
    all.extend(system.iter().map(|(name, value)| (wire_name(name).to_owned(), value.clone())));
    write(&all)
}

/// Reads a bag into application and system properties. Values are decoded; the text must be a bag the hub wrote.
pub fn read(bag: &str) -> (Properties, Properties) {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (mut application, mut system) = (Vec::new(), Vec::new());
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (decode(name), Some(decode(value))),
            None => (decode(pair), None),
        };
        match SYSTEM.iter().find(|(wire, _)| *wire == name) {
            Some((_, internal)) => system.push(((*internal).to_owned(), value)),
            None => application.push((name, value)),
        }
    }
    (application, system)
}

fn wire_name(name: &str) -> &str {
    SYSTEM.iter().find(|(_, internal)| *internal == name).map_or(name, |(wire, _)| wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_read_back_is_the_bag_written() {
        let application = vec![("level".to_owned(), Some("a=b&c/d %é".to_owned())), ("bare".to_owned(), None)];
        let system = vec![("messageId".to_owned(), Some("7".to_owned()))];
        let bag = write_message(&application, &system);
        assert_eq!(bag, "level=a%3Db%26c%2Fd%20%25%C3%A9&bare&%24.mid=7");
        assert_eq!(read(&bag), (application, system));
    }
}
