//! Planted faults: what each breaks, and which requirements it violates. The subject knows only their names.

use harness::transport::Transport;
use serde::{Deserialize, Serialize};

/// A defect that can be planted in the reference edgeHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The name to plant it by.
    pub id: String,
    /// Its row in the list of how such systems fail, when it stands there.
    #[serde(default)]
    pub catalogue: Option<String>,
    /// Requirements it violates; a test of one of these must notice it.
    pub violates: Vec<String>,
    /// What goes wrong.
    pub what: String,
    /// How often it strikes, for those that strike now and then: what has to be found out is how long a run must be.
    #[serde(default)]
    pub strikes: Option<String>,
    /// The least thorough run that must find it.
    #[serde(default)]
    pub found_with: Thoroughness,
    /// Over what it shows, when that is not what the tests of its requirements speak first.
    #[serde(default)]
    pub over: Option<Transport>,
}

/// How thorough a run must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thoroughness {
    /// The run of a few minutes.
    #[default]
    Quick,
    /// The run that takes real minutes.
    Full,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    fault: Vec<Fault>,
}

/// All faults, in the order of their files.
///
/// # Errors
/// The file's name, with place and cause; a test holds that there is none.
pub fn all() -> Result<Vec<Fault>, String> {
    let files = [
        ("language.toml", include_str!("../faults/language.toml")),
        ("runtime.toml", include_str!("../faults/runtime.toml")),
        ("mqtt_connect.toml", include_str!("../faults/mqtt_connect.toml")),
        ("mqtt_packets.toml", include_str!("../faults/mqtt_packets.toml")),
        ("store_and_forward.toml", include_str!("../faults/store_and_forward.toml")),
        ("twins.toml", include_str!("../faults/twins.toml")),
        ("direct_methods.toml", include_str!("../faults/direct_methods.toml")),
        ("cloud_to_device.toml", include_str!("../faults/cloud_to_device.toml")),
        ("identity.toml", include_str!("../faults/identity.toml")),
        ("amqp_head.toml", include_str!("../faults/amqp_head.toml")),
        ("cross_protocol.toml", include_str!("../faults/cross_protocol.toml")),
    ];
    let mut faults = Vec::new();
    for (name, text) in files {
        let file: File = toml::from_str(text).map_err(|error| format!("faults/{name}: {error}"))?;
        faults.extend(file.fault);
    }
    Ok(faults)
}
