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
    let (resource, rid) = match rest.strip_prefix(GET).or_else(|| rest.strip_prefix(PATCH)) {
        Some(operand) => {
            let (resource, query) = operand.split_once('?').unwrap_or((operand, ""));
            (resource, rid(query))
        }
        None => return Publish::Fault,
    };
    // One slash too many is tolerated.
    let specialised = !resource.strip_suffix('/').unwrap_or(resource).is_empty();
    match (rest.starts_with(GET), rid) {
        (_, Err(Repeated)) => Publish::Fault,
        _ if specialised => Publish::Fault,
        (true, Ok(rid)) if rid.is_empty() => Publish::Fault,
        (true, Ok(rid)) => Publish::TwinGet { rid: rid.to_owned() },
        (false, Ok(rid)) => Publish::TwinPatch { rid: rid.to_owned() },
    }
}

/// A name stands twice in a query.
struct Repeated;

/// The value of `$rid`, empty without one. A value runs to the next `&`, slashes and `=` included.
fn rid(query: &str) -> Result<&str, Repeated> {
    let mut seen = Vec::new();
    let mut rid = "";
    // One `&` too many makes an empty name, which is a name like others: two of it are a repetition.
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(Repeated);
        }
        seen.push(name);
        if name == "$rid" {
            rid = value;
        }
    }
    Ok(rid)
}
