//! Faults of queues, the store and upstream.

/// Ids, each used at one place, mostly under `core/` and `store/`.
pub(super) const IDS: &[&str] = &[];
