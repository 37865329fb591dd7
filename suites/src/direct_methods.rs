//! Direct methods: who may call whom, over HTTPS and from the cloud, and what exactly the caller gets.

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
