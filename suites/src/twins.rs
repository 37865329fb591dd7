//! Twins: what a client reports and reads, what the cloud desires and who hears of it, with the cloud there and without.
//!
//! - `reading`, `reporting`, `validation`, `desired`: one side of the twin at a time.
//! - `offline`: without the cloud, and across restarts. `isolation`: everybody has a twin of his own.
//! - `wire`: how MQTT spells requests and answers.
//! - `interleavings`: generated ordeals, and the model that judges them.
//! - `ground`: what the tests stand on. `tale`: how a course is told.

use harness::runner::Test;

mod desired;
pub(crate) mod ground;
mod interleavings;
mod isolation;
mod offline;
mod reading;
mod reporting;
pub(crate) mod tale;
mod validation;
mod wire;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [
        // The longest first, so that others run beside them.
        interleavings::tests(),
        offline::tests(),
        desired::tests(),
        reporting::tests(),
        validation::tests(),
        reading::tests(),
        isolation::tests(),
        wire::tests(),
    ];
    sections.into_iter().flatten().collect()
}
