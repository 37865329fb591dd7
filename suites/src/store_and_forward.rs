//! Store and forward: nothing that was acknowledged is lost, and what is delivered comes in order and in time.
//!
//! - [`judgement`]: the pure model; every story of queues is judged by it.
//! - `interleavings`: generated ordeals.
//! - `receiver`, `ground`: what the tests stand on.

use harness::runner::Test;

mod ground;
mod interleavings;
pub mod judgement;
pub mod receiver;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    interleavings::tests()
}
