//! The hub's side of MQTT over TLS, one packet at a time.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(super) struct FakeHub {
    listener: TcpListener,
    tls: TlsAcceptor,
    trust_bundle: String,
}

/// A module that has connected.
pub(super) struct Peer {
    stream: TlsStream<TcpStream>,
}

/// A packet from the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromModule {
    Connect { client_id: String, user_name: String, password: String, clean_session: bool },
    Publish { topic: String, payload: Vec<u8>, packet_id: u16 },
    PubAck { packet_id: u16 },
    Subscribe { filter: String, packet_id: u16 },
    Disconnect,
}

impl FakeHub {
    pub(super) async fn start() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        Self {
            listener: TcpListener::bind("localhost:0").await.unwrap(),
            tls: TlsAcceptor::from(Arc::new(config)),
            trust_bundle: cert.pem(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(super) fn trust_bundle(&self) -> String {
        self.trust_bundle.clone()
    }

    /// The next module that connects.
    pub(super) async fn accept(&mut self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer { stream: self.tls.accept(stream).await.unwrap() }
    }
}

impl Peer {
    /// Reads CONNECT and accepts.
    pub(super) async fn let_in(&mut self) {
        assert!(matches!(self.read().await, Some(FromModule::Connect { .. })));
        self.write(&[0x20, 2, 0, 0]).await;
    }

    /// Reads CONNECT, refuses with a code, and closes.
    pub(super) async fn refuse(mut self, code: u8) {
        assert!(matches!(self.read().await, Some(FromModule::Connect { .. })));
        self.write(&[0x20, 2, 0, code]).await;
        self.close().await;
    }

    /// Reads SUBSCRIBE, grants it, and gives its filter.
    pub(super) async fn subscribed(&mut self) -> String {
        let Some(FromModule::Subscribe { filter, packet_id }) = self.read().await else { panic!("a SUBSCRIBE comes") };
        let [high, low] = packet_id.to_be_bytes();
        self.write(&[0x90, 3, high, low, 1]).await;
        filter
    }

    /// Sends an input message, with the packet id that the product gives all of them.
    pub(super) async fn publish(&mut self, topic: &str, payload: &str) {
        let length = 2 + topic.len() + 2 + payload.len();
        let short = u8::try_from(length).ok().filter(|length| *length < 128).expect("tests keep to short packets");
        let mut packet = vec![0x32, short, 0, u8::try_from(topic.len()).unwrap()];
        packet.extend(topic.as_bytes());
        packet.extend([0, 1]);
        packet.extend(payload.as_bytes());
        self.write(&packet).await;
    }

    pub(super) async fn acknowledge(&mut self, packet_id: u16) {
        let [high, low] = packet_id.to_be_bytes();
        self.write(&[0x40, 2, high, low]).await;
    }

    pub(super) async fn close(mut self) {
        // Whoever is refused may have gone already.
        let _ = self.stream.shutdown().await;
    }

    /// The next packet; nothing once the module has closed.
    pub(super) async fn read(&mut self) -> Option<FromModule> {
        let first = self.stream.read_u8().await.ok()?;
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(packet(first, Fields(&body)))
    }

    async fn write(&mut self, packet: &[u8]) {
        self.stream.write_all(packet).await.unwrap();
        self.stream.flush().await.unwrap();
    }
}

fn packet(first: u8, mut fields: Fields<'_>) -> FromModule {
    match first >> 4 {
        1 => {
            assert_eq!((fields.text().as_str(), fields.byte()), ("MQTT", 4));
            let clean_session = fields.byte() & 0b10 != 0;
            fields.number();
            let (client_id, user_name, password) = (fields.text(), fields.text(), fields.text());
            FromModule::Connect { client_id, user_name, password, clean_session }
        }
        3 => {
            let (topic, packet_id) = (fields.text(), fields.number());
            FromModule::Publish { topic, packet_id, payload: fields.0.to_vec() }
        }
        4 => FromModule::PubAck { packet_id: fields.number() },
        8 => {
            let packet_id = fields.number();
            FromModule::Subscribe { packet_id, filter: fields.text() }
        }
        14 => FromModule::Disconnect,
        other => panic!("a module sends no packet of type {other} here"),
    }
}

/// What is left of a packet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap();
        self.0 = rest;
        *byte
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.number());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).unwrap()
    }
}
