//! A connection that stands, and what is under way on it.

use std::collections::{HashMap, VecDeque};
use std::io;

use tokio::time::Instant;

use super::PING_PERIOD;
use super::connection::Connection;
use super::job::Asker;
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
    pub asker: Asker,
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
    /// `None` before anything was said about it.
    listening: Option<Listening>,
    /// Twin requests by their ids.
    pub requests: HashMap<String, Request>,
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
            listening: None,
            leaving: false,
            sendings: VecDeque::new(),
            requests: HashMap::new(),
            asked: 0,
            hears_responses: false,
            ping_at: Instant::now() + PING_PERIOD,
        }
    }

    /// Subscribes what is to be listened for and unsubscribes what is not, what IoT Hub remembers included.
    pub async fn listen(&mut self, listening: Listening) -> io::Result<()> {
        let said = self.listening.replace(listening);
        let of_device = self.client.module.is_none();
        let before = match said {
            Some(said) => said,
            None if self.connection.resumed => Listening { desired: true, methods: true, cloud_to_device: of_device },
            None => Listening::default(),
        };
        let mut on = Vec::new();
        let mut off = Vec::new();
        for (filter, was, is) in [
            (format!("{DESIRED}#"), before.desired, listening.desired),
            (format!("{METHODS}#"), before.methods, listening.methods),
            (self.devicebound(), before.cloud_to_device, listening.cloud_to_device),
        ] {
            match (was, is) {
                (true, false) => off.push(filter),
                (was, true) if !was || said.is_none() => on.push(filter),
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

    fn devicebound(&self) -> String {
        match &self.client.module {
            Some(module) => format!("devices/{}/modules/{module}{DEVICEBOUND}/#", self.client.device),
            None => format!("devices/{}{DEVICEBOUND}/#", self.client.device),
        }
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

    /// An answer came, on this topic behind [`RESPONSES`]: its status, and who wants it.
    pub fn answered(&mut self, response: &str) -> Option<(u16, Asker)> {
        let (status, query) = response.split_once("/?")?;
        let rid = query.split('&').find_map(|pair| pair.strip_prefix("$rid="))?;
        let status = status.parse().ok()?;
        Some((status, self.requests.remove(rid)?.asker))
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
