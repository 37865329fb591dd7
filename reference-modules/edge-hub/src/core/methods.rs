//! Direct methods: who is called and when, and what the caller is told.
//!
//! A call goes to the one connection of its target that wants methods. Without one it waits as long as its caller
//! allows; calls that waited are handed over one at a time, some time after the target subscribed. An answer is good
//! once, and only from the connection that was called.
//!
//! - [`request`]: what a caller asks for over HTTPS.
//! - `calls`: what waits for a target, and what waits for an answer.
//! - `own`: the methods of the hub itself.
//!
//! Source: Azure/iotedge, `Hub.Core/InvokeMethodHandler.cs`, `Hub.Core/device/DeviceMessageHandler.cs`,
//! `Hub.CloudProxy/CloudProxy.cs`.

use std::time::Duration;

use bytes::Bytes;

mod calls;
mod own;
pub mod request;

#[cfg(test)]
mod tests;

pub use calls::Calls;
use calls::{Call, Sent};
use request::MethodRequest;

use super::input::ConnectionId;
use super::output::Output;
use super::{Core, Timer};
use crate::faults::planted;
use crate::identity::ClientId;

/// A client that subscribed is given this long to get ready for what waited for it.
const HAND_OVER_DELAY: Duration = Duration::from_secs(3);

/// How long calls of the cloud may take; the cloud's own limit is not told here.
const CLOUD_RESPONSE_TIMEOUT: Duration = Duration::from_secs(330);

/// In the place of a status that is no number.
const UNREADABLE_STATUS: i32 = 400_000;

/// A caller in the process, who waits for [`Output::MethodReturned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallerId(pub u64);

/// Who called, and is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A module of this device.
    Local(CallerId),
    /// The cloud.
    Cloud {
        /// Whom it called.
        client: ClientId,
        /// Its own id of the call.
        rid: String,
    },
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MethodOutcome {
    /// The target answered.
    Answered {
        /// Its status.
        status: i32,
        /// Its payload; empty when there is none.
        payload: Bytes,
    },
    /// It did not.
    Failed {
        /// In what way.
        failure: MethodFailure,
        /// Why, for the caller.
        message: String,
    },
}

/// Ways in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodFailure {
    /// The hub's own method does not understand its argument.
    BadRequest,
    /// Nobody can be called under this name.
    NotFound,
    /// There was no answer in time.
    TimedOut,
    /// The hub's own method failed.
    Broken,
}

impl MethodOutcome {
    fn failed(failure: MethodFailure, message: String) -> MethodOutcome {
        MethodOutcome::Failed { failure, message }
    }
}

impl Core {
    /// Somebody calls a method.
    pub(super) fn method_called(&mut self, caller: Caller, target: ClientId, request: MethodRequest) {
        let call = Call { rid: self.fresh_rid(), caller, target, request };
        if call.target == self.hub {
            return self.own_method(call);
        }
        if let Some(connection) = self.callee(&call.target) {
            return self.call_method(call, connection, false);
        }
        if planted("INV07-unknown-client-is-a-bad-request") && !self.clients.was_seen(&call.target) {
            let failure = MethodOutcome::failed(MethodFailure::BadRequest, String::from("unknown client"));
            return self.method_returned(call.caller, failure);
        }
        let mut patience = call.request.connect_timeout;
        if planted("INV08-absent-client-is-waited-for") {
            patience = patience.max(Duration::from_secs(4));
        }
        if patience.is_zero() || planted("INV09-connect-timeout-is-ignored") {
            return self.nobody_there(call);
        }
        let (target, rid) = (call.target.clone(), call.rid.clone());
        let timer = self.timers.set(self.now + patience, Timer::MethodUnreachable { target, rid });
        self.calls.wait(call, timer);
    }

    /// The cloud calls a method.
    pub(super) fn cloud_method(&mut self, client: ClientId, rid: String, name: String, payload: Bytes) {
        let limit = if planted("CLD02-cloud-calls-end-after-ten-seconds") {
            Duration::from_secs(10)
        } else {
            CLOUD_RESPONSE_TIMEOUT
        };
        if planted("D10-calls-of-the-cloud-go-to-the-first-connection") && !self.on_first_connection(&client) {
            return;
        }
        let request = MethodRequest { name, payload, response_timeout: limit, connect_timeout: Duration::ZERO };
        self.method_called(Caller::Cloud { client: client.clone(), rid }, client, request);
    }

