//! Streams of bytes to a hub: TLS over TCP, or a WebSocket in it. Protocols above do not care which.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a protocol needs of what is below it.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug> ByteStream for S {}

/// What carries a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// TLS to the port of the protocol.
    Tls(SocketAddr),
    /// A WebSocket on the HTTPS port.
    WebSocket(SocketAddr),
}

/// Opens TLS to a server known by its address.
///
/// # Errors
/// [`std::io::Error`] when TCP or TLS fails.
pub async fn tls(address: SocketAddr, tls: Arc<rustls::ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    tls_as(address, ServerName::IpAddress(address.ip().into()), tls).await
}

/// As [`tls`], for a server whose certificate has this name.
///
/// # Errors
/// As [`tls`].
pub async fn tls_as(
    address: SocketAddr,
    server: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    TlsConnector::from(tls).connect(server, socket).await
}
