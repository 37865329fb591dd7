//! Faults of direct methods and the HTTPS head.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[];
