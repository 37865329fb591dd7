//! PUBACKs in the order of the PUBLISHes, whoever is done first.

use std::collections::VecDeque;

use crate::core::Verdict;
use crate::faults::planted;
use crate::wire;

/// What is due when a PUBLISH has been dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Written before the acknowledgement.
    pub before: Vec<u8>,
    /// Packet id to acknowledge.
    pub acknowledge: Option<u16>,
    /// Close behind it, without an acknowledgement.
    pub close: bool,
}

/// PUBLISHes that have not been dealt with.
#[derive(Debug, Default)]
pub struct Pending {
    waiting: VecDeque<(u64, Due, bool)>,
    numbered: u64,
}

impl Pending {
    /// Notes a PUBLISH; returns its number.
    pub fn expect(&mut self, due: Due) -> u64 {
        self.numbered += 1;
        self.waiting.push_back((self.numbered, due, false));
        self.numbered
    }

    /// Says what is to be written before its acknowledgement.
    pub fn prepare(&mut self, number: u64, before: Vec<u8>) {
        if let Some((_, due, _)) = self.waiting.iter_mut().find(|(known, ..)| *known == number) {
            due.before = before;
        }
    }

    /// It has been dealt with.
    pub fn settle(&mut self, number: u64, verdict: Verdict) {
        let refused = matches!(verdict, Verdict::TooLarge { .. }) && planted("LIM02-too-large-closes-the-connection");
        self.settle_with(number, |due| {
            due.close |= verdict == Verdict::NotStored || refused;
            if verdict == Verdict::NotStored {
                due.before.clear();
            }
        });
    }

    /// It has been dealt with, and what is due has changed.
    pub fn settle_with(&mut self, number: u64, change: impl FnOnce(&mut Due)) {
        if let Some((_, due, settled)) = self.waiting.iter_mut().find(|(known, ..)| *known == number) {
            change(due);
            *settled = true;
        }
    }

    /// Writes what is due, up to the first that is not settled; false when the connection is to be closed.
    pub fn write(&mut self, bytes: &mut Vec<u8>) -> bool {
        if planted("PUB05-acknowledgements-overtake") {
            // Those that are dealt with come first.
            self.waiting.make_contiguous().sort_by_key(|(_, _, settled)| !settled);
        }
        while let Some((_, due, true)) = self.waiting.front() {
            let late = planted("TWIN13-acknowledged-before-the-answer");
            bytes.extend(due.before.iter().filter(|_| !late));
            if due.close {
                return false;
            }
            bytes.extend(due.acknowledge.map(wire::write_puback).unwrap_or_default());
            bytes.extend(due.before.iter().filter(|_| late));
            self.waiting.pop_front();
        }
        true
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(id: u16) -> Due {
        Due { acknowledge: Some(id), ..Due::default() }
    }

    #[test]
    fn acknowledgements_keep_the_order_of_arrival() {
        let mut pending = Pending::default();
        let (first, second) = (pending.expect(due(7)), pending.expect(due(8)));
        pending.settle(second, Verdict::Accepted);
        let mut bytes = Vec::new();
        assert!(pending.write(&mut bytes));
        assert!(bytes.is_empty());
        pending.settle(first, Verdict::TooLarge { size: 262_145 });
        assert!(pending.write(&mut bytes));
        assert_eq!(bytes, [wire::write_puback(7), wire::write_puback(8)].concat());
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_is_not_stored_is_not_acknowledged() {
        let mut pending = Pending::default();
        let number = pending.expect(due(7));
        pending.settle(number, Verdict::NotStored);
        let mut bytes = Vec::new();
        assert!(!pending.write(&mut bytes));
        assert!(bytes.is_empty());
    }
}
