//! One subject in its world: a simulated IoT Hub, a workload API, an edgeHub, and the identities that may connect.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use guests::{Credential, Handshake, TlsVersion};
use guests::{certificates, trust};
pub use pki::{DeviceCertificate, Issued};
use serde_json::{Value, json};

use crate::client::amqp::{self, AmqpClient};
use crate::client::http::{HttpClient, Origin};
use crate::client::https::HttpsClient;
use crate::client::hub_client::{self, HubClient};
use crate::client::iot_hub::IotHub;
use crate::client::mqtt::{ConnectError, Login, MqttClient};
use crate::client::raw_amqp::RawAmqp;
use crate::client::raw_mqtt::{RawError, RawMqtt};
use crate::client::sas;
use crate::client::stream::Carrier;
use crate::client::websocket::{self, Upgrade, UpgradeError, WebSocket};
use crate::deadline::{self, Deadline};
use crate::engine::address::AddressPair;
use crate::engine::process::{Process, ProcessError, Program};
use crate::observe::history::Identity;
use crate::observe::wire_log::WireLog;
use crate::stage::{CANARY, MARKER};
use crate::subject::{Ability, Launch, Subject};
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

    /// Starts the hub and waits for nothing.
    ///
    /// # Errors
    /// [`StartError::Process`] when the program cannot be started.
    pub async fn start_hub(&mut self) -> Result<(), StartError> {
        if let Subject::Attach(_) = &self.launch.subject {
            return Ok(());
        }
        self.hub_starts += 1;
        let log = self.folder.join(format!("edge-hub-{}.log", self.hub_starts));
        let (file, arguments) = self.hub_command()?;
        let program = Program {
            name: "edge-hub".to_owned(),
            file,
            arguments,
            environment: self.hub_environment(),
            log,
            family: matches!(self.launch.subject, Subject::Command(_)),
        };
        self.hub = Some(Process::start(&self.launch.edgecert, program).await?);
        Ok(())
    }

    /// Waits until the hub serves: its metrics answer and a module is let in.
    ///
    /// # Errors
    /// [`StartError`] when it ends, or is not ready in time, with its last words.
    pub async fn ready(&mut self) -> Result<(), StartError> {
        let probe = Identity::Module(MARKER.to_owned());
        let metrics = HttpClient::new(Origin {
            address: SocketAddr::new(self.addresses.hub, 9600),
            host: self.addresses.hub.to_string(),
            tls: None,
        });
        let ready = async {
            let mut pause = Duration::from_millis(5);
            loop {
                let answer = metrics.request(hyper::Method::GET, "/metrics", None, &[], None).await;
                if answer.is_ok_and(|answer| answer.status.is_success()) && self.connect(&probe).await.is_ok() {
                    return;
                }
                // A process has no way to say "ready" that every subject shares, so it is asked again and again.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        let ended = self.hub.as_ref().map(Process::output_ended);
        let waited = tokio::select! {
            waited = deadline::READY.wait("the hub to serve metrics and to let a module in", ready) => Some(waited),
            () = async { match ended { Some(ended) => ended.await, None => std::future::pending().await } } => None,
        };
        let Some(waited) = waited else {
            let hub = self.hub.as_mut().expect("only a started hub ends");
            let status = hub.end(deadline::STOP).await.ok().flatten();
            let error = hub.ended(status).into();
            return Err(self.of_the_hub(error));
        };
        waited.map_err(|source| {
            self.of_the_hub(StartError::HubNotReady {
                source,
                log: self.hub.as_ref().map(|hub| hub.log().to_owned()).unwrap_or_default(),
                tail: self.hub.as_ref().map(Process::tail).unwrap_or_default(),
            })
        })?;
        self.was_ready = true;
        Ok(())
    }

    /// Whose failure it is that the hub is not ready. One that never was may be told the wrong things by the harness.
    fn of_the_hub(&self, error: StartError) -> StartError {
        match self.was_ready || self.launch.plant.is_some() {
            true => StartError::HubFailed(Box::new(error)),
            false => error,
        }
    }

    /// Kills the hub: SIGKILL.
    pub async fn kill_hub(&mut self) {
        if let Some(mut hub) = self.hub.take() {
            hub.kill().await;
        }
    }

    /// Stops the hub: SIGTERM, and SIGKILL when that does not help.
    pub async fn stop_hub(&mut self) {
        if let Some(mut hub) = self.hub.take() {
            hub.stop().await;
        }
    }

    /// Halts the hub, as a machine does that swaps or hangs, until [`Environment::resume_hub`].
    pub fn pause_hub(&self) {
        self.hub.iter().for_each(Process::pause);
    }

    /// Lets a halted hub go on.
    pub fn resume_hub(&self) {
        self.hub.iter().for_each(Process::resume);
    }

    /// Process id of the simulated IoT Hub, when the harness runs it.
    pub fn iot_hub_process(&self) -> Option<u32> {
        self.simulators.get(1).and_then(Process::id)
    }

    /// Process id of the hub, while the harness runs one.
    pub fn hub_process(&self) -> Option<u32> {
        self.hub.as_ref().and_then(Process::id)
    }

    /// Waits for the hub to end by itself, and gives its exit code.
    ///
    /// # Errors
    /// [`deadline::Expired`] when it still runs.
    pub async fn hub_ends(&mut self, deadline: Deadline) -> Result<Option<i32>, deadline::Expired> {
        match &mut self.hub {
            Some(hub) => Ok(hub.end(deadline).await?.and_then(|status| status.code())),
            None => Ok(None),
        }
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

    /// Connects an identity to the hub, over what it speaks and without anything of an earlier session.
    ///
    /// # Errors
    /// [`ConnectError`] when it is not accepted.
    pub async fn connect(&self, identity: &Identity) -> Result<HubClient, ConnectError> {
        let own = self.blueprint.speakers.get(identity).copied();
        self.connect_over(identity, own.unwrap_or(self.transport)).await
    }

    /// As [`Environment::connect`], over this transport.
    ///
    /// # Errors
    /// As [`Environment::connect`].
    pub async fn connect_over(&self, identity: &Identity, transport: Transport) -> Result<HubClient, ConnectError> {
        let carrier = match transport {
            Transport::Mqtt => Carrier::Tls(self.mqtt_address()),
            Transport::Amqp => self.over_tls(),
            Transport::MqttWs | Transport::AmqpWs => self.over_websocket(),
        };
        HubClient::connect(match transport.is_mqtt() {
            true => hub_client::Login::Mqtt(Login { carrier, ..self.login(identity) }),
            false => hub_client::Login::Amqp(self.amqp_login(identity, carrier)),
        })
        .await
    }

    /// As [`Environment::connect`], for what only MQTT has.
    ///
    /// # Errors
    /// As [`Environment::connect`].
    pub async fn connect_mqtt(&self, identity: &Identity) -> Result<MqttClient, ConnectError> {
        MqttClient::connect(self.login(identity)).await
    }

    /// Opens a raw connection to the MQTT head; nothing is written on it yet.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection.
    pub async fn raw(&self, name: &str) -> Result<RawMqtt, RawError> {
        self.raw_within(name, self.tls.clone()).await
    }

    /// Address and port of the simulated IoT Hub's MQTT endpoint, and the name in its certificate.
    pub fn iot_hub_mqtt(&self) -> (SocketAddr, &str) {
        (self.mqtt, &self.launch.iot_hub_host)
    }

    /// Address and port of the simulated IoT Hub's AMQP endpoint.
    pub fn iot_hub_amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// As [`Environment::raw`], with a say in the TLS handshake.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection, or the certificate's key cannot be read.
    pub async fn raw_with(&self, name: &str, handshake: Handshake<'_>) -> Result<RawMqtt, RawError> {
        let tls = trust(self.authority.certificate_pem(), handshake)
            .map_err(|error| RawError::Open(std::io::Error::other(error.to_string())))?;
        self.raw_within(name, tls).await
    }

    async fn raw_within(&self, name: &str, tls: Arc<rustls::ClientConfig>) -> Result<RawMqtt, RawError> {
        if !self.transport.in_websocket() {
            return RawMqtt::open(name, self.mqtt_address(), tls, self.wire.clone()).await;
        }
        let upgrade = Upgrade { protocols: websocket::MQTT, ..Upgrade::default() };
        let (socket, _) = WebSocket::open(self.https_address(), tls, upgrade).await?;
        Ok(RawMqtt::on(name, socket, self.wire.clone()))
    }

    /// Connects an identity to the AMQP head.
    ///
    /// # Errors
    /// [`amqp::ConnectError`] when it is not accepted.
    pub async fn connect_amqp(&self, identity: &Identity, carrier: Carrier) -> Result<AmqpClient, amqp::ConnectError> {
        AmqpClient::connect(self.amqp_login(identity, carrier)).await
    }

    /// Opens a raw connection to the AMQP head, over what the transport has below it; nothing is written on it yet.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection, or no WebSocket on it.
    pub async fn raw_amqp(&self, name: &str) -> Result<RawAmqp, RawError> {
        if !self.transport.in_websocket() {
            return RawAmqp::open(name, self.amqp_address(), self.tls.clone(), self.wire.clone()).await;
        }
        let opened = self.websocket(Upgrade::default()).await;
        let (socket, _) = opened.map_err(|error| RawError::Open(std::io::Error::other(error.to_string())))?;
        Ok(RawAmqp::over(name, socket, self.wire.clone()))
    }

    /// Opens a raw connection to the AMQP head over TLS, with a say in the handshake.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection, or the certificate's key cannot be read.
    pub async fn raw_amqp_with(&self, name: &str, handshake: Handshake<'_>) -> Result<RawAmqp, RawError> {
        let tls = trust(self.authority.certificate_pem(), handshake)
            .map_err(|error| RawError::Open(std::io::Error::other(error.to_string())))?;
        RawAmqp::open(name, self.amqp_address(), tls, self.wire.clone()).await
    }

    /// Asks for a WebSocket at the hub's HTTPS port; also gives the sub-protocol of the answer.
    ///
    /// # Errors
    /// [`UpgradeError`] with the status, when the hub does not upgrade.
    pub async fn websocket(&self, upgrade: Upgrade<'_>) -> Result<(WebSocket, Option<String>), UpgradeError> {
        WebSocket::open(self.https_address(), self.tls.clone(), upgrade).await
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

    /// Address and port of the hub's MQTT head.
    pub fn mqtt_address(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.hub, 8883)
    }

    /// Address and port of the hub's AMQP head.
    pub fn amqp_address(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.hub, 5671)
    }

    /// Address and port of the hub's HTTPS head.
    pub fn https_address(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.hub, self.hub_https_port)
    }

    /// A client of the hub's HTTPS head that shows no certificate.
    pub fn https(&self) -> HttpsClient {
        HttpsClient::new(self.https_origin(self.tls.clone()))
    }

    /// As [`Environment::https`], with a say in the TLS handshake.
    ///
    /// # Errors
    /// [`StartError::Trust`] when the certificate's key cannot be read.
    pub fn https_with(&self, handshake: Handshake<'_>) -> Result<HttpsClient, StartError> {
        Ok(HttpsClient::new(self.https_origin(trust(self.authority.certificate_pem(), handshake)?)))
    }

    /// A client of the IoT Hub itself, past the hub: as devices upload files.
    pub fn past_the_hub(&self) -> HttpsClient {
        let host = self.launch.iot_hub_host.clone();
        HttpsClient::new(Origin { address: self.https, host, tls: Some(self.tls.clone()) })
    }

    fn https_origin(&self, tls: Arc<rustls::ClientConfig>) -> Origin {
        Origin { address: self.https_address(), host: self.addresses.hub.to_string(), tls: Some(tls) }
    }

    /// Trust in the hub's certificate.
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.tls.clone()
    }

    /// What went over the wire in the current case.
    pub fn wire(&self) -> &WireLog {
        &self.wire
    }

    /// A token of an identity, good for an hour.
    pub fn token(&self, identity: &Identity) -> String {
        self.login(identity).password
    }

    /// What an identity presents in CONNECT.
    pub fn login(&self, identity: &Identity) -> Login {
        let host = &self.launch.iot_hub_host;
        let (client_id, audience, key) = match identity {
            Identity::Module(module) => {
                let device = &self.blueprint.edge_device;
                let key = self.registry.module_key(module);
                (format!("{device}/{module}"), format!("{host}/devices/{device}/modules/{module}"), key)
            }
            Identity::LeafDevice(leaf) => {
                (leaf.clone(), format!("{host}/devices/{leaf}"), self.registry.device_key(leaf))
            }
        };
        let password =
            key.and_then(|key| sas::token(&audience, key, None, Duration::from_secs(3600)).ok()).unwrap_or_default();
        Login {
            user_name: format!("{host}/{client_id}/?api-version=2021-04-12&DeviceClientType=edgecert"),
            client_id,
            password,
            clean_session: true,
            will: None,
            carrier: if self.transport.in_websocket() {
                self.over_websocket()
            } else {
                Carrier::Tls(self.mqtt_address())
            },
            tls: self.tls.clone(),
            wire: self.wire.clone(),
        }
    }

    /// The id an identity is known by: its device, and its module behind a slash.
    pub fn client_id(&self, identity: &Identity) -> String {
        match identity {
            Identity::Module(module) => format!("{}/{module}", self.blueprint.edge_device),
            Identity::LeafDevice(leaf) => leaf.clone(),
        }
    }

    /// What an identity presents over AMQP.
    pub fn amqp_login(&self, identity: &Identity, carrier: Carrier) -> amqp::Login {
        let (device, module) = match identity {
            Identity::Module(module) => (self.blueprint.edge_device.clone(), Some(module.clone())),
            Identity::LeafDevice(leaf) => (leaf.clone(), None),
        };
        let (token, tls, wire) = (self.token(identity), self.tls.clone(), self.wire.clone());
        amqp::Login { carrier, device, module, token, tls, wire }
    }

    /// The AMQP port of the hub.
    pub fn over_tls(&self) -> Carrier {
        Carrier::Tls(self.amqp_address())
    }

    /// A WebSocket at the HTTPS port of the hub.
    pub fn over_websocket(&self) -> Carrier {
        Carrier::WebSocket(self.https_address())
    }

    /// The hub's metrics, as text.
    ///
    /// # Errors
    /// [`crate::client::http::HttpError`] when they cannot be read.
    pub async fn metrics(&self) -> Result<String, crate::client::http::HttpError> {
        let client = HttpClient::new(Origin {
            address: SocketAddr::new(self.addresses.hub, 9600),
            host: self.addresses.hub.to_string(),
            tls: None,
        });
        let answer = client.request(hyper::Method::GET, "/metrics", None, &[], None).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Whether the hub accepts connections on its MQTT port.
    pub async fn listens(&self) -> bool {
        tokio::net::TcpStream::connect(self.mqtt_address()).await.is_ok()
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

    /// The standing configuration's routes: an anchor for each input, and one towards the cloud for each sender.
    pub fn anchors(&self) -> BTreeMap<String, Value> {
        let mut routes = BTreeMap::new();
        for (number, (module, input)) in self.blueprint.inputs.iter().enumerate() {
            routes.insert(
                format!("anchor-{number}"),
                json!(format!("FROM /messages/modules/{MARKER}/outputs/a{number} WHERE true INTO BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")")),
            );
        }
        // Names of routes are names of properties: a module's may have characters that no property has.
        for (number, module) in self.blueprint.modules.iter().enumerate() {
            routes.insert(
                format!("anchor-up-{number}"),
                json!(format!("FROM /messages/modules/{module}/outputs/up WHERE true INTO $upstream")),
            );
        }
        if !self.blueprint.leaf_devices.is_empty() {
            routes.insert(
                "anchor-up-leaf".into(),
                json!("FROM /messages WHERE own = 'marker' and not is_defined($connectionModuleId) INTO $upstream"),
            );
        }
        routes
    }

    /// The marker output whose anchor leads to an input.
    pub fn anchor_output(&self, module: &str, input: &str) -> Option<String> {
        self.blueprint
            .inputs
            .iter()
            .position(|(owner, name)| owner == module && name == input)
            .map(|number| format!("a{number}"))
    }

    /// The standing desired document of `$edgeHub`, with these routes.
    pub fn desired(&self, routes: &BTreeMap<String, Value>) -> Value {
        standing_desired(routes)
    }

    fn hub_command(&self) -> Result<(PathBuf, Vec<OsString>), StartError> {
        match &self.launch.subject {
            Subject::Embedded => {
                let host = &self.launch.iot_hub_host;
                let mut arguments: Vec<OsString> = vec![
                    "serve".into(),
                    "edge-hub".into(),
                    "--listen".into(),
                    self.addresses.hub.to_string().into(),
                    "--connect-to".into(),
                    format!("{host}:443={}", self.https).into(),
                    "--connect-to".into(),
                    format!("{host}:8883={}", self.mqtt).into(),
                    "--connect-to".into(),
                    format!("{host}:5671={}", self.amqp).into(),
                ];
                if let Some(fault) = &self.launch.plant {
                    arguments.extend(["--plant".into(), fault.into()]);
                }
                Ok((self.launch.edgecert.clone(), arguments))
            }
            Subject::Command(argv) => {
                let program = on_path(&argv[0]).ok_or_else(|| StartError::NoProgram(argv[0].clone()))?;
                Ok((program, argv[1..].iter().map(OsString::from).collect()))
            }
            Subject::Attach(file) => unreachable!("the hub of {} is not started", file.display()),
        }
    }

    /// The product's environment contract, and the settings asked for; nothing else.
    fn hub_environment(&self) -> Vec<(String, String)> {
        let generation = self.registry.modules["$edgeHub"].generation_id.clone();
        let socket = self.folder.join("sockets").join("$edgeHub.sock");
        let mut environment = vec![
            ("IOTEDGE_WORKLOADURI".to_owned(), format!("unix://{}", socket.display())),
            ("IOTEDGE_APIVERSION".to_owned(), "2022-08-03".to_owned()),
            ("IOTEDGE_AUTHSCHEME".to_owned(), "sasToken".to_owned()),
            ("IOTEDGE_IOTHUBHOSTNAME".to_owned(), self.launch.iot_hub_host.clone()),
            ("IOTEDGE_DEVICEID".to_owned(), self.blueprint.edge_device.clone()),
            ("IOTEDGE_MODULEID".to_owned(), "$edgeHub".to_owned()),
            ("IOTEDGE_MODULEGENERATIONID".to_owned(), generation),
            ("EdgeDeviceHostName".to_owned(), self.addresses.hub.to_string()),
            // Its clients cannot see over what it reaches the cloud: a run over every transport tries every way.
            ("UpstreamProtocol".to_owned(), self.transport.as_upstream().to_owned()),
        ];
        if self.launch.subject == Subject::Embedded {
            environment.push(("StorageFolder".to_owned(), self.folder.join("storage").display().to_string()));
            environment.push(("httpSettings__port".to_owned(), self.hub_https_port.to_string()));
        }
        environment.extend(self.blueprint.settings.iter().cloned());
        let run = self.folder.display().to_string();
        environment
            .extend(self.launch.hub_settings.iter().map(|(name, value)| (name.clone(), value.replace("{run}", &run))));
        environment
    }
}

mod attached;
mod guests;

/// The standing desired document of `$edgeHub`.
fn standing_desired(routes: &BTreeMap<String, Value>) -> Value {
    json!({
        "schemaVersion": "1.1",
        "routes": routes,
        "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
    })
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

/// The file of a program, looked up as a shell does.
fn on_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return std::fs::canonicalize(program).ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// An environment that did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No addresses.
    #[error("no addresses for the environment: {0}")]
    Addresses(std::io::Error),
    /// The run's folder cannot be written.
    #[error("cannot write {}: {source}; set TMPDIR to a folder with space", .path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// No certificates.
    #[error("cannot make the run's certificates: {0}")]
    Pki(pki::Error),
    /// The root just made cannot be used.
    #[error("the run's own root certificate cannot be read back")]
    Trust,
    /// The identities cannot be written.
    #[error(transparent)]
    Registry(registry::Error),
    /// The policy key just made cannot be used.
    #[error("the service policy: {0}")]
    Key(sas::NotBase64),
    /// A simulator did not start.
    #[error(transparent)]
    Process(Box<ProcessError>),
    /// A hub that was ready before in the same world, or has a fault planted, did not become ready: nobody's doing but
    /// its own.
    #[error(transparent)]
    HubFailed(Box<StartError>),
    /// The hub did not become ready.
    #[error("the hub is not ready: {source}; its log is {}{tail}", .log.display())]
    HubNotReady {
        /// The wait.
        source: deadline::Expired,
        /// The hub's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The subject's program does not exist.
    #[error("--hub command: no program `{0}` on PATH; name it with its path")]
    NoProgram(String),
    /// The file that describes a running hub cannot be used.
    #[error("{}: {why}; it is a JSON object with `hub` (IP), `iot_hub` (IP:PORT of the simulated IoT Hub's HTTPS) and `folder` (with registry.json and the root certificate)", .file.display())]
    Attach {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl From<ProcessError> for StartError {
    fn from(error: ProcessError) -> Self {
        StartError::Process(Box::new(error))
    }
}

impl StartError {
    /// Whether the harness failed, and not the hub.
    pub fn is_harness_failure(&self) -> bool {
        // A hub that never was ready is reported like a harness that is broken: there is nothing to judge.
        !matches!(self, StartError::HubFailed(_))
    }
}
