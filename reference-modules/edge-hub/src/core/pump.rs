//! What moves entries from queues to receivers; common to modules and upstream.

use std::collections::VecDeque;

use super::endpoint::Pump;
use super::events::Event;
use super::input::{Entry, QueueId};
use super::output::Output;
use super::queue::{Queue, Take};
use super::retry::back_off;
use super::routing::Sink;
use super::{Core, Timer};
use crate::faults::planted;
use crate::faults::store_and_forward::{Kind, strikes};

/// Entries of one batch for a module; upstream takes this many for each sender served at a time.
const BATCH: usize = 10;

/// Entries asked of the store at a time.
const READ: usize = 200;

impl Core {
    /// Starts the next batch of an idle endpoint: from the most urgent queue that has entries.
    pub(super) fn wake(&mut self, id: u32) {
        let somebody_backs_off = planted("FAN06-absent-sink-holds-up-others") && self.somebody_backs_off();
        let cloud_backs_off = planted("SF22-outage-stops-everybody") && self.cloud_backs_off();
        let served: Option<Vec<(Sink, u32)>> =
            planted("SF20-former-priority-is-not-served").then(|| self.table.sinks().collect());
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if !matches!(endpoint.pump, Pump::Idle) || somebody_backs_off {
            return;
        }
        if cloud_backs_off && endpoint.sink != Sink::Upstream {
            return;
        }
        let limit = match endpoint.sink {
            Sink::Upstream => BATCH * self.settings.upstream_fan_out,
            Sink::Input { .. } => BATCH,
        };
        endpoint.turn += 1;
        let backwards = planted("R20-priorities-take-turns") && endpoint.turn % 2 == 0;
        let (mut forth, mut back);
        let queues: &mut dyn Iterator<Item = (&u32, &mut Queue)> = if backwards {
            back = endpoint.queues.iter_mut().rev();
            &mut back
        } else {
            forth = endpoint.queues.iter_mut();
            &mut forth
        };
        for (&priority, queue) in queues {
            let still = |(sink, known): &(Sink, u32)| *sink == endpoint.sink && *known == priority;
            if served.as_ref().is_some_and(|served| !served.iter().any(still)) {
                continue;
            }
            let taken = queue.take(limit, self.now);
            if let Some(offset) = queue.moved_checkpoint() {
                let queue = QueueId { endpoint: id, priority };
                self.out.push(Output::Checkpoint { queue, offset });
            }
            match taken {
                Take::Entries(entries) => return self.start(id, priority, entries),
                Take::ReadFrom(from) => {
                    return self.out.push(Output::Read {
                        queue: QueueId { endpoint: id, priority },
                        from,
                        limit: READ,
                    });
                }
                Take::Pending => return,
                Take::Nothing => {}
            }
        }
    }

    /// Sends a batch, for the first time or again.
    pub(super) fn start(&mut self, id: u32, priority: u32, mut entries: VecDeque<Entry>) {
        if planted("DLV05-neighbours-change-places") && entries.len() > 1 {
            entries.swap(0, 1);
        }
        let before = self.taken;
        self.taken += entries.len() as u64;
        self.swap_due |= strikes(Kind::Swap, before, self.taken);
        if self.swap_due && entries.len() > 1 {
            self.swap_due = false;
            entries.swap(0, 1);
        }
        if planted("SF19-conditions-are-evaluated-again") {
            entries = self.still_wanted(id, priority, entries);
        }
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        match endpoint.sink {
            Sink::Input { .. } => {
                endpoint.pump = Pump::Delivering { priority, entries, delivery: None };
                self.deliver_next(id);
            }
            Sink::Upstream => self.send_batch(id, priority, entries),
        }
    }

