//! Twins of clients: the last document of each, what it reported since, and who is told of changes.
//!
//! - `document`: a twin; `merge`: how documents change and differ; `patch`: what a client may report.
//! - `state`: what the hub holds of one client's twin.
//! - `report`: how reported properties reach IoT Hub, and what happens when it is back after an outage.
//! - `desired`: changes of desired properties, and how missed ones are made up for.
//!
//! A client's update is acknowledged when it is stored, whatever IoT Hub says to it; a client's read is answered by IoT
//! Hub, or else with what is stored. Source: `twins-methods.md` 2.1.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

mod desired;
mod document;
mod merge;
mod patch;
mod report;
mod state;

use super::envelope::TwinChange;
use super::input::{PublishId, TwinRequestId};
use super::lenient_json::{self, Json};
use super::output::Output;
use super::time::Timestamp;
use super::{Core, Timer};
use crate::faults::planted;
use crate::identity::ClientId;
use document::{Twin, version_of};
pub(crate) use merge::{Nulls, diff, merge};
use patch::Refused;
pub(crate) use patch::read as read_patch;
use state::ClientTwin;

/// Status of an update that was stored.
pub(super) const STORED: u16 = 204;

/// All twins of clients.
#[derive(Debug, Default)]
pub(super) struct Twins {
    clients: BTreeMap<ClientId, ClientTwin>,
    requests: HashMap<TwinRequestId, (ClientId, Purpose)>,
    /// Clients with something to report in the next round.
    unreported: BTreeSet<ClientId>,
    next_round: Timestamp,
    round_is_set: bool,
    /// Whether the hub's own connection upstream stands, as far as is known.
    connected: bool,
    probing: bool,
    /// Updates that are not answered yet: only a planted fault lets them wait.
    held: Vec<(PublishId, TwinChange)>,
    told: u64,
    /// Clients whose first operation was made to fail.
    failed: BTreeSet<ClientId>,
}

/// Why IoT Hub was asked.
#[derive(Debug)]
enum Purpose {
    /// A client wants to read its twin.
    Read(PublishId),
    /// A change did not follow the one before.
    Repair {
        /// The change.
        patch: Bytes,
        /// Its version.
        version: Option<i64>,
    },
    /// IoT Hub was out of reach for a while.
    CatchUp,
    /// A client's reported properties.
    Report,
}

impl Core {
    /// What an earlier process remembered.
    pub(super) fn twins_remembered(&mut self, twins: Vec<(ClientId, String)>) {
        let recall = |(client, text): (ClientId, String)| (client, ClientTwin::recall(&text));
        self.twins.clients = twins.into_iter().map(recall).collect();
        self.timers.set(self.now + self.settings.connectivity_check, Timer::Probe);
    }

    /// A client wants to read its twin.
    pub(super) fn twin_get(&mut self, publish: PublishId, client: ClientId) {
        if planted("TWIN05-reads-are-routed") {
            self.notify_of(&client, Bytes::from_static(b"{}"));
        }
        let listening = self.clients.get(&client).is_some_and(|client| client.listening.desired);
        if planted("GET09-read-needs-a-desired-subscription") && !listening {
            return self.twin_response(publish, 400, Bytes::new());
        }
        let first = self.is_first_operation(&client);
        match &self.twin_of(&client).known {
            None if first => self.twin_response(publish, 500, Bytes::new()),
            Some(known) if planted("GET05-stored-document-is-preferred") => {
                let document = known.shown();
                self.twin_response(publish, 200, document.into());
            }
            _ => self.ask_for_twin(client, Purpose::Read(publish)),
        }
    }

    /// A client reported something. It is routed as an event too, even when it is refused.
    pub(super) fn twin_patch(&mut self, publish: PublishId, change: TwinChange) {
        let client = change.reporter.clone();
        let status = match self.report(&client, &change.patch) {
            Ok(()) if planted("T16-update-waits-for-the-cloud") => {
                return self.twins.held.push((publish, change));
            }
            Ok(()) if planted("RPT01-update-is-answered-200") => 200,
            Ok(()) => STORED,
            Err(refused) => refused.status(),
        };
        let document = if status == STORED && planted("RPT01-answer-repeats-the-patch") {
            change.patch.clone()
        } else if status >= 400 && planted("VAL12-refusal-explains-itself") {
            Bytes::from_static(b"{\"message\":\"the patch is not valid\"}")
        } else {
            Bytes::new()
        };
        if status >= 400 && planted("VAL15-refusal-closes-the-connection") {
            self.out.push(Output::Close { connection: publish.connection });
        }
        self.out.push(Output::TwinResponse { publish, status, document });
        self.twin_changed(publish, change);
    }

    fn report(&mut self, client: &ClientId, body: &[u8]) -> Result<(), Refused> {
        let patch = match patch::read(body, self.settings.any_reported_root) {
            Ok(patch) => patch,
            Err(refused) => {
                self.refused(client, body);
                return Err(refused);
            }
        };
        let twin = self.twin_of(client);
        if twin.known.is_none() && planted("T08-update-needs-a-known-document") {
            return Err(Refused::Invalid);
        }
        if self.is_first_operation(client) {
            return Err(Refused::Failed);
        }
        self.twin_of(client).report(&patch);
        if planted("VAL08-merged-size-is-looked-at") {
            let size = self.twin_of(client).known.as_ref().map_or(0, |known| known.reported.compact().len());
            if size > 32_768 {
                return Err(Refused::Invalid);
            }
        }
        if planted("RPT15-update-goes-to-every-twin") {
            self.twins.clients.values_mut().for_each(|twin| twin.report(&patch));
        }
        self.remember_twin(client);
        self.report_soon(client);
        Ok(())
    }

