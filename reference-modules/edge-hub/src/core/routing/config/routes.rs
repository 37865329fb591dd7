//! `routes`: before 1.1 strings only, from then on strings and objects. Source: `routing.md` 1.2.

use std::fmt::Write;

use super::binding::{Members, Unbound, converted, text};
use super::{ConfigError, RouteSpec};
use crate::core::lenient_json::Json;
use crate::core::routing::route::Route;
use crate::faults::planted;

const SECTION: &str = "routes";
const NOT_SET: u32 = 2_000_000_000;

/// Blank routes are skipped; everything that is not a string becomes one, which then is no route.
pub(super) fn of_1_0(members: &Members) -> Result<Vec<RouteSpec>, ConfigError> {
    let mut routes = Vec::new();
    let section = match members.get(SECTION) {
        None | Some(Json::Null) => return Ok(routes),
        Some(section) => section,
    };
    let Json::Object(section) = section else {
        return Err(Unbound::new(SECTION).into());
    };
    for (name, value) in section {
        let route = match value {
            Json::Null => String::new(),
            Json::Object(_) if planted("CFG03-objects-are-accepted-in-1-0") => {
                routes.push(object(name, value)?);
                continue;
            }
            value => text(value).ok_or_else(|| Unbound::new(format!("{SECTION}.{name}")))?,
        };
        if route.trim().is_empty() && !planted("CFG04-blank-route-is-refused-in-1-0") {
            continue;
        }
        if name.trim().is_empty() {
            return Err(ConfigError::new("name is null or whitespace."));
        }
        routes.push(spec(name, &route, NOT_SET, 0)?);
    }
    Ok(routes)
}

/// Quirk: the section must be there, but null, a scalar and an empty array are as good as an empty object.
pub(super) fn of_1_1(members: &Members) -> Result<Vec<RouteSpec>, ConfigError> {
    let section = match members.get(SECTION) {
        Some(Json::Object(section)) => section,
        Some(Json::Array(elements)) if !elements.is_empty() => {
            return Err(Unbound::new(SECTION).into());
        }
        Some(_) => return Ok(Vec::new()),
        None if planted("CFG14-missing-routes-are-none") => return Ok(Vec::new()),
        None => {
            return Err(ConfigError::new(format!("Value cannot be null. (Parameter '{SECTION}')")));
        }
    };
    let mut routes = Vec::new();
    for (name, value) in section {
        if name.is_empty() {
            return Err(ConfigError::new("Empty route name"));
        }
        let shown = shown(name);
        let route = match value {
            Json::Text(route) | Json::Date(route)
                if route.trim().is_empty() && planted("CFG04-blank-route-is-skipped-in-1-1") =>
            {
                continue;
            }
            Json::Text(route) => spec(&shown, route, NOT_SET, 0),
            Json::Object(_) if planted("CFG03-objects-are-refused-in-1-1") => Err(Unbound::new(shown).into()),
            Json::Object(_) => object(&shown, value),
            _ => Err(ConfigError::new(format!("Malformed route specification: \"{name}\""))),
        };
        match route {
            Err(_) if planted("CFG06-bad-route-is-left-out") => {}
            route => routes.push(route?),
        }
    }
    Ok(routes)
}

fn object(name: &str, value: &Json) -> Result<RouteSpec, ConfigError> {
    let members = Members::within(value, name)?;
    let number = |field: &str, absent: u32| match members.get(field) {
        None => Ok(absent),
        Some(value) => converted(value)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| Unbound::new(format!("{name}.{field}"))),
    };
    let priority = number("priority", NOT_SET)?;
    let time_to_live_secs = number("timeToLiveSecs", 0)?;
    let route = match members.get("route") {
        None | Some(Json::Null) => String::new(),
        Some(route) => text(route).ok_or_else(|| Unbound::new(format!("{name}.route")))?,
    };
    let default_is_refused =
        priority == NOT_SET && planted("CFG05-default-priority-cannot-be-written") && members.get("priority").is_some();
    if (priority > 9 && priority != NOT_SET && !planted("R22-any-priority-is-accepted")) || default_is_refused {
        return Err(ConfigError::new(format!(
            "Invalid priority for route: {route}, priority can only be between 0-9 (Parameter 'priority')"
        )));
    }
    if priority == 9 && planted("CFG05-priority-9-is-refused") {
        return Err(ConfigError::new("priority can only be between 0-8"));
    }
    spec(name, &route, priority, time_to_live_secs)
}

fn spec(name: &str, route: &str, priority: u32, time_to_live_secs: u32) -> Result<RouteSpec, ConfigError> {
    if route.trim().is_empty() {
        return Err(ConfigError::new("route is null or whitespace."));
    }
    let named = if planted("CFG07-refused-route-is-not-named") { "" } else { name };
    let route = Route::parse(route).map_err(|cause| ConfigError(format!("Error parsing route {named} - {cause}")))?;
    Ok(RouteSpec {
        name: name.to_owned(),
        source: route.source,
        condition: route.condition,
        sink: route.sink,
        priority,
        time_to_live_secs,
    })
}

/// How a name is carried and shown from 1.1 on: as a step of a path, which is in brackets when it holds anything
/// special.
fn shown(name: &str) -> String {
    const SPECIAL: &[char] = &[
        '.', ' ', '\'', '/', '"', '[', ']', '(', ')', '\t', '\n', '\r', '\u{c}', '\u{8}', '\\', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    if !name.contains(SPECIAL) {
        return name.to_owned();
    }
    let mut shown = String::from("['");
    for character in name.chars() {
        match character {
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\u{c}' => shown.push_str("\\f"),
            '\u{8}' => shown.push_str("\\b"),
            '\\' | '\'' => shown.extend(['\\', character]),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                write!(shown, "\\u{:04x}", u32::from(character)).expect("a string takes everything");
            }
            _ => shown.push(character),
        }
    }
    shown.push_str("']");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_names_are_shown_in_brackets() {
        assert_eq!(shown("to-cloud"), "to-cloud");
        assert_eq!(shown("route.1"), "['route.1']");
        assert_eq!(shown("it's"), r"['it\'s']");
    }
}
