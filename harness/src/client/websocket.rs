//! WebSockets at the hub's HTTPS port: message by message, or as the stream of bytes that a protocol is spoken on.

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::handshake;
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
/// What is sent and received.
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

use super::Stream;
use super::http::Origin;
use crate::deadline::{self, Deadline, Expired};

/// The path that Microsoft's clients ask for.
pub const PATH: &str = "/$iothub/websocket";
/// Sub-protocol of MQTT.
pub const MQTT: &str = "mqtt";
/// Sub-protocol of AMQP.
pub const AMQP: &str = "AMQPWSB10";

/// A WebSocket that is open.
pub struct WebSocket {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    sub_protocol: Option<String>,
}

impl WebSocket {
    /// Asks for an upgrade to one of these sub-protocols.
    ///
    /// # Errors
    /// [`UpgradeError::Refused`] with the status, or why there was no answer.
    pub async fn open(origin: &Origin, path: &str, sub_protocols: &[&str]) -> Result<Self, UpgradeError> {
        let what = format!("an upgrade to WebSocket at {}{path}", origin.address);
        deadline::CONNECT.wait(what, Self::upgraded(origin, path, sub_protocols)).await?
    }

    async fn upgraded(origin: &Origin, path: &str, sub_protocols: &[&str]) -> Result<Self, UpgradeError> {
        let (mut sender, connection) = handshake(TokioIo::new(dial(origin).await?)).await?;
        tokio::spawn(connection.with_upgrades());
        let key = generate_key();
        let mut request = Request::get(path)
            .header(HOST, &origin.host)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        if !sub_protocols.is_empty() {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, sub_protocols.join(", "));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(UpgradeError::Request)?;
        let mut response = sender.send_request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status().as_u16();
            return Err(UpgradeError::Refused { status, body: response.into_body().collect().await?.to_bytes() });
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let accepted = header(SEC_WEBSOCKET_ACCEPT);
        if accepted.as_deref() != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(UpgradeError::Nonce(accepted.unwrap_or_default()));
        }
        let sub_protocol = header(SEC_WEBSOCKET_PROTOCOL);
        let upgraded = hyper::upgrade::on(&mut response).await?.downcast::<TokioIo<TlsStream<TcpStream>>>();
        let Parts { io, read_buf, .. } = upgraded.expect("it was made from such a stream");
        let socket = WebSocketStream::from_partially_read(io.into_inner(), read_buf.into(), Role::Client, None).await;
        Ok(Self { socket, sub_protocol })
    }

    /// The sub-protocol that the hub named.
    pub fn sub_protocol(&self) -> Option<&str> {
        self.sub_protocol.as_deref()
    }

    /// Sends a message. A connection that the hub has closed is no error here: the next one received tells.
    pub async fn send(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    /// The next message of the hub, of any kind, or `None` when the connection has ended.
    ///
    /// # Errors
    /// [`Expired`] when neither comes in time.
    pub async fn next(&mut self, deadline: Deadline) -> Result<Option<Message>, Expired> {
        deadline.wait("a WebSocket message of the hub", async { self.socket.next().await.and_then(Result::ok) }).await
    }

    /// What is within: each write is a binary message, and what binary messages hold is read as it comes.
    pub fn into_bytes(self) -> impl Stream {
        let (sink, stream) = self.socket.split();
        let received = stream.filter_map(|message| {
            ready(match message {
                Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
                Ok(Message::Text(_)) => Some(Err(std::io::Error::other("the hub sent a text message"))),
                Ok(_) => None,
                Err(error) => Some(Err(broken(error))),
            })
        });
        let sent = sink.sink_map_err(broken).with(|bytes: Bytes| ready(std::io::Result::Ok(Message::Binary(bytes))));
        tokio::io::join(StreamReader::new(received), SinkWriter::new(CopyToBytes::new(sent)))
    }
}

fn broken(error: tungstenite::Error) -> std::io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => std::io::Error::other(other),
    }
}

async fn dial(origin: &Origin) -> Result<TlsStream<TcpStream>, UpgradeError> {
    let tls = origin.tls.clone().expect("a hub's HTTPS port speaks TLS");
    let stream = TcpStream::connect(origin.address).await.map_err(UpgradeError::Dial)?;
    stream.set_nodelay(true).map_err(UpgradeError::Dial)?;
    let name = ServerName::try_from(origin.host.clone()).expect("a host's name or address");
    TlsConnector::from(tls).connect(name, stream).await.map_err(UpgradeError::Dial)
}

/// There is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nobody listens there, or TLS failed.
    #[error("{0}")]
    Dial(std::io::Error),
    /// The request could not be written down.
    #[error("cannot ask for the upgrade: {0}")]
    Request(hyper::http::Error),
    /// The connection broke.
    #[error("no answer to the upgrade: {0}")]
    Exchange(#[from] hyper::Error),
    /// Another status than 101.
    #[error("status {status} and {} bytes to the upgrade", .body.len())]
    Refused {
        /// Status code.
        status: u16,
        /// Body.
        body: Bytes,
    },
    /// The upgrade of somebody else was answered.
    #[error("Sec-WebSocket-Accept is `{0}`, which does not answer the key")]
    Nonce(String),
    /// No answer in time.
    #[error(transparent)]
    Expired(#[from] Expired),
}
