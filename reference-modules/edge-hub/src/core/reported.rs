//! The hub's own reported properties: what is to be said, one update in flight at a time.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

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
    pub fn start(&mut self) {
        let mut first = json!({
            "schemaVersion": "1.0",
            "clients": null,
            "version": {"version": env!("CARGO_PKG_VERSION"), "build": "edgecert", "commit": ""},
        });
        if planted("CFG16-clients-not-cleared-at-start") {
            first.as_object_mut().expect("an object").remove("clients");
        }
        self.say(first);
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
        self.client(client, json!({"status": "Connected", "lastConnectedTimeUtc": at}));
    }

    /// A client left: modules keep an entry, downstream devices are removed.
    pub fn disconnected(&mut self, client: &ClientId, at: &str) {
        let gone = if planted("CFG16-disconnected-module-is-removed") {
            Value::Null
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

    /// IoT Hub answered; what it did not take is said again.
    pub fn answered(&mut self, accepted: bool) {
        match self.in_flight.take() {
            Some(update) if !accepted => self.pending.push_front(update),
            _ => {}
        }
    }

    fn client(&mut self, client: &ClientId, state: Value) {
        let mut entry = Map::new();
        entry.insert(key(client), state);
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
    id.replace('.', "%2E").replace('$', "%24").replace(' ', "%20")
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
        reported.answered(true);
        let update = next(&mut reported);
        assert_eq!(update["clients"]["edge1/a"]["status"], "Disconnected");
        assert_eq!(update["clients"]["leaf1"], Value::Null);
        reported.answered(true);
        assert!(reported.next().is_none());
    }

    #[test]
    fn the_cleared_client_map_is_not_merged_away() {
        let mut reported = Reported::default();
        reported.start();
        reported.connected(&ClientId::module("edge1", "a"), "t1");
        let first = next(&mut reported);
        assert_eq!(first["clients"], Value::Null);
        assert_eq!(first["schemaVersion"], "1.0");
        reported.answered(true);
        assert_eq!(next(&mut reported)["clients"]["edge1/a"]["status"], "Connected");
    }

    #[test]
    fn an_update_that_was_not_taken_is_sent_again() {
        let mut reported = Reported::default();
        reported.processed(Some(3), 200, "");
        let first = next(&mut reported);
        reported.answered(false);
        assert_eq!(next(&mut reported), first);
    }

    #[test]
    fn client_keys_escape_dot_dollar_and_blank() {
        assert_eq!(key(&ClientId::module("gw.7", "$edge Agent")), "gw%2E7/%24edge%20Agent");
    }
}
