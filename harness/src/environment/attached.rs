//! A hub that runs already, in a world that runs already: nothing is started, and nothing is ended.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Blueprint, Environment, Handshake, StartError, trust};
use crate::client::http::Origin;
use crate::client::iot_hub::IotHub;
use crate::engine::address::AddressPair;
use crate::observe::wire_log::WireLog;
use crate::subject::Launch;
use crate::transport::Transport;

/// What the file of `--hub attach:FILE` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attached {
    /// Address at which the hub is reached: MQTT on 8883, metrics on 9600.
    hub: IpAddr,
    /// Port of the hub's HTTPS head, the product's when it is left out.
    #[serde(default = "product_https_port")]
    hub_https_port: u16,
    /// HTTPS of the simulated IoT Hub.
    iot_hub: SocketAddr,
    /// Folder with the registry and the root certificate of that world.
    folder: PathBuf,
}

fn product_https_port() -> u16 {
    443
}

/// The environment of a running hub.
pub(super) fn environment(
    launch: &Launch,
    blueprint: &Blueprint,
    transport: Transport,
    file: &Path,
) -> Result<Environment, StartError> {
    let wrong = |why: String| StartError::Attach { file: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let attached: Attached = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let registry = registry::Registry::load(&attached.folder.join("registry.json")).map_err(StartError::Registry)?;
    let authority = pki::Authority::load(&attached.folder).map_err(StartError::Pki)?;
    if let Some(missing) = blueprint.modules.iter().find(|module| !registry.modules.contains_key(*module)) {
        return Err(wrong(format!("its registry has no module `{missing}`, which the tests connect as")));
    }
    let tls = trust(authority.certificate_pem(), Handshake::default())?;
    let origin = Origin { address: attached.iot_hub, host: launch.iot_hub_host.clone(), tls: Some(tls.clone()) };
    let policy = &registry.service_policy;
    Ok(Environment {
        iot_hub: IotHub::new(origin, &policy.name, &policy.key).map_err(StartError::Key)?,
        launch: launch.clone(),
        blueprint: blueprint.clone(),
        transport,
        folder: attached.folder,
        addresses: AddressPair::chosen(attached.iot_hub.ip(), attached.hub),
        registry,
        tls,
        // The certificates of its guests are known to whoever made that world.
        certificates: BTreeMap::new(),
        authority,
        https: attached.iot_hub,
        hub_https_port: attached.hub_https_port,
        mqtt: SocketAddr::new(attached.iot_hub.ip(), 8883),
        amqp: SocketAddr::new(attached.iot_hub.ip(), 5671),
        simulators: Vec::new(),
        modules: Vec::new(),
        hub: None,
        hub_starts: 0,
        was_ready: false,
        wire: WireLog::new(),
    })
}
