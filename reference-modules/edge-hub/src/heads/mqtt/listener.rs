//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::connect;
use super::connection;
use crate::authenticate::Authenticator;
use crate::core::ConnectionId;
use crate::engine::Engine;
use crate::settings::Settings;
use crate::upstream::Upstream;

/// How long to wait when no connection can be accepted, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// What every connection needs.
pub struct Head {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Decides what happens with messages.
    pub engine: Engine,
    /// Says who may connect.
    pub authenticator: Authenticator,
    /// Answers twin requests.
    pub upstream: Upstream,
    /// Speaks TLS.
    pub tls: TlsAcceptor,
    connections: AtomicU64,
}

impl Head {
    /// A head without connections.
    pub fn new(
        settings: Arc<Settings>,
        engine: Engine,
        authenticator: Authenticator,
        upstream: Upstream,
        tls: TlsAcceptor,
    ) -> Head {
        Head { settings, engine, authenticator, upstream, tls, connections: AtomicU64::new(0) }
    }

    /// Binds, and returns what accepts connections for ever.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn listen(self, address: SocketAddr) -> io::Result<impl Future<Output = ()>> {
        let listener = TcpListener::bind(address).await?;
        let head = Arc::new(self);
        Ok(async move {
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => {
                        tokio::spawn(head.clone().serve(socket));
                    }
                    Err(error) => {
                        tracing::warn!("Cannot accept a connection: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        })
    }

    async fn serve(self: Arc<Head>, socket: TcpStream) {
        // The time until CONNECT includes the TLS handshake.
        let arriving = self.arrive(socket);
        let arrived = match self.settings.mqtt.connect_arrival_timeout {
            Some(limit) => tokio::time::timeout(limit, arriving).await.ok().flatten(),
            None => arriving.await,
        };
        let Some(arrived) = arrived else { return };
        let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1);
        if let Some(accepted) = connect::judge(&self, connection, arrived).await {
            connection::run(&self, connection, accepted).await;
            self.engine.detach(connection);
        }
    }

    async fn arrive(&self, socket: TcpStream) -> Option<connect::Arrived> {
        socket.set_nodelay(true).ok()?;
        let stream = self.tls.accept(socket).await.ok()?;
        connect::arrive(stream, self.settings.mqtt.max_inbound_message_bytes).await
    }
}
