//! Messages of the cloud for devices: handed on, and completed at IoT Hub when the device has them.
//!
//! The hub keeps none of them. What a device has not acknowledged when its connection ends is left to IoT Hub, which
//! sends it again. Modules get none, whatever they subscribe to.
//!
//! Source: Azure/iotedge, `Hub.Core/SubscriptionProcessor.cs`, `Hub.Core/device/DeviceMessageHandler.cs`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::input::{CloudMessageId, ConnectionId, DeliveryId, DeliveryOutcome};
use super::output::{Feedback, Output};
use super::{Core, Listening, system};
use crate::faults::planted;
use crate::identity::ClientId;

/// A message of the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudMessage {
    /// Application properties.
    pub properties: Vec<(String, Option<String>)>,
    /// System properties, under the names of [`system`].
    pub system: Vec<(String, Option<String>)>,
    /// Content.
    pub body: Bytes,
}

/// A message that is not settled: on its way to its device, or waiting for a filter.
#[derive(Clone, Debug)]
struct Open {
    connection: ConnectionId,
    client: ClientId,
    /// Names it at IoT Hub, unless IoT Hub wants no acknowledgement.
    id: Option<CloudMessageId>,
    message: Arc<CloudMessage>,
}

/// What devices have not settled, each on its present connection.
#[derive(Debug, Default)]
pub(super) struct CloudToDevice {
    handed: BTreeMap<DeliveryId, Open>,
    /// Came when no filter took them, in order of arrival. With the next good filter they are handed on.
    left: Vec<Open>,
    /// Message ids so far, and who got a first message: only planted faults look.
    seen: HashSet<(ClientId, String)>,
    served: HashSet<ConnectionId>,
    kept: Vec<Open>,
}

impl CloudToDevice {
    /// Whether there is a message that a connection has not settled.
    pub fn has_open(&self, connection: ConnectionId) -> bool {
        self.handed.values().chain(&self.left).any(|open| open.connection == connection)
    }

    /// A connection ended: what it has not settled is IoT Hub's again.
    pub fn forget(&mut self, connection: ConnectionId) {
        if planted("C2D10-kept-for-the-next-connection") {
            self.kept.extend(self.handed.values().filter(|open| open.connection == connection).cloned());
        }
        self.handed.retain(|_, open| open.connection != connection);
        self.left.retain(|open| open.connection != connection);
        self.served.remove(&connection);
    }
}

impl Core {
    /// A message came for a device. If the device does not take it now, it stays with IoT Hub.
    pub(super) fn cloud_message(&mut self, client: ClientId, id: Option<CloudMessageId>, message: CloudMessage) {
        let message = Arc::new(altered(message));
        if planted("B02-device-id-alone-finds-the-receiver") && client.device == self.settings.edge_device_id {
            return self.hand_to_all(&client, &message, |other| other.device == client.device);
        }
        let Some(state) = self.clients.get(&client) else { return };
        let (connection, takes) = (state.connection, state.listening.cloud_to_device);
        let open = Open { connection, client, id, message };
        if self.passes_over(&open) {
            return;
        }
        if takes {
            self.hand(open);
        } else {
            self.cloud_to_device.left.push(open);
        }
    }

    /// A device takes messages from now on: those that came too early go first.
    pub(super) fn cloud_messages_wanted(&mut self, connection: ConnectionId) {
        let waiting = std::mem::take(&mut self.cloud_to_device.left);
        let (wanted, others) = waiting.into_iter().partition(|open| open.connection == connection);
        self.cloud_to_device.left = others;
        let wanted: Vec<Open> = wanted;
        for open in wanted.into_iter().chain(self.kept_for(connection)) {
            self.hand(open);
        }
    }

    /// A device has a message, or could not be given it; false when this is none of them.
    pub(super) fn cloud_message_settled(&mut self, delivery: DeliveryId, outcome: DeliveryOutcome) -> bool {
        let Some(open) = self.cloud_to_device.handed.remove(&delivery) else { return false };
        match outcome {
            DeliveryOutcome::Delivered if planted("C2D06-acknowledgement-completes-nothing") => {}
            DeliveryOutcome::Delivered => self.complete(&open),
            DeliveryOutcome::Failed => self.cloud_to_device.left.push(open),
            DeliveryOutcome::Rejected if planted("C2D08-rejection-completes") => self.complete(&open),
            DeliveryOutcome::Released if planted("C2D08-release-completes") => self.complete(&open),
            DeliveryOutcome::Rejected => self.settle_at_iot_hub(&open, Feedback::Reject),
            DeliveryOutcome::Released => self.settle_at_iot_hub(&open, Feedback::Abandon),
        }
        true
    }

