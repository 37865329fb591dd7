//! `mqttBroker`: validated from 1.2 on, and then without effect. Source: `routing.md` 1.4.

use super::binding::{Members, Unbound, elements, text};
use super::{BrokerCounts, ConfigError};
use crate::core::lenient_json::Json;
use crate::faults::planted;

const OPERATIONS: &[&str] = &["mqtt:publish", "mqtt:subscribe", "mqtt:connect"];
const VARIABLES: &[&str] =
    &["{{iot:identity}}", "{{iot:device_id}}", "{{iot:module_id}}", "{{mqtt:client_id}}", "{{iot:this_device_id}}"];

/// Checks the section; null is as good as none.
pub(super) fn read(section: &Json) -> Result<Option<BrokerCounts>, ConfigError> {
    if *section == Json::Null || planted("CFG13-broker-section-is-not-validated") {
        return Ok(None);
    }
    let section = Members::within(section, "mqttBroker")?;
    let bridges = elements(section.get("bridges"), "bridges")?;
    let authorizations = elements(section.get("authorizations"), "authorizations")?;
    for bridge in bridges {
        check_bridge(bridge)?;
    }
    let mut statements = 0;
    for authorization in authorizations {
        statements += rules(authorization)?;
    }
    let bridges = bridges.len();
    if bridges + statements > 0 && planted("CFG13-valid-broker-section-is-refused") {
        return Err(invalid("the MQTT broker does not exist"));
    }
    Ok(Some(BrokerCounts { bridges, statements }))
}

fn invalid(what: impl std::fmt::Display) -> ConfigError {
    ConfigError(format!("Error validating mqttBroker: {what}"))
}

/// Number of rules of one statement; each becomes a statement of its own.
fn rules(authorization: &Json) -> Result<usize, ConfigError> {
    let authorization = Members::within(authorization, "authorizations")?;
    let identities = texts(Some(authorization.required("identities")?), "identities")?;
    if identities.is_empty() {
        return Err(invalid("Identities list must not be empty"));
    }
    if let Some(identity) = identities.iter().find(|identity| identity.is_empty() || !has_known_variables(identity)) {
        return Err(invalid(format_args!("Identity name is invalid: {identity}")));
    }
    let allow = elements(authorization.get("allow"), "allow")?;
    let deny = elements(authorization.get("deny"), "deny")?;
    for rule in allow.iter().chain(deny) {
        check_rule(rule)?;
    }
    Ok(allow.len() + deny.len())
}

fn check_rule(rule: &Json) -> Result<(), ConfigError> {
    let rule = Members::within(rule, "rule")?;
    let operations = texts(rule.get("operations"), "operations")?;
    let resources = texts(rule.get("resources"), "resources")?;
    if operations.is_empty() {
        return Err(invalid("Operations list must not be empty"));
    }
    if let Some(unknown) = operations.iter().find(|operation| !OPERATIONS.contains(&operation.as_str())) {
        return Err(invalid(format_args!("Unknown mqtt operation: {unknown}")));
    }
    if resources.is_empty() && operations != ["mqtt:connect"] {
        return Err(invalid("Resources list must not be empty"));
    }
    let is_valid =
        |resource: &String| !resource.is_empty() && is_topic_filter(resource) && has_known_variables(resource);
    match resources.iter().find(|resource| !is_valid(resource)) {
        Some(resource) => Err(invalid(format_args!("Resource (topic filter) is invalid: {resource}"))),
        None => Ok(()),
    }
}

fn check_bridge(bridge: &Json) -> Result<(), ConfigError> {
    let bridge = Members::within(bridge, "bridges")?;
    let endpoint = text(bridge.required("endpoint")?).ok_or_else(|| Unbound::new("endpoint"))?;
    let settings = elements(Some(bridge.required("settings")?), "settings")?;
    if endpoint.is_empty() {
        return Err(invalid("Bridge endpoint must not be empty"));
    }
    if settings.is_empty() && !endpoint.eq_ignore_ascii_case("$upstream") {
        return Err(invalid(format_args!("Bridge {endpoint}: Settings must not be empty")));
    }
    settings.iter().try_for_each(check_setting)
}

fn check_setting(setting: &Json) -> Result<(), ConfigError> {
    let setting = Members::within(setting, "settings")?;
    let topic = text(setting.required("topic")?).ok_or_else(|| Unbound::new("topic"))?;
    let known = match setting.required("direction")? {
        Json::Integer(_) => true,
        Json::Text(direction) => ["in", "out", "both"].iter().any(|known| known.eq_ignore_ascii_case(direction)),
        _ => false,
    };
    if !known {
        return Err(Unbound::new("direction").into());
    }
    if !is_topic_filter(&topic) {
        return Err(invalid(format_args!("Topic is invalid: {topic}")));
    }
    for name in ["inPrefix", "outPrefix"] {
        let prefix = setting.get(name).filter(|prefix| **prefix != Json::Null).map(text);
        let prefix = prefix.unwrap_or_else(|| Some(String::new())).ok_or_else(|| Unbound::new(name))?;
        if prefix.contains(['+', '#']) {
            return Err(invalid(format_args!("{name} must not contain wildcards (+, #)")));
        }
    }
    Ok(())
}

fn texts(value: Option<&Json>, path: &str) -> Result<Vec<String>, Unbound> {
    elements(value, path)?.iter().map(|element| text(element).ok_or_else(|| Unbound::new(path))).collect()
}

/// Whether wildcards stand where MQTT allows them: a whole level each, `#` as the last.
fn is_topic_filter(filter: &str) -> bool {
    let levels = filter.split('/').count();
    filter.split('/').enumerate().all(|(at, level)| match level {
        "#" => at + 1 == levels,
        "+" => true,
        level => !level.contains(['+', '#']),
    })
}

/// Whether every `{{...}}` is a variable there is.
fn has_known_variables(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let Some(end) = rest[at..].find('}').filter(|end| rest[at + end..].starts_with("}}")) else {
            rest = &rest[at + 1..];
            continue;
        };
        if !VARIABLES.contains(&&rest[at..at + end + 2]) {
            return false;
        }
        rest = &rest[at + end + 2..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_fill_whole_levels() {
        for filter in ["", "/", "#", "a/#", "+/+/#", "a/+/b", "{{iot:device_id}}/x"] {
            assert!(is_topic_filter(filter), "{filter}");
        }
        for filter in ["a#", "#/a", "a/b+", "+a", "a/#/b"] {
            assert!(!is_topic_filter(filter), "{filter}");
        }
    }

    #[test]
    fn only_known_variables_pass() {
        assert!(has_known_variables("a/{{mqtt:client_id}}/{{iot:identity}}"));
        assert!(has_known_variables("no {variables} {{"));
        assert!(!has_known_variables("{{iot:device_id}}/{{bad}}"));
    }
}
