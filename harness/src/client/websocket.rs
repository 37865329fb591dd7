//! A WebSocket to the hub, as a stream of bytes. What is written between two flushes may come as one message or several:
//! borders of messages carry no meaning.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::{self, Message};

use super::stream;
use crate::deadline::{self, Expired};

/// The sub-protocol of AMQP. Source: `edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Amqp/Constants.cs`.
pub const AMQP: &str = "AMQPWSB10";
/// The path clients of the product use.
pub const PATH: &str = "/$iothub/websocket";

/// A WebSocket whose messages are joined to a stream.
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
    /// Sub-protocols offered, as the header has them.
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
        let url = format!("wss://{address}{}", upgrade.path);
        let mut request = url.into_client_request().map_err(|error| UpgradeError::Closed(error.to_string()))?;
        let protocols = HeaderValue::from_str(upgrade.protocols).expect("sub-protocols of tests are legal in a header");
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        let opened = deadline::CONNECT.wait(format!("a WebSocket to {address}"), async {
            let stream = stream::tls(address, tls).await.map_err(|error| UpgradeError::Closed(error.to_string()))?;
            match tokio_tungstenite::client_async(request, stream).await {
                Ok(opened) => Ok(opened),
                Err(tungstenite::Error::Http(response)) => Err(UpgradeError::Status(response.status().as_u16())),
                Err(error) => Err(UpgradeError::Closed(error.to_string())),
            }
        });
        let (socket, response) = opened.await??;
        let protocol = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let protocol = protocol.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
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
        let message = match str::from_utf8(bytes) {
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

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The hub answered with this status.
    #[error("the upgrade was answered with {0}")]
    Status(u16),
    /// There was no answer of that kind.
    #[error("no answer to the upgrade: {0}")]
    Closed(String),
    /// Nothing came in time.
    #[error(transparent)]
    Expired(#[from] Expired),
}
