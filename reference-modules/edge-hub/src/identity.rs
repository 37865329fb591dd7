//! Who speaks to the hub: a device, or a module of a device.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A device (`edge1`) or a module of a device (`edge1/filter`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId {
    /// Device id.
    pub device: String,
    /// Module id, when it is a module.
    pub module: Option<String>,
}

impl ClientId {
    /// A downstream device, or the edge device itself.
    pub fn device(device: impl Into<String>) -> ClientId {
        ClientId { device: device.into(), module: None }
    }

    /// A module.
    pub fn module(device: impl Into<String>, module: impl Into<String>) -> ClientId {
        ClientId { device: device.into(), module: Some(module.into()) }
    }

    /// Reads the form that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> ClientId {
        match text.split_once('/') {
            Some((device, module)) => ClientId::module(device, module),
            None => ClientId::device(text),
        }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.module {
            Some(module) => write!(f, "{}/{module}", self.device),
            None => f.write_str(&self.device),
        }
    }
}
