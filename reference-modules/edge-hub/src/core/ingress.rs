//! From a client's PUBLISH to its copies in the queues.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::envelope::{Envelope, Telemetry, TwinChange};
use super::events::Event;
use super::input::{AppendId, Entry, PublishId, QueueId};
use super::output::{Copy, Output, Verdict};
use super::routing::{Destination, MessageSource};
use super::time::Timestamp;
use super::{Core, Timer};
use crate::faults::planted;
use crate::faults::store_and_forward::{Kind, strikes};
use crate::identity::ClientId;

/// Size above which a message is refused, by the product's count.
pub const MAX_MESSAGE_BYTES: usize = 262_144;

/// A message on its way to the store.
#[derive(Debug)]
pub(super) struct Appending {
    publish: Option<PublishId>,
    envelope: Arc<Envelope>,
    enqueued: Timestamp,
    copies: Vec<Copy>,
}

impl Core {
    /// A client sent telemetry.
    pub(super) fn published(&mut self, publish: PublishId, mut telemetry: Telemetry) {
        if planted("CHAIN01-module-speaks-for-whom-it-heard") {
            if let Some(heard) = self.heard_last.get(&telemetry.sender) {
                telemetry.sender = heard.clone();
            }
        }
        let output = telemetry
            .system
            .iter()
            .find(|(name, _)| name == super::system::OUTPUT_NAME)
            .and_then(|(_, value)| value.clone());
        let envelope = Envelope::telemetry(&self.settings.edge_device_id, telemetry);
        let size = counted_size(&envelope);
        if size > MAX_MESSAGE_BYTES {
            self.out.push(Output::Warn(format!("Dropping a message of {size} bytes from {}", envelope.sender)));
            return self.answer(publish, Verdict::TooLarge { size });
        }
        let received = Event::Received { id: envelope.sender.to_string(), output: output.unwrap_or_default(), size };
        if planted("MET03-received-counts-copies") {
            let copies = self.table.destinations(&envelope.message).len();
            self.out.extend((1..copies).map(|_| Output::Event(received.clone())));
        }
        self.out.push(Output::Event(received));
        self.route(publish, envelope);
    }

    /// A client updated its reported properties. Neither size limit nor counters apply.
    pub(super) fn twin_changed(&mut self, publish: PublishId, change: TwinChange) {
        let envelope = Envelope::twin_change(&self.hub, change, self.now);
        if planted("EVT01-reported-update-makes-two") {
            self.append_to_all(envelope.clone());
        }
        self.route(publish, envelope);
    }

    /// Routes a report of the hub's own: only a planted fault does.
    pub(super) fn notify_of_itself(&mut self, patch: String) {
        let hub = self.hub.clone();
        self.notify_of(&hub, patch.into());
    }

    /// Routes as an event what is none: only planted faults do.
    pub(super) fn notify_of(&mut self, client: &ClientId, patch: Bytes) {
        let change = TwinChange { reporter: client.clone(), patch, edge_message_id: String::from("own") };
        let envelope = Envelope::twin_change(&self.hub, change, self.now);
        self.append_to_all(envelope);
    }

    /// Stores a message wherever routes take it, and answers nobody: only planted faults do.
    fn append_to_all(&mut self, envelope: Envelope) {
        let destinations = self.table.destinations(&envelope.message);
        let copies: Vec<Copy> = destinations.iter().filter_map(|destination| self.copy_for(destination)).collect();
        if !copies.is_empty() {
            self.append(None, envelope, copies, false);
        }
    }

    /// Whether the message before had this message id: only a planted fault looks.
    fn seen_before(&mut self, envelope: &Envelope) -> bool {
        let id = envelope.system(super::system::MESSAGE_ID).map(str::to_owned);
        let seen = planted("SF25-second-of-a-message-id-is-dropped") && id.is_some() && id == self.last_message_id;
        self.last_message_id = id;
        seen
    }

    /// The store has every copy, or none.
    pub(super) fn stored(&mut self, append: AppendId, offsets: Option<&[u64]>) {
        let Some(appending) = self.appends.remove(&append) else { return };
        let Appending { publish, envelope, enqueued, copies } = appending;
        let Some(offsets) = offsets else {
            if let Some(publish) = publish.filter(|_| planted("S37-full-store-acknowledges")) {
                return self.answer(publish, Verdict::Accepted);
            }
            self.out.push(Output::Event(Event::Unacknowledged {
                from: envelope.sender.to_string(),
                output: envelope.output().to_owned(),
            }));
            if let Some(publish) = publish {
                self.answer(publish, Verdict::NotStored);
            }
            return;
        };
        if let Some(publish) = publish {
            self.answer(publish, Verdict::Accepted);
        }
        for (copy, &offset) in copies.iter().zip(offsets) {
            let QueueId { endpoint: id, priority } = copy.queue;
            let Some(endpoint) = self.endpoints.get_mut(&id) else { continue };
            let Some(queue) = endpoint.queues.get_mut(&priority) else { continue };
            queue.stored(Entry {
                offset,
                enqueued,
                time_to_live_millis: copy.time_to_live_millis,
                envelope: envelope.clone(),
            });
            self.out.push(Output::Event(Event::QueueLength {
                endpoint: endpoint.name.clone(),
                priority,
                length: queue.length(),
            }));
            self.wake(id);
        }
    }

