//! One subject in its world: a simulated IoT Hub, a workload API, an edgeHub, and the identities that may connect.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use blueprint::Blueprint;
pub use guests::{Credential, Handshake, TlsVersion};
use guests::{certificates, trust};
pub use pki::{DeviceCertificate, Issued};
use standing::standing_desired;
pub use start_error::StartError;

use crate::client::http::Origin;
use crate::client::iot_hub::IotHub;
use crate::deadline;
use crate::engine::address::AddressPair;
use crate::engine::process::{Process, Program};
use crate::observe::history::Identity;
use crate::observe::wire_log::WireLog;
use crate::subject::{Ability, Launch, Subject};
use crate::transport::Transport;

mod attached;
mod blueprint;
mod clients;
mod edge_hub;
mod guests;
mod standing;
mod start_error;

/// A world and, once started, the hub in it.
pub struct Environment {
    launch: Launch,
    blueprint: Blueprint,
    transport: Transport,
    folder: PathBuf,
    addresses: AddressPair,
    registry: registry::Registry,
    iot_hub: IotHub,
    tls: Arc<rustls::ClientConfig>,
    authority: pki::Authority,
    certificates: BTreeMap<Identity, Issued>,
    https: SocketAddr,
    hub_https_port: u16,
    mqtt: SocketAddr,
    amqp: SocketAddr,
    simulators: Vec<Process>,
    modules: Vec<Process>,
    hub: Option<Process>,
    hub_starts: usize,
    was_ready: bool,
    wire: WireLog,
}

