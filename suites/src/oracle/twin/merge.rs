//! Patches applied to documents, and the patch that leads from one document to another.

use super::Json;

/// What a null in a patch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Takes the member away: so the cached twin is changed. What is new is taken as it stands, nulls in it too.
    Delete,
    /// Takes the member away, and leaves no trace in what is new: so the cloud's twin is changed.
    Strip,
    /// Stays, for whoever gets the patch: so what waits for the cloud is gathered.
    Keep,
}

/// A document with a patch applied.
pub fn merge(base: &Json, patch: &Json, nulls: Nulls) -> Json {
    let fresh = Vec::new();
    let (known, changes) = match (base, patch) {
        (Json::Object(known), Json::Object(changes)) => (known, changes),
        (_, Json::Object(changes)) if nulls == Nulls::Strip => (&fresh, changes),
        _ => return patch.clone(),
    };
    let mut merged = known.clone();
    for (name, change) in changes {
        let place = merged.iter().position(|(known, _)| known == name);
        match (place, change) {
            (Some(at), Json::Null) if nulls != Nulls::Keep => drop(merged.remove(at)),
            (None, Json::Null) if nulls != Nulls::Keep => {}
            (Some(at), Json::Null) => merged[at].1 = Json::Null,
            (Some(at), change) => merged[at].1 = merge(&merged[at].1, change, nulls),
            (None, change) if nulls == Nulls::Strip => merged.push((name.clone(), merge(&Json::Null, change, nulls))),
            (None, change) => merged.push((name.clone(), change.clone())),
        }
    }
    Json::Object(merged)
}

/// The patch that leads from one object to another.
pub fn diff(from: &Json, to: &Json) -> Json {
    let (Json::Object(old), Json::Object(new)) = (from, to) else { return to.clone() };
    let find = |members: &'_ [(Vec<u16>, Json)], name: &[u16]| members.iter().position(|(known, _)| known == name);
    let mut patch: Vec<(Vec<u16>, Json)> = Vec::new();
    for (name, value) in old {
        match find(new, name).map(|at| &new[at].1) {
            None => patch.push((name.clone(), Json::Null)),
            Some(other @ Json::Object(_)) if matches!(value, Json::Object(_)) => {
                let inner = diff(value, other);
                if inner != Json::Object(Vec::new()) {
                    patch.push((name.clone(), inner));
                }
            }
            Some(other) if !same(value, other) => patch.push((name.clone(), other.clone())),
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|(name, _)| find(old, name).is_none());
    patch.extend(added.cloned());
    Json::Object(patch)
}

/// Whether two documents are the same: the order of members does not matter, a whole number is none with a point, and
/// the spellings of one date are equal.
pub fn same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Object(one), Json::Object(other)) => {
            let among =
                |name: &[u16], value: &Json| other.iter().any(|(known, with)| known == name && same(value, with));
            one.len() == other.len() && one.iter().all(|(name, value)| among(name, value))
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Json::Date(one), Json::Date(other)) => one.ticks == other.ticks,
        (Json::Float(one), Json::Float(other)) => one == other || one.is_nan() && other.is_nan(),
        _ => one == other,
    }
}

/// The same document with its members by name.
pub fn in_order(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), in_order(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Json::Object(members)
        }
        Json::Array(elements) => Json::Array(elements.iter().map(in_order).collect()),
        other => other.clone(),
    }
}
