//! Telemetry: what a message is when it arrives.
//!
//! - [`publishing`]: topics a client may publish to.
//! - [`delivery`]: what arrives at an input and in the cloud.
//! - [`property_bag`]: names and values on the wire.

pub mod delivery;
pub mod property_bag;
pub mod publishing;

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let mut tests = publishing::tests();
    tests.extend(delivery::tests());
    tests.extend(property_bag::tests());
    tests
}
