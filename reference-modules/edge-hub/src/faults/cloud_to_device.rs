//! Faults of cloud-to-device messages, file upload and what a module must not get.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[];
