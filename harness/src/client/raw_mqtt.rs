//! A raw door to the MQTT head: writes any bytes, right or wrong, and keeps every packet of the hub as it came.
//!
//! - [`packet`]: packets to write. Each is plain bytes that a test may cut, swap or spoil before it writes them.
//! - [`received`]: packets of the hub, read leniently: what the harness cannot name is kept and shown.
//! - [`RawMqtt`]: one connection, in TLS or in a WebSocket. Nothing is answered, repeated or remembered on its own account: a test that
//!   withholds a PUBACK just does not write one.
//!
//! For well-behaved clients there is [`super::mqtt`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub mod packet;
pub mod received;

use super::mqtt::Login;
use super::stream::ByteStream;
use super::websocket::UpgradeError;
use crate::deadline::{self, Deadline, Expired};
use crate::observe::wire_log::{Direction, WireLog};
pub use packet::Connect;
pub use received::Packet;

/// A connection to the MQTT head, spoken byte by byte.
pub struct RawMqtt {
    name: String,
    stream: Box<dyn ByteStream>,
    buffer: BytesMut,
    log: WireLog,
}

impl RawMqtt {
    /// Opens a TLS connection to a server known by its address; no MQTT packet is written yet. `name` is what the
    /// wire log calls it.
    ///
    /// # Errors
    /// [`RawError`] when there is no connection, or the TLS handshake fails.
    pub async fn open(
        name: &str,
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        log: WireLog,
    ) -> Result<Self, RawError> {
        Self::open_as(name, address, ServerName::IpAddress(address.ip().into()), tls, log).await
    }

    /// As [`RawMqtt::open`], for a server whose certificate has this name.
    ///
    /// # Errors
    /// As [`RawMqtt::open`].
    pub async fn open_as(
        name: &str,
        address: SocketAddr,
        server: ServerName<'static>,
        tls: Arc<rustls::ClientConfig>,
        log: WireLog,
    ) -> Result<Self, RawError> {
        let opened = deadline::CONNECT.wait(format!("a TLS connection to {address}"), async {
            let socket = TcpStream::connect(address).await.map_err(RawError::Open)?;
            socket.set_nodelay(true).map_err(RawError::Open)?;
            TlsConnector::from(tls).connect(server, socket).await.map_err(RawError::Open)
        });
        let stream = opened.await??;
        Ok(Self::on(name, stream, log))
    }

    /// A connection on a stream that is open.
    pub fn on(name: &str, stream: impl ByteStream + 'static, log: WireLog) -> Self {
        Self { name: name.to_owned(), stream: Box::new(stream), buffer: BytesMut::new(), log }
    }

