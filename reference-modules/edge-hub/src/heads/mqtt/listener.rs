//! Where a connection begins.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt_protocol_core::mqtt::result_code::ConnectReturnCode;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::connect::{self, Opened};
use super::connection;
use crate::authenticate::Authenticator;
use crate::certificate::Shown;
use crate::engine::Engine;
use crate::faults::planted;
use crate::heads::Stream;
use crate::heads::listen::listen;
use crate::settings::Settings;
use crate::wire;

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
    pub async fn listen(self: Arc<Head>, address: SocketAddr) -> io::Result<impl Future<Output = ()>> {
        listen(address, move |socket| self.clone().serve(socket)).await
    }

    async fn serve(self: Arc<Head>, socket: TcpStream) {
        if planted("TLS01-plain-connect-is-answered") && answered_in_clear(&socket).await {
            return;
        }
        let opening = async {
            socket.set_nodelay(true).ok()?;
            let stream = self.tls.accept(socket).await.ok()?;
            let shown = stream.get_ref().1.peer_certificates().map(|chain| Shown(chain.to_vec()));
            Some(Opened { stream, shown })
        };
        self.converse(opening).await;
    }

    /// Serves a client whose stream was opened elsewhere.
    pub async fn serve_opened(&self, stream: impl Stream, shown: Option<Shown>) {
        self.converse(std::future::ready(Some(Opened { stream, shown }))).await;
    }

    /// The time until CONNECT includes that in which the stream opens.
    async fn converse<S: Stream>(&self, opening: impl Future<Output = Option<Opened<S>>>) {
        let limit = self.settings.mqtt.connect_arrival_timeout;
        let until = limit.filter(|_| !planted("CONN15-silent-connection-stays")).map(|limit| Instant::now() + limit);
        let Some(mut opened) = within(until, opening).await else { return };
        let first = connect::arrive(&mut opened.stream, self.settings.mqtt.max_inbound_message_bytes);
        let Some(first) = within(until, first).await else {
            let _ = opened.stream.shutdown().await;
            return;
        };
        let Some(accepted) = connect::judge(self, opened, first).await else { return };
        let (client, credentials) = (accepted.client.clone(), accepted.credentials.clone());
        let doubted = std::pin::pin!(self.authenticator.doubts(&client, &credentials, false));
        connection::run(self, accepted, doubted).await;
    }
}

/// What comes of a future, unless the time is over before.
async fn within<T>(until: Option<Instant>, future: impl Future<Output = Option<T>>) -> Option<T> {
    match until {
        Some(until) => tokio::time::timeout_at(until, future).await.ok().flatten(),
        None => future.await,
    }
}

/// Only a planted fault speaks without TLS.
async fn answered_in_clear(socket: &TcpStream) -> bool {
    let mut first = [0];
    let connect = socket.peek(&mut first).await.is_ok() && first == [0x10];
    connect && socket.try_write(&wire::write_connack(false, ConnectReturnCode::Accepted)).is_ok()
}
