//! Upstream over MQTT: a connection for each identity.
//!
//! - `connection`: packets in and out; `topics`: what IoT Hub calls things; `cloud_message`: a message as it sends it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Context;
use super::line::{Heard, Ticket, TwinOperation};
use crate::core::{Envelope, Feedback, Listening, Timestamp};
use crate::identity::ClientId;
use crate::wire::{self, Incoming, Packet};

mod cloud_message;
mod connection;
mod topics;

use connection::Connection;
use topics::{DESIRED, DEVICEBOUND, METHODS, RESPONSES};

/// How long a connection may be silent before it is asked for a sign of life.
const PING_PERIOD: Duration = Duration::from_secs(100);

/// Something that came.
pub enum Came {
    /// A packet.
    Packet(Packet),
    /// Time for a sign of life.
    Silence,
}

/// The line of one identity.
pub struct Line {
    connection: Connection,
    client: ClientId,
    /// When to give a sign of life.
    ping_at: Instant,
    /// `None` before anything was said about it.
    listening: Option<Listening>,
    /// Twin requests so far.
    asked: u64,
    hears_responses: bool,
}

impl Line {
    /// Opens the connection of an identity; see [`super::line::Line::open`].
    pub async fn open(context: &Context, client: &ClientId, clean: bool, now: Timestamp) -> io::Result<Line> {
        Ok(Line {
            connection: Connection::open(context, client, clean, now).await?,
            client: client.clone(),
            ping_at: Instant::now() + PING_PERIOD,
            listening: None,
            asked: 0,
            hears_responses: false,
        })
    }

    /// See [`super::line::Line::wait`].
    pub async fn wait(&mut self) -> io::Result<Came> {
        tokio::select! {
            packet = self.connection.next() => packet.map(Came::Packet),
            () = tokio::time::sleep_until(self.ping_at) => Ok(Came::Silence),
        }
    }

    /// See [`super::line::Line::take_in`].
    pub async fn take_in(&mut self, came: Came) -> io::Result<Option<Heard>> {
        match came {
            Came::Packet(Packet::Puback(id)) => Ok(Some(Heard::Taken(id.into()))),
            Came::Packet(Packet::Publish(publish)) => self.published(publish).await,
            Came::Packet(_) => Ok(None),
            Came::Silence => {
                self.ping_at = Instant::now() + PING_PERIOD;
                self.connection.write(&wire::PINGREQ).await?;
                Ok(None)
            }
        }
    }

    async fn published(&mut self, publish: Incoming) -> io::Result<Option<Heard>> {
        let Incoming { topic, id, payload, .. } = publish;
        // A message for the device is acknowledged when the device has it.
        if let Some((_, bag)) = topic.split_once(DEVICEBOUND).filter(|_| topic.starts_with("devices/")) {
            let message = cloud_message::read(bag.trim_matches('/'), payload);
            return Ok(Some(Heard::CloudMessage { number: id.map(u32::from), message }));
        }
        if let Some(id) = id {
            self.connection.write(&wire::write_puback(id)).await?;
        }
        if let Some(response) = topic.strip_prefix(RESPONSES) {
            return Ok(topics::response(response).map(|(status, rid)| Heard::TwinAnswer {
                rid,
                status,
                document: payload,
            }));
        }
        if topic.starts_with(DESIRED) {
            let version = topic.rsplit_once("$version=").and_then(|(_, version)| version.parse().ok());
            return Ok(Some(Heard::Desired { patch: payload, version }));
        }
        let call = topic.strip_prefix(METHODS).and_then(|call| call.rsplit_once("/?$rid="));
        Ok(call.map(|(name, rid)| Heard::Method { rid: rid.to_owned(), name: name.to_owned(), payload }))
    }

    /// See [`super::line::Line::send`]. Each message is acknowledged by itself.
    pub async fn send(&mut self, messages: &[Arc<Envelope>]) -> io::Result<VecDeque<Ticket>> {
        let mut bytes = Vec::new();
        let mut tickets = VecDeque::with_capacity(messages.len());
        for envelope in messages {
            let id = self.connection.fresh_id();
            match wire::write_publish(&topics::event(&self.client, envelope), Some(id), &envelope.message.body) {
                Ok(publish) => bytes.extend(publish),
                Err(error) => tracing::warn!("Cannot send a message of {} upstream: {error}", self.client),
            }
            tickets.push_back(Ticket { number: id.into(), messages: 1 });
        }
        self.connection.write(&bytes).await?;
        Ok(tickets)
    }

    /// See [`super::line::Line::ask`].
    pub async fn ask(&mut self, operation: TwinOperation) -> io::Result<String> {
        if !std::mem::replace(&mut self.hears_responses, true) {
            let id = self.connection.fresh_id();
            self.write(wire::write_subscribe(id, &[format!("{RESPONSES}#")])).await?;
        }
        self.asked += 1;
        let rid = self.asked.to_string();
        let (what, payload) = match operation {
            TwinOperation::Get => ("GET/", Bytes::new()),
            TwinOperation::Patch(patch) => ("PATCH/properties/reported/", patch),
        };
        self.write(wire::write_publish(&format!("$iothub/twin/{what}?$rid={rid}"), None, &payload)).await?;
        Ok(rid)
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
            (topics::devicebound(&self.client), before.cloud_to_device, listening.cloud_to_device),
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

    /// See [`super::line::Line::answer`].
    pub async fn answer(&mut self, rid: &str, status: i32, payload: &[u8]) -> io::Result<()> {
        let topic = format!("$iothub/methods/res/{status}/?$rid={rid}");
        self.write(wire::write_publish(&topic, None, payload)).await
    }

    /// See [`super::line::Line::settle`].
    pub async fn settle(&mut self, number: u32, feedback: Feedback) -> io::Result<()> {
        match (u16::try_from(number), feedback) {
            (Ok(packet), Feedback::Complete) => self.connection.write(&wire::write_puback(packet)).await,
            // There is no packet for the rest.
            _ => Ok(()),
        }
    }

    async fn write(&mut self, packet: Result<Vec<u8>, wire::Unwritable>) -> io::Result<()> {
        self.connection.write(&packet.map_err(io::Error::other)?).await
    }
}
