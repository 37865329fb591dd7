//! A hub with a store in memory and an IoT Hub of a few lines, and clients of it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use fe2o3_amqp_types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::SimpleValue;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use serde_amqp::Value;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::super::listener::Head;
use crate::authenticate::Authenticator;
use crate::boot::core_settings;
use crate::certificate::Authorities;
use crate::core::{CloudMessage, Core, Input};
use crate::dial::Dialler;
use crate::engine::{Engine, ToUpstream, now};
use crate::identity::ClientId;
use crate::sas;
use crate::scope::client::Scope;
use crate::scope::{Authentication, ServiceIdentity};
use crate::settings::Settings;
use crate::store::Store;
use crate::workload::Workload;

/// The key of every identity.
const KEY: [u8; 32] = [7; 32];

/// Everybody the hub knows.
const KNOWN: [&str; 6] = ["edge1", "edge1/sensor", "edge1/filter", "edge1/other", "leaf1", "le@f"];

/// A hub.
pub struct World {
    /// Its head.
    pub head: Arc<Head>,
    /// Its engine.
    pub engine: Engine,
    /// What it said to IoT Hub.
    pub upstream: Arc<Mutex<Vec<ToUpstream>>>,
}

impl World {
    /// From `sensor` to `filter`, and from everybody to IoT Hub.
    pub fn new() -> World {
        World::with(&[])
    }

