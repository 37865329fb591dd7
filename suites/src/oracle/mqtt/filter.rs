//! What a topic filter asks the core for. Every valid filter is granted; the class says whether anything comes of it.
//!
//! Source: Azure/iotedge `Hub.Mqtt/SessionStateParser.cs`, as recorded in `fixtures/vectors/mqtt-topics.jsonl`.

/// What a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Direct methods.
    Methods,
    /// Patches of desired properties.
    DesiredPropertyUpdates,
    /// Cloud-to-device messages.
    CloudToDevice,
    /// Answers to twin requests.
    TwinResponse,
    /// Messages to inputs of a module.
    ModuleMessages,
    /// Nothing.
    Unknown,
}

/// What a filter looks like, and what it asks for.
type Rule = (fn(&str) -> bool, Class);

/// Rules in the order of the product; the first that fits decides.
const RULES: [Rule; 5] = [
    (|filter| filter.starts_with("$iothub/methods/POST/"), Class::Methods),
    (|filter| filter.starts_with("$iothub/twin/PATCH/properties/desired/"), Class::DesiredPropertyUpdates),
    (|filter| filter.ends_with("messages/devicebound/#"), Class::CloudToDevice),
    (|filter| filter == "$iothub/twin/res/#", Class::TwinResponse),
    (is_of_a_module, Class::ModuleMessages),
];

/// The class of a filter; `None` for a blank one, which is an error.
pub fn class(filter: &str) -> Option<Class> {
    if filter.trim().is_empty() {
        return None;
    }
    let rule = RULES.iter().find(|(fits, _)| fits(filter));
    Some(rule.map_or(Class::Unknown, |(_, class)| *class))
}

/// `^devices/.+/modules/.+/#$`: what stands for `.+` may hold slashes.
fn is_of_a_module(filter: &str) -> bool {
    let ids = filter.strip_prefix("devices/").and_then(|rest| rest.strip_suffix("/#"));
    let Some(ids) = ids else { return false };
    let found = ids.match_indices("/modules/").find(|(at, _)| *at > 0);
    found.is_some_and(|(at, word)| at + word.len() < ids.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_of_a_module_needs_two_ids_and_a_number_sign() {
        let rows = [
            ("devices/+/modules/+/inputs/#", Class::ModuleMessages),
            ("devices/d/modules/m/#", Class::ModuleMessages),
            ("devices/d/modules/m/inputs/in1", Class::Unknown),
            ("devices/d/modules/#", Class::Unknown),
            ("devices/d/modules//#", Class::Unknown),
            ("devices//modules/m/#", Class::Unknown),
            ("x/devices/d/modules/m/#", Class::Unknown),
        ];
        for (filter, expected) in rows {
            assert_eq!(class(filter), Some(expected), "{filter}");
        }
    }

    #[test]
    fn wildcards_wider_than_a_class_ask_for_nothing() {
        for filter in ["#", "+", "$iothub/#", "$iothub/methods/#", "$iothub/twin/#", "devices/d/messages/#"] {
            assert_eq!(class(filter), Some(Class::Unknown), "{filter}");
        }
    }
}
