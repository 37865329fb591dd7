//! Store and forward: nothing that was acknowledged is lost, and what is delivered comes in order and in time.
//!
//! - [`judgement`]: the pure model; every history of queues is judged by it.

use harness::runner::Test;

pub mod judgement;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
