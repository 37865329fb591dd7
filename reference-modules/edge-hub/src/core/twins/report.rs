//! Reported properties on their way to IoT Hub: in rounds, one update of each client at a time.
//!
//! What IoT Hub does not take stays pending until the client reports again or IoT Hub is back after an outage.

use bytes::Bytes;

use super::Purpose;
use crate::core::output::Output;
use crate::core::{Core, Timer};
use crate::faults::planted;
use crate::identity::ClientId;

impl Core {
    /// A client has something to report: at once after a while of quiet, and in the next round otherwise.
    pub(super) fn report_soon(&mut self, client: &ClientId) {
        self.twins.unreported.insert(client.clone());
        self.report_round();
    }

    /// The time for a round has come.
    pub(in crate::core) fn report_round_due(&mut self) {
        self.twins.round_is_set = false;
        self.report_round();
    }

    fn report_round(&mut self) {
        if self.twins.unreported.is_empty() || self.twins.round_is_set {
            return;
        }
        if self.now < self.twins.next_round {
            self.twins.round_is_set = true;
            self.timers.set(self.twins.next_round, Timer::ReportRound);
            return;
        }
        if !self.makes_up() && !self.twins.connected {
            return self.twins.unreported.clear();
        }
        self.twins.next_round = self.now + self.settings.reported_sync;
        for client in std::mem::take(&mut self.twins.unreported) {
            self.send_reported(&client);
        }
    }

    /// Sends what is pending, unless an update is on its way: what comes behind it follows then.
    fn send_reported(&mut self, client: &ClientId) {
        let twin = self.twin_of(client);
        if twin.reporting || planted("RPT04-reports-stay-at-the-edge") {
            return;
        }
        let Some(patch) = twin.pending.as_ref().map(|pending| Bytes::from(pending.compact())) else { return };
        twin.reporting = true;
        let request = self.request(client.clone(), Purpose::Report);
        self.out.push(Output::PatchTwin { client: client.clone(), request, patch: patch.clone() });
        if planted("RPT06-every-update-is-sent-twice") {
            self.out.push(Output::PatchTwin { client: client.clone(), request, patch });
        }
    }

    /// Whether what is reported during an outage is sent behind it: a planted fault lets it wait for the next update.
    fn makes_up(&self) -> bool {
        !planted("RPT11-outage-is-not-made-up-for")
    }

    /// IoT Hub took an update, or did not.
    pub(super) fn report_answered(&mut self, client: &ClientId, accepted: bool) {
        let twin = self.twin_of(client);
        let more = twin.since.is_some();
        twin.reported(accepted);
        let read = std::mem::take(&mut twin.read_behind);
        self.remember_twin(client);
        if more && planted("T07-later-patch-waits-for-another") {
            self.twins.unreported.remove(client);
        } else if more {
            self.report_soon(client);
        }
        if read {
            self.catch_up(client);
        }
        self.answer_held(client);
    }

    /// IoT Hub can be reached again: every connected client is brought up to date.
    pub(in crate::core) fn upstream_is_back(&mut self) {
        self.twins.connected = true;
        for client in self.clients.all() {
            self.synchronise(&client);
        }
    }

    /// Sends what is pending, and reads what was missed behind that.
    pub(in crate::core) fn synchronise(&mut self, client: &ClientId) {
        if self.makes_up() {
            self.send_reported(client);
        }
        let twin = self.twin_of(client);
        if twin.reporting {
            twin.read_behind = true;
        } else {
            self.catch_up(client);
        }
    }

    /// The hub's own connection is gone.
    pub(in crate::core) fn upstream_is_gone(&mut self) {
        self.twins.connected = false;
    }

    /// Something upstream was not answered: is IoT Hub there?
    pub(super) fn probe(&mut self) {
        if self.twins.connected && !std::mem::replace(&mut self.twins.probing, true) {
            self.out.push(Output::Probe);
        }
    }

    /// Looks for IoT Hub though nothing is amiss, and will again.
    pub(in crate::core) fn probe_now_and_then(&mut self) {
        self.probe();
        self.timers.set(self.now + self.settings.connectivity_check, Timer::Probe);
    }

    /// It is known whether IoT Hub is there. When it is not, the hub's own connection has ended too.
    pub(in crate::core) fn probed(&mut self) {
        self.twins.probing = false;
    }

    /// Answers updates that a planted fault let wait.
    fn answer_held(&mut self, client: &ClientId) {
        let (ours, others) =
            std::mem::take(&mut self.twins.held).into_iter().partition(|(_, change)| change.reporter == *client);
        self.twins.held = others;
        let ours: Vec<_> = ours;
        for (publish, change) in ours {
            self.out.push(Output::TwinResponse { publish, status: super::STORED, document: Bytes::new() });
            self.twin_changed(publish, change);
        }
    }
}
