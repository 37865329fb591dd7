//! A WebSocket to the hub, as a stream of bytes or message by message. As a stream, borders of messages carry no
//! meaning: each write is a message of its own.
//!
//! The handshake is written out here, since no library for clients lets a test see an answer that is not quite right.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use http_body_util::Empty;
use hyper::client::conn::http1::handshake;
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
/// What goes either way.
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::stream;
use crate::deadline::{self, Deadline, Expired};

/// The sub-protocol of MQTT. Source: `edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Mqtt/Constants.cs`.
pub const MQTT: &str = "mqtt";
/// The sub-protocol of AMQP. Source: `edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Amqp/Constants.cs`.
pub const AMQP: &str = "AMQPWSB10";
/// The path clients of the product use.
pub const PATH: &str = "/$iothub/websocket";

/// A WebSocket that is open.
#[derive(Debug)]
pub struct WebSocket {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    unread: Bytes,
    /// Whether what is written goes as text messages.
    text: bool,
    pings: Arc<AtomicUsize>,
}

/// What a client asks for when it upgrades.
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'a> {
    /// Path of the request.
    pub path: &'a str,
    /// Sub-protocols offered, as the header has them; empty for no header.
    pub protocols: &'a str,
}

impl Default for Upgrade<'_> {
    fn default() -> Self {
        Self { path: PATH, protocols: AMQP }
    }
}

impl WebSocket {
    /// Upgrades a connection to the hub's HTTPS port, and gives the sub-protocol of the answer.
    ///
    /// # Errors
    /// [`UpgradeError`] with the status, when the hub does not upgrade.
    pub async fn open(
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        upgrade: Upgrade<'_>,
    ) -> Result<(Self, Option<String>), UpgradeError> {
        deadline::CONNECT.wait(format!("a WebSocket to {address}"), Self::upgraded(address, tls, upgrade)).await?
    }

    async fn upgraded(
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        upgrade: Upgrade<'_>,
    ) -> Result<(Self, Option<String>), UpgradeError> {
        let stream = stream::tls(address, tls).await.map_err(UpgradeError::closed)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(UpgradeError::closed)?;
        tokio::spawn(connection.with_upgrades());
        let key = generate_key();
        let mut request = Request::get(upgrade.path)
            .header(HOST, address.to_string())
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        if !upgrade.protocols.is_empty() {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, upgrade.protocols);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("paths and sub-protocols of tests can be written");
        let mut response = sender.send_request(request).await.map_err(UpgradeError::closed)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpgradeError::Status(response.status().as_u16()));
        }
        let header =
            |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let accept = header(SEC_WEBSOCKET_ACCEPT).unwrap_or_default();
        if accept != derive_accept_key(key.as_bytes()) {
            return Err(UpgradeError::Key(accept));
        }
        let protocol = header(SEC_WEBSOCKET_PROTOCOL);
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(UpgradeError::closed)?;
        let upgraded = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>();
        let Parts { io, read_buf, .. } = upgraded.expect("it was made from such a stream");
        let socket =
            WebSocketStream::from_partially_read(io.into_inner(), read_buf.into(), Role::Client, Some(small_buffers()))
                .await;
        Ok((Self { socket, unread: Bytes::new(), text: false, pings: Arc::default() }, protocol))
    }

    /// The same, writing text messages; what is written must be text.
    #[must_use]
    pub fn in_text(mut self) -> Self {
        self.text = true;
        self
    }

    /// How many pings have come; a handle of the count.
    pub fn pings(&self) -> Arc<AtomicUsize> {
        self.pings.clone()
    }

    /// Sends a message. A connection that the hub has closed is no error here: the next message tells.
    pub async fn send_message(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    /// The next message of the hub, of any kind, or `None` when the connection has ended.
    ///
    /// # Errors
    /// [`Expired`] when neither comes in time.
    pub async fn next_message(&mut self, deadline: Deadline) -> Result<Option<Message>, Expired> {
        let message = deadline.wait("a WebSocket message of the hub", self.socket.next()).await?;
        let message = message.and_then(Result::ok);
        if matches!(message, Some(Message::Ping(_))) {
            self.pings.fetch_add(1, Ordering::Relaxed);
        }
        Ok(message)
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(text))) => self.unread = text.into(),
                Some(Ok(Message::Ping(_))) => {
                    self.pings.fetch_add(1, Ordering::Relaxed);
                }
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(std::io::Error::other(error))),
            }
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(std::io::Error::other)?;
        let message = match std::str::from_utf8(bytes) {
            Ok(text) if self.text => Message::text(text),
            _ => Message::binary(Bytes::copy_from_slice(bytes)),
        };
        Pin::new(&mut self.socket).start_send(message).map_err(std::io::Error::other)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(std::io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context).map_err(std::io::Error::other)
    }
}

/// How a WebSocket is read: the library clears its buffer before each read, and by default has one of 128 KiB.
fn small_buffers() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(8 * 1024)
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The hub answered with this status.
    #[error("the upgrade was answered with {0}")]
    Status(u16),
    /// Another's upgrade was answered.
    #[error("Sec-WebSocket-Accept is `{0}`, which does not answer the key")]
    Key(String),
    /// There was no answer of that kind.
    #[error("no answer to the upgrade: {0}")]
    Closed(String),
    /// Nothing came in time.
    #[error(transparent)]
    Expired(#[from] Expired),
}

impl UpgradeError {
    fn closed(error: impl std::fmt::Display) -> Self {
        UpgradeError::Closed(error.to_string())
    }
}
