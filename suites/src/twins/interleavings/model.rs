//! What one client, and the cloud of it, may see. Pure: what happened goes in, and what was seen is judged.
//!
//! What is certain is judged exactly. A hub may fetch a twin by itself after an outage or a gap, and what it has stored
//! then lags behind what was reported; until everything has settled, a read without the cloud is judged by its desired
//! properties alone.

use std::collections::BTreeMap;

use super::super::ground::Twin;
use crate::oracle::twin::{self, Json, Nulls};

/// A client, the hub's copy of its twin, and the cloud's, as far as they are known.
pub struct Own {
    /// What the cloud desired at each version.
    documents: BTreeMap<u64, Json>,
    /// Reported properties once all that was taken has reached the cloud, without their version.
    folded: Json,
    /// What a read without the cloud may show of reported properties; nothing when that is not certain.
    stored: Option<Vec<Json>>,
    /// The least version of desired properties that the hub must have stored.
    floor: u64,
    /// Desired properties as the client knows them, from a read and the patches since.
    view: Option<Json>,
    /// The last version heard of on this connection.
    heard: u64,
    /// Whether the hub may fetch the twin by itself.
    restless: bool,
    /// Patches taken since the last time everything had settled.
    pub taken: u64,
    /// Whether what was taken may wait for another patch before it goes up.
    pub waits: bool,
}

