//! The texts of the MQTT head, each as a pure function: what the hub makes of a text a client sends, and which text a
//! client must see.
//!
//! - [`mod@user_name`]: the user name of CONNECT, and the identity in it.
//! - [`token`]: the SAS token in the password, judged against a claimed identity and its stored keys.
//! - [`topic`]: what a PUBLISH of a client is, and the topics of what the hub publishes.
//! - [`bag`]: the property bag in a topic. `property` names the system properties.
//! - [`filter`]: what the filter of a SUBSCRIBE asks for.
//! - `escape`: percent escapes, as leniently as the product reads them.
//!
//! Not here: what the wire decoder refuses before it (wildcards and empty topics), sizes, and what a message is once it
//! is routed. Written from the description of the product and from results recorded from its code
//! (`fixtures/vectors/mqtt-*.jsonl`, `sas-token.jsonl`; Azure/iotedge 55353a64), not from any hub of ours.

pub mod bag;
mod delivery;
mod escape;
pub mod filter;
mod property;
pub mod token;
pub mod topic;
mod twin;
pub mod user_name;

pub use bag::Malformed;
pub use filter::Class;
pub use topic::{Fate, Publish, Telemetry};
pub use user_name::{UserName, user_name};

/// Names and values in order; a name without a value has `None`. Names are unique where the product keeps a dictionary.
pub type Pairs = Vec<(String, Option<String>)>;

/// Sets a value: in place where the name is there already, else at the end.
fn put(pairs: &mut Pairs, name: &str, value: Option<String>) {
    match pairs.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => pairs.push((name.to_owned(), value)),
    }
}
