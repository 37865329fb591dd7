//! MQTT 3.1.1 over TLS on port 8883: not a broker, but a fixed set of operations that travel in MQTT packets.
//!
//! - [`listener`]: accepts connections.
//! - `connect`: the first packet, and who is behind it.
//! - `connection`: everything after CONNACK.
//! - `acknowledge`: PUBACKs in the order of the PUBLISHes.
//! - [`subscriptions`]: filters of a client, and what of them is kept with its session.
//! - [`topics`], [`bag`], [`user_name`]: texts.

mod acknowledge;
pub mod bag;
mod connect;
mod connection;
pub mod listener;
pub mod subscriptions;
pub mod topics;
pub mod user_name;
