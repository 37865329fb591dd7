//! Planted faults: defects that are off unless one is named on the command line (`--plant ID`).
//!
//! Each is a few lines at one place in the code, marked by a call of [`planted`] with its id. The suites must
//! notice every one of them; a fault that survives `edgecert self-test` is a finding against the suites.
//! What a fault breaks, and which requirement it violates, is written down in `suites/faults/*.toml`:
//! the hub knows only the names.

use std::sync::OnceLock;

mod amqp_head;
mod cloud_to_device;
mod cross_protocol;
mod direct_methods;
mod identity;
mod language;
mod mqtt_connect;
mod mqtt_packets;
mod runtime;
pub mod store_and_forward;
mod twins;

static PLANTED: OnceLock<&'static str> = OnceLock::new();

/// Ids of all faults that can be planted, in the order of their declaration.
pub fn all() -> impl Iterator<Item = &'static str> {
    [
        language::IDS,
        runtime::IDS,
        mqtt_connect::IDS,
        mqtt_packets::IDS,
        store_and_forward::IDS,
        twins::IDS,
        direct_methods::IDS,
        cloud_to_device::IDS,
        identity::IDS,
        amqp_head::IDS,
        cross_protocol::IDS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Plants one fault for the life of the process.
///
/// # Errors
/// [`UnknownFault`] when no fault has this id, or another one is planted already.
pub fn plant(id: &str) -> Result<(), UnknownFault> {
    let known = all().find(|known| *known == id).ok_or_else(|| UnknownFault(id.to_owned()))?;
    PLANTED.set(known).map_err(|_| UnknownFault(id.to_owned()))
}

/// Whether this fault is the planted one. Cheap enough for hot paths: one load and, when a fault is planted, one
/// comparison of short strings.
pub fn planted(id: &str) -> bool {
    debug_assert!(all().any(|known| known == id), "{id} is not declared in faults/");
    PLANTED.get().is_some_and(|planted| *planted == id)
}

/// Whether a fault is planted at all. Short cuts are not taken then, since a fault may lie on the long way.
pub fn any_planted() -> bool {
    PLANTED.get().is_some()
}

/// A fault was named that cannot be planted.
#[derive(Debug, thiserror::Error)]
#[error("cannot plant `{0}`: no such fault, or one is planted already; `edgecert list faults` names them all")]
pub struct UnknownFault(String);