    /// A client answers, in good faith or not.
    pub(super) fn method_answered(&mut self, connection: ConnectionId, rid: &str, status: &str, payload: Bytes) {
        if planted("INV19-last-answer-counts") && self.calls.hold(connection, rid, status, &payload) {
            let rid = rid.to_lowercase();
            self.timers.set(self.now + Duration::from_millis(500), Timer::MethodAnswerHeld { rid });
            return;
        }
        let Some(sent) = self.calls.answered(connection, rid) else {
            if planted("DM06-answer-to-nothing-closes-the-connection") {
                self.out.push(Output::Close { connection });
            }
            return;
        };
        self.timers.cancel(sent.timer);
        self.answer_taken(sent, status, payload);
    }

    fn answer_taken(&mut self, sent: Sent, status: &str, payload: Bytes) {
        let outcome = match read_status(status) {
            Some(status) => MethodOutcome::Answered { status, payload },
            None if planted("INV27-unreadable-status-is-a-failure") => {
                MethodOutcome::failed(MethodFailure::Broken, String::from("unreadable status"))
            }
            None => MethodOutcome::Answered { status: UNREADABLE_STATUS, payload: Bytes::new() },
        };
        self.method_over(sent, outcome);
    }

    /// A client has begun to take calls of its methods.
    pub(super) fn takes_methods(&mut self, client: &ClientId) {
        if planted("INV10-waiting-calls-are-not-handed-over") {
            return;
        }
        let delay =
            if planted("DM09-waiting-calls-are-handed-over-at-once") { Duration::ZERO } else { HAND_OVER_DELAY };
        self.timers.set(self.now + delay, Timer::HandOverMethods { target: client.clone() });
    }

    /// The connection of a client had to give way to a newer one, which must not see its calls.
    pub(super) fn callee_displaced(&mut self, connection: ConnectionId) {
        for sent in self.calls.displaced(connection) {
            self.timers.cancel(sent.timer);
            if planted("INV24-newcomer-gets-the-calls-of-the-old") {
                let Call { target, rid, .. } = &sent.call;
                let timer = Timer::MethodUnreachable { target: target.clone(), rid: rid.clone() };
                let timer = self.timers.set(self.now + CLOUD_RESPONSE_TIMEOUT, timer);
                self.calls.wait(sent.call, timer);
            } else {
                self.timed_out(sent);
            }
        }
    }

    /// A callee left: only a planted fault cares.
    pub(super) fn callee_left(&mut self, connection: ConnectionId) {
        if planted("INV23-callers-of-who-left-wait-for-ever") {
            for timer in self.calls.timers_of(connection) {
                self.timers.cancel(timer);
            }
        }
    }

    pub(super) fn hand_over_methods(&mut self, target: &ClientId) {
        let Some(connection) = self.callee(target).filter(|_| !self.calls.is_handing_over(target)) else { return };
        if let Some((call, timer)) = self.calls.next_waiting(target) {
            self.timers.cancel(timer);
            self.call_method(call, connection, true);
        }
    }

    pub(super) fn method_unreachable(&mut self, target: &ClientId, rid: &str) {
        if let Some(call) = self.calls.give_up(target, rid) {
            self.nobody_there(call);
        }
    }

    /// The last of the answers that came meanwhile counts: only a planted fault holds them.
    pub(super) fn held_answer_counts(&mut self, rid: &str) {
        if let Some(mut sent) = self.calls.timed_out(rid) {
            self.timers.cancel(sent.timer);
            let (status, payload) = sent.held.take().unwrap_or_default();
            self.answer_taken(sent, &status, payload);
        }
    }

    pub(super) fn method_timed_out(&mut self, rid: &str) {
        if let Some(sent) = self.calls.timed_out(rid) {
            self.timed_out(sent);
        }
    }

