//! When an answer agrees with a recorded result: success against failure and the named members, whatever the words of
//! errors and the order within a bag.

use serde_json::{Map, Value, json};

use crate::oracle::mqtt::{Fate, Publish, topic};
use crate::oracle::twin;

/// Where an answer differs from the recorded result, if it does. Only members that are answered are compared.
pub fn difference(row: &Value, answer: &Value) -> Option<String> {
    if super::not_compared(row).is_some() || is_dropped_later(row, answer) {
        return None;
    }
    let wrong: Vec<String> = answer
        .as_object()?
        .iter()
        .filter(|(name, given)| !agree(&recorded(row, name), given))
        .map(|(name, given)| format!("{name}: recorded {}, answered {given}", recorded(row, name)))
        .collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// The recorded value of a member. A condition that fails to compile by accident fails to compile.
fn recorded(row: &Value, name: &str) -> Value {
    match (name, row[name].as_str()) {
        ("stage", Some("internal")) => json!("compile"),
        _ => row[name].clone(),
    }
}

fn agree(recorded: &Value, given: &Value) -> bool {
    match (recorded, given) {
        (Value::Object(recorded), Value::Object(given)) => {
            let (mut recorded, mut given) = (canonical(recorded), canonical(given));
            for name in STEPS {
                if !(recorded.contains_key(name) && given.contains_key(name)) {
                    recorded.remove(name);
                    given.remove(name);
                }
            }
            if !recorded.contains_key(LONG) {
                given.remove(LONG);
            }
            recorded == given
        }
        _ => recorded == given,
    }
}

/// Members that are steps on the way to a result. They are compared where both sides tell them.
const STEPS: [&str; 4] = ["expiresMs", "keyName", "signature", "stage"];

/// A member that was left out of the record where it is long.
const LONG: &str = "json";

/// A result without hints, and with bags as sets.
fn canonical(result: &Map<String, Value>) -> Map<String, Value> {
    let mut result = result.clone();
    result.remove("message");
    let failed = result.remove("error").is_some_and(|error| !error.is_null());
    // Some failures have a name of their own; of others only that they are.
    if failed && !["kind", "valid", "status"].iter().any(|name| result.contains_key(*name)) {
        return Map::from_iter([("error".to_owned(), json!("refused"))]);
    }
    for (name, value) in &mut result {
        match (name.as_str(), &*value) {
            ("topic" | "bag", Value::String(text)) => *value = bag_as_set(text),
            ("json" | "payload", Value::String(text)) => *value = json!(by_value(text)),
            ("pairs", Value::Array(pairs)) => *value = sorted(pairs.clone()),
            // A module that is null is no module.
            ("system", Value::Object(system)) if system.get("connectionModuleId").is_some_and(Value::is_null) => {
                let mut system = system.clone();
                system.remove("connectionModuleId");
                *value = Value::Object(system);
            }
            _ => {}
        }
    }
    result
}

/// A document in one of its spellings.
fn by_value(text: &str) -> String {
    let document = twin::read(text.as_bytes());
    document.map_or_else(|| text.to_owned(), |document| twin::written(&twin::in_order(&document)))
}

/// What stands before the last `/`, and the pairs behind it.
fn bag_as_set(text: &str) -> Value {
    let (fixed, bag) = text.rsplit_once('/').unwrap_or(("", text));
    json!([fixed, sorted(bag.split('&').map(|pair| json!(pair)).collect())])
}

fn sorted(mut values: Vec<Value>) -> Value {
    values.sort_by_key(ToString::to_string);
    Value::Array(values)
}

/// Recorded was what a topic says, not what the checks behind it say: who answers after those may drop more.
fn is_dropped_later(row: &Value, answer: &Value) -> bool {
    let topic = row["topic"].as_str().filter(|_| row["op"] == "publish" && answer["result"]["kind"] == "dropped");
    let Some(Publish::Telemetry(message)) = topic.map(topic::publish) else { return false };
    message.fate() != Fate::Routed && row["result"]["kind"] == "telemetry"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(row: Value, answer: Value) -> bool {
        difference(&row, &answer).is_some()
    }

    #[test]
    fn a_bag_is_a_set_and_its_topic_is_not() {
        let row = json!({"op": "deliver", "result": {"topic": "devices/d/modules/m/inputs/in/a=1&b"}});
        assert!(!differ(row.clone(), json!({"result": {"topic": "devices/d/modules/m/inputs/in/b&a=1"}})));
        assert!(differ(row.clone(), json!({"result": {"topic": "devices/d/modules/m/inputs/in/b"}})));
        assert!(differ(row, json!({"result": {"topic": "devices/d/modules/m/inputs/IN/a=1&b"}})));
    }

    #[test]
    fn words_of_errors_are_hints() {
        let row = json!({"op": "username", "result": {"error": "ArgumentException", "message": "text"}});
        assert!(!differ(row.clone(), json!({"result": {"error": "refused"}})));
        assert!(differ(row, json!({"result": {"device": "d"}})));
        let row = json!({"op": "publish", "topic": " ", "result": {"kind": "fault", "error": "E", "message": "text"}});
        assert!(!differ(row.clone(), json!({"result": {"kind": "fault"}})));
        assert!(differ(row, json!({"result": {"kind": "dropped"}})));
    }

    #[test]
    fn a_member_that_is_not_answered_differs() {
        let row = json!({"op": "username", "result": {"device": "d", "module": ""}});
        assert!(differ(row, json!({"result": {"device": "d"}})));
    }

    #[test]
    fn a_hub_may_drop_what_the_topic_alone_does_not() {
        let topic = "devices/d/modules/m/messages/events/%24.on=";
        let row = json!({"op": "publish", "topic": topic, "result": {"kind": "telemetry"}});
        assert!(!differ(row, json!({"result": {"kind": "dropped"}})));
        let row = json!({"op": "publish", "topic": "devices/d/messages/events/", "result": {"kind": "telemetry"}});
        assert!(differ(row, json!({"result": {"kind": "dropped"}})));
    }

    #[test]
    fn documents_are_compared_by_value_where_they_were_recorded() {
        let row = json!({"op": "merge", "result": {"json": "{\"a\":1,\"b\":{}}"}});
        assert!(!differ(row.clone(), json!({"result": {"json": "{\"b\":{},\"a\":1}"}})));
        assert!(differ(row.clone(), json!({"result": {"json": "{\"a\":1.0,\"b\":{}}"}})));
        assert!(differ(row, json!({"result": {}})));
        let row = json!({"op": "reported", "result": {"status": 204}});
        assert!(!differ(row.clone(), json!({"result": {"status": 204, "json": "{}"}})));
        assert!(differ(row, json!({"result": {"status": 400}})));
    }

    #[test]
    fn what_is_uncertain_is_not_compared() {
        let row = json!({"op": "bag-read", "uncertain": "percent-encoding", "result": {"pairs": []}});
        assert!(!differ(row, json!({"result": {"error": "refused"}})));
    }
}
