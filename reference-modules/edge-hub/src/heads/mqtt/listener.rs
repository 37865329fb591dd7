//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::result_code::ConnectReturnCode;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::connect;
use super::connection;
use crate::authenticate::Authenticator;
use crate::engine::Engine;
use crate::faults::planted;
use crate::settings::Settings;
use crate::wire;

/// How long to wait when no connection can be accepted, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// What every connection needs.
pub struct Head {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Decides what happens with messages.
    pub engine: Engine,
    /// Says who may connect.
    pub authenticator: Arc<Authenticator>,
    /// Speaks TLS.
    pub tls: TlsAcceptor,
}

impl Head {
    /// A head without connections.
    pub fn new(settings: Arc<Settings>, engine: Engine, authenticator: Arc<Authenticator>, tls: TlsAcceptor) -> Head {
        Head { settings, engine, authenticator, tls }
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
        if planted("TLS01-plain-connect-is-answered") && answered_in_clear(&socket).await {
            return;
        }
        // The time until CONNECT includes the TLS handshake.
        let arriving = self.arrive(socket);
        let limit = self.settings.mqtt.connect_arrival_timeout;
        let arrived = match limit.filter(|_| !planted("CONN15-silent-connection-stays")) {
            Some(limit) => tokio::time::timeout(limit, arriving).await.ok().flatten(),
            None => arriving.await,
        };
        let Some(arrived) = arrived else { return };
        let Some(accepted) = connect::judge(&self, arrived).await else { return };
        let (connection, client, credentials) =
            (accepted.connection, accepted.client.clone(), accepted.credentials.clone());
        let doubted = std::pin::pin!(self.authenticator.doubts(&client, &credentials, false));
        connection::run(&self, accepted, doubted).await;
        self.engine.detach(connection);
    }

    async fn arrive(&self, socket: TcpStream) -> Option<connect::Arrived> {
        socket.set_nodelay(true).ok()?;
        let stream = self.tls.accept(socket).await.ok()?;
        connect::arrive(stream, self.settings.mqtt.max_inbound_message_bytes).await
    }
}

/// Only a planted fault speaks without TLS.
async fn answered_in_clear(socket: &TcpStream) -> bool {
    let mut first = [0];
    let connect = socket.peek(&mut first).await.is_ok() && first == [0x10];
    connect && socket.try_write(&wire::write_connack(false, ConnectReturnCode::Accepted)).is_ok()
}
