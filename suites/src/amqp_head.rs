//! The AMQP head: what a connection, a session, a link and a message may do, frame by frame.
//!
//! - [`talk`]: how a conversation is told, and the steps most of them begin with.
//! - [`transport`], [`sasl`], [`connections`]: layers. [`tokens`]: `$cbs`. [`links`]: addresses, modes, credit.
//! - [`telemetry`], [`inputs`], [`twins`], [`methods`], [`cloud_to_device`]: what travels on links.
//! - [`other_identities`]: what is not one's own. [`full_store`]: when there is no room. [`settings`]: what the head can be told. [`library`]: a whole client that somebody else wrote.

pub mod talk;

pub mod cloud_to_device;
pub mod connections;
pub mod full_store;
pub mod inputs;
pub mod library;
pub mod links;
pub mod methods;
pub mod other_identities;
pub mod sasl;
pub mod settings;
pub mod telemetry;
pub mod tokens;
pub mod transport;
pub mod twins;

use harness::runner::Test;

use crate::declare::over_amqp;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let either = [
        sasl::tests(),
        connections::tests(),
        tokens::tests(),
        links::tests(),
        telemetry::tests(),
        inputs::tests(),
        twins::tests(),
        methods::tests(),
        cloud_to_device::tests(),
        other_identities::tests(),
        full_store::tests(),
        settings::tests(),
    ];
    // What these speak over is said in each of them.
    let one = [transport::tests(), library::tests()];
    let one = one.into_iter().flatten().map(over_amqp).map(|test| test.on_one_transport(None));
    either.into_iter().flatten().map(over_amqp).chain(one).collect()
}
