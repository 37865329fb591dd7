//! The AMQP head: what a connection, a session, a link and a message may do, frame by frame.
//!
//! - [`talk`]: how a conversation is told, and the steps most of them begin with.
//! - [`transport`], [`sasl`], [`connections`]: layers. [`tokens`]: `$cbs`. [`links`]: addresses, modes, credit.
//! - [`telemetry`], [`inputs`], [`twins`], [`methods`], [`cloud_to_device`]: what travels on links.
//! - [`settings`]: what the head can be told.

pub mod talk;

pub mod cloud_to_device;
pub mod connections;
pub mod inputs;
pub mod links;
pub mod methods;
pub mod sasl;
pub mod settings;
pub mod telemetry;
pub mod tokens;
pub mod transport;
pub mod twins;

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let mut tests = transport::tests();
    tests.extend(sasl::tests());
    tests.extend(connections::tests());
    tests.extend(tokens::tests());
    tests.extend(links::tests());
    tests.extend(telemetry::tests());
    tests.extend(inputs::tests());
    tests.extend(twins::tests());
    tests.extend(methods::tests());
    tests.extend(cloud_to_device::tests());
    tests.extend(settings::tests());
    tests
}
