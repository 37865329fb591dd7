//! Store and forward: nothing that was acknowledged is lost, and what is delivered comes in order and in time.
//!
//! - [`judgement`]: the pure model; every story of queues is judged by it.
//! - `interleavings`: generated ordeals. `volume`: many messages, nothing in the way.
//! - `order`, `priority`, `expiry`, `restart`, `endpoints`, `upstream`, `memory`: one promise at a time.
//! - `events`, `metrics`: messages the hub makes itself, and what it counts.
//! - [`receiver`], `ground`: what the tests stand on.

use harness::runner::Test;

mod endpoints;
mod events;
mod expiry;
mod ground;
mod interleavings;
pub mod judgement;
mod memory;
mod metrics;
mod order;
mod priority;
pub mod receiver;
mod restart;
mod upstream;
mod volume;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [
        // The longest first, so that others run beside them.
        interleavings::tests(),
        volume::tests(),
        expiry::tests(),
        endpoints::tests(),
        upstream::tests(),
        restart::tests(),
        priority::tests(),
        order::tests(),
        memory::tests(),
        events::tests(),
        metrics::tests(),
    ];
    sections.into_iter().flatten().collect()
}
