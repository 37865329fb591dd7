//! Generated input. Everything is drawn from one small vocabulary, so that conditions and messages meet, and simple
//! things come first, so that failures shrink to them.

pub mod amqp_frame;
mod bag;
mod condition;
pub mod letter;
mod message;
pub mod method;
pub mod mqtt_packet;
pub mod mqtt_topic;
mod source;
pub mod twin;

pub use bag::bag;
pub use condition::{broken_condition, condition};
pub use message::message;
pub use source::{Sender, sender, source};

/// Names of application properties.
const PROPERTIES: [&str; 6] = ["line", "grade", "flag", "zone", "m-1", "größe"];
/// Their values, and what conditions compare with.
const TEXTS: [&str; 12] = ["press", "weld", "12", "7", "Press", "true", "-3.5", "grün", "a b", "1,000", "x", "12.0"];
/// Members of bodies.
const MEMBERS: [&str; 5] = ["n", "s", "ok", "nul", "obj"];
