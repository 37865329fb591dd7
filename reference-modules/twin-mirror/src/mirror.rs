//! What to report, so that the mirror shows what is desired.

use module_client::Properties;
use serde_json::{Map, Value, json};

/// What to report of a change of desired properties: the same change. Its nulls remove members here as there.
pub fn after_change(change: &Value) -> Value {
    json!({ "mirror": plain(change), "appliedVersion": change["$version"] })
}

/// What to report when the whole twin was read: what leads from the mirror, as it was reported, to what is desired.
pub fn after_reading(properties: &Properties) -> Value {
    let desired = plain(&properties.desired);
    let patch = difference(&properties.reported["mirror"], &desired);
    json!({ "mirror": patch, "appliedVersion": properties.desired["$version"] })
}

/// Properties without what IoT Hub adds: `$version`, `$metadata`.
fn plain(properties: &Value) -> Value {
    let members = properties.as_object().into_iter().flatten();
    members.filter(|(name, _)| !name.starts_with('$')).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The patch that leads from one object to another.
fn difference(from: &Value, to: &Value) -> Value {
    let empty = Map::new();
    let (from, to) = (from.as_object().unwrap_or(&empty), to.as_object().unwrap_or(&empty));
    let gone = from.keys().filter(|name| !to.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = to.iter().filter_map(|(name, value)| match (from.get(name), value) {
        (Some(known), value) if known == value => None,
        (Some(known @ Value::Object(_)), Value::Object(_)) => Some((name.clone(), difference(known, value))),
        (_, value) => Some((name.clone(), value.clone())),
    });
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_as_it_came() {
        let reported = after_change(&json!({"rate": 5, "old": null, "$version": 4}));
        assert_eq!(reported, json!({"mirror": {"rate": 5, "old": null}, "appliedVersion": 4}));
    }

    #[test]
    fn a_reading_reports_what_is_new_and_removes_what_is_gone() {
        let properties = Properties {
            desired: json!({"a": 1, "b": {"c": 2, "d": 3}, "list": [1], "$version": 9}),
            reported: json!({"mirror": {"a": 1, "b": {"c": 1, "x": 0}, "gone": true}, "$version": 2}),
        };
        let expected = json!({"gone": null, "b": {"x": null, "c": 2, "d": 3}, "list": [1]});
        assert_eq!(after_reading(&properties), json!({"mirror": expected, "appliedVersion": 9}));
    }

    #[test]
    fn what_was_never_reported_is_reported_whole() {
        let properties = Properties { desired: json!({"a": {"b": 1}, "$version": 1}), reported: json!({}) };
        assert_eq!(after_reading(&properties), json!({"mirror": {"a": {"b": 1}}, "appliedVersion": 1}));
    }
}
