//! One queue of one endpoint: a window in memory over what the store holds.
//!
//! Positions rise by one with each entry. `checkpoint` is the first unsettled position; entries from there on are
//! either taken by the pump, in the window, or only in the store:
//!
//! ```text
//! settled | taken by the pump | window | only stored
//!         ^ checkpoint                  ^ read_from   ^ tail
//! ```

use std::collections::{BTreeSet, VecDeque};

use super::input::Entry;
use super::time::Timestamp;
use crate::faults::planted;

/// Entries kept in memory for each queue; the rest is read back from the store when its turn comes.
const WINDOW: usize = 512;

/// What the pump of an endpoint finds in a queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// These, oldest first; never empty.
    Entries(VecDeque<Entry>),
    /// They must be read from the store first, from this position on.
    ReadFrom(u64),
    /// The store has been asked already, or has not opened the queue yet.
    Pending,
    /// Nothing to send.
    Nothing,
}

/// A queue.
#[derive(Debug, Default)]
pub struct Queue {
    opened: bool,
    reading: bool,
    checkpoint: u64,
    settled: BTreeSet<u64>,
    skipped: Vec<u64>,
    window: VecDeque<Entry>,
    read_from: u64,
    tail: u64,
    length: u64,
    noted: u64,
}

impl Queue {
    /// The store told what it holds.
    pub fn opened(&mut self, checkpoint: u64, tail: u64, length: u64) {
        self.opened = true;
        self.checkpoint = checkpoint;
        self.noted = checkpoint;
        self.read_from = checkpoint;
        self.tail = self.tail.max(tail);
        self.length = length;
    }

    /// An entry was stored.
    pub fn stored(&mut self, entry: Entry) {
        self.tail = entry.offset + 1;
        self.length += 1;
        if self.opened && !self.reading && self.read_from == entry.offset && self.window.len() < WINDOW {
            self.read_from = entry.offset + 1;
            self.window.push_back(entry);
        }
    }

    /// Entries were read that had been asked for; `next` is where to read on.
    pub fn read(&mut self, entries: Vec<Entry>, next: u64) {
        self.reading = false;
        let mut expected = self.read_from;
        for entry in entries {
            self.settle_gap(expected, entry.offset);
            expected = entry.offset + 1;
            self.window.push_back(entry);
        }
        self.settle_gap(expected, next);
        self.read_from = next.max(expected);
    }

    /// Takes up to `limit` entries that have not expired. Age is not looked at again once an entry is taken.
    pub fn take(&mut self, limit: usize, now: Timestamp) -> Take {
        let mut taken = VecDeque::new();
        while taken.len() < limit {
            let Some(entry) = self.window.pop_front() else { break };
            if entry.expired(now) && !planted("S12-expired-entries-are-delivered") {
                self.advance(entry.offset);
                self.skipped.push(entry.offset);
            } else {
                taken.push_back(entry);
            }
        }
        if !taken.is_empty() {
            Take::Entries(taken)
        } else if self.reading || !self.opened {
            Take::Pending
        } else if self.read_from < self.tail {
            self.reading = true;
            Take::ReadFrom(self.read_from)
        } else {
            Take::Nothing
        }
    }

    /// An entry that was taken is dealt with.
    pub fn settle(&mut self, offset: u64) {
        self.length = self.length.saturating_sub(1);
        self.advance(offset);
    }

    /// The store cleaned up; this many entries are left.
    pub fn cleaned(&mut self, remaining: u64) {
        self.length = remaining;
    }

    /// First unsettled position.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The checkpoint, when it moved since the last call.
    pub fn moved_checkpoint(&mut self) -> Option<u64> {
        let moved = self.noted != self.checkpoint;
        self.noted = self.checkpoint;
        moved.then_some(self.checkpoint)
    }

