//! Faults of identities that change while the hub runs, and what the hub tells of its clients.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[];
