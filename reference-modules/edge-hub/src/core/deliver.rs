//! Delivery to module inputs: one unacknowledged message for each connection.

use std::sync::Arc;

use super::endpoint::{DEFAULT_PRIORITY, Pump};
use super::envelope::Envelope;
use super::events::Event;
use super::input::{ConnectionId, DeliveryId, DeliveryOutcome, Entry};
use super::output::Output;
use super::routing::Sink;
use super::timers::TimerKey;
use super::{Core, Timer};
use crate::faults::planted;
use crate::identity::ClientId;

/// An attempt on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    endpoint: u32,
    connection: ConnectionId,
    timer: TimerKey,
}

impl Core {
    /// Delivers the first entry of the batch, or waits for the module's other inputs, or gives up for now.
    pub(super) fn deliver_next(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Sink::Input { module, input } = &endpoint.sink else { return };
        let Pump::Delivering { priority, entries, delivery } = &mut endpoint.pump else {
            return;
        };
        let priority = *priority;
        let Some(entry) = entries.front() else { return self.batch_done(id) };

        let receiver = ClientId::module(self.settings.edge_device_id.clone(), module.clone());
        let mut client = self.clients.get(&receiver);
        if planted("DLV-wrong-recipient") && entry.offset % 10 == 9 {
            client = self.clients.other_receiver(&receiver);
        }
        let absent = client.is_none();
        let Some(client) = client.filter(|client| client.inputs) else {
            if planted("R23-unsubscribed-counts-as-delivered") || (absent && planted("SINK04-absent-module-is-nobody"))
            {
                return self.first_settled(id);
            }
            let entries = std::mem::take(entries);
            return self.batch_failed(id, priority, entries);
        };
        if entry.enqueued < client.since && planted("SESS06-messages-for-an-absent-module-are-dropped") {
            return self.first_settled(id);
        }
        if client.unacknowledged.is_some() && !planted("R04-inputs-of-a-module-collide") {
            client.waiting.push_back(id);
            return;
        }

        self.ids += 1;
        let attempt = DeliveryId(self.ids);
        let connection = client.connection;
        client.unacknowledged = Some(attempt);
        *delivery = Some(attempt);
        if planted("R04-inputs-of-a-module-collide") {
            self.deliveries.retain(|_, older| older.connection != connection);
        }
        let mut patience = self.settings.message_ack_timeout;
        if planted("QOS10-sent-again-before-the-timeout") {
            patience /= 4;
        }
        let timer = self.timers.set(self.now + patience, Timer::AckTimeout { endpoint: id, delivery: attempt });
        self.deliveries.insert(attempt, Delivery { endpoint: id, connection, timer });
        let input = if planted("SINK05-input-name-in-lower-case") { input.to_lowercase() } else { input.clone() };
        let sent = sent_event(entry, receiver.to_string(), input.clone(), priority, self.now.since(entry.enqueued));
        let envelope = altered(entry.envelope.clone(), entry.offset);
        if planted("DLV-every-tenth-twice") && entry.offset % 10 == 9 {
            self.out.push(Output::Deliver {
                connection,
                delivery: DeliveryId(0),
                input: input.clone(),
                envelope: envelope.clone(),
            });
        }
        if planted("SUB03-inputs-are-shown-to-every-subscriber") {
            for others in self.clients.receivers().filter(|other| *other != connection) {
                let (input, envelope) = (input.clone(), envelope.clone());
                self.out.push(Output::Deliver { connection: others, delivery: DeliveryId(0), input, envelope });
            }
        }
        if planted("CHAIN01-module-speaks-for-whom-it-heard") {
            self.heard_last.insert(receiver, envelope.sender.clone());
        }
        self.out.push(Output::Deliver { connection, delivery: attempt, input, envelope });
        self.out.push(Output::Event(sent));
    }

    /// An attempt ended.
    pub(super) fn delivery_settled(&mut self, delivery: DeliveryId, outcome: DeliveryOutcome) {
        let Some(attempt) = self.deliveries.remove(&delivery) else { return };
        self.timers.cancel(attempt.timer);
        self.release(attempt.connection, delivery);
        self.attempt_ended(attempt.endpoint, delivery, outcome);
    }

