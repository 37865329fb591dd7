//! Protocol heads: they translate between a wire protocol and the core, and decide nothing.

pub mod amqp;
pub mod https;
pub mod mqtt;
