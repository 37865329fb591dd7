//! The hub's own desired properties: the last full document, and what patches make of it.

use serde_json::{Map, Value};

use crate::faults::planted;

/// What is to be done after a patch arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Patched {
    /// The document is newer now: parse it.
    Process,
    /// Versions are missing between: read the whole twin.
    Incomplete,
    /// It is older than the document.
    Stale,
}

/// The document, remembered even when it was refused: a later patch may repair it.
#[derive(Debug, Default)]
pub struct Desired {
    document: Option<Map<String, Value>>,
}

impl Desired {
    /// Takes a whole document. False when it is no object or holds nothing but its version.
    pub fn replace(&mut self, text: &str) -> bool {
        match serde_json::from_str(text) {
            Ok(Value::Object(document)) => {
                let useful = document.keys().any(|name| !name.starts_with("$"));
                self.document = Some(document);
                useful
            }
            _ => false,
        }
    }

    /// Merges a patch; a null deletes.
    pub fn patch(&mut self, text: &str) -> Patched {
        let (Some(document), Ok(Value::Object(patch))) = (&mut self.document, serde_json::from_str(text)) else {
            return Patched::Incomplete;
        };
        let known = version_of(document);
        let offered = version_of(&patch);
        match (known, offered) {
            (Some(known), Some(offered)) if offered <= known => return Patched::Stale,
            (Some(known), Some(offered)) if offered > known + 1 => return Patched::Incomplete,
            (None, _) | (_, None) => return Patched::Incomplete,
            _ => {}
        }
        merge(document, patch);
        Patched::Process
    }

    /// The document as text.
    pub fn text(&self) -> Option<String> {
        self.document.clone().map(|document| Value::Object(document).to_string())
    }

    /// Its `$version`.
    pub fn version(&self) -> Option<i64> {
        self.document.as_ref().and_then(version_of)
    }

    /// Goes back to an earlier document but keeps the version: only a planted fault does that.
    pub fn forget_refused(&mut self, earlier: Option<&str>) {
        let version = self.document.as_ref().and_then(|document| document.get("$version").cloned());
        if let Some(Ok(Value::Object(mut document))) = earlier.map(serde_json::from_str) {
            document.extend(version.map(|version| (String::from("$version"), version)));
            self.document = Some(document);
        }
    }
}

fn version_of(document: &Map<String, Value>) -> Option<i64> {
    document.get("$version")?.as_i64()
}

/// Nulls delete what stands; those inside an object that is new here are kept, as the product keeps them.
fn merge(base: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (base.get_mut(&name), value) {
            (_, Value::Null) => {
                if !planted("CFG12-removed-route-stays") {
                    base.shift_remove(&name);
                }
            }
            (Some(Value::Object(base)), Value::Object(patch)) => merge(base, patch),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(text: &str) -> Desired {
        let mut desired = Desired::default();
        assert!(desired.replace(text));
        desired
    }

    #[test]
    fn a_null_deletes_and_other_values_replace() {
        let mut desired = desired(r#"{"routes":{"a":"x","b":"y"},"list":[1,2],"$version":4}"#);
        let patch = r#"{"routes":{"a":null,"c":"z"},"list":[3],"$version":5}"#;
        assert_eq!(desired.patch(patch), Patched::Process);
        assert_eq!(desired.text().expect("a document"), r#"{"routes":{"b":"y","c":"z"},"list":[3],"$version":5}"#);
    }

    #[test]
    fn nulls_below_a_new_object_are_kept() {
        let mut desired = desired(r#"{"routes":{},"$version":1}"#);
        desired.patch(r#"{"routes":{"a":{"route":"x","priority":null}},"$version":2}"#);
        assert!(desired.text().expect("a document").contains(r#""priority":null"#));
    }

    #[test]
    fn a_gap_in_versions_asks_for_the_whole_twin() {
        let mut desired = desired(r#"{"routes":{},"$version":1}"#);
        assert_eq!(desired.patch(r#"{"routes":{"a":"x"},"$version":3}"#), Patched::Incomplete);
        assert_eq!(desired.patch(r#"{"routes":{"a":"x"},"$version":1}"#), Patched::Stale);
        assert_eq!(desired.version(), Some(1));
    }

    #[test]
    fn an_empty_twin_is_no_configuration() {
        let mut desired = Desired::default();
        assert!(!desired.replace(r#"{"$version":1}"#));
        assert!(!desired.replace("[]"));
    }
}
