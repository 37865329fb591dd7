//! Property bags as texts: names and values in many spellings, now and then one that is none.

use proptest::prelude::*;
use proptest::sample::select;

/// Names. `k1` and `K1` in one bag drop the message; `$.MID` is nobody's system property.
const NAMES: [&str; 16] = [
    "k1",
    "K1",
    "a b",
    "grün",
    "?x",
    "a&b=c/d",
    "50%",
    "#+",
    "$.mid",
    "$.MID",
    "$.ct",
    "$.ifid",
    "$.cdid",
    "ack",
    "messageId",
    "mqtt-retain",
];
const VALUES: [&str; 12] =
    ["x", "7", "a b", "a+b", "a&b=c/d", "50%", "%41", "$.mid", "é日本😀", "\"<\\>\"", "\t", "?#"];

/// A bag for a topic of telemetry. It names no output, asks for no quality of service and replaces no sender, and it
/// passes the wire decoder: no raw `#` or `+`. What becomes of it says `oracle::mqtt::topic::publish`.
pub fn bag() -> impl Strategy<Value = String> {
    let well_formed = proptest::collection::vec(pair(), 0..5).prop_map(|pairs| pairs.join("&"));
    (well_formed, prop_oneof![12 => Just(("", "")), 1 => select(FLAWS.to_vec())])
        .prop_map(|(bag, (before, behind))| format!("{before}{bag}{behind}"))
}

/// What makes a bag malformed, before and behind it.
const FLAWS: [(&str, &str); 8] =
    [("&", ""), ("=", ""), ("a&&", ""), ("a=b=c&", ""), ("", "&"), ("", "&=x"), ("", "/x"), ("", "//")];

fn pair() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        8 => select(VALUES.to_vec()).prop_flat_map(spelled).prop_map(|value| format!("={value}")),
        1 => Just("=".to_owned()),
        1 => Just(String::new()),
    ];
    (select(NAMES.to_vec()).prop_flat_map(spelled), value).prop_map(|(name, value)| name + &value)
}

/// Each character raw where it may be, or escaped, in either case.
fn spelled(text: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec(0..6_u8, text.chars().count()).prop_map(|ways| {
        let characters = text.chars().zip(ways);
        characters.map(|(character, way)| spell(character, way)).collect()
    })
}

fn spell(character: char, way: u8) -> String {
    let must_be_escaped = character.is_control() || "&=/%#+\\".contains(character);
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).bytes();
    match way {
        0 => bytes.map(|byte| format!("%{byte:02X}")).collect(),
        1 => bytes.map(|byte| format!("%{byte:02x}")).collect(),
        _ if must_be_escaped => bytes.map(|byte| format!("%{byte:02X}")).collect(),
        _ => character.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::mqtt::{Fate, Publish, topic};

    proptest! {
        #[test]
        fn a_bag_is_a_message_or_dropped_and_never_more(bag in bag()) {
            prop_assert!(!bag.contains(['#', '+', '\\']));
            match topic::publish(&format!("devices/gw7/modules/probe/messages/events/{bag}")) {
                Publish::Telemetry(message) => {
                    prop_assert_eq!(message.fate(), Fate::Routed);
                    prop_assert_eq!(message.system("connectionModuleId"), Some("probe"));
                }
                other => prop_assert_eq!(other, Publish::Dropped),
            }
        }

        #[test]
        fn a_name_reads_the_same_however_it_is_spelled(name in spelled("a&b=c/d grün")) {
            prop_assert_eq!(crate::oracle::mqtt::bag::read(&name), Ok(vec![("a&b=c/d grün".to_owned(), None)]));
        }
    }
}
