//! The MQTT head: what a connection may do, and what becomes of one that does wrong.

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
