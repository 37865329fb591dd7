//! Twin requests: PUBLISHes under `$iothub/twin/`. What is none of the two requests closes the connection.
//!
//! Source: Azure/iotedge `Hub.Mqtt/TwinAddressHelper.cs`, as recorded in `fixtures/vectors/mqtt-topics.jsonl`.

use super::topic::Publish;

/// What all twin requests begin with; case-sensitive, and nothing may stand before it.
pub const PREFIX: &str = "$iothub/twin/";

const GET: &str = "GET/";
const PATCH: &str = "PATCH/properties/reported/";

/// What a topic behind the prefix asks for. `$rid` is taken as it is spelled, escapes and all.
pub fn request(rest: &str) -> Publish {
    let get = rest.strip_prefix(GET);
    let Some(operand) = get.or_else(|| rest.strip_prefix(PATCH)) else { return Publish::Fault };
    let (resource, query) = operand.split_once('?').unwrap_or((operand, ""));
    // One slash too many is tolerated.
    let specialised = !resource.strip_suffix('/').unwrap_or(resource).is_empty();
    match rid(query) {
        Some(rid) if !specialised && get.is_none() => Publish::TwinPatch { rid: rid.to_owned() },
        Some(rid) if !specialised && !rid.is_empty() => Publish::TwinGet { rid: rid.to_owned() },
        _ => Publish::Fault,
    }
}

/// The value of `$rid`, empty without one; `None` where any name stands twice. A value runs to the next `&`, slashes
/// and `=` included.
fn rid(query: &str) -> Option<&str> {
    let mut seen = Vec::new();
    let mut rid = "";
    // One `&` too many makes an empty name, which is a name like others: two of it are a repetition.
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        if name == "$rid" {
            rid = value;
        }
    }
    Some(rid)
}
