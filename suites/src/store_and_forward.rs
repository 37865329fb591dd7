//! Store and forward: nothing that was acknowledged is lost, and what is delivered comes in order and in time.

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
