//! Sending upstream: in order for each sender, several senders at a time.

use std::collections::{HashMap, VecDeque};

use super::Core;
use super::deliver::sent_event;
use super::endpoint::{Attempt, Pump};
use super::input::{Entry, SendId, SendOutcome};
use super::output::Output;
use super::system;
use crate::faults::planted;
use crate::identity::ClientId;

/// Bytes one part of a sender's share may have.
const PART_BYTES: usize = 262_144;

impl Core {
    /// Groups a batch by sender and starts as many senders as may go at a time.
    pub(super) fn send_batch(&mut self, id: u32, priority: u32, entries: VecDeque<Entry>) {
        let mut waiting: VecDeque<(ClientId, VecDeque<Entry>)> = VecDeque::new();
        for entry in entries {
            if !creation_time_is_readable(&entry) && !planted("MSG07-malformed-creation-time-is-retried") {
                self.out.push(Output::Warn(String::from("Discarding a message with a malformed creation time")));
                self.settle(id, priority, entry.offset);
                continue;
            }
            let sender =
                if planted("MSG05-sent-as-the-hub") { self.hub.clone() } else { entry.envelope.sender.clone() };
            match waiting.iter_mut().find(|(known, _)| *known == sender) {
                Some((_, share)) => share.push_back(entry),
                None => waiting.push_back((sender, VecDeque::from([entry]))),
            }
        }
        let mut failed = Vec::new();
        if planted("S24-absent-sender-is-not-forwarded") {
            waiting.retain(|(sender, share)| {
                let present = *sender == self.hub || self.clients.get(sender).is_some();
                failed.extend(share.iter().filter(|_| !present).cloned());
                present
            });
        }
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        endpoint.pump = Pump::Sending { priority, waiting, active: HashMap::new(), failed };
        self.send_more(id);
    }

    /// An attempt ended. What follows a failure of the same sender is not sent, so that its order holds.
    pub(super) fn sent(&mut self, send: SendId, accepted: usize, outcome: SendOutcome) {
        let Some(id) = self.sends.remove(&send) else { return };
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Pump::Sending { priority, active, failed, .. } = &mut endpoint.pump else {
            return;
        };
        let priority = *priority;
        let Some(Attempt { sender, mut sent, rest }) = active.remove(&send) else { return };
        let accepted: Vec<Entry> = sent.drain(..accepted.min(sent.len())).collect();
        let mut settled: Vec<u64> = accepted.iter().map(|entry| entry.offset).collect();
        for entry in &accepted {
            let processed_in = self.now.since(entry.enqueued);
            let event = sent_event(entry, String::from("upstream"), String::new(), priority, processed_in);
            self.out.push(Output::Event(event));
        }
        let mut next = VecDeque::new();
        match outcome {
            SendOutcome::Accepted => {
                next = sent;
                next.extend(rest);
            }
            SendOutcome::Failed if planted("S01-network-error-is-for-ever") => {
                settled.extend(sent.iter().map(|entry| entry.offset));
                next = rest;
            }
            SendOutcome::Failed => {
                failed.extend(sent);
                failed.extend(rest);
            }
            SendOutcome::SenderGone => settled.extend(sent.iter().chain(&rest).map(|entry| entry.offset)),
        }
        for offset in settled {
            self.settle(id, priority, offset);
        }
        if !next.is_empty() {
            self.send_share(id, sender, next);
        }
        self.send_more(id);
    }

    fn send_more(&mut self, id: u32) {
        loop {
            let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
            let Pump::Sending { priority, waiting, active, failed } = &mut endpoint.pump else {
                return;
            };
            if active.len() >= self.settings.upstream_fan_out {
                return;
            }
            if let Some((sender, share)) = waiting.pop_front() {
                self.send_share(id, sender, share);
                continue;
            }
            if active.is_empty() {
                let (priority, mut failed) = (*priority, std::mem::take(failed));
                if failed.is_empty() {
                    return self.batch_done(id);
                }
                failed.sort_by_key(|entry| entry.offset);
                self.batch_failed(id, priority, failed.into());
            }
            return;
        }
    }

    fn send_share(&mut self, id: u32, sender: ClientId, mut share: VecDeque<Entry>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Pump::Sending { active, .. } = &mut endpoint.pump else { return };
        let largest = share.iter().map(|entry| entry.envelope.message.size()).max().unwrap_or(1);
        let part = if planted("SF21-parts-without-limit") {
            share.len()
        } else if planted("SF21-size-is-not-looked-at") {
            self.settings.max_upstream_batch
        } else {
            (PART_BYTES / largest.max(1)).clamp(1, self.settings.max_upstream_batch)
        };
        let rest = share.split_off(part.min(share.len()));
        self.ids += 1;
        let send = SendId(self.ids);
        self.sends.insert(send, id);
        self.out.push(Output::Send {
            send,
            sender: sender.clone(),
            messages: share.iter().map(|entry| entry.envelope.clone()).collect(),
        });
        active.insert(send, Attempt { sender, sent: share, rest });
    }
}

/// A creation time must be a date in the round-trip format, if there is one.
fn creation_time_is_readable(entry: &Entry) -> bool {
    entry
        .envelope
        .system(system::CREATION_TIME)
        .is_none_or(|text| text.is_empty() || super::date::round_trip(text).is_some())
}
