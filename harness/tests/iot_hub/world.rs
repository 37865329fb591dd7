//! A simulated IoT Hub with an edge device, and connections to it.

use std::sync::Arc;
use std::time::Duration;

use harness::client::http::{HttpClient, Origin};
use harness::client::iot_hub::IotHub;
use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Connect, RawMqtt, packet};
use harness::client::sas;
use harness::deadline::ACKNOWLEDGEMENT;
use harness::observe::wire_log::WireLog;
use registry::Registry;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const HOST: &str = "edgecert.azure-devices.net";
pub const EDGE: &str = "gw7";

/// The simulator ends with it.
pub struct World {
    pub iot_hub: IotHub,
    origin: Origin,
    policy: (String, String),
    mqtt: std::net::SocketAddr,
    amqp: std::net::SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    _folder: tempfile::TempDir,
    _end: oneshot::Sender<()>,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = pki::Authority::create().unwrap();
        authority.save(folder.path()).unwrap();
        let registry = Registry::builder(HOST, EDGE, "localhost").build();
        let file = folder.path().join("registry.json");
        registry.save(&file).unwrap();
        let options = sim_iot_hub::Options {
            registry: file,
            pki: folder.path().to_owned(),
            listen: [127, 0, 0, 1].into(),
            https_port: 0,
            mqtt_port: 0,
            amqp_port: 0,
            keep_records: None,
        };
        let (ready, listening) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(sim_iot_hub::serve(options, ready, async {
            let _ = ended.await;
        }));
        let addresses = listening.await.unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Arc::new(tls);
        let origin = Origin { address: addresses.https, host: HOST.to_owned(), tls: Some(tls.clone()) };
        let policy = &registry.service_policy;
        let iot_hub = IotHub::new(origin.clone(), &policy.name, &policy.key).unwrap();
        let policy = (policy.name.clone(), policy.key.clone());
        Self { iot_hub, origin, policy, mqtt: addresses.mqtt, amqp: addresses.amqp, tls, _folder: folder, _end: end }
    }

    pub fn http(&self) -> HttpClient {
        HttpClient::new(self.origin.clone())
    }

    /// A connection of an identity, and the code with which it was answered.
    pub async fn dial(&self, device: &str, module: Option<&str>, key: &str) -> (Line, Option<u8>) {
        let client_id = module.map_or_else(|| device.to_owned(), |module| format!("{device}/{module}"));
        let server = ServerName::try_from(HOST).unwrap();
        let mut raw = RawMqtt::open_as(&client_id, self.mqtt, server, self.tls.clone(), WireLog::new()).await.unwrap();
        let connect = Connect {
            user_name: Some(format!("{HOST}/{client_id}/?api-version=2021-04-12")),
            password: Some(token(device, module, key).into_bytes()),
            client_id,
            ..Connect::default()
        };
        let code = raw.connect(&connect).await.unwrap();
        (Line { raw }, code)
    }

    /// A token of the service.
    pub fn service_token(&self) -> String {
        let (name, key) = &self.policy;
        sas::token(&format!("sb://{HOST}/events"), key, Some(name), Duration::from_secs(600)).unwrap()
    }

    /// A TLS connection to the AMQP endpoint.
    pub async fn amqp(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.amqp).await.unwrap();
        TlsConnector::from(self.tls.clone()).connect(ServerName::try_from(HOST).unwrap(), stream).await.unwrap()
    }

    /// A connection that is accepted and has subscribed with QoS 1.
    pub async fn line(&self, device: &str, module: Option<&str>, filters: &[&str]) -> Line {
        let keys = self.iot_hub.keys(device, module).await.unwrap();
        let (mut line, code) = self.dial(device, module, &keys.primary).await;
        assert_eq!(code, Some(0));
        let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, 1)).collect();
        if !filters.is_empty() {
            line.raw.write(&packet::subscribe(1, &filters)).await;
            assert!(line.raw.read(ACKNOWLEDGEMENT).await.unwrap().unwrap().suback().is_some());
        }
        line
    }
}

pub fn token(device: &str, module: Option<&str>, key: &str) -> String {
    let module = module.map(|module| format!("/modules/{module}")).unwrap_or_default();
    sas::token(&format!("{HOST}/devices/{device}{module}"), key, None, Duration::from_secs(600)).unwrap()
}

/// A device's connection.
pub struct Line {
    pub raw: RawMqtt,
}

impl Line {
    /// The next publish; its PUBACK is the caller's to send.
    pub async fn next(&mut self) -> Published {
        self.raw.read(ACKNOWLEDGEMENT).await.unwrap().expect("the connection stands").publish().expect("a PUBLISH")
    }

    pub async fn acknowledge(&mut self, published: &Published) {
        self.raw.write(&packet::puback(published.id.unwrap())).await;
    }

    /// Publishes with QoS 0.
    pub async fn publish(&mut self, topic: &str, payload: &str) {
        let publish = packet::Publish { topic, payload: payload.as_bytes(), ..packet::Publish::default() };
        self.raw.write(&publish.bytes()).await;
    }

    /// Nothing more came before the answer to a PINGREQ.
    pub async fn is_silent(&mut self) {
        let before = self.raw.ping().await.unwrap().expect("the connection stands");
        assert!(before.is_empty(), "{before:?}");
    }
}