    /// The connection upstream that brought them is gone, and IoT Hub sends them again.
    pub(super) fn cloud_messages_come_again(&mut self, client: &ClientId) {
        self.cloud_to_device.left.retain(|open| open.client != *client);
    }

    /// What a client is listened for upstream, of what its filters ask for.
    pub(super) fn entitled(&mut self, client: &ClientId, wanted: Listening) -> Listening {
        if client.module.is_some() && wanted.cloud_to_device && planted("B02-device-id-alone-finds-the-receiver") {
            let client = ClientId::device(client.device.clone());
            let listening = Listening { cloud_to_device: true, ..Listening::default() };
            self.out.push(Output::Listen { client, listening });
        }
        let entitled = client.module.is_none() || planted("C2D01-module-is-listened-for");
        Listening { cloud_to_device: wanted.cloud_to_device && entitled, ..wanted }
    }

    fn hand(&mut self, open: Open) {
        self.ids += 1;
        let delivery = DeliveryId(self.ids);
        let (to, message) = (open.client.clone(), open.message.clone());
        if planted("C2D01-modules-are-shown-messages-of-devices") {
            self.hand_to_all(&to, &message, |other| other.module.is_some());
        }
        if planted("C2D11-devices-are-shown-messages-of-others") {
            self.hand_to_all(&to, &message, |other| other.module.is_none() && *other != to);
        }
        if planted("C2D06-completed-before-the-acknowledgement") || planted("C2D10-kept-for-the-next-connection") {
            self.complete(&open);
        }
        self.out.push(Output::DeliverFromCloud { connection: open.connection, delivery, to, message });
        self.cloud_to_device.handed.insert(delivery, open);
    }

    fn complete(&mut self, open: &Open) {
        self.settle_at_iot_hub(open, Feedback::Complete);
    }

    fn settle_at_iot_hub(&mut self, open: &Open, feedback: Feedback) {
        if let Some(message) = open.id {
            self.out.push(Output::SettleCloudMessage { client: open.client.clone(), message, feedback });
        }
    }

    /// Shows a message to others than its device, as far as their filters take it: only planted faults do.
    fn hand_to_all(&mut self, to: &ClientId, message: &Arc<CloudMessage>, whom: impl Fn(&ClientId) -> bool) {
        for connection in self.clients.connections(whom) {
            self.out.push(Output::DeliverFromCloud {
                connection,
                delivery: DeliveryId(0),
                to: to.clone(),
                message: message.clone(),
            });
        }
    }

    /// Whether a planted fault loses the message.
    fn passes_over(&mut self, open: &Open) -> bool {
        if planted("C2D05-first-of-a-connection-is-lost") {
            return self.cloud_to_device.served.insert(open.connection);
        }
        let id = open.message.system.iter().find(|(name, _)| name == system::MESSAGE_ID);
        let id = id.and_then(|(_, value)| value.clone()).unwrap_or_default();
        planted("B07-message-seen-before-is-dropped") && !self.cloud_to_device.seen.insert((open.client.clone(), id))
    }

    /// What a planted fault kept for this connection from those before it.
    fn kept_for(&mut self, connection: ConnectionId) -> Vec<Open> {
        let client = self.clients.identity(connection).cloned();
        let kept = std::mem::take(&mut self.cloud_to_device.kept);
        let (mine, others): (Vec<Open>, Vec<Open>) =
            kept.into_iter().partition(|open| Some(&open.client) == client.as_ref());
        self.cloud_to_device.kept = others;
        mine.into_iter().map(|open| Open { connection, id: None, ..open }).collect()
    }
}

/// The message as it is handed on: unchanged, unless a fault is planted.
fn altered(mut message: CloudMessage) -> CloudMessage {
    if planted("C2D05-application-properties-are-lost") {
        message.properties.clear();
    }
    if planted("C2D05-last-byte-is-missing") {
        message.body.truncate(message.body.len().saturating_sub(1));
    }
    if planted("C2D01-address-is-not-shown") {
        message.system.retain(|(name, _)| name != system::TO);
    }
    message
}

#[cfg(test)]
mod tests;
