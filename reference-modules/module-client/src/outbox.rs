//! What has been sent and not been acknowledged: kept, in order, to be sent again over the next connection.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// A message on its way to the hub.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    /// Told when the hub has acknowledged it.
    pub(crate) acknowledged: oneshot::Sender<()>,
}

/// All messages on their way, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    outgoing: Outgoing,
    /// The packet id it has on the present connection, once it is written.
    packet_id: Option<u16>,
}

/// How many may be on their way at once.
const ROOM: usize = 64;

impl Outbox {
    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < ROOM
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn add(&mut self, outgoing: Outgoing) -> &Outgoing {
        self.entries.push_back(Entry { outgoing, packet_id: None });
        let added = self.entries.back().expect("it was just added");
        &added.outgoing
    }

    /// The oldest message that had no packet id has this one. Messages are written in the order they were added in.
    pub(crate) fn written(&mut self, packet_id: u16) {
        let first = self.entries.iter_mut().find(|entry| entry.packet_id.is_none());
        if let Some(entry) = first {
            entry.packet_id = Some(packet_id);
        }
    }

    /// The hub has taken over the message with this packet id.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) {
        let mut entries = self.entries.iter();
        let at = entries.position(|entry| entry.packet_id == Some(packet_id));
        if let Some(entry) = at.and_then(|at| self.entries.remove(at)) {
            // Whoever sent it may have stopped waiting.
            let _ = entry.outgoing.acknowledged.send(());
        }
    }

    /// Everything there is, to be written to a new connection, where packet ids start anew.
    pub(crate) fn again(&mut self) -> impl Iterator<Item = &Outgoing> {
        self.entries.iter_mut().map(|entry| {
            entry.packet_id = None;
            &entry.outgoing
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(topic: &str) -> (Outgoing, oneshot::Receiver<()>) {
        let (acknowledged, told) = oneshot::channel();
        let outgoing = Outgoing { topic: topic.to_owned(), payload: Vec::new(), acknowledged };
        (outgoing, told)
    }

    fn told(receiver: &mut oneshot::Receiver<()>) -> bool {
        receiver.try_recv().is_ok()
    }

    #[test]
    fn an_acknowledgement_is_for_the_message_with_its_packet_id() {
        let mut outbox = Outbox::default();
        let ((a, mut a_told), (b, mut b_told)) = (outgoing("a"), outgoing("b"));
        outbox.add(a);
        outbox.add(b);
        outbox.written(1);
        outbox.written(2);
        outbox.acknowledged(2);
        assert!(!told(&mut a_told) && told(&mut b_told));
        outbox.acknowledged(1);
        assert!(told(&mut a_told) && outbox.is_empty());
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_in_order() {
        let mut outbox = Outbox::default();
        let mut tolds = Vec::new();
        for topic in ["a", "b", "c"] {
            let (outgoing, told) = outgoing(topic);
            outbox.add(outgoing);
            tolds.push(told);
        }
        outbox.written(1);
        outbox.written(2);
        outbox.acknowledged(1);
        let again: Vec<&str> = outbox.again().map(|outgoing| outgoing.topic.as_str()).collect();
        assert_eq!(again, ["b", "c"]);
        // An id of the connection before means nothing any more.
        outbox.acknowledged(2);
        assert!(!told(&mut tolds[1]));
        outbox.written(1);
        outbox.acknowledged(1);
        assert!(told(&mut tolds[1]) && !told(&mut tolds[2]));
    }

    #[test]
    fn there_is_room_until_it_is_full_and_again_after_an_acknowledgement() {
        let mut outbox = Outbox::default();
        let mut tolds = Vec::new();
        while outbox.has_room() {
            let (outgoing, told) = outgoing("a");
            outbox.add(outgoing);
            tolds.push(told);
        }
        assert_eq!(tolds.len(), ROOM);
        outbox.written(1);
        outbox.acknowledged(1);
        assert!(outbox.has_room());
    }
}
