//! Where a connection begins.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::welcome::welcome;
use crate::authenticate::Authenticator;
use crate::certificate::Shown;
use crate::engine::Engine;
use crate::faults::planted;
use crate::heads::listen::listen;
use crate::settings::Settings;

/// How long a client may take for TLS, SASL and OPEN, and to answer CLOSE.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the end of the hub waits for connections to be told of it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What every connection needs.
pub struct Head {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Decides what happens with messages.
    pub engine: Engine,
    /// Says whose links are whose.
    pub authenticator: Arc<Authenticator>,
    /// Speaks TLS.
    pub tls: TlsAcceptor,
    /// What the hub calls itself in OPEN.
    pub container: String,
    /// Becomes true when the hub ends. Every connection listens as long as it is there.
    ending: watch::Sender<bool>,
}

impl Head {
    /// A head without connections.
    pub fn new(settings: Arc<Settings>, engine: Engine, authenticator: Arc<Authenticator>, tls: TlsAcceptor) -> Head {
        let container = format!("DeviceGateway_{}", uuid::Uuid::new_v4().simple());
        Head { settings, engine, authenticator, tls, container, ending: watch::Sender::new(false) }
    }

    /// Binds, and returns what accepts connections for ever.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn listen(self: Arc<Head>, address: SocketAddr) -> io::Result<impl Future<Output = ()>> {
        listen(address, move |socket| self.clone().accept(socket)).await
    }

    async fn accept(self: Arc<Head>, socket: TcpStream) {
        if planted("TR02-sasl-is-answered-in-clear") && speaks_in_clear(&socket).await {
            return self.serve(socket, None).await;
        }
        let handshake = async {
            socket.set_nodelay(true)?;
            self.tls.accept(socket).await
        };
        let Ok(Ok(stream)) = tokio::time::timeout(OPERATION_TIMEOUT, handshake).await else { return };
        let shown = stream.get_ref().1.peer_certificates().map(|chain| Shown(chain.to_vec()));
        self.serve(stream, shown).await;
    }

    /// Serves a client on a stream of bytes until its connection ends: a TLS connection, or what comes in a WebSocket.
    /// `shown` is what TLS saw of the client.
    pub async fn serve<S>(&self, mut stream: S, shown: Option<Shown>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let open_by = Instant::now() + OPERATION_TIMEOUT;
        let ending = self.ending.subscribe();
        let shown = shown.filter(|_| self.settings.client_certificates);
        let mut received = BytesMut::new();
        let welcomed = welcome(self, &mut stream, &mut received, shown);
        if let Ok(Ok(Some(principal))) = tokio::time::timeout_at(open_by, welcomed).await {
            connection::run(self, &mut stream, &mut received, principal, open_by, ending).await;
        }
        // The other side sees the end of the connection in any case.
        let _ = stream.shutdown().await;
    }

    /// Tells every connection that the hub ends, and waits until they know.
    pub async fn stop(&self) {
        self.ending.send_replace(true);
        // One that does not read what it is told is not waited for any longer.
        let _ = tokio::time::timeout(LAST_WORDS, self.ending.closed()).await;
    }
}

/// Only a planted fault speaks without TLS.
async fn speaks_in_clear(socket: &TcpStream) -> bool {
    let mut first = [0; 4];
    socket.peek(&mut first).await.is_ok() && first == *b"AMQP"
}
