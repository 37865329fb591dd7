//! The reference edgeHub: what a module, a leaf device and IoT Hub see of the product, in a program meant to be read.
//!
//! - [`core`]: decides, and does nothing else. `(Input, now) -> Outputs`; no clock, socket or task.
//! - `engine`: the one thread that runs the core and owns the store.
//! - `heads`: what clients speak; `upstream`: what IoT Hub speaks; `wire`: the packets of both.
//! - `scope`, `sas`, `certificate`, `authenticate`: who may come in.
//! - `settings`, `workload`, `boot`: from the environment to a hub that serves.
//! - [`faults`]: defects that can be planted, to find out whether a suite would notice them.

mod authenticate;
#[cfg(feature = "bench")]
pub mod bench;
mod boot;
mod certificate;
pub mod core;
mod dial;
mod engine;
pub mod faults;
mod heads;
mod identity;
mod metrics;
mod percent;
mod sas;
mod scope;
mod settings;
mod store;
mod upstream;
pub mod vectors;
mod wire;
mod workload;

pub use boot::{Options, run};
pub use dial::{ConnectTo, NotConnectTo};