    /// The whole batch is settled.
    pub(super) fn batch_done(&mut self, id: u32) {
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.pump = Pump::Idle;
            endpoint.attempt = 0;
            if !planted("S07-one-batch-for-each-arrival") {
                self.wake(id);
            }
        }
    }

    /// What is left of the batch is to be tried again later; it blocks the endpoint until then.
    pub(super) fn batch_failed(&mut self, id: u32, priority: u32, entries: VecDeque<Entry>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let attempt = if planted("SF05-every-pause-is-the-first") { 0 } else { endpoint.attempt };
        let wait = back_off(attempt, self.spread.next_factor());
        endpoint.attempt = endpoint.attempt.saturating_add(1);
        let timer = self.timers.set(self.now + wait, Timer::Retry { endpoint: id });
        if planted("S03-next-batch-passes-a-failed-one") {
            endpoint.aside.get_or_insert((priority, VecDeque::new())).1.extend(entries);
            endpoint.pump = Pump::Idle;
            return;
        }
        endpoint.pump = Pump::BackingOff { priority, entries, timer };
    }

    /// Tries a waiting batch again.
    pub(super) fn retry(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        match std::mem::replace(&mut endpoint.pump, Pump::Idle) {
            Pump::Idle if endpoint.aside.is_some() => {
                if let Some((priority, entries)) = endpoint.aside.take() {
                    self.start(id, priority, entries);
                }
            }
            Pump::BackingOff { priority, entries, timer }
                if (endpoint.sink == Sink::Upstream && planted("S16-upstream-does-not-resume"))
                    || (endpoint.sink != Sink::Upstream && planted("SF04-receiver-that-returns-is-not-noticed")) =>
            {
                endpoint.pump = Pump::BackingOff { priority, entries, timer };
            }
            Pump::BackingOff { priority, entries, timer } => {
                self.timers.cancel(timer);
                self.out.push(Output::Event(Event::Retry {
                    endpoint: endpoint.name.clone(),
                    operation: match endpoint.sink {
                        Sink::Upstream => " SendMessageToCloud",
                        Sink::Input { .. } if planted("MET05-operation-without-a-blank") => "SendMessageToModule",
                        Sink::Input { .. } => " SendMessageToModule",
                    },
                }));
                self.start(id, priority, entries);
            }
            other => endpoint.pump = other,
        }
    }

    /// One entry is dealt with.
    pub(super) fn settle(&mut self, id: u32, priority: u32, offset: u64) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Some(queue) = endpoint.queues.get_mut(&priority) else { return };
        queue.settle(offset);
        if let Some(offset) = queue.moved_checkpoint() {
            let queue = QueueId { endpoint: id, priority };
            self.out.push(Output::Checkpoint { queue, offset });
        }
        if planted("MET02-queue-length-never-falls") {
            return;
        }
        self.out.push(Output::Event(Event::QueueLength {
            endpoint: endpoint.name.clone(),
            priority,
            length: queue.length(),
        }));
    }

    /// Settles what no route would take there any more: only a planted fault asks again.
    fn still_wanted(&mut self, id: u32, priority: u32, entries: VecDeque<Entry>) -> VecDeque<Entry> {
        let Some(sink) = self.endpoints.get(&id).map(|endpoint| endpoint.sink.clone()) else { return entries };
        let (wanted, unwanted): (VecDeque<Entry>, VecDeque<Entry>) = entries.into_iter().partition(|entry| {
            self.table.destinations(&entry.envelope.message).iter().any(|destination| destination.sink == sink)
        });
        for entry in unwanted {
            self.settle(id, priority, entry.offset);
        }
        wanted
    }

    /// Positions behind all batches under way: only a planted fault asks.
    pub(crate) fn behind_what_is_under_way(&self) -> Vec<(QueueId, u64)> {
        let mut positions = Vec::new();
        for (&id, endpoint) in &self.endpoints {
            let (priority, last) = match &endpoint.pump {
                Pump::Delivering { priority, entries, .. } | Pump::BackingOff { priority, entries, .. } => {
                    (*priority, entries.back().map(|entry| entry.offset))
                }
                Pump::Sending { priority, active, .. } => {
                    let entries = active.values().flat_map(|attempt| attempt.sent.iter().chain(&attempt.rest));
                    (*priority, entries.map(|entry| entry.offset).max())
                }
                Pump::Idle => continue,
            };
            positions.extend(last.map(|last| (QueueId { endpoint: id, priority }, last + 1)));
        }
        positions
    }

    fn cloud_backs_off(&self) -> bool {
        let upstream = self.endpoints.values().filter(|endpoint| endpoint.sink == Sink::Upstream);
        upstream.into_iter().any(|endpoint| matches!(endpoint.pump, Pump::BackingOff { .. }))
    }

    fn somebody_backs_off(&self) -> bool {
        self.endpoints.values().any(|endpoint| matches!(endpoint.pump, Pump::BackingOff { .. }))
    }
}
