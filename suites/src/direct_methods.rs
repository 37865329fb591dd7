//! Direct methods: who may call whom, over HTTPS and from the cloud, and what exactly the caller gets.
//!
//! - `interleavings`: generated stories of calls and callees, with a pure model of both.
//! - `requests`, `answers`, `callers`: what is read of a body, of a callee's answer, of a caller's proof; the oracle
//!   says what must come of each ([`crate::oracle::method`]).
//! - `absence`, `time`: callees that are not there, do not listen or do not answer in time.
//! - `cloud`, `offline`, `own`: calls from the cloud, without the cloud, and to the hub itself.
//! - `topics`: the MQTT side of a call. `server`: everything else that the HTTPS head does.
//! - `ground`: what the tests stand on.

use harness::runner::Test;

mod absence;
mod answers;
mod callers;
pub(crate) mod cloud;
pub(crate) mod ground;
mod interleavings;
mod offline;
mod own;
mod requests;
mod server;
mod time;
mod topics;

pub use ground::guests;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [
        // The longest first, so that others run beside them.
        time::tests(),
        interleavings::tests(),
        cloud::tests(),
        offline::tests(),
        requests::tests(),
        answers::tests(),
        callers::tests(),
        absence::tests(),
        own::tests(),
        topics::tests(),
        server::tests(),
    ];
    sections.into_iter().flatten().collect()
}
