//! AMQP 1.0 over TLS on port 5671, or in a WebSocket: not a broker, but a fixed table of links.
//!
//! - [`listener`]: accepts connections. [`welcome`]: protocol headers and the SASL layer, up to where AMQP begins.
//! - [`peer`]: AMQP itself: OPEN, sessions, links, deliveries. It knows nothing of what links are for.
//! - `connection`: a connection after its headers: what the peer tells, what the engine tells, and the clock.
//! - `client`: one of the identities on a connection; `principal`: how they prove who they are; [`cbs`]: where they do.
//! - [`address`]: which link is for what.
//! - `telemetry`, `inputs`, `twin`, `methods`: what messages on links mean. [`message`]: the sections they are made of.
//! - `frame`, [`encoding`], `condition`: bytes.
//!
//! Source: `amqp.md`; Azure/iotedge, `Microsoft.Azure.Devices.Edge.Hub.Amqp`.

pub mod address;
pub mod cbs;
mod client;
mod condition;
mod connection;
pub mod encoding;
mod frame;
mod inputs;
pub mod listener;
pub mod message;
mod methods;
pub mod peer;
mod principal;
mod telemetry;
mod twin;
mod uri;
pub mod welcome;

#[cfg(test)]
mod tests;
