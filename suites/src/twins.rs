//! Twins: reported and desired properties, versions, validation, isolation: what a twin holds and who hears of it.

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
