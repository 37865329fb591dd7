//! A twin as clients see it: two sections, each with its version.

use crate::core::lenient_json::{self, Json};
use crate::faults::planted;

/// Both sections of a twin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Twin {
    /// What the cloud wants.
    pub(crate) desired: Json,
    /// What the client says.
    pub(crate) reported: Json,
}

impl Twin {
    /// What a client gets of whom nothing is known.
    pub(crate) fn empty() -> Twin {
        Twin { desired: Json::Object(Vec::new()), reported: Json::Object(Vec::new()) }
    }

    /// Reads a document; `None` when it is no object. A section that is not there, or is no object, is empty.
    pub(crate) fn read(text: &[u8]) -> Option<Twin> {
        let Ok(Json::Object(members)) = lenient_json::read(&String::from_utf8_lossy(text)) else { return None };
        Some(Twin::of(members))
    }

    /// The twin that these members hold.
    pub(crate) fn of(members: Vec<(String, Json)>) -> Twin {
        let mut twin = Twin::empty();
        for (name, section) in members {
            match (name.as_str(), &section) {
                ("desired", Json::Object(_)) => twin.desired = section,
                ("reported", Json::Object(_)) => twin.reported = section,
                _ => {}
            }
        }
        twin
    }

    /// The document.
    pub(crate) fn json(self) -> Json {
        Json::Object(vec![(String::from("desired"), self.desired), (String::from("reported"), self.reported)])
    }

    /// The document as a client gets it: dates and floats re-spelled.
    pub(crate) fn shown(&self) -> String {
        let mut twin = self.clone();
        if planted("GET03-version-of-desired-is-one-less") {
            set_version(&mut twin.desired, |version| version - 1);
        }
        let tags = planted("GET02-tags-are-shown");
        let Json::Object(mut members) = twin.json() else { unreachable!("a twin is an object") };
        if tags {
            members.push((String::from("tags"), Json::Object(Vec::new())));
        }
        if planted("GET04-sections-are-wrapped-in-properties") {
            members = vec![(String::from("properties"), Json::Object(members))];
        }
        Json::Object(members).compact()
    }
}

/// The version of a section or a patch; `None` when there is none.
pub(crate) fn version_of(section: &Json) -> Option<i64> {
    let Json::Object(members) = section else { return None };
    members.iter().find_map(|(name, value)| match value {
        Json::Integer(version) if name == "$version" => Some(*version),
        _ => None,
    })
}

/// Changes the version of a section: only planted faults do.
pub(crate) fn set_version(section: &mut Json, change: impl Fn(i64) -> i64) {
    let Json::Object(members) = section else { return };
    for (name, value) in members {
        if let (Json::Integer(version), "$version") = (value, name.as_str()) {
            *version = change(*version);
        }
    }
}
