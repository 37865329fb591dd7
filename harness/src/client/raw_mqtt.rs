//! MQTT, packet by packet: what a client library would never send, and everything the hub answers.
//!
//! - [`packet`]: packets to write. Each is plain bytes that a test may cut, swap or spoil before it writes them.
//! - [`received`]: packets of the hub, read leniently: what the harness cannot name is kept and shown.
//! - [`RawMqtt`]: one connection, in TLS or in a WebSocket.
//!
//! For well-behaved clients there is [`super::mqtt`].

use bytes::BytesMut;

pub mod packet;
pub mod received;

use super::mqtt::Login;
use super::raw::{Raw, Unit};
use crate::deadline::{self, Expired};
pub use packet::Connect;
pub use received::Packet;

/// A connection to the MQTT head, spoken byte by byte.
pub type RawMqtt = Raw<Packet>;

impl Unit for Packet {
    const NAME: &'static str = "packet";

    fn take(buffer: &mut BytesMut) -> Option<Self> {
        Packet::take(buffer)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Raw<Packet> {
    /// Sends CONNECT and gives the code of CONNACK, or `None` when the hub closed without one.
    ///
    /// # Errors
    /// [`Expired`] when neither happens in time; a packet that is no CONNACK counts as a close.
    pub async fn connect(&mut self, connect: &Connect) -> Result<Option<u8>, Expired> {
        self.write(&connect.bytes()).await;
        let answer = self.read(deadline::CONNECT).await?;
        Ok(answer.and_then(|packet| packet.connack().map(|(_, code)| code)))
    }

    /// Whether the connection answers a PINGREQ, and what came before the PINGRESP. `None` when it is closed.
    ///
    /// # Errors
    /// [`Expired`] when neither PINGRESP nor the end comes in time.
    pub async fn ping(&mut self) -> Result<Option<Vec<Packet>>, Expired> {
        self.write(&packet::PINGREQ).await;
        let mut before = Vec::new();
        let what = format!("PINGRESP on {}", self.name());
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

    /// Says DISCONNECT, and gives the packets that come until the hub closes.
    ///
    /// # Errors
    /// [`Expired`] when the hub does not close in time.
    pub async fn disconnect(mut self) -> Result<Vec<Packet>, Expired> {
        self.write(&packet::DISCONNECT).await;
        self.closed(deadline::CLOSED).await
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
