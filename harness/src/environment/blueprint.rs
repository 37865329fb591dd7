//! What an environment is to have.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Credential;
use crate::observe::history::Identity;
use crate::stage::{CANARY, MARKER};
use crate::transport::Transport;

/// What an environment has, whatever its subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Blueprint {
    /// Id of the edge device.
    pub edge_device: String,
    /// Modules that may connect, `$edgeHub` and `$edgeAgent` aside.
    pub modules: Vec<String>,
    /// Devices downstream of the edge device.
    pub leaf_devices: Vec<String>,
    /// Modules and devices that may connect too, and that no stage connects: tests do, as they need it.
    pub guests: Vec<(Identity, Credential)>,
    /// Inputs that stand in every configuration, as (module, input).
    pub inputs: Vec<(String, String)>,
    /// The first desired properties of `$edgeHub`; without them the standing configuration.
    pub desired: Option<Value>,
    /// Hub settings the tests on this blueprint need, under the product's names.
    pub settings: Vec<(String, String)>,
    /// How many entries the simulated IoT Hub keeps in its records; all when there is no limit.
    pub keep_records: Option<usize>,
    /// Who speaks something of its own, whatever the others speak.
    pub speakers: BTreeMap<Identity, Transport>,
}

impl Blueprint {
    /// A blueprint with the harness's own modules beside those named.
    pub fn new(edge_device: &str, modules: &[&str], leaf_devices: &[&str], inputs: &[(&str, &str)]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut all = owned(modules);
        all.extend([MARKER.to_owned(), CANARY.to_owned()]);
        let mut standing: Vec<(String, String)> =
            inputs.iter().map(|(module, input)| ((*module).to_owned(), (*input).to_owned())).collect();
        standing.push((CANARY.to_owned(), "c".to_owned()));
        Self {
            edge_device: edge_device.to_owned(),
            modules: all,
            leaf_devices: owned(leaf_devices),
            guests: Vec::new(),
            inputs: standing,
            desired: None,
            settings: Vec::new(),
            keep_records: None,
            speakers: BTreeMap::new(),
        }
    }
}
