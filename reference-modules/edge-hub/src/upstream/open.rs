//! A connection that stands, and what is under way on it.

use std::collections::{HashMap, VecDeque};
use std::io;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::PING_PERIOD;
use super::connection::Connection;
use crate::core::{Listening, SendId};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::wire;

/// Where changes of desired properties come from.
pub const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";

/// Where calls of methods come from.
pub const METHODS: &str = "$iothub/methods/POST/";

/// Where answers to twin requests come from.
pub const RESPONSES: &str = "$iothub/twin/res/";

/// Where, in the topic of a device, cloud-to-device messages come from.
pub const DEVICEBOUND: &str = "/messages/devicebound";

/// Messages whose acknowledgements are awaited.
pub struct Sending {
    /// Names the attempt.
    pub send: SendId,
    /// Packet ids not yet acknowledged.
    pub ids: VecDeque<u16>,
    /// Messages acknowledged.
    pub accepted: usize,
    /// When patience ends.
    pub deadline: Instant,
}

/// A twin request whose answer is awaited.
pub struct Request {
    /// Who wants it.
    pub answer: oneshot::Sender<(u16, Bytes)>,
    /// When patience ends.
    pub deadline: Instant,
}

/// The connection.
pub struct Open {
    /// Bytes.
    pub connection: Connection,
    /// Tells this connection from those before it.
    pub number: u64,
    /// Telemetry.
    pub sendings: VecDeque<Sending>,
    /// When to give a sign of life.
    pub ping_at: Instant,
    /// Whether it is to be closed once nothing is under way.
    pub leaving: bool,
    client: ClientId,
    listening: Listening,
    requests: HashMap<String, Request>,
    asked: u64,
    hears_responses: bool,
}

impl Open {
    /// A connection on which nothing has been said.
    pub fn new(connection: Connection, number: u64, client: ClientId) -> Open {
        Open {
            connection,
            number,
            client,
            listening: Listening::default(),
            leaving: false,
            sendings: VecDeque::new(),
            requests: HashMap::new(),
            asked: 0,
            hears_responses: false,
            ping_at: Instant::now() + PING_PERIOD,
        }
    }

    /// Subscribes what is to be listened for and unsubscribes what is not.
    pub async fn listen(&mut self, listening: Listening) -> io::Result<()> {
        let before = std::mem::replace(&mut self.listening, listening);
        let mut on = Vec::new();
        let mut off = Vec::new();
        for (filter, was, is) in [
            (format!("{DESIRED}#"), before.desired, listening.desired),
            (format!("{METHODS}#"), before.methods, listening.methods),
            (
                format!("devices/{}{DEVICEBOUND}/#", self.client.device),
                before.cloud_to_device,
                listening.cloud_to_device,
            ),
        ] {
            match (was, is) {
                (false, true) => on.push(filter),
                (true, false) => off.push(filter),
                _ => {}
            }
        }
        if !on.is_empty() {
            let id = self.connection.fresh_id();
            self.write(wire::write_subscribe(id, &on)).await?;
        }
        if !off.is_empty() {
            let id = self.connection.fresh_id();
            self.write(wire::write_unsubscribe(id, &off)).await?;
        }
        Ok(())
    }

    /// Hears answers to twin requests.
    pub async fn hear_responses(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.hears_responses, true) {
            let id = self.connection.fresh_id();
            self.write(wire::write_subscribe(id, &[format!("{RESPONSES}#")])).await?;
        }
        Ok(())
    }

    /// Asks for something about the twin.
    pub async fn request(&mut self, operation: &str, payload: &[u8], request: Request) -> io::Result<()> {
        self.hear_responses().await?;
        self.asked += 1;
        let rid = self.asked.to_string();
        let topic = format!("$iothub/twin/{operation}?$rid={rid}");
        self.requests.insert(rid, request);
        self.write(wire::write_publish(&topic, None, payload)).await
    }

    /// An answer came, on this topic behind [`RESPONSES`].
    pub fn answered(&mut self, response: &str, payload: Bytes) {
        let Some((status, query)) = response.split_once("/?") else { return };
        let rid = query.split('&').find_map(|pair| pair.strip_prefix("$rid="));
        if let (Ok(status), Some(request)) = (status.parse(), rid.and_then(|rid| self.requests.remove(rid))) {
            let _ = request.answer.send((status, payload));
        }
    }

    /// Writes a packet.
    pub async fn write(&mut self, packet: Result<Vec<u8>, wire::Unwritable>) -> io::Result<()> {
        self.connection.write(&packet.map_err(io::Error::other)?).await
    }

    /// When patience with something under way ends.
    pub fn deadline(&self) -> Option<Instant> {
        let patient = planted("S22-upstream-answer-is-awaited-for-ever");
        let sendings = self.sendings.iter().map(|sending| sending.deadline).filter(|_| !patient);
        sendings.chain(self.requests.values().map(|request| request.deadline)).min()
    }

    /// Whether it may be closed because its client left.
    pub fn is_done(&self) -> bool {
        self.leaving && self.sendings.is_empty() && self.requests.is_empty()
    }
}