    /// Stores what a planted fault held back.
    pub(super) fn append_late(&mut self, append: AppendId) {
        if let Some(appending) = self.appends.get(&append) {
            self.out.push(Output::Append {
                append,
                envelope: appending.envelope.clone(),
                enqueued: appending.enqueued,
                copies: appending.copies.clone(),
            });
        }
    }

    fn route(&mut self, publish: PublishId, envelope: Envelope) {
        self.routed += 1;
        let mut destinations = self.table.destinations(&envelope.message);
        if planted("every-tenth-message-is-dropped") && self.routed % 10 == 0 {
            destinations.clear();
        }
        if strikes(Kind::Drop, self.routed - 1, self.routed) || self.seen_before(&envelope) {
            destinations.clear();
        }
        let null_valued = || envelope.message.properties.iter().any(|(_, value)| value.is_none());
        if planted("R12-null-property-drops-the-message") && null_valued() {
            destinations.clear();
        }
        if destinations.is_empty() {
            return self.unrouted(publish, &envelope);
        }
        let mut copies: Vec<Copy> = Vec::with_capacity(destinations.len());
        for destination in &destinations {
            copies.extend(self.copy_for(destination));
        }
        if planted("every-tenth-message-is-stored-twice") && self.routed % 10 == 0 {
            copies.extend(copies.first().copied());
        }
        if strikes(Kind::Repeat, self.routed - 1, self.routed) {
            copies.extend(copies.first().copied());
        }
        if copies.is_empty() {
            return self.answer(publish, Verdict::Accepted);
        }
        if copies.len() > 1 && planted("FAN04-acknowledged-after-the-first-copy") {
            let rest = copies.split_off(1);
            self.append(None, envelope.clone(), rest, true);
        }
        if planted("FAN04-acknowledged-before-stored") {
            self.answer(publish, Verdict::Accepted);
            return self.append(None, envelope, copies, true);
        }
        self.append(Some(publish), envelope, copies, false);
    }

    fn append(&mut self, publish: Option<PublishId>, envelope: Envelope, copies: Vec<Copy>, held_back: bool) {
        self.ids += 1;
        let append = AppendId(self.ids);
        let envelope = Arc::new(envelope);
        let appending = Appending { publish, envelope, enqueued: self.now, copies };
        self.appends.insert(append, appending);
        if held_back {
            self.timers.set(self.now + Duration::from_millis(500), Timer::AppendLate { append });
        } else {
            self.append_late(append);
        }
    }

    fn copy_for(&self, destination: &Destination) -> Option<Copy> {
        let id = *self.by_sink.get(&destination.sink)?;
        let endpoint = self.endpoints.get(&id)?;
        if self.now < endpoint.usable_from {
            return None;
        }
        let time_to_live_millis = match (destination.time_to_live_secs, self.time_to_live_secs) {
            (0, _) if planted("S14-zero-of-a-route-is-a-second") => Some(1_000),
            (0, -1) if planted("SF12-negative-is-a-second") => Some(1_000),
            (0, 0) if planted("S14-zero-is-for-ever") => None,
            (own, global) if own == 0 || planted("SF10-route-time-to-live-is-ignored") => {
                u64::try_from(global).ok().map(|secs| secs * 1000)
            }
            (own, _) => Some(u64::from(own) * 1000),
        };
        Some(Copy { queue: QueueId { endpoint: id, priority: destination.priority }, time_to_live_millis })
    }

    fn unrouted(&mut self, publish: PublishId, envelope: &Envelope) {
        let counts = envelope.message.source != MessageSource::TwinChange
            || planted("MET04-unwanted-notifications-count-as-dropped");
        if counts && !planted("FAN05-unrouted-is-not-counted") {
            self.out.push(Output::Event(Event::Dropped {
                reason: "no_route",
                from: envelope.sender.to_string(),
                output: envelope.output().to_owned(),
            }));
        }
        if !planted("PUB04-unrouted-is-not-acknowledged") {
            self.answer(publish, Verdict::Accepted);
        }
    }

    pub(super) fn answer(&mut self, publish: PublishId, verdict: Verdict) {
        self.out.push(Output::Answer { publish, verdict });
    }
}

fn counted_size(envelope: &Envelope) -> usize {
    let message = &envelope.message;
    if planted("MSG01-size-counts-the-body-only") {
        message.body.len()
    } else if planted("MSG01-limit-is-one-byte-short") {
        message.size() + 1
    } else {
        message.size()
    }
}
