//! Faults of twins.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[];
