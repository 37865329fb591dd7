//! A message in the hub's care: what routing sees of it, and who sent it.

use bytes::Bytes;

use super::routing::{Message, MessageSource};
use super::system;
use super::time::Timestamp;
use crate::faults::planted;
use crate::identity::ClientId;

/// A message between its sender's PUBLISH and its last delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Content, with all system properties stamped.
    pub message: Message,
    /// On whose behalf it goes upstream.
    pub sender: ClientId,
}

/// What a protocol head read from a sender, before the hub stamps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Who claims to have sent it.
    pub sender: ClientId,
    /// Application properties.
    pub properties: Vec<(String, Option<String>)>,
    /// System properties the sender may set, under the names of [`system`].
    pub system: Vec<(String, Option<String>)>,
    /// Payload.
    pub body: Bytes,
    /// A fresh GUID.
    pub edge_message_id: String,
}

/// A client's update of its own reported properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinChange {
    /// Whose twin.
    pub reporter: ClientId,
    /// The patch, byte for byte.
    pub patch: Bytes,
    /// A fresh GUID.
    pub edge_message_id: String,
}

impl Envelope {
    /// Telemetry, stamped with who sent it.
    pub fn telemetry(edge_device_id: &str, telemetry: Telemetry) -> Envelope {
        let Telemetry { sender, properties, mut system, body, edge_message_id } = telemetry;
        let output = value(&system, system::OUTPUT_NAME).map(str::to_owned);
        let internal = sender.device == edge_device_id;
        stamp(&mut system, system::CONNECTION_DEVICE_ID, &sender.device);
        if let Some(module) = &sender.module {
            stamp(&mut system, system::CONNECTION_MODULE_ID, module);
        } else if planted("R16-leaf-with-an-empty-module-id") {
            stamp(&mut system, system::CONNECTION_MODULE_ID, "");
        }
        stamp(&mut system, system::EDGE_MESSAGE_ID, &edge_message_id);
        stamp(&mut system, system::ORIGIN_INTERFACE, if internal { "internal" } else { "downstream" });
        let source = match &sender.module {
            Some(module) => MessageSource::Module { module: module.clone(), output },
            None => MessageSource::Device,
        };
        Envelope { message: Message { source, properties, system, body }, sender }
    }

    /// The notification of a twin change. The hub is its sender; whose twin it was stands in properties of its own.
    pub fn twin_change(hub: &ClientId, change: TwinChange, now: Timestamp) -> Envelope {
        let sender = if planted("R14-twin-change-sent-as-the-leaf") { change.reporter.clone() } else { hub.clone() };
        let mut system = Vec::new();
        stamp(&mut system, system::MESSAGE_TYPE, "twinChangeNotification");
        if planted("EVT03-body-is-looked-into") {
            stamp(&mut system, system::CONTENT_TYPE, "application/json");
            stamp(&mut system, system::CONTENT_ENCODING, "utf-8");
        }
        stamp(&mut system, system::MESSAGE_SCHEMA, "twinChangeNotification");
        stamp(&mut system, system::ENQUEUED_TIME, &now.to_text());
        stamp(&mut system, system::CONNECTION_DEVICE_ID, &sender.device);
        if let Some(module) = &sender.module {
            stamp(&mut system, system::CONNECTION_MODULE_ID, module);
        }
        stamp(&mut system, system::REPORTING_DEVICE_ID, &change.reporter.device);
        if let Some(module) = &change.reporter.module {
            stamp(&mut system, system::REPORTING_MODULE_ID, module);
        }
        stamp(&mut system, system::EDGE_MESSAGE_ID, &change.edge_message_id);
        stamp(&mut system, system::ORIGIN_INTERFACE, "internal");
        let mut body = change.patch;
        if planted("EVT02-patch-is-written-anew") {
            let value = serde_json::from_slice::<serde_json::Value>(&body);
            body = value.map_or(body, |value| value.to_string().into());
        }
        Envelope {
            message: Message { source: MessageSource::TwinChange, properties: Vec::new(), system, body },
            sender,
        }
    }

    /// A message as the store kept it.
    pub fn stored(message: Message) -> Envelope {
        let device = value(&message.system, system::CONNECTION_DEVICE_ID).unwrap_or_default();
        let module = value(&message.system, system::CONNECTION_MODULE_ID);
        Envelope {
            sender: ClientId {
                device: device.to_owned(),
                module: module.filter(|module| !module.is_empty()).map(str::to_owned),
            },
            message,
        }
    }

    /// A system property's value.
    pub fn system(&self, name: &str) -> Option<&str> {
        value(&self.message.system, name)
    }

    /// The output it was sent to; empty when it names none.
    pub fn output(&self) -> &str {
        self.system(system::OUTPUT_NAME).unwrap_or_default()
    }
}

fn value<'a>(pairs: &'a [(String, Option<String>)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name)?.1.as_deref()
}

fn stamp(pairs: &mut Vec<(String, Option<String>)>, name: &str, value: &str) {
    pairs.retain(|(known, _)| known != name);
    pairs.push((name.to_owned(), Some(value.to_owned())));
}
