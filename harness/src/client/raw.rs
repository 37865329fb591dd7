//! A raw door to a head: writes any bytes, right or wrong, and keeps everything the hub writes as it came.
//!
//! Nothing is answered, repeated or remembered on its own account: a test that withholds an acknowledgement just does
//! not write one. What is said through it is the protocols' own: [`super::raw_mqtt`], [`super::raw_amqp`].

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::{self, ByteStream};
use super::websocket::UpgradeError;
use crate::deadline::{self, Deadline, Expired};
use crate::observe::wire_log::{Direction, WireLog};

/// What a protocol is written in: packets, or frames.
pub trait Unit: fmt::Display + Sized + Send {
    /// What one is called: a noun.
    const NAME: &'static str;

    /// Takes one from the front of a buffer, when it is whole. Also takes what can never become one.
    fn take(buffer: &mut BytesMut) -> Option<Self>;

    /// All its bytes.
    fn bytes(&self) -> &[u8];
}

/// A connection to a head, spoken byte by byte.
pub struct Raw<U> {
    name: String,
    stream: Box<dyn ByteStream>,
    buffer: BytesMut,
    log: WireLog,
    heard: PhantomData<fn() -> U>,
}

impl<U: Unit> Raw<U> {
    /// Opens a TLS connection to a server known by its address; nothing of the protocol is written yet. `name` is what
    /// the wire log calls it.
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

    /// As [`Raw::open`], for a server whose certificate has this name.
    ///
    /// # Errors
    /// As [`Raw::open`].
    pub async fn open_as(
        name: &str,
        address: SocketAddr,
        server: ServerName<'static>,
        tls: Arc<rustls::ClientConfig>,
        log: WireLog,
    ) -> Result<Self, RawError> {
        let opened = stream::tls_as(address, server, tls);
        let opened = deadline::CONNECT.wait(format!("a TLS connection to {address}"), opened);
        let stream = opened.await?.map_err(RawError::Open)?;
        Ok(Self::on(name, stream, log))
    }

    /// A connection on a stream that is open, whatever it is.
    pub fn on(name: &str, stream: impl ByteStream + 'static, log: WireLog) -> Self {
        Self { name: name.to_owned(), stream: Box::new(stream), buffer: BytesMut::new(), log, heard: PhantomData }
    }

    /// What the wire log calls the connection.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes bytes in one go. A connection that the hub has closed is no error here: the next read tells.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.log.note(&self.name, Direction::ToHub, &told::<U>(bytes), bytes);
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

    /// The next thing the hub writes, or `None` when it closed the connection.
    ///
    /// # Errors
    /// [`Expired`] when neither happens in time.
    pub async fn read(&mut self, deadline: Deadline) -> Result<Option<U>, Expired> {
        let what = format!("a {} from the hub on {}", U::NAME, self.name);
        deadline.wait(what, self.next()).await
    }

    /// When the next thing comes, and the thing; for tests about time.
    ///
    /// # Errors
    /// As [`Raw::read`].
    pub async fn read_at(&mut self, deadline: Deadline) -> Result<(Instant, Option<U>), Expired> {
        let unit = self.read(deadline).await?;
        Ok((Instant::now(), unit))
    }

    /// The next thing the hub writes, without a limit of time. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<U> {
        loop {
            if let Some(unit) = U::take(&mut self.buffer) {
                self.log.note(&self.name, Direction::FromHub, &unit.to_string(), unit.bytes());
                return Some(unit);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.log.tell(&self.name, Direction::FromHub, END.to_owned());
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    /// Reads until the hub closes, and gives what came before.
    ///
    /// # Errors
    /// [`Expired`] when the connection still stands at the deadline.
    pub async fn closed(&mut self, deadline: Deadline) -> Result<Vec<U>, Expired> {
        let mut before = Vec::new();
        let what = format!("the hub to close {}", self.name);
        deadline
            .wait(what, async {
                while let Some(unit) = self.next().await {
                    before.push(unit);
                }
            })
            .await?;
        Ok(before)
    }

    /// Ends what the client says, without a farewell of the protocol, and gives what comes until the hub ends its part.
    ///
    /// # Errors
    /// [`Expired`] when the hub does not end its part in time.
    pub async fn break_off(mut self) -> Result<Vec<U>, Expired> {
        self.log.tell(&self.name, Direction::ToHub, END.to_owned());
        // A connection that the hub has ended already cannot be ended again.
        let _ = self.stream.shutdown().await;
        self.closed(deadline::CLOSED).await
    }
}

/// Bytes of a client in words: they may be a piece of a unit, or several.
fn told<U: Unit>(bytes: &[u8]) -> String {
    let mut buffer = BytesMut::from(bytes);
    let mut told: Vec<String> = std::iter::from_fn(|| U::take(&mut buffer)).map(|unit| unit.to_string()).collect();
    if !buffer.is_empty() {
        told.push(format!("a piece of a {}", U::NAME));
    }
    told.join(", ")
}

/// How the wire log tells that a side says no more.
const END: &str = "end of the connection";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::raw_amqp::{self, Incoming};
    use crate::client::raw_mqtt::{Packet, packet};

    #[test]
    fn what_is_written_is_told_unit_by_unit_and_what_is_left_as_a_piece() {
        let packets = [&packet::PINGREQ[..], &packet::DISCONNECT, &[0x30, 5]].concat();
        assert_eq!(told::<Packet>(&packets), "PINGREQ, DISCONNECT, a piece of a packet");
        let frames = [&raw_amqp::frame::AMQP[..], &raw_amqp::frame::empty(), &[0]].concat();
        assert_eq!(told::<Incoming>(&frames), "header AMQP [0, 1, 0, 0], an empty frame, a piece of a frame");
        assert_eq!(told::<Packet>(&[]), "");
    }
}
