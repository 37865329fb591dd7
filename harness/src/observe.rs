//! What a case saw, and what every case must see.

pub mod evidence;
pub mod history;
pub mod metrics;
pub mod monitors;
pub mod wire_log;
