//! What moves entries from queues to receivers; common to modules and upstream.

use std::collections::VecDeque;

use super::endpoint::Pump;
use super::events::Event;
use super::input::{Entry, QueueId};
use super::output::Output;
use super::queue::Take;
use super::retry::back_off;
use super::routing::Sink;
use super::{Core, Timer};
use crate::faults::planted;

/// Entries of one batch for a module; upstream takes this many for each sender served at a time.
const BATCH: usize = 10;

/// Entries asked of the store at a time.
const READ: usize = 200;

impl Core {
    /// Starts the next batch of an idle endpoint: from the most urgent queue that has entries.
    pub(super) fn wake(&mut self, id: u32) {
        let somebody_backs_off = planted("FAN06-absent-sink-holds-up-others") && self.somebody_backs_off();
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if !matches!(endpoint.pump, Pump::Idle) || somebody_backs_off {
            return;
        }
        let limit = match endpoint.sink {
            Sink::Upstream => BATCH * self.settings.upstream_fan_out,
            Sink::Input { .. } => BATCH,
        };
        for (&priority, queue) in &mut endpoint.queues {
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
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if planted("DLV05-neighbours-change-places") && entries.len() > 1 {
            entries.swap(0, 1);
        }
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
            self.wake(id);
        }
    }

    /// What is left of the batch is to be tried again later; it blocks the endpoint until then.
    pub(super) fn batch_failed(&mut self, id: u32, priority: u32, entries: VecDeque<Entry>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let wait = back_off(endpoint.attempt, self.spread.next_factor());
        endpoint.attempt = endpoint.attempt.saturating_add(1);
        let timer = self.timers.set(self.now + wait, Timer::Retry { endpoint: id });
        endpoint.pump = Pump::BackingOff { priority, entries, timer };
    }

    /// Tries a waiting batch again.
    pub(super) fn retry(&mut self, id: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        match std::mem::replace(&mut endpoint.pump, Pump::Idle) {
            Pump::BackingOff { priority, entries, timer } => {
                self.timers.cancel(timer);
                self.out.push(Output::Event(Event::Retry {
                    endpoint: endpoint.name.clone(),
                    operation: match endpoint.sink {
                        Sink::Upstream => " SendMessageToCloud",
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
        self.out.push(Output::Event(Event::QueueLength {
            endpoint: endpoint.name.clone(),
            priority,
            length: queue.length(),
        }));
    }

    fn somebody_backs_off(&self) -> bool {
        self.endpoints.values().any(|endpoint| matches!(endpoint.pump, Pump::BackingOff { .. }))
    }
}
