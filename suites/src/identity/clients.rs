//! What the hub tells of its clients, in the reported properties of `$edgeHub`. Covers CONN-03 to -07.
//!
//! It is told in rounds, of which the tests cannot wait for many. So many clients come and go at once, each through a
//! history of its own, and each is judged by its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::client::raw_mqtt::RawMqtt;
use harness::deadline;
use harness::environment::{Blueprint, Credential, Environment};
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{MARKER, StageError};
use serde_json::{Map, Value};

use crate::course::{broken, ended};
use crate::declare::restarting;
use crate::generate::mqtt_packet::Dice;
use crate::mqtt_head::guest::{device, enter, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let covered = ["CONN-03", "CONN-04", "CONN-05", "CONN-06", "CONN-07"];
    vec![restarting("identity", "identity::clients::the_hub_tells_who_is_connected", &covered, |worker| {
        Box::pin(told(worker))
    })]
}

/// Those who come and go. Their names have to be escaped, and have what must not be.
fn everybody() -> Vec<Identity> {
    let modules = ["plain", "dot.ted", "at@(1)", "m$1", "UPPER", "m:1"];
    let devices = ["leaf", "leaf.1", "$leaf", "l@(1)!", "l.e.a.f", "l:1"];
    modules.map(module).into_iter().chain(devices.map(device)).collect()
}

fn blueprint() -> Blueprint {
    let guests = everybody().into_iter().map(|who| (who, Credential::Keys)).collect();
    let settings = vec![("ReportedPropertiesSyncFrequencySecs".to_owned(), "1".to_owned())];
    Blueprint { guests, settings, ..Blueprint::new("gw7", &[], &[], &[]) }
}

/// What befalls a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// It connects, in the place of an older connection if there is one.
    Come,
    /// It leaves, and says so or not.
    Go { farewell: bool },
}

/// A client's history, and how it must be told of.
struct Client {
    who: Identity,
    history: Vec<Event>,
    connection: Option<RawMqtt>,
}

/// How a client must be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Not at all.
    Nothing,
    /// As connected.
    Connected,
    /// As gone.
    Gone,
}

impl Client {
    /// The model: what its history comes to.
    fn must_be(&self) -> Told {
        match (self.history.last(), &self.who) {
            (None, _) | (Some(Event::Go { .. }), Identity::LeafDevice(_)) => Told::Nothing,
            (Some(Event::Come), _) => Told::Connected,
            (Some(Event::Go { .. }), Identity::Module(_)) => Told::Gone,
        }
    }

    fn steps(&self) -> Vec<String> {
        let told = |event: &Event| match event {
            Event::Come => format!("{} connects", self.who),
            Event::Go { farewell: true } => format!("{} leaves", self.who),
            Event::Go { farewell: false } => format!("{} breaks off its connection", self.who),
        };
        self.history.iter().map(told).collect()
    }

    fn client_id(&self) -> String {
        match &self.who {
            Identity::Module(name) => format!("gw7/{name}"),
            Identity::LeafDevice(name) => name.clone(),
        }
    }

    /// Its name as the hub must write it.
    fn key(&self) -> String {
        self.client_id().replace('.', "%2E").replace('$', "%24").replace(' ', "%20")
    }

    /// Whether that is its client id as it is.
    fn is_plain(&self) -> bool {
        self.key() == self.client_id()
    }

    async fn live(&mut self, environment: &Environment, event: Event) -> Result<(), StageError> {
        match (event, self.connection.take()) {
            (Event::Come, older) => {
                self.connection = Some(enter(environment, &self.who, |_| {}).await?.0);
                // The hub closes the older one; until that is seen, it might be told of last.
                if let Some(mut older) = older {
                    older.closed(deadline::CLOSED).await?;
                }
            }
            (Event::Go { farewell: true }, Some(connection)) => drop(connection.disconnect().await?),
            (Event::Go { farewell: false }, Some(connection)) => drop(connection.break_off().await?),
            (Event::Go { .. }, None) => return Ok(()),
        }
        self.history.push(event);
        Ok(())
    }
}

async fn told(worker: &mut Worker) -> Result<Outcome, StageError> {
    const EVENTS: usize = 4;
    let seed = worker.seed();
    let mut dice = Dice::new(u64::from_le_bytes(seed[..8].try_into().expect("eight bytes")));
    let mut environment = worker.environment(&blueprint()).await?;
    let mut clients: Vec<Client> =
        everybody().into_iter().map(|who| Client { who, history: Vec::new(), connection: None }).collect();
    let mut found = None;
    // Names that need no escaping come first and alone: what goes wrong later is laid to the others.
    for (events, concerned) in [(1, Some(true)), (1, Some(false)), (EVENTS, None)] {
        for _ in 0..events {
            for client in clients.iter_mut().filter(|client| concerned.is_none_or(|plain| plain == client.is_plain())) {
                let come = client.connection.is_none() || dice.below(3) == 0;
                let event = if come { Event::Come } else { Event::Go { farewell: dice.below(2) == 0 } };
                client.live(&environment, event).await?;
            }
        }
        found = judged(&environment, &clients).await?;
        if found.is_some() {
            break;
        }
    }
    if found.is_none() {
        environment.stop_hub().await;
        environment.start_hub().await?;
        environment.ready().await?;
        found = cleared(&environment).await?;
    }
    environment.stop().await;
    Ok(ended(found))
}

