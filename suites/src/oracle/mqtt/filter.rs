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

/// Rules in the order of the product; the first that fits decides.
const RULES: [(fn(&str) -> bool, Class); 5] = [
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