    /// The connection on which a client takes calls.
    fn callee(&mut self, target: &ClientId) -> Option<ConnectionId> {
        let client = self.clients.get(target)?;
        let takes = client.listening.methods || planted("D09-subscription-is-not-looked-at");
        takes.then_some(client.connection)
    }

    fn call_method(&mut self, call: Call, connection: ConnectionId, waited: bool) {
        let Call { rid, request, .. } = &call;
        let name = if planted("RCV03-names-arrive-in-lower-case") {
            request.name.to_lowercase()
        } else {
            request.name.clone()
        };
        let payload = if planted("RCV01-argument-does-not-arrive") {
            Bytes::from_static(b"null")
        } else {
            request.payload.clone()
        };
        let mut connections = vec![connection];
        if planted("RCV05-everybody-who-listens-is-called") || planted("DM10-clients-call-each-other") {
            connections = self.clients.callees().collect();
        }
        if planted("RCV01-request-is-sent-twice") {
            connections.push(connection);
        }
        for connection in connections {
            let (rid, name, payload) = (rid.clone(), name.clone(), payload.clone());
            self.out.push(Output::CallMethod { connection, rid, name, payload });
        }
        let mut limit = request.response_timeout;
        if planted("INV11-silent-callee-is-waited-for-too-long") {
            limit += Duration::from_secs(5);
        } else if planted("INV11-response-timeout-is-halved") {
            limit /= 2;
        }
        let timer = Timer::MethodTimeout { rid: rid.clone() };
        let timer = self.timers.set(self.now + limit, timer);
        self.calls.send(Sent { call, connection, timer, waited, held: None });
    }

    fn nobody_there(&mut self, call: Call) {
        let message = format!("Client {} not found", call.target);
        self.method_returned(call.caller, MethodOutcome::failed(MethodFailure::NotFound, message));
    }

    fn timed_out(&mut self, sent: Sent) {
        let message = format!("Timed out waiting for device to respond to method request {}", sent.call.rid);
        self.method_over(sent, MethodOutcome::failed(MethodFailure::TimedOut, message));
    }

    /// A call came to its end, and the next that waited with it may go.
    fn method_over(&mut self, sent: Sent, outcome: MethodOutcome) {
        self.method_returned(sent.call.caller, outcome);
        if sent.waited {
            self.hand_over_methods(&sent.call.target);
        }
    }

    /// What went wrong is not told to the cloud.
    fn method_returned(&mut self, caller: Caller, outcome: MethodOutcome) {
        let said = match caller {
            Caller::Local(caller) => Output::MethodReturned { caller, outcome },
            Caller::Cloud { client, rid } => {
                let (status, payload) = match outcome {
                    MethodOutcome::Answered { .. } if planted("CLD01-answers-do-not-reach-the-cloud") => return,
                    MethodOutcome::Answered { payload, .. } if planted("CLD01-cloud-always-gets-200") => (200, payload),
                    MethodOutcome::Answered { status, payload } => (status, payload),
                    MethodOutcome::Failed { .. } => (0, Bytes::new()),
                };
                Output::AnswerCloudMethod { client, rid, status, payload }
            }
        };
        self.out.push(said);
    }

    /// Whether a client is on the first connection it ever took calls on: only a planted fault asks.
    fn on_first_connection(&mut self, client: &ClientId) -> bool {
        let connection = self.callee(client);
        let first = *self.calls.first.entry(client.clone()).or_insert(connection);
        first == connection
    }

    /// A GUID that no call had before.
    fn fresh_rid(&mut self) -> String {
        if !planted("RCV02-request-ids-repeat") {
            self.ids += 1;
        }
        let bytes = (u128::from(self.settings.seed) << 64 | u128::from(self.ids)).wrapping_mul(MIX).to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

/// An odd factor, so that different numbers stay different.
const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// A status as the product reads it: blanks round it, a sign, 32 bits.
fn read_status(text: &str) -> Option<i32> {
    let status = text.trim_matches(['\t', '\n', '\u{b}', '\u{c}', '\r', ' ']).parse().ok();
    status.filter(|status| *status >= 0 || !planted("INV01-negative-status-is-unreadable"))
}