    /// As [`World::new`], with these variables.
    pub fn with(variables: &[(&str, &str)]) -> World {
        let given = [
            ("IOTEDGE_WORKLOADURI", "unix:///nowhere.sock"),
            ("IOTEDGE_APIVERSION", "2022-08-03"),
            ("IOTEDGE_IOTHUBHOSTNAME", "hub.azure-devices.net"),
            ("IOTEDGE_DEVICEID", "edge1"),
            ("IOTEDGE_MODULEID", "$edgeHub"),
            ("IOTEDGE_MODULEGENERATIONID", "1"),
            ("EdgeDeviceHostName", "edgehost"),
            ("configSource", "local"),
            ("usePersistentStorage", "false"),
            (
                "routes__r1",
                "FROM /messages/modules/sensor/outputs/out INTO BrokeredEndpoint(\"/modules/filter/inputs/in1\")",
            ),
            (
                "routes__r2",
                "FROM /messages/modules/sensor/outputs/two INTO BrokeredEndpoint(\"/modules/filter/inputs/in2\")",
            ),
        ];
        let named = given.iter().chain(variables).map(|(name, value)| (String::from(*name), String::from(*value)));
        let settings = Arc::new(Settings::read(named.collect()).expect("complete"));
        let authority = rcgen::generate_simple_self_signed(vec![String::from("x")]).expect("a certificate").cert.pem();
        let workload = Workload::new(&settings.identity).expect("an address");
        let dialler = Dialler::new(Vec::new(), &authority).expect("a root");
        let scope = Arc::new(Scope::new(settings.clone(), workload, dialler));
        scope.identities.replace(KNOWN.iter().map(|name| identity(name)).collect());
        let authorities = Authorities::of_bundle(&authority);
        let authenticator = Arc::new(Authenticator::new(settings.clone(), scope, authorities));
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (milestones, _) = mpsc::unbounded_channel();
        let core = Core::new(core_settings(&settings));
        let engine = Engine::start(core, Store::in_memory(), outbox, milestones, Box::new(|_| {})).expect("a thread");
        let upstream: Arc<Mutex<Vec<ToUpstream>>> = Arc::default();
        tokio::spawn(answer(engine.clone(), inbox, upstream.clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let config = config.with_no_client_auth().with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let head = Head::new(settings, engine.clone(), authenticator, TlsAcceptor::from(Arc::new(config)));
        World { head: Arc::new(head), engine, upstream }
    }

    /// A stream to the head.
    pub fn dial(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(1 << 16);
        let head = self.head.clone();
        tokio::spawn(async move { head.serve(far, None).await });
        near
    }

    /// A connection with SASL ANONYMOUS.
    pub async fn connect(&self) -> Peer {
        self.connect_with(Some(SaslProfile::Anonymous)).await.expect("open")
    }

    /// A connection with some SASL mechanism, or none.
    pub async fn connect_with(&self, sasl: Option<SaslProfile>) -> Option<Peer> {
        let mut builder = Connection::builder().container_id("test").hostname("edgehost");
        if let Some(sasl) = sasl {
            builder = builder.sasl_profile(sasl);
        }
        let mut connection = builder.open_with_stream(self.dial()).await.ok()?;
        let session = Session::begin(&mut connection).await.expect("begin");
        Some(Peer { connection, session, links: 0 })
    }

    /// A connection of one identity, whose token was put.
    pub async fn connect_as(&self, client: &str) -> Peer {
        let mut peer = self.connect().await;
        assert_eq!(peer.put(&token(client)).await, 200);
        peer
    }

    /// Sends a message of the cloud.
    pub fn send_from_cloud(&self, device: &str, body: &'static [u8]) {
        let to = String::from("/devices/leaf1/messages/devicebound");
        self.engine.tell(Input::CloudMessage {
            client: ClientId::device(device),
            id: Some(crate::core::CloudMessageId { connection: 1, packet: 1 }),
            message: CloudMessage {
                properties: vec![(String::from("iothub-ack"), Some(String::from("none")))],
                system: vec![(String::from("to"), Some(to)), (String::from("messageId"), Some(String::from("c1")))],
                body: Bytes::from_static(body),
            },
        });
    }
}

/// IoT Hub: a twin for everybody, and no objections.
async fn answer(engine: Engine, mut inbox: mpsc::UnboundedReceiver<ToUpstream>, told: Arc<Mutex<Vec<ToUpstream>>>) {
    while let Some(what) = inbox.recv().await {
        match &what {
            ToUpstream::ReadTwin { request, .. } => {
                let twin = br#"{"desired":{"a":1,"$version":3},"reported":{"$version":1}}"#;
                engine.tell(Input::TwinAnswered { request: *request, answer: Some((200, Bytes::from_static(twin))) });
            }
            ToUpstream::PatchTwin { request, .. } => {
                engine.tell(Input::TwinAnswered { request: *request, answer: Some((204, Bytes::new())) });
            }
            _ => {}
        }
        told.lock().expect("nobody panicked").push(what);
    }
}

fn identity(name: &str) -> ServiceIdentity {
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(KEY);
    ServiceIdentity {
        client: ClientId::parse(name),
        enabled: true,
        authentication: Authentication::Sas { primary: key.clone(), secondary: key },
        entry: serde_json::Value::Null,
    }
}

/// The path of a client in addresses and audiences.
pub fn path(client: &str) -> String {
    match client.split_once('/') {
        Some((device, module)) => {
            format!("devices/{}/modules/{}", crate::percent::escape(device), crate::percent::escape(module))
        }
        None => format!("devices/{}", crate::percent::escape(client)),
    }
}

/// A good token.
pub fn token(client: &str) -> String {
    token_signed(client, &KEY)
}

/// A token signed with some key.
pub fn token_signed(client: &str, key: &[u8]) -> String {
    let audience = format!("hub.azure-devices.net/{}", path(client));
    let expiry = now().as_millis() / 1000 + 3600;
    sas::token(&audience, expiry, &sas::sign(key, sas::string_to_sign(&audience, expiry).as_bytes()))
}

/// A connection with a session.
pub struct Peer {
    /// The connection.
    pub connection: ConnectionHandle<()>,
    /// The session.
    pub session: SessionHandle<()>,
    links: u32,
}

/// A message as these tests send and get them.
pub type Anything = Message<Body<Value>>;

impl Peer {
    /// A session in the place of the one before. After a refused link the library's own is of no use any more: it
    /// answers DETACH twice, and ends itself.
    pub async fn begin_anew(&mut self) {
        self.session = Session::begin(&mut self.connection).await.expect("begin");
    }

    fn name(&mut self) -> String {
        self.links += 1;
        format!("link{}", self.links)
    }

    /// A link to send on.
    pub async fn sender(&mut self, address: &str, mode: SenderSettleMode) -> Result<Sender, String> {
        self.sender_with(address, mode, Fields::new()).await
    }

    /// A link to send on, with link properties.
    pub async fn sender_with(
        &mut self,
        address: &str,
        mode: SenderSettleMode,
        properties: Fields,
    ) -> Result<Sender, String> {
        let builder =
            Sender::builder().name(self.name()).target(address).sender_settle_mode(mode).properties(properties);
        builder.attach(&mut self.session).await.map_err(|error| format!("{error:?}"))
    }

    /// A link to receive on.
    pub async fn receiver(&mut self, address: &str, mode: SenderSettleMode) -> Result<Receiver, String> {
        self.receiver_with(address, mode, ReceiverSettleMode::First).await
    }

    /// A link to receive on, with a settle mode of its own.
    pub async fn receiver_with(
        &mut self,
        address: &str,
        mode: SenderSettleMode,
        own: ReceiverSettleMode,
    ) -> Result<Receiver, String> {
        let builder = Receiver::builder().name(self.name()).source(address).sender_settle_mode(mode);
        let builder = builder.receiver_settle_mode(own);
        builder.attach(&mut self.session).await.map_err(|error| format!("{error:?}"))
    }

    /// Puts a token; returns the status code.
    pub async fn put(&mut self, token: &str) -> i32 {
        let mut sender = self.sender("$cbs", SenderSettleMode::Mixed).await.expect("a sender");
        let mut receiver = self.receiver("$cbs", SenderSettleMode::Mixed).await.expect("a receiver");
        let application = ApplicationProperties::builder()
            .insert("operation", "put-token")
            .insert("type", "azure-devices.net:sastoken")
            .insert("name", "whoever");
        let message = Message::builder()
            .properties(Properties::builder().message_id(String::from("id1")).build())
            .application_properties(application.build())
            .value(token.to_owned())
            .build();
        assert!(sender.send(message).await.expect("sent").is_accepted());
        let answer: Delivery<Body<Value>> = receiver.recv().await.expect("an answer");
        receiver.accept(&answer).await.expect("accepted");
        let message = answer.message();
        let correlation = message.properties.as_ref().and_then(|properties| properties.correlation_id.clone());
        assert_eq!(correlation, Some(String::from("id1").into()));
        let properties = message.application_properties.as_ref().expect("there are some");
        let Some(SimpleValue::Int(status)) = properties.0.get("status-code") else { panic!("{properties:?}") };
        let status = *status;
        sender.close().await.expect("closed");
        receiver.close().await.expect("closed");
        status
    }
}

/// A telemetry message for an output.
pub fn telemetry(output: &str, body: &[u8]) -> Message<fe2o3_amqp_types::messaging::Data> {
    let application = ApplicationProperties::builder().insert("iothub-outputname", output).insert("k", "v");
    Message::builder()
        .properties(Properties::builder().message_id(String::from("m1")).build())
        .application_properties(application.build())
        .data(body.to_vec())
        .build()
}

/// The bytes of a message's data sections.
pub fn data(message: &Anything) -> Vec<u8> {
    match &message.body {
        Body::Data(batch) => batch.iter().flat_map(|data| data.0.iter().copied()).collect(),
        Body::Value(AmqpValue(value)) => panic!("a value: {value:?}"),
        other => panic!("no data: {other:?}"),
    }
}
