//! The hub's own reported properties: what is to be said, one update in flight at a time.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::input::ReportOutcome;
use crate::faults::planted;
use crate::identity::ClientId;

/// Updates not yet taken by IoT Hub.
#[derive(Debug, Default)]
pub struct Reported {
    pending: VecDeque<Map<String, Value>>,
    in_flight: Option<Map<String, Value>>,
}

impl Reported {
    /// What a starting hub says first: the version of this document, its own version, and that nobody is connected.
    pub fn start(&mut self, hub: &ClientId) {
        let mut first = json!({
            "schemaVersion": "1.0",
            "clients": null,
            "version": {"version": env!("CARGO_PKG_VERSION"), "build": "edgecert", "commit": ""},
        });
        if planted("CFG16-clients-not-cleared-at-start") {
            first.as_object_mut().expect("an object").remove("clients");
        }
        self.say(first);
        if planted("CONN07-hub-lists-itself") {
            self.connected(hub, "2020-01-01T00:00:00.0000000Z");
        }
    }

    /// A desired document or patch was processed.
    pub fn processed(&mut self, version: Option<i64>, code: u16, description: &str) {
        self.say(json!({
            "lastDesiredVersion": version,
            "lastDesiredStatus": {"code": code, "description": description},
        }));
    }

    /// A client connected.
    pub fn connected(&mut self, client: &ClientId, at: &str) {
        if planted("CONN03-connected-client-is-not-reported") {
            return;
        }
        let mut state = json!({"status": "Connected", "lastConnectedTimeUtc": at});
        if planted("CONN03-time-of-connecting-is-missing") {
            state = json!({"status": "Connected"});
        }
        self.client(client, state);
    }

    /// A client left: modules keep an entry, downstream devices are removed.
    pub fn disconnected(&mut self, client: &ClientId, at: &str) {
        let gone = if planted("CFG16-disconnected-module-is-removed") {
            Value::Null
        } else if planted("CONN04-time-of-leaving-is-missing") && client.module.is_some() {
            json!({"status": "Disconnected"})
        } else if client.module.is_some() || planted("CFG16-disconnected-device-stays") {
            json!({"status": "Disconnected", "lastDisconnectedTimeUtc": at})
        } else {
            Value::Null
        };
        self.client(client, gone);
    }

    /// Overwrites the version of the reported document: only a planted fault does that.
    pub fn schema_version(&mut self, version: &str) {
        self.say(json!({"schemaVersion": version}));
    }

    /// The next update to send, unless one is on its way.
    pub fn next(&mut self) -> Option<String> {
        if self.in_flight.is_some() {
            return None;
        }
        let update = self.pending.pop_front()?;
        let text = Value::Object(update.clone()).to_string();
        self.in_flight = Some(update);
        Some(text)
    }

    /// IoT Hub answered. What failed is said again; what it refused it would refuse again, and nothing else is to wait
    /// for that.
    pub fn answered(&mut self, outcome: ReportOutcome) {
        match (self.in_flight.take(), outcome) {
            (Some(update), ReportOutcome::Failed) => self.pending.push_front(update),
            (Some(_), ReportOutcome::Accepted | ReportOutcome::Refused) | (None, _) => {}
        }
    }

    /// A client whose key no reported properties may hold is not told of, as in the product.
    fn client(&mut self, client: &ClientId, state: Value) {
        let key = key(client);
        if key.contains(|character: char| character == '#' || character.is_control() || character.is_whitespace()) {
            return;
        }
        let mut entry = Map::new();
        entry.insert(key, state);
        self.say(json!({"clients": entry}));
    }

    fn say(&mut self, update: Value) {
        let Value::Object(update) = update else { unreachable!("updates are objects") };
        // A cleared map must reach IoT Hub before its new entries do.
        match self.pending.back_mut() {
            Some(last) if last.get("clients") != Some(&Value::Null) => overlay(last, update),
            _ => self.pending.push_back(update),
        }
    }
}

/// Lays an update over an earlier one; nulls stay, since they are to delete something far away.
fn overlay(base: &mut Map<String, Value>, update: Map<String, Value>) {
    for (name, value) in update {
        match (base.get_mut(&name), value) {
            (Some(Value::Object(base)), Value::Object(update)) if name == "clients" => base.extend(update),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

fn key(client: &ClientId) -> String {
    let id = client.to_string();
    if planted("CFG17-client-keys-not-escaped") {
        return id;
    }
    let key = id.replace('.', "%2E").replace('$', "%24").replace(' ', "%20");
    if planted("CONN05-slash-is-escaped") { key.replace('/', "%2F") } else { key }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(reported: &mut Reported) -> Value {
        serde_json::from_str(&reported.next().expect("an update")).expect("json")
    }

    #[test]
    fn updates_made_while_one_is_in_flight_are_sent_as_one() {
        let mut reported = Reported::default();
        reported.connected(&ClientId::module("edge1", "a"), "t1");
        assert_eq!(next(&mut reported)["clients"]["edge1/a"]["status"], "Connected");
        reported.disconnected(&ClientId::module("edge1", "a"), "t2");
        reported.connected(&ClientId::device("leaf1"), "t3");
        reported.disconnected(&ClientId::device("leaf1"), "t4");
        assert!(reported.next().is_none());
        reported.answered(ReportOutcome::Accepted);
        let update = next(&mut reported);
        assert_eq!(update["clients"]["edge1/a"]["status"], "Disconnected");
        assert_eq!(update["clients"]["leaf1"], Value::Null);
        reported.answered(ReportOutcome::Accepted);
        assert!(reported.next().is_none());
    }

    #[test]
    fn the_cleared_client_map_is_not_merged_away() {
        let mut reported = Reported::default();
        reported.start(&ClientId::module("edge1", "$edgeHub"));
        reported.connected(&ClientId::module("edge1", "a"), "t1");
        let first = next(&mut reported);
        assert_eq!(first["clients"], Value::Null);
        assert_eq!(first["schemaVersion"], "1.0");
        reported.answered(ReportOutcome::Accepted);
        assert_eq!(next(&mut reported)["clients"]["edge1/a"]["status"], "Connected");
    }

    #[test]
    fn an_update_that_was_not_taken_is_sent_again() {
        let mut reported = Reported::default();
        reported.processed(Some(3), 200, "");
        let first = next(&mut reported);
        reported.answered(ReportOutcome::Failed);
        assert_eq!(next(&mut reported), first);
    }

    #[test]
    fn an_update_that_was_refused_holds_up_nothing() {
        let mut reported = Reported::default();
        reported.processed(Some(3), 200, "");
        next(&mut reported);
        reported.processed(Some(4), 200, "");
        reported.answered(ReportOutcome::Refused);
        assert_eq!(next(&mut reported)["lastDesiredVersion"], 4);
    }

    #[test]
    fn a_client_with_a_key_iot_hub_does_not_take_is_passed_over() {
        let mut reported = Reported::default();
        reported.connected(&ClientId::device("leaf#1"), "t1");
        assert!(reported.next().is_none());
    }

    #[test]
    fn client_keys_escape_dot_dollar_and_blank() {
        assert_eq!(key(&ClientId::module("gw.7", "$edge Agent")), "gw%2E7/%24edge%20Agent");
    }
}
