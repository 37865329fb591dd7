//! The MQTT head: what a connection may do, and what becomes of one that does wrong.
//!
//! - [`transport`]: TLS. [`websockets`]: MQTT over WebSocket. [`connecting`], [`authentication`]: who comes in, and what is said to those who do not.
//! - [`sessions`]: what is kept of a client that leaves. [`keep_alive`]: how long a client may be silent.
//! - [`will`], [`quality`]: last messages; QoS, RETAIN, DUP and packet ids.
//! - [`guest`]: raw connections of clients that no stage connects.

pub mod authentication;
pub mod connecting;
pub mod guest;
pub mod keep_alive;
pub mod quality;
pub mod sessions;
pub mod transport;
pub mod websockets;
pub mod will;

pub mod broken_packets;
pub mod delivery;
pub mod dialogue;
pub mod limits;
pub mod publishing;
pub mod settings;
pub mod subscribing;

use harness::runner::Test;

use crate::declare::over_mqtt;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let mut tests = transport::tests();
    tests.extend(websockets::tests());
    tests.extend(connecting::tests());
    tests.extend(authentication::tests());
    tests.extend(sessions::tests());
    tests.extend(keep_alive::tests());
    tests.extend(will::tests());
    tests.extend(quality::tests());
    tests.extend(publishing::tests());
    tests.extend(subscribing::tests());
    tests.extend(delivery::tests());
    tests.extend(limits::tests());
    tests.extend(broken_packets::tests());
    tests.extend(settings::tests());
    tests.into_iter().map(over_mqtt).collect()
}
