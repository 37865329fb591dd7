//! The MQTT head: what a connection may do, and what becomes of one that does wrong.

pub mod broken_packets;
pub mod delivery;
pub mod dialogue;
pub mod limits;
pub mod publishing;
pub mod settings;
pub mod subscribing;

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    tests.extend(publishing::tests());
    tests.extend(subscribing::tests());
    tests.extend(delivery::tests());
    tests.extend(limits::tests());
    tests.extend(broken_packets::tests());
    tests.extend(settings::tests());
    tests
}
