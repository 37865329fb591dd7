//! Faults between clients that speak different protocols.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[
    "X01-long-bodies-are-cut-for-amqp",
    "X02-names-without-a-value-are-lost-for-amqp",
    "X03-expiry-is-lost-for-amqp",
    "X04-module-of-the-sender-is-lost-for-amqp",
    "X05-messages-of-amqp-come-twice",
    "X06-reports-over-amqp-are-not-kept",
    "X07-changes-are-told-over-mqtt-only",
    "X08-callees-on-amqp-get-no-payload",
    "X09-status-of-amqp-is-always-200",
    "X10-connections-of-amqp-are-not-taken-over",
];
