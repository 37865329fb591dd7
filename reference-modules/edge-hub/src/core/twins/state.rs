//! What the hub holds of one client's twin.

use super::document::Twin;
use super::merge::{Nulls, merge};
use crate::core::lenient_json::{self, Json};
use crate::core::time::Timestamp;
use crate::faults::planted;

/// The twin of a client. What is known and what is pending outlive the process.
#[derive(Debug, Default)]
pub(crate) struct ClientTwin {
    /// The last document, with what the client reported since.
    pub(crate) known: Option<Twin>,
    /// Reported properties that IoT Hub has not taken: one patch, nulls kept.
    pub(crate) pending: Option<Json>,
    /// When the whole document was read last.
    pub(crate) read_at: Option<Timestamp>,
    /// An update is on its way.
    pub(crate) reporting: bool,
    /// What was reported since it left.
    pub(crate) since: Option<Json>,
    /// Read the document when it has arrived.
    pub(crate) read_behind: bool,
    /// What the client read last: only a planted fault remembers it.
    pub(crate) read: Option<Twin>,
}

impl ClientTwin {
    /// The client reported something.
    pub(crate) fn report(&mut self, patch: &Json) {
        match &mut self.known {
            Some(known) => {
                let nulls = if planted("RPT08-null-stays-in-the-document") { Nulls::Keep } else { Nulls::Delete };
                merge(&mut known.reported, patch, nulls);
                if planted("RPT10-every-patch-counts-as-a-version") {
                    super::document::set_version(&mut known.reported, |version| version + 1);
                }
            }
            None => self.known = Some(Twin { reported: patch.clone(), ..Twin::empty() }),
        }
        add(&mut self.pending, patch);
        if self.reporting {
            add(&mut self.since, patch);
        }
    }

    /// IoT Hub answered an update, or did not; what it has not taken stays pending.
    pub(crate) fn reported(&mut self, accepted: bool) {
        self.reporting = false;
        let since = self.since.take();
        if accepted && planted("T07-patch-during-an-update-is-not-noticed") {
            self.pending = None;
        } else if accepted || planted("T18-refused-update-is-forgotten") {
            self.pending = since;
        }
    }

    /// What is to be remembered.
    pub(crate) fn remembered(&self) -> String {
        let known = self.known.clone().filter(|_| !planted("GET11-documents-are-gone-with-the-process"));
        let pending = self.pending.clone().filter(|_| !planted("RPT13-pending-is-gone-with-the-process"));
        let members = [("known", known.map(Twin::json)), ("pending", pending)];
        let member = |(name, value): (&str, Option<Json>)| Some((name.to_owned(), value?));
        Json::Object(members.into_iter().filter_map(member).collect()).compact()
    }

    /// What was remembered. Of a text that cannot be read nothing is.
    pub(crate) fn recall(text: &str) -> ClientTwin {
        let mut twin = ClientTwin::default();
        let Ok(Json::Object(members)) = lenient_json::read(text) else { return twin };
        for (name, value) in members {
            match (name.as_str(), value) {
                ("known", Json::Object(sections)) => twin.known = Some(Twin::of(sections)),
                ("pending", patch @ Json::Object(_)) => twin.pending = Some(patch),
                _ => {}
            }
        }
        twin
    }
}

/// Adds a patch to what is pending.
fn add(pending: &mut Option<Json>, patch: &Json) {
    match pending {
        Some(pending) if planted("RPT05-last-patch-alone-is-pending") => *pending = patch.clone(),
        Some(pending) if planted("T24-pending-patch-outranks-the-new-one") => {
            let earlier = std::mem::replace(pending, patch.clone());
            merge(pending, &earlier, Nulls::Keep);
        }
        Some(pending) => {
            let nulls = if planted("RPT07-deletions-are-not-pending") { Nulls::Delete } else { Nulls::Keep };
            merge(pending, patch, nulls);
        }
        None => *pending = Some(patch.clone()),
    }
}