    /// Nobody acknowledged in time.
    pub(super) fn delivery_timed_out(&mut self, endpoint: u32, delivery: DeliveryId) {
        if planted("SF06-unacknowledged-never-comes-again") {
            return;
        }
        if planted("S36-failed-attempt-keeps-the-connection") {
            self.deliveries.remove(&delivery);
        }
        if self.deliveries.contains_key(&delivery) {
            let counts =
                planted("DLV08-timed-out-counts-as-delivered") || planted("SF06-unacknowledged-counts-as-delivered");
            let outcome = if counts { DeliveryOutcome::Delivered } else { DeliveryOutcome::Failed };
            self.delivery_settled(delivery, outcome);
        } else {
            self.attempt_ended(endpoint, delivery, DeliveryOutcome::Failed);
        }
    }

    /// The connection is gone for endpoints that waited for it; the attempt under way fails now or runs out its time.
    pub(super) fn receiver_gone(&mut self, client: super::clients::Client, at_once: bool) {
        let at_once = at_once && !planted("DLV10-takeover-waits-out-the-timeout");
        if let Some(delivery) = client.unacknowledged.filter(|_| at_once) {
            self.delivery_settled(delivery, DeliveryOutcome::Failed);
        } else if let (Some(delivery), true) =
            (client.unacknowledged, planted("DLV09-unacknowledged-goes-with-its-connection"))
        {
            self.delivery_settled(delivery, DeliveryOutcome::Delivered);
        }
        for id in client.waiting {
            self.give_up_waiting(id);
        }
    }

    /// Tries the endpoints of a module at once that wait to try again.
    pub(super) fn receiver_ready(&mut self, client: &ClientId) {
        if client.device != self.settings.edge_device_id {
            return;
        }
        let ids: Vec<u32> = self
            .endpoints
            .iter()
            .filter(|(_, endpoint)| {
                matches!(&endpoint.sink, Sink::Input { module, .. } if Some(module) == client.module.as_ref())
            })
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.retry(id);
        }
    }

    fn attempt_ended(&mut self, id: u32, ended: DeliveryId, outcome: DeliveryOutcome) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Pump::Delivering { priority, entries, delivery } = &mut endpoint.pump else {
            return;
        };
        if *delivery != Some(ended) {
            return;
        }
        *delivery = None;
        let priority = *priority;
        match outcome {
            DeliveryOutcome::Delivered | DeliveryOutcome::Rejected | DeliveryOutcome::Released => {
                self.first_settled(id)
            }
            DeliveryOutcome::Failed => {
                let entries = std::mem::take(entries);
                self.batch_failed(id, priority, entries);
            }
        }
    }

    fn first_settled(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Pump::Delivering { priority, entries, .. } = &mut endpoint.pump else { return };
        let priority = *priority;
        if let Some(entry) = entries.pop_front() {
            self.settle(id, priority, entry.offset);
        }
        self.deliver_next(id);
    }

    /// The connection is free for the endpoint that has waited longest.
    fn release(&mut self, connection: ConnectionId, delivery: DeliveryId) {
        loop {
            let Some(client) = self.clients.by_connection(connection) else { return };
            if client.unacknowledged.is_some_and(|current| current != delivery) {
                return;
            }
            client.unacknowledged = None;
            let Some(next) = client.waiting.pop_front() else { return };
            self.deliver_next(next);
        }
    }

    fn give_up_waiting(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if let Pump::Delivering { priority, entries, delivery: None } = &mut endpoint.pump {
            let (priority, entries) = (*priority, std::mem::take(entries));
            self.batch_failed(id, priority, entries);
        }
    }
}

/// The metrics event of a message that left.
pub(super) fn sent_event(
    entry: &Entry,
    to: String,
    input: String,
    priority: u32,
    processed_in: std::time::Duration,
) -> Event {
    debug_assert!(priority <= 9 || priority == DEFAULT_PRIORITY);
    Event::Sent {
        from: entry.envelope.sender.to_string(),
        to,
        output: entry.envelope.output().to_owned(),
        input,
        priority,
        processed_in,
    }
}

/// The message as it is delivered: unchanged, unless a fault is planted.
fn altered(envelope: Arc<Envelope>, offset: u64) -> Arc<Envelope> {
    let body = &envelope.message.body;
    let shorter = if planted("DLV01-last-byte-missing") && offset % 10 == 9 {
        body.slice(..body.len().saturating_sub(1))
    } else if planted("DLV01-body-cut-at-64-kib") {
        body.slice(..body.len().min(65_536))
    } else {
        return envelope;
    };
    let mut altered = Envelope::clone(&envelope);
    altered.message.body = shorter;
    Arc::new(altered)
}