/// What was broken: requirement, expected.
pub type Broken = (&'static str, String);

impl Own {
    /// Everything has settled: cloud, hub and client know the same.
    pub fn settled(twin: &Twin) -> Self {
        let version = twin::version(&twin.desired).unwrap_or_default();
        Self {
            documents: BTreeMap::from([(version, twin.desired.clone())]),
            folded: twin::without(&twin.reported, "$version"),
            stored: Some(vec![twin.reported.clone()]),
            floor: version,
            view: Some(twin.desired.clone()),
            heard: 0,
            restless: false,
            taken: 0,
            waits: false,
        }
    }

    /// A patch was taken: from now on it must not be lost.
    pub fn took(&mut self, patch: &Json) {
        self.folded = twin::merge(&self.folded, patch, Nulls::Strip);
        // A hub may keep nulls in objects that are new, or drop them.
        for stored in self.stored.iter_mut() {
            let both =
                stored.iter().flat_map(|one| [Nulls::Delete, Nulls::Strip].map(|nulls| twin::merge(one, patch, nulls)));
            let mut both: Vec<Json> = both.collect();
            both.dedup();
            *stored = both;
        }
        self.taken += 1;
    }

    /// Whether this is what the cloud must come to have.
    pub fn is_folded(&self, reported: &Json) -> bool {
        twin::same(&twin::without(reported, "$version"), &self.folded)
    }

    /// What the cloud must come to have.
    pub fn folded(&self) -> &Json {
        &self.folded
    }

    /// The cloud changed what it desires.
    pub fn desired(&mut self, document: &Json) {
        self.documents.insert(twin::version(document).unwrap_or_default(), document.clone());
    }

    /// From now on the hub may fetch the twin by itself.
    pub fn disturbed(&mut self) {
        self.restless = true;
        self.stored = None;
    }

    /// Everything has settled: the hub has stored what the client has just read.
    pub fn settles(&mut self, read: &Twin) {
        self.restless = false;
        self.taken = 0;
        self.waits = false;
        self.stored = Some(vec![read.reported.clone()]);
    }

    /// Another connection: nothing was heard of on it.
    pub fn connected(&mut self) {
        self.heard = 0;
        self.view = None;
    }

    /// A read was answered from the cloud.
    pub fn read_cloud(&mut self, twin: &Twin) {
        self.floor = twin::version(&twin.desired).unwrap_or_default();
        self.view = Some(twin.desired.clone());
        self.stored = (!self.restless).then(|| vec![twin.reported.clone()]);
    }

    /// A read was answered without the cloud.
    pub fn read_stored(&mut self, twin: &Twin) -> Result<(), Broken> {
        let version = twin::version(&twin.desired).unwrap_or_default();
        let known = self.documents.range(self.floor..);
        if !known.clone().any(|(_, document)| twin::same(document, &twin.desired)) {
            let expected = format!("desired properties as the cloud had them at version {} or later", self.floor);
            return Err(("TWIN-GET-06", expected));
        }
        self.floor = self.floor.max(version);
        match &self.stored {
            Some(stored) if !stored.iter().any(|stored| twin::same(stored, &twin.reported)) => {
                let expected = format!(
                    "reported properties are the last known ones with the patches since: {}",
                    twin::written(&stored[0])
                );
                Err(("TWIN-RPT-08", expected))
            }
            _ => Ok(()),
        }
    }

    /// The last version heard of on this connection.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// A desired patch was delivered, under a version.
    pub fn hears(&mut self, beside: Option<u64>, patch: &Json) -> Result<(), Broken> {
        let version = twin::version(patch);
        if version.is_none() || version != beside {
            return Err(("TWIN-DES-12", "`$version` beside the patch and in it, and the same".to_owned()));
        }
        let version = version.unwrap_or_default();
        if version <= self.heard {
            return Err(("TWIN-DES-02", format!("a version above {}", self.heard)));
        }
        let Some(document) = self.documents.get(&version) else {
            let last = self.documents.keys().last().copied().unwrap_or_default();
            return Err(("TWIN-ISO-01", format!("a version that the cloud has had, up to {last}")));
        };
        self.heard = version;
        self.floor = self.floor.max(version);
        if let Some(view) = &mut self.view {
            *view = twin::merge(view, patch, Nulls::Strip);
            if !twin::same(view, document) {
                let expected = format!(
                    "over what was read and heard of before, it gives version {version}: {}",
                    twin::written(document)
                );
                return Err(("TWIN-DES-03", expected));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twins::ground::document;
    use serde_json::{Value, json};

    fn own(desired: Value, reported: Value) -> Own {
        Own::settled(&Twin { desired: document(&desired), reported: document(&reported) })
    }

    fn twin(desired: Value, reported: Value) -> Twin {
        Twin { desired: document(&desired), reported: document(&reported) }
    }

    #[test]
    fn what_was_taken_is_read_without_the_cloud_and_comes_to_be_in_it() {
        let desired = json!({"$version": 3});
        let mut own = own(desired.clone(), json!({"a": 1, "$version": 5}));
        own.took(&document(&json!({"a": null, "n": {"x": null, "y": 1}})));
        assert!(own.is_folded(&document(&json!({"n": {"y": 1}, "$version": 6}))));
        for reported in [json!({"$version": 5, "n": {"x": null, "y": 1}}), json!({"$version": 5, "n": {"y": 1}})] {
            assert_eq!(own.read_stored(&twin(desired.clone(), reported)), Ok(()));
        }
        let seen = own.read_stored(&twin(desired.clone(), json!({"a": 1, "$version": 5})));
        assert_eq!(seen.map_err(|(requirement, _)| requirement), Err("TWIN-RPT-08"));
        // Once the hub may have fetched the twin, the patch may have gone from what it stored.
        own.disturbed();
        assert_eq!(own.read_stored(&twin(desired, json!({"a": 1, "$version": 5}))), Ok(()));
    }

    #[test]
    fn what_is_heard_of_leads_to_the_clouds_document() {
        let mut own = own(json!({"d": 1, "$version": 3}), json!({}));
        own.desired(&document(&json!({"d": 1, "e": 2, "$version": 4})));
        own.desired(&document(&json!({"e": 2, "$version": 5})));
        assert_eq!(own.hears(Some(5), &document(&json!({"d": null, "e": 2, "$version": 5}))), Ok(()));
        let again = own.hears(Some(5), &document(&json!({"$version": 5})));
        assert_eq!(again.map_err(|(requirement, _)| requirement), Err("TWIN-DES-02"));
        own.desired(&document(&json!({"e": 2, "f": 1, "$version": 6})));
        let short = own.hears(Some(6), &document(&json!({"$version": 6})));
        assert_eq!(short.map_err(|(requirement, _)| requirement), Err("TWIN-DES-03"));
    }
}
