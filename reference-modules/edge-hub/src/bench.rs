//! A door for micro-benchmarks to parts that are nobody else's business: feature `bench`. What is behind it may change
//! with any commit.

pub use crate::heads::mqtt::bag;

/// What survives the process.
pub mod store {
    pub use crate::store::{Cleaned, QueueState, Store};
}

/// MQTT packets as bytes.
pub mod wire {
    pub use crate::wire::{Packet, Undecodable, Unwritable, take, write_puback, write_publish};
}
