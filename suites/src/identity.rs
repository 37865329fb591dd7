//! Identity: who may act as whom, and what becomes of a client whose identity changes.
//!
//! - `tokens`: over HTTPS too. `registry`: identities that come, change and go in the cloud. `offline`: without the cloud.
//! - `clients`: what the hub tells of those who are connected.
//! - [`newcomer`]: identities made by the test that needs them.

use harness::runner::Test;

mod clients;
pub mod newcomer;
mod offline;
mod registry;
pub mod tokens;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [clients::tests(), offline::tests(), tokens::tests(), registry::tests()];
    sections.into_iter().flatten().collect()
}