    /// Writes bytes in one go. A connection that the hub has closed is no error here: the next read tells.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.log.note(&self.name, Direction::ToHub, bytes);
        // The hub may close in the middle of what is written, which is what some tests want to see.
        if self.stream.write_all(bytes).await.is_ok() {
            let _ = self.stream.flush().await;
        }
    }

    /// Writes bytes in pieces that end at these positions, each flushed on its own, so that the hub reads them apart.
    pub async fn write_split(&mut self, bytes: &[u8], at: &[usize]) {
        let mut from = 0;
        for end in at.iter().copied().chain([bytes.len()]) {
            let end = end.clamp(from, bytes.len());
            if end > from {
                self.write(&bytes[from..end]).await;
                tokio::task::yield_now().await;
            }
            from = end;
        }
    }

    /// The next packet of the hub, or `None` when it closed the connection.
    ///
    /// # Errors
    /// [`Expired`] when neither happens in time.
    pub async fn read(&mut self, deadline: Deadline) -> Result<Option<Packet>, Expired> {
        let what = format!("a packet from the hub on {}", self.name);
        deadline.wait(what, self.next()).await
    }

    /// The next packet, without a limit of time. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(packet) = Packet::take(&mut self.buffer) {
                self.log.note(&self.name, Direction::FromHub, &packet.bytes);
                return Some(packet);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.log.note(&self.name, Direction::FromHub, &[]);
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    /// Sends CONNECT and gives the code of CONNACK, or `None` when the hub closed without one.
    ///
    /// # Errors
    /// [`Expired`] when neither happens in time; a packet that is no CONNACK counts as a close.
    pub async fn connect(&mut self, connect: &Connect) -> Result<Option<u8>, Expired> {
        self.write(&connect.bytes()).await;
        let answer = self.read(deadline::CONNECT).await?;
        Ok(answer.and_then(|packet| packet.connack().map(|(_, code)| code)))
    }

    /// Reads until the hub closes, and gives the packets that came before.
    ///
    /// # Errors
    /// [`Expired`] when the connection still stands at the deadline.
    pub async fn closed(&mut self, deadline: Deadline) -> Result<Vec<Packet>, Expired> {
        let mut packets = Vec::new();
        let what = format!("the hub to close {}", self.name);
        deadline
            .wait(what, async {
                while let Some(packet) = self.next().await {
                    packets.push(packet);
                }
            })
            .await?;
        Ok(packets)
    }

    /// Whether the connection answers a PINGREQ, and what came before the PINGRESP. `None` when it is closed.
    ///
    /// # Errors
    /// [`Expired`] when neither PINGRESP nor the end comes in time.
    pub async fn ping(&mut self) -> Result<Option<Vec<Packet>>, Expired> {
        self.write(&packet::PINGREQ).await;
        let mut before = Vec::new();
        let what = format!("PINGRESP on {}", self.name);
        deadline::ACKNOWLEDGEMENT
            .wait(what, async {
                loop {
                    match self.next().await {
                        Some(packet) if packet.is_pingresp() => return true,
                        Some(packet) => before.push(packet),
                        None => return false,
                    }
                }
            })
            .await
            .map(|alive| alive.then_some(before))
    }

    /// Ends what the client says, without DISCONNECT, and gives the packets that come until the hub ends its part.
    ///
    /// # Errors
    /// [`Expired`] when the hub does not end its part in time.
    pub async fn break_off(mut self) -> Result<Vec<Packet>, Expired> {
        self.log.tell(&self.name, Direction::ToHub, "end of the connection".to_owned());
        // A connection that the hub has ended already cannot be ended again.
        let _ = self.stream.shutdown().await;
        self.closed(deadline::CLOSED).await
    }

    /// Says DISCONNECT, and gives the packets that come until the hub closes.
    ///
    /// # Errors
    /// [`Expired`] when the hub does not close in time.
    pub async fn disconnect(mut self) -> Result<Vec<Packet>, Expired> {
        self.write(&packet::DISCONNECT).await;
        self.closed(deadline::CLOSED).await
    }

    /// When the next packet comes, and the packet; for tests about time.
    ///
    /// # Errors
    /// As [`RawMqtt::read`].
    pub async fn read_at(&mut self, deadline: Deadline) -> Result<(Instant, Option<Packet>), Expired> {
        let packet = self.read(deadline).await?;
        Ok((Instant::now(), packet))
    }
}

impl From<&Login> for Connect {
    /// CONNECT as a well-behaved client writes it, without keep alive.
    fn from(login: &Login) -> Self {
        Connect {
            client_id: login.client_id.clone(),
            user_name: Some(login.user_name.clone()),
            password: Some(login.password.clone().into_bytes()),
            clean_session: login.clean_session,
            will: login.will.as_ref().map(|(topic, payload)| packet::Will {
                topic: topic.clone(),
                payload: payload.to_vec(),
                qos: 1,
                retain: false,
            }),
            ..Connect::default()
        }
    }
}

/// There is no connection to speak on.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// TCP or TLS failed.
    #[error("{0}")]
    Open(std::io::Error),
    /// There is no WebSocket.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// It did not come in time.
    #[error(transparent)]
    Expired(#[from] Expired),
}
