//! Calls that wait for a target, and calls that wait for an answer.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::Caller;
use super::request::MethodRequest;
use crate::core::input::ConnectionId;
use crate::core::timers::TimerKey;
use crate::faults::planted;
use crate::identity::ClientId;

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Names it to the target.
    pub rid: String,
    /// Who is to be told.
    pub caller: Caller,
    /// Who is called.
    pub target: ClientId,
    /// What for.
    pub request: MethodRequest,
}

/// A call that waits for its target, and the end of its patience.
type Waiting = (Call, TimerKey);

/// A call that went out to its target.
#[derive(Debug)]
pub(super) struct Sent {
    /// What was called.
    pub call: Call,
    /// Where; an answer must come from there.
    pub connection: ConnectionId,
    /// When it is over.
    pub timer: TimerKey,
    /// Whether it waited for its target: then others may still.
    pub waited: bool,
    /// Status and payload of an answer that may still be replaced: only a planted fault holds one.
    pub held: Option<(String, Bytes)>,
}

/// All calls that are not over.
#[derive(Debug, Default)]
pub struct Calls {
    /// In order of arrival.
    waiting: HashMap<ClientId, VecDeque<Waiting>>,
    /// By request id.
    sent: HashMap<String, Sent>,
    /// Where clients took calls first: only a planted fault looks at that.
    pub(super) first: HashMap<ClientId, Option<ConnectionId>>,
}

impl Calls {
    /// A call has to wait for its target.
    pub(super) fn wait(&mut self, call: Call, timer: TimerKey) {
        self.waiting.entry(call.target.clone()).or_default().push_back((call, timer));
    }

    /// Takes the call that waited longest for this target.
    pub(super) fn next_waiting(&mut self, target: &ClientId) -> Option<Waiting> {
        self.take_waiting(target, VecDeque::pop_front)
    }

    /// Takes a call whose patience is over, unless it was sent meanwhile.
    pub(super) fn give_up(&mut self, target: &ClientId, rid: &str) -> Option<Call> {
        let taken = self.take_waiting(target, |queue| {
            let at = queue.iter().position(|(call, _)| call.rid == rid)?;
            queue.remove(at)
        });
        taken.map(|(call, _)| call)
    }

    /// Whether a call that waited for this target is under way: the others go on waiting.
    pub(super) fn is_handing_over(&self, target: &ClientId) -> bool {
        self.sent.values().any(|sent| sent.waited && sent.call.target == *target)
    }

    /// A call went out.
    pub(super) fn send(&mut self, sent: Sent) {
        self.sent.insert(sent.call.rid.clone(), sent);
    }

    /// Takes the call that an answer is for. Ids are compared in any letter case.
    pub(super) fn answered(&mut self, connection: ConnectionId, rid: &str) -> Option<Sent> {
        let folded =
            if planted("INV20-request-ids-are-compared-exactly") { rid.to_owned() } else { rid.to_lowercase() };
        let asked = |sent: &Sent| sent.connection == connection || planted("INV22-anybody-may-answer");
        let known = self.sent.get(&folded).is_some_and(asked);
        if planted("INV21-answers-go-in-order") || !known && planted("INV18-late-answer-goes-to-another-call") {
            let other = self.sent.values().filter(|sent| sent.connection == connection).min_by_key(|sent| sent.timer);
            let other = other.map(|sent| sent.call.rid.clone());
            return other.and_then(|rid| self.sent.remove(&rid));
        }
        if known { self.sent.remove(&folded) } else { None }
    }

    /// Holds an answer in the place of an earlier one: only a planted fault does. Whether it is the first is told.
    pub(super) fn hold(&mut self, connection: ConnectionId, rid: &str, status: &str, payload: &Bytes) -> bool {
        let sent = self.sent.get_mut(&rid.to_lowercase()).filter(|sent| sent.connection == connection);
        sent.is_some_and(|sent| sent.held.replace((status.to_owned(), payload.clone())).is_none())
    }

    /// When the calls that went to a connection are over.
    pub(super) fn timers_of(&self, connection: ConnectionId) -> Vec<TimerKey> {
        self.sent.values().filter(|sent| sent.connection == connection).map(|sent| sent.timer).collect()
    }

    /// Takes a call that was not answered in time.
    pub(super) fn timed_out(&mut self, rid: &str) -> Option<Sent> {
        self.sent.remove(rid)
    }

    /// Takes the calls that went to a connection which had to give way.
    pub(super) fn displaced(&mut self, connection: ConnectionId) -> Vec<Sent> {
        let gone = self.sent.values().filter(|sent| sent.connection == connection);
        let mut gone: Vec<(TimerKey, String)> = gone.map(|sent| (sent.timer, sent.call.rid.clone())).collect();
        gone.sort();
        gone.into_iter().filter_map(|(_, rid)| self.sent.remove(&rid)).collect()
    }

    /// Takes one of the calls that wait for a target, and forgets targets that nobody waits for.
    fn take_waiting(
        &mut self,
        target: &ClientId,
        take: impl FnOnce(&mut VecDeque<Waiting>) -> Option<Waiting>,
    ) -> Option<Waiting> {
        let queue = self.waiting.get_mut(target)?;
        let taken = take(queue);
        if queue.is_empty() {
            self.waiting.remove(target);
        }
        taken
    }
}
