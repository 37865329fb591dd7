//! Desired properties of clients: changes as they come, and one patch in the place of those that were missed.

use bytes::Bytes;

use super::Purpose;
use super::document::{Twin, set_version, version_of};
use super::merge::{Nulls, diff, merge};
use crate::core::Core;
use crate::core::lenient_json::{self, Json};
use crate::core::output::Output;
use crate::faults::planted;
use crate::identity::ClientId;

impl Core {
    /// IoT Hub tells of a change. When the known document is not the one before, the whole of it is read instead.
    pub(in crate::core) fn desired_changed(&mut self, client: &ClientId, patch: Bytes, version: Option<i64>) {
        let Ok(change @ Json::Object(_)) = lenient_json::read(&String::from_utf8_lossy(&patch)) else { return };
        let version = version.or_else(|| version_of(&change));
        if planted("TWIN05-desired-changes-are-routed") {
            self.notify_of(client, patch.clone());
        }
        if let Some(known) = &mut self.twin_of(client).known {
            let before = version_of(&known.desired).unwrap_or(0);
            let follows = version == Some(before + 1);
            let stale = version.is_some_and(|version| version <= before) && planted("DES07-older-change-is-told");
            if !follows && !stale && !planted("DES06-gap-is-not-noticed") {
                return self.ask_for_twin(client.clone(), Purpose::Repair { patch, version });
            }
            merge(&mut known.desired, &change, Nulls::Delete);
            self.remember_twin(client);
        }
        self.tell_desired(client, version, patch);
    }

    /// The whole document was read because changes were missing, or could not be.
    pub(super) fn repaired(&mut self, client: &ClientId, document: Option<Twin>, patch: &Bytes, version: Option<i64>) {
        if document.is_none() && planted("DES08-change-is-told-although-others-are-missing") {
            return self.tell_desired(client, version, patch.clone());
        }
        self.caught_up(client, document);
    }

    /// Reads the whole document of a client that has one, unless that was done not long ago.
    pub(super) fn catch_up(&mut self, client: &ClientId) {
        let (now, period) = (self.now, self.settings.min_twin_sync);
        let twin = self.twin_of(client);
        let due = twin.read_at.is_none_or(|at| now.since(at) > period);
        if !due && planted("T17-skipped-read-counts-as-one") {
            twin.read_at = Some(now);
        }
        if twin.known.is_some() && due && !planted("T15-nobody-is-caught-up-with") {
            self.ask_for_twin(client.clone(), Purpose::CatchUp);
        }
    }

    /// The whole document was read: what has changed in it is told with one patch.
    pub(super) fn caught_up(&mut self, client: &ClientId, document: Option<Twin>) {
        let Some(document) = document else { return };
        let before = self.twin_of(client).known.clone().unwrap_or_else(Twin::empty);
        let version = version_of(&document.desired);
        let changes = diff(&before.desired, &document.desired);
        self.know(client, document);
        if changes != Json::Object(Vec::new()) || planted("DES09-no-change-is-told-too") {
            self.tell_desired(client, version, Bytes::from(changes.compact()));
        }
    }

    /// Tells a client that reads what has changed since it read last, as a change: only a planted fault does.
    pub(super) fn retell(&mut self, client: &ClientId, document: &Twin) {
        let Some(before) = self.twin_of(client).read.replace(document.clone()) else { return };
        let changes = diff(&before.desired, &document.desired);
        if changes != Json::Object(Vec::new()) {
            self.tell_desired(client, version_of(&document.desired), Bytes::from(changes.compact()));
        }
    }

    /// A client subscribes to changes, which tells it nothing by itself.
    pub(in crate::core) fn desired_subscribed(&mut self, client: &ClientId) {
        if planted("DES05-subscribing-brings-the-document") {
            match self.twin_of(client).known.clone() {
                Some(known) => self.tell_desired(client, version_of(&known.desired), known.desired.compact().into()),
                None => self.ask_for_twin(client.clone(), Purpose::CatchUp),
            }
        }
    }

    /// Tells a client, if it is there and wants to hear it.
    fn tell_desired(&mut self, client: &ClientId, version: Option<i64>, patch: Bytes) {
        let Some(state) = self.clients.get(client) else { return };
        if !state.listening.desired {
            return;
        }
        let connection = state.connection;
        self.twins.told += 1;
        if self.twins.told % 2 == 0 && planted("DES01-every-second-change-is-lost") {
            return;
        }
        let version =
            if planted("DES12-topic-names-the-version-before") { version.map(|version| version - 1) } else { version };
        let patch = distorted(patch);
        if planted("DES02-change-is-told-twice") {
            self.out.push(Output::DesiredPatch { connection, version, patch: patch.clone() });
        }
        self.out.push(Output::DesiredPatch { connection, version, patch });
    }
}

/// The patch as it came, unless a planted fault changes it.
fn distorted(patch: Bytes) -> Bytes {
    let (versionless, undeleted) = (planted("T20-patch-has-no-version"), planted("DES13-deletion-is-not-told"));
    let backwards = planted("T20-version-is-the-hubs-own");
    if !versionless && !undeleted && !backwards {
        return patch;
    }
    let Ok(mut change) = lenient_json::read(&String::from_utf8_lossy(&patch)) else { return patch };
    if backwards {
        set_version(&mut change, |_| 1);
    }
    if let Json::Object(members) = &mut change {
        members.retain(|(name, value)| !(versionless && name == "$version" || undeleted && *value == Json::Null));
    }
    change.compact().into()
}