impl Environment {
    /// Starts the simulators. The hub is not started yet; its clients will speak `transport`.
    ///
    /// # Errors
    /// [`StartError`] says what did not start, and where its log is.
    pub async fn world(
        launch: &Launch,
        blueprint: &Blueprint,
        transport: Transport,
        name: &str,
    ) -> Result<Self, StartError> {
        if let Subject::Attach(file) = &launch.subject {
            return attached::environment(launch, blueprint, transport, file);
        }
        let folder = launch.run_folder.join(name);
        let io = |source| StartError::Folder { path: folder.clone(), source };
        std::fs::create_dir_all(folder.join("sockets")).map_err(io)?;
        std::fs::create_dir_all(folder.join("storage")).map_err(io)?;
        let addresses = match (launch.world_address, launch.hub_address) {
            (Some(world), Some(hub)) => AddressPair::chosen(world, hub),
            (world, hub) => {
                let leased = AddressPair::lease().map_err(StartError::Addresses)?;
                leased.overridden(world, hub)
            }
        };
        let authority = pki::Authority::create().map_err(StartError::Pki)?;
        authority.save(&folder).map_err(StartError::Pki)?;
        let certificates = certificates(blueprint, &authority)?;
        let registry = identities(launch, blueprint, &addresses, &certificates);
        let registry_file = folder.join("registry.json");
        registry.save(&registry_file).map_err(StartError::Registry)?;
        let mut simulators = Vec::new();
        let serve = |name: &'static str, arguments: Vec<OsString>| {
            let mut all: Vec<OsString> = vec![
                "serve".into(),
                name.into(),
                "--registry".into(),
                registry_file.clone().into(),
                "--pki".into(),
                folder.clone().into(),
            ];
            all.extend(arguments);
            Process::start(
                &launch.edgecert,
                Program {
                    name: name.to_owned(),
                    file: launch.edgecert.clone(),
                    arguments: all,
                    environment: Vec::new(),
                    log: folder.join(format!("{name}.log")),
                    family: false,
                },
            )
        };
        let workload_api = serve("workload-api", vec!["--sockets".into(), folder.join("sockets").into()]);
        // The product dials port 443; only a subject that can be told otherwise gets another one, which needs no rights.
        let https_port: u16 = if launch.subject == Subject::Embedded { 8443 } else { 443 };
        let mut iot_hub_arguments: Vec<OsString> = vec![
            "--listen".into(),
            addresses.world.to_string().into(),
            "--https-port".into(),
            https_port.to_string().into(),
        ];
        if let Some(kept) = blueprint.keep_records {
            iot_hub_arguments.extend(["--keep-records".into(), kept.to_string().into()]);
        }
        let iot_hub = serve("iot-hub", iot_hub_arguments);
        let (mut workload_api, mut iot_hub) = (workload_api.await?, iot_hub.await?);
        workload_api.line(deadline::START, |line| line.starts_with("ready ").then_some(())).await?;
        iot_hub.line(deadline::START, |line| line.starts_with("ready ").then_some(())).await?;
        // In this order: see `iot_hub_process`.
        simulators.push(workload_api);
        simulators.push(iot_hub);
        let https = SocketAddr::new(addresses.world, https_port);
        let tls = trust(authority.certificate_pem(), Handshake::default())?;
        let iot_hub = IotHub::new(
            Origin { address: https, host: launch.iot_hub_host.clone(), tls: Some(tls.clone()) },
            &registry.service_policy.name,
            &registry.service_policy.key,
        )
        .map_err(StartError::Key)?;
        Ok(Self {
            launch: launch.clone(),
            blueprint: blueprint.clone(),
            transport,
            folder,
            mqtt: SocketAddr::new(addresses.world, 8883),
            amqp: SocketAddr::new(addresses.world, 5671),
            addresses,
            registry,
            iot_hub,
            tls,
            authority,
            certificates,
            https,
            // The hub listens at an address of its own, with the same rights.
            hub_https_port: https_port,
            simulators,
            modules: Vec::new(),
            hub: None,
            hub_starts: 0,
            was_ready: false,
            wire: WireLog::new(),
        })
    }

    /// Process id of the simulated IoT Hub, when the harness runs it.
    pub fn iot_hub_process(&self) -> Option<u32> {
        self.simulators.get(1).and_then(Process::id)
    }

    /// Starts a reference module (`sensor`, `relay`, `filter`, `twin-mirror`, `method-receiver`, `method-sender`) in the
    /// place of a module, from the module environment contract and these settings.
    ///
    /// # Errors
    /// [`StartError::Process`] when the program cannot be started.
    pub async fn start_module(
        &mut self,
        module: &str,
        program: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), StartError> {
        let generation =
            self.registry.modules.get(module).map(|identity| identity.generation_id.clone()).unwrap_or_default();
        let socket = self.folder.join("sockets").join(format!("{module}.sock"));
        let contract = [
            ("IOTEDGE_WORKLOADURI", format!("unix://{}", socket.display())),
            ("IOTEDGE_APIVERSION", "2022-08-03".to_owned()),
            ("IOTEDGE_AUTHSCHEME", "sasToken".to_owned()),
            ("IOTEDGE_IOTHUBHOSTNAME", self.launch.iot_hub_host.clone()),
            ("IOTEDGE_GATEWAYHOSTNAME", self.addresses.hub.to_string()),
            ("IOTEDGE_DEVICEID", self.blueprint.edge_device.clone()),
            ("IOTEDGE_MODULEID", module.to_owned()),
            ("IOTEDGE_MODULEGENERATIONID", generation),
        ];
        // What the daemon says outranks what the manifest says.
        let mut environment: Vec<(String, String)> = settings.clone().into_iter().collect();
        environment.extend(contract.into_iter().map(|(name, value)| (name.to_owned(), value)));
        // The contract has no port; the embedded hub is not at the product's.
        environment.push(("EDGEHUB_HTTPS_PORT".to_owned(), self.hub_https_port.to_string()));
        let program = Program {
            name: format!("module {module}"),
            file: self.launch.edgecert.clone(),
            arguments: vec!["module".into(), program.into()],
            environment,
            log: self.folder.join(format!("module-{module}.log")),
            family: false,
        };
        self.modules.push(Process::start(&self.launch.edgecert, program).await?);
        Ok(())
    }

    /// Ends the modules, the hub and the simulators.
    pub async fn stop(mut self) {
        // Nothing is asked of these processes any more, so they are not given time to say goodbye.
        for module in &mut self.modules {
            module.kill().await;
        }
        self.kill_hub().await;
        for simulator in &mut self.simulators {
            simulator.kill().await;
        }
    }

    /// Address and port of the simulated IoT Hub's MQTT endpoint, and the name in its certificate.
    pub fn iot_hub_mqtt(&self) -> (SocketAddr, &str) {
        (self.mqtt, &self.launch.iot_hub_host)
    }

    /// Address and port of the simulated IoT Hub's AMQP endpoint.
    pub fn iot_hub_amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// The certificate of a guest that has one.
    pub fn certificate(&self, identity: &Identity) -> Option<&Issued> {
        self.certificates.get(identity)
    }

    /// A certificate to somebody's name from the authority of this world.
    ///
    /// # Errors
    /// [`StartError::Pki`] when it cannot be made.
    pub fn issue(&self, device: &DeviceCertificate) -> Result<Issued, StartError> {
        self.authority.issue_to_device(device).map_err(StartError::Pki)
    }

    /// Primary and secondary key of an identity.
    pub fn keys(&self, identity: &Identity) -> Option<(&str, &str)> {
        let identity = match identity {
            Identity::Module(module) => self.registry.modules.get(module),
            Identity::LeafDevice(device) => self.registry.devices.get(device),
        };
        identity.map(|identity| (identity.primary_key.as_str(), identity.secondary_key.as_str()))
    }

    /// Name of the IoT Hub.
    pub fn iot_hub_host(&self) -> &str {
        &self.launch.iot_hub_host
    }

    /// What went over the wire in the current case.
    pub fn wire(&self) -> &WireLog {
        &self.wire
    }

    /// The service side of the cloud.
    pub fn iot_hub(&self) -> &IotHub {
        &self.iot_hub
    }

    /// Whether the hub ran before this environment, with whatever it was told then.
    pub fn is_attached(&self) -> bool {
        matches!(self.launch.subject, Subject::Attach(_))
    }

    /// What its clients speak.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether its hub has an ability.
    pub fn can(&self, ability: Ability) -> bool {
        self.launch.can(ability)
    }

    /// What the environment has.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// Address at which the hub is reached.
    pub fn hub_address(&self) -> IpAddr {
        self.addresses.hub
    }

    /// Address at which the simulators listen.
    pub fn world_address(&self) -> IpAddr {
        self.addresses.world
    }

    /// The folder with sockets, storage and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn identities(
    launch: &Launch,
    blueprint: &Blueprint,
    addresses: &AddressPair,
    certificates: &BTreeMap<Identity, Issued>,
) -> registry::Registry {
    let mut builder =
        registry::Registry::builder(&launch.iot_hub_host, &blueprint.edge_device, &addresses.hub.to_string());
    for module in &blueprint.modules {
        builder = builder.module(module);
    }
    for leaf in &blueprint.leaf_devices {
        builder = builder.leaf_device(leaf);
    }
    builder = guests::registered(builder, blueprint, certificates);
    let desired = blueprint.desired.clone().unwrap_or_else(|| standing_desired(&BTreeMap::new()));
    builder.desired("$edgeHub", desired).build()
}