    /// What a refused update does to a twin: only planted faults let it do something.
    fn refused(&mut self, client: &ClientId, body: &[u8]) {
        let patch = lenient_json::read(&String::from_utf8_lossy(body));
        match patch {
            Ok(patch @ Json::Object(_)) if planted("VAL11-refused-update-is-stored") => {
                self.twin_of(client).report(&patch);
                self.report_soon(client);
            }
            Ok(root) if !matches!(root, Json::Object(_)) && planted("VAL14-another-root-empties-the-section") => {
                if let Some(known) = &mut self.twin_of(client).known {
                    known.reported = Json::Object(Vec::new());
                }
            }
            _ => {}
        }
    }

    /// IoT Hub answered, or did not.
    pub(super) fn twin_answered(&mut self, request: TwinRequestId, answer: Option<(u16, Bytes)>) {
        let Some((client, purpose)) = self.twins.requests.remove(&request) else { return };
        if answer.is_none() {
            self.probe();
        }
        let status = answer.as_ref().map(|(status, _)| *status);
        let document = answer.filter(|(status, _)| *status == 200).and_then(|(_, body)| Twin::read(&body));
        match purpose {
            Purpose::Report => self.report_answered(&client, status.is_some_and(|status| status < 300)),
            Purpose::Read(publish) => self.twin_read(publish, &client, document, status),
            Purpose::Repair { patch, version } => self.repaired(&client, document, &patch, version),
            Purpose::CatchUp => self.caught_up(&client, document),
        }
    }

    /// Answers a client's read: with what came, or else with what is stored.
    fn twin_read(&mut self, publish: PublishId, client: &ClientId, document: Option<Twin>, status: Option<u16>) {
        match document {
            Some(document) => {
                if planted("DES11-missed-changes-are-told-on-return") {
                    self.retell(client, &document);
                }
                self.know(client, document.clone());
                if self.settings.strong_twin_reads {
                    let known = self.twin_of(client).known.clone().unwrap_or(document);
                    return self.twin_response(publish, 200, known.shown().into());
                }
                self.twin_response(publish, 200, document.shown().into());
            }
            None => {
                let known = self.twin_of(client).known.clone();
                let status = match status {
                    Some(status) if planted("GET08-status-of-the-cloud-is-passed-on") => status,
                    _ if planted("T23-read-fails-without-the-cloud") => 500,
                    _ if known.is_none() && planted("GET07-unknown-twin-is-404") => 404,
                    _ => 200,
                };
                let known = known.filter(|_| !planted("GET06-nothing-is-known-without-the-cloud"));
                let document = if status == 200 { known.unwrap_or_else(Twin::empty).shown() } else { String::new() };
                self.twin_response(publish, status, document.into());
            }
        }
    }

    /// The whole document was read: it takes the place of what is known, whatever its versions.
    fn know(&mut self, client: &ClientId, mut document: Twin) {
        let (now, strong) = (self.now, self.settings.strong_twin_reads);
        let twin = self.twin_of(client);
        if let Some(pending) = twin.pending.as_ref().filter(|_| strong) {
            merge(&mut document.reported, pending, Nulls::Delete);
        }
        let known = twin.known.as_ref().and_then(|known| version_of(&known.desired));
        if known > version_of(&document.desired) && planted("T14-older-version-is-not-stored") {
            return;
        }
        twin.known = Some(document);
        twin.read_at = Some(now);
        self.remember_twin(client);
    }

    fn twin_of(&mut self, client: &ClientId) -> &mut ClientTwin {
        let shared = planted("ISO01-modules-share-the-twin-of-their-device");
        let owner = if shared { ClientId::device(client.device.clone()) } else { client.clone() };
        self.twins.clients.entry(owner).or_default()
    }

    /// Whether a client's first operation is to fail: only a planted fault wants that.
    fn is_first_operation(&mut self, client: &ClientId) -> bool {
        planted("T26-first-operation-fails") && self.twins.failed.insert(client.clone())
    }

    fn remember_twin(&mut self, client: &ClientId) {
        let document = self.twin_of(client).remembered();
        self.out.push(Output::RememberTwin { client: client.clone(), document });
    }

    fn ask_for_twin(&mut self, client: ClientId, purpose: Purpose) {
        let request = self.request(client.clone(), purpose);
        self.out.push(Output::ReadTwin { client, request });
    }

    fn request(&mut self, client: ClientId, purpose: Purpose) -> TwinRequestId {
        self.ids += 1;
        let request = TwinRequestId(self.ids);
        self.twins.requests.insert(request, (client, purpose));
        request
    }

    /// Answers a read; nothing else has to happen before it is acknowledged.
    fn twin_response(&mut self, publish: PublishId, status: u16, document: Bytes) {
        self.out.push(Output::TwinResponse { publish, status, document });
        self.answer(publish, super::output::Verdict::Accepted);
    }
}

#[cfg(test)]
mod tests;
