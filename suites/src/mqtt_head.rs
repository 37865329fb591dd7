//! The MQTT head: what a connection may do, and what becomes of one that does wrong.

pub mod broken_packets;
pub mod dialogue;

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    tests.extend(broken_packets::tests());
    tests
}
