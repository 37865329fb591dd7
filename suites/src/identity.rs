//! Identity: who may act as whom, and what becomes of a client whose identity changes.

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