    /// Positions skipped as expired since the last call.
    pub fn drain_skipped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.skipped)
    }

    /// Unsettled entries, those that expired unnoticed included.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn advance(&mut self, offset: u64) {
        self.settled.insert(offset);
        while self.settled.remove(&self.checkpoint) {
            self.checkpoint += 1;
        }
    }

    fn settle_gap(&mut self, from: u64, to: u64) {
        if self.checkpoint == from {
            self.checkpoint = to.max(from);
        } else {
            self.settled.extend(from..to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::envelope::Envelope;
    use super::super::routing::{Message, MessageSource};
    use super::*;

    fn entry(offset: u64, time_to_live_millis: Option<u64>) -> Entry {
        Entry {
            offset,
            enqueued: Timestamp::from_millis(1000),
            time_to_live_millis,
            envelope: Arc::new(Envelope::stored(Message {
                source: MessageSource::Device,
                properties: Vec::new(),
                system: Vec::new(),
                body: bytes::Bytes::new(),
            })),
        }
    }

    fn queue(checkpoint: u64, tail: u64) -> Queue {
        let mut queue = Queue::default();
        queue.opened(checkpoint, tail, tail - checkpoint);
        queue
    }

    fn offsets(take: Take) -> Vec<u64> {
        match take {
            Take::Entries(entries) => entries.iter().map(|entry| entry.offset).collect(),
            other => panic!("{other:?}"),
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(1005);

    #[test]
    fn entries_come_out_in_the_order_stored() {
        let mut queue = queue(0, 0);
        for offset in 0..5 {
            queue.stored(entry(offset, None));
        }
        assert_eq!(offsets(queue.take(3, NOW)), [0, 1, 2]);
        assert_eq!(offsets(queue.take(3, NOW)), [3, 4]);
        assert_eq!(queue.take(3, NOW), Take::Nothing);
    }

    #[test]
    fn what_an_earlier_process_left_is_read_from_the_store() {
        let mut queue = queue(7, 9);
        assert_eq!(queue.take(10, NOW), Take::ReadFrom(7));
        assert_eq!(queue.take(10, NOW), Take::Pending);
        queue.stored(entry(9, None));
        queue.read(vec![entry(7, None), entry(8, None)], 9);
        assert_eq!(offsets(queue.take(10, NOW)), [7, 8]);
        assert_eq!(queue.take(10, NOW), Take::ReadFrom(9));
    }

    #[test]
    fn the_checkpoint_stops_at_the_first_unsettled_entry() {
        let mut queue = queue(0, 0);
        for offset in 0..4 {
            queue.stored(entry(offset, None));
        }
        queue.take(4, NOW);
        queue.settle(0);
        queue.settle(2);
        assert_eq!(queue.checkpoint(), 1);
        queue.settle(1);
        assert_eq!(queue.checkpoint(), 3);
        assert_eq!(queue.length(), 1);
    }

    #[test]
    fn expired_entries_are_skipped_and_remembered() {
        let mut queue = queue(0, 0);
        queue.stored(entry(0, Some(5)));
        queue.stored(entry(1, Some(6)));
        queue.stored(entry(2, Some(0)));
        assert_eq!(offsets(queue.take(10, NOW)), [1]);
        assert_eq!(queue.drain_skipped(), [0, 2]);
    }

    #[test]
    fn positions_removed_from_the_store_do_not_hold_the_checkpoint() {
        let mut queue = queue(0, 10);
        assert_eq!(queue.take(10, NOW), Take::ReadFrom(0));
        queue.read(vec![entry(4, None), entry(8, None)], 10);
        queue.take(10, NOW);
        assert_eq!(queue.checkpoint(), 4);
        queue.settle(4);
        assert_eq!(queue.checkpoint(), 8);
        queue.settle(8);
        assert_eq!(queue.checkpoint(), 10);
    }

    #[test]
    fn a_burst_larger_than_the_window_is_not_lost() {
        let mut queue = queue(0, 0);
        let burst = u64::try_from(WINDOW).expect("small") + 3;
        for offset in 0..burst {
            queue.stored(entry(offset, None));
        }
        assert_eq!(offsets(queue.take(WINDOW, NOW)).len(), WINDOW);
        assert_eq!(queue.take(10, NOW), Take::ReadFrom(burst - 3));
    }
}
