//! Cross protocol: what goes in over one protocol comes out over another, as it went in.
//!
//! - [`mapping`]: which parts of a message each protocol has a place for, as data.
//! - `messages`: everybody sends to everybody. `twins`: reported here, read there. `methods`: one call, many callees.
//!   `takeover`: a client that connects again and speaks something else.
//!
//! Every client of these tests speaks what the test says, so each runs once, whatever a run is about.

use std::collections::BTreeMap;

use harness::environment::{Blueprint, Credential};
use harness::observe::history::Identity;
use harness::runner::Test;
use harness::transport::Transport;

use crate::declare::once;

pub mod mapping;
mod messages;
mod methods;
mod takeover;
mod twins;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [messages::tests(), twins::tests(), methods::tests(), takeover::tests()];
    sections.into_iter().flatten().map(once).collect()
}

/// The module that speaks a transport, and the input it has.
const MODULES: [(&str, Transport); 4] = [
    ("mqtt", Transport::Mqtt),
    ("mqtt-ws", Transport::MqttWs),
    ("amqp", Transport::Amqp),
    ("amqp-ws", Transport::AmqpWs),
];
/// The leaf devices, and what they speak.
const LEAVES: [(&str, Transport); 2] = [("leaf-mqtt", Transport::Mqtt), ("leaf-amqp", Transport::Amqp)];
/// The input that each of the modules has.
const INPUT: &str = "in";
/// A module that speaks one thing after another.
const POLYGLOT: &str = "polyglot";
/// A module that calls others.
const CALLER: &str = "caller";
/// Modules that are called, and what they speak.
const CALLEES: [(&str, Transport); 4] = [
    ("called-mqtt", Transport::Mqtt),
    ("called-mqtt-ws", Transport::MqttWs),
    ("called-amqp", Transport::Amqp),
    ("called-amqp-ws", Transport::AmqpWs),
];

fn module(id: &str) -> Identity {
    Identity::Module(id.to_owned())
}

/// Everybody who sends, and what it speaks.
fn speakers() -> Vec<(Identity, Transport)> {
    let modules = MODULES.map(|(id, transport)| (module(id), transport));
    let leaves = LEAVES.map(|(leaf, transport)| (Identity::LeafDevice(leaf.to_owned()), transport));
    modules.into_iter().chain(leaves).collect()
}

/// A module for each transport, two leaf devices, and guests that change what they speak.
fn blueprint() -> Blueprint {
    let inputs = MODULES.map(|(module, _)| (module, INPUT));
    let callees = CALLEES.map(|(id, transport)| (module(id), transport));
    let guests = [POLYGLOT, CALLER].into_iter().chain(CALLEES.map(|(id, _)| id));
    let guests = guests.map(|id| (module(id), Credential::Keys)).collect();
    let speakers: BTreeMap<Identity, Transport> = speakers().into_iter().chain(callees).collect();
    // Twins of modules are reported every second instead of every minute.
    let settings = [("ReportedPropertiesSyncFrequencySecs", "1")];
    Blueprint {
        guests,
        speakers,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..Blueprint::new("gw7", &MODULES.map(|(module, _)| module), &LEAVES.map(|(leaf, _)| leaf), &inputs)
    }
}