async fn listed(environment: &Environment) -> Result<Map<String, Value>, StageError> {
    let twin = environment.iot_hub().twin("gw7", Some("$edgeHub")).await?;
    Ok(twin["properties"]["reported"]["clients"].as_object().cloned().unwrap_or_default())
}

/// Waits until all clients are told of as they must be; or says which one is not.
async fn judged(environment: &Environment, clients: &[Client]) -> Result<Option<Violation>, StageError> {
    let began = Instant::now();
    loop {
        let listed = listed(environment).await?;
        let wrong = clients.iter().find_map(|client| difference(client, &listed));
        if wrong.is_none() || began.elapsed() > deadline::REPORTED.limit {
            return Ok(wrong.or_else(|| stranger(clients, &listed)));
        }
        pause().await;
    }
}

/// The twin has no way to be waited for, so it is read again.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn difference(client: &Client, listed: &Map<String, Value>) -> Option<Violation> {
    let key = client.key();
    let entry = listed.get(&key);
    let has = |time: &str| entry.and_then(|entry| entry[time].as_str()).is_some_and(is_time);
    let status = entry.and_then(|entry| entry["status"].as_str());
    let (requirement, expected, right) = match client.must_be() {
        Told::Nothing => ("CONN-04", format!("no entry `{key}` in `clients`"), entry.is_none()),
        Told::Connected => (
            "CONN-03",
            format!("`{key}` is Connected in `clients`, and since when"),
            status == Some("Connected") && has("lastConnectedTimeUtc"),
        ),
        Told::Gone => (
            "CONN-04",
            format!("`{key}` is Disconnected in `clients`, with the time, and since when it was connected"),
            status == Some("Disconnected") && has("lastDisconnectedTimeUtc") && has("lastConnectedTimeUtc"),
        ),
    };
    if right {
        return None;
    }
    let misspelt = entry.is_none() && (!client.is_plain() || listed.keys().any(|other| alike(other, &key)));
    let requirement = if misspelt { "CONN-05" } else { requirement };
    let observed = match entry {
        Some(entry) => format!("`{key}` is {entry}"),
        None => format!("there are {}", listed.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    Some(broken(requirement, expected, observed, &client.steps()))
}

/// Whether two names are the same but for what is escaped in them.
fn alike(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
        percent_encoding::percent_decode_str(&decoded).decode_utf8_lossy().into_owned()
    };
    one != other && plain(one) == plain(other)
}

/// `2031-02-03T04:05:06.7Z` and the like.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T' && bytes[13] == b':'
}

/// Somebody the test does not know, or the hub itself.
fn stranger(clients: &[Client], listed: &Map<String, Value>) -> Option<Violation> {
    let mut own: BTreeMap<String, ()> = clients.iter().map(|client| (client.key(), ())).collect();
    own.insert(format!("gw7/{MARKER}"), ());
    let other = listed.keys().find(|key| !own.contains_key(*key))?;
    let requirement = if other.contains("edgeHub") { "CONN-07" } else { "CONN-05" };
    let steps = ["clients come and go".to_owned()];
    Some(broken(requirement, "`clients` names nobody but those who were there", format!("it names `{other}`"), &steps))
}

/// After a start, nobody is told of who was there before it. The harness's own probe has come and gone since.
async fn cleared(environment: &Environment) -> Result<Option<Violation>, StageError> {
    let began = Instant::now();
    let probe = format!("gw7/{MARKER}");
    loop {
        let listed = listed(environment).await?;
        let old: Vec<&String> = listed.keys().filter(|key| **key != probe).collect();
        if old.is_empty() && listed.contains_key(&probe) {
            return Ok(None);
        }
        if began.elapsed() > deadline::REPORTED.limit {
            let steps = [
                "clients come and go".to_owned(),
                "the hub is stopped and started again, and nobody but module marker connects".to_owned(),
            ];
            let observed = format!("it names {}", listed.keys().cloned().collect::<Vec<_>>().join(", "));
            return Ok(Some(broken("CONN-06", "`clients` names nobody but module marker", observed, &steps)));
        }
        pause().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(who: Identity, history: &[Event]) -> Client {
        Client { who, history: history.to_vec(), connection: None }
    }

    #[test]
    fn a_leaf_device_that_left_is_not_told_of_and_a_module_is() {
        let history = [Event::Come, Event::Go { farewell: true }];
        assert_eq!(client(module("m"), &history).must_be(), Told::Gone);
        assert_eq!(client(device("d"), &history).must_be(), Told::Nothing);
        assert_eq!(client(device("d"), &history[..1]).must_be(), Told::Connected);
    }

    #[test]
    fn names_are_escaped_where_the_product_does_and_nowhere_else() {
        assert_eq!(client(module("a.b$c@(1)"), &[]).key(), "gw7/a%2Eb%24c@(1)");
        assert_eq!(client(device("per%2Ecent"), &[]).key(), "per%2Ecent");
        assert!(alike("gw7%2Fplain", "gw7/plain") && !alike("gw7/plain", "gw7/plain"));
    }
}
