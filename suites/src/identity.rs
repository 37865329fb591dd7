//! Identity: who may act as whom, and what becomes of a client whose identity changes.
//!
//! - `tokens`: over HTTPS too. `renewal`: by connecting anew. `certificates`: either kind of thumbprint.
//! - `registry`: identities that come, change and go in the cloud. `offline`: without it.
//! - `connections`: two of one identity. `clients`: what the hub tells of those who are connected.
//! - `own`: twins over HTTPS. [`newcomer`]: identities made by the test that needs them.

use harness::runner::Test;

use crate::declare::over_mqtt;

mod certificates;
mod clients;
mod connections;
pub mod newcomer;
mod offline;
mod own;
mod registry;
mod renewal;
pub mod tokens;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [
        clients::tests(),
        renewal::tests(),
        registry::tests(),
        offline::tests(),
        connections::tests(),
        tokens::tests(),
        certificates::tests(),
        own::tests(),
    ];
    // Their clients write packets or topics of MQTT themselves.
    sections.into_iter().flatten().map(over_mqtt).collect()
}
