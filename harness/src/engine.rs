//! Engines start things. Today: processes on loopback, each environment on addresses of its own.

pub mod address;
pub mod process;
pub mod run_folder;
