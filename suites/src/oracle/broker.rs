//! The `mqttBroker` section: declared, checked, and without effect.

use serde_json::{Map, Value};

use super::document::{Refused, find, object};

/// What a valid section declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broker {
    /// Bridges.
    pub bridges: usize,
    /// Rules that allow or deny.
    pub statements: usize,
}

/// Reads and checks a section.
pub(super) fn broker(section: &Map<String, Value>) -> Result<Broker, Refused> {
    let mut statements = 0;
    for statement in list(section, "authorizations")? {
        let statement = object(Some(statement))?;
        let identities = strings(find(statement, "identities").ok_or(Refused)?)?;
        demand(
            !identities.is_empty()
                && identities.iter().all(|identity| !identity.is_empty() && variables_known(identity)),
        )?;
        for kind in ["allow", "deny"] {
            for rule in list(statement, kind)? {
                valid_rule(object(Some(rule))?)?;
                statements += 1;
            }
        }
    }
    let bridges = list(section, "bridges")?;
    for bridge in bridges {
        valid_bridge(object(Some(bridge))?)?;
    }
    Ok(Broker { bridges: bridges.len(), statements })
}

fn demand(holds: bool) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(Refused) }
}

fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Refused> {
    match find(object, name) {
        Some(Value::Array(list)) => Ok(list),
        None | Some(Value::Null) => Ok(&[]),
        Some(_) => Err(Refused),
    }
}

fn strings(value: &Value) -> Result<Vec<&str>, Refused> {
    value.as_array().ok_or(Refused)?.iter().map(|item| item.as_str().ok_or(Refused)).collect()
}

fn valid_rule(rule: &Map<String, Value>) -> Result<(), Refused> {
    let operations = strings(find(rule, "operations").ok_or(Refused)?)?;
    demand(
        !operations.is_empty()
            && operations
                .iter()
                .all(|operation| matches!(*operation, "mqtt:connect" | "mqtt:publish" | "mqtt:subscribe")),
    )?;
    let resources = match find(rule, "resources") {
        None | Some(Value::Null) => Vec::new(),
        Some(resources) => strings(resources)?,
    };
    demand(!resources.is_empty() || operations[..] == ["mqtt:connect"])?;
    demand(resources.iter().all(|resource| variables_known(resource) && is_topic_filter(resource)))
}

fn valid_bridge(bridge: &Map<String, Value>) -> Result<(), Refused> {
    let endpoint = find(bridge, "endpoint").and_then(Value::as_str).ok_or(Refused)?;
    let settings = find(bridge, "settings").and_then(Value::as_array).ok_or(Refused)?;
    demand(!endpoint.is_empty() && (!settings.is_empty() || endpoint.eq_ignore_ascii_case("$upstream")))?;
    for setting in settings {
        let setting = object(Some(setting))?;
        demand(match find(setting, "direction") {
            Some(Value::String(direction)) => matches!(direction.to_ascii_lowercase().as_str(), "in" | "out" | "both"),
            Some(Value::Number(_)) => true,
            _ => false,
        })?;
        let topic = find(setting, "topic").and_then(Value::as_str).ok_or(Refused)?;
        demand(topic.is_empty() || is_topic_filter(topic))?;
        for prefix in ["inPrefix", "outPrefix"] {
            demand(match find(setting, prefix) {
                None | Some(Value::Null) => true,
                Some(Value::String(prefix)) => !prefix.contains(['+', '#']),
                Some(_) => false,
            })?;
        }
    }
    Ok(())
}

fn variables_known(text: &str) -> bool {
    let mut parts = text.split("{{").skip(1);
    parts.all(|part| match part.split_once("}}") {
        Some((name, _)) => {
            matches!(name, "iot:identity" | "iot:device_id" | "iot:module_id" | "mqtt:client_id" | "iot:this_device_id")
        }
        None => true,
    })
}

fn is_topic_filter(text: &str) -> bool {
    let levels = text.split('/').count();
    !text.is_empty()
        && text.split('/').enumerate().all(|(number, level)| match level {
            "+" => true,
            "#" => number + 1 == levels,
            level => !level.contains(['+', '#']),
        })
}
