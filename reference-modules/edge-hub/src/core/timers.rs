//! What is to happen later, in order of time.

use std::collections::BTreeMap;

use super::time::Timestamp;

/// Names one timer that has been set, so that it can be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey(Timestamp, u64);

/// Timers, each with what it is about.
#[derive(Debug)]
pub struct Timers<T> {
    pending: BTreeMap<TimerKey, T>,
    set: u64,
}

impl<T> Timers<T> {
    /// None yet.
    pub fn new() -> Timers<T> {
        Timers { pending: BTreeMap::new(), set: 0 }
    }

    /// Sets a timer. Timers of one instant are due in the order in which they were set.
    pub fn set(&mut self, at: Timestamp, what: T) -> TimerKey {
        self.set += 1;
        let key = TimerKey(at, self.set);
        self.pending.insert(key, what);
        key
    }

    /// Forgets a timer; one that was due already is no error.
    pub fn cancel(&mut self, key: TimerKey) {
        self.pending.remove(&key);
    }

    /// Takes the first timer that is due.
    pub fn take_due(&mut self, now: Timestamp) -> Option<T> {
        let key = *self.pending.first_key_value()?.0;
        if key.0 > now {
            return None;
        }
        self.pending.remove(&key)
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.pending.first_key_value().map(|(key, _)| key.0)
    }
}
