//! What a module may try to get messages from the cloud, or the right to upload a file: topics, filters and requests of
//! every kind and spelling, its own address or another's. None of it may have any effect.
//!
//! The edge device is `gw7`, the module [`GUEST`], the leaf device [`VISITOR`], and `other` is another module.

use std::fmt;

use harness::client::https::{CALLER, HttpsRequest};
use harness::environment::Environment;
use harness::observe::history::Identity;
use proptest::prelude::*;
use proptest::sample::select;

use crate::mqtt_head::guest::{GUEST, VISITOR, device, module};

/// One thing a module tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// A SUBSCRIBE.
    Subscribe {
        /// Filter.
        filter: String,
        /// QoS asked for.
        qos: u8,
    },
    /// A PUBLISH at QoS 1.
    Publish {
        /// Topic.
        topic: String,
    },
    /// A request over HTTPS.
    Ask {
        /// Verb.
        verb: String,
        /// Path and query.
        path: String,
        /// Whose token goes with it.
        token: Whose,
    },
}

/// Whose token a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The module's.
    Own,
    /// The leaf device's.
    OfTheLeafDevice,
    /// One that was never good.
    Broken,
    /// None at all.
    Nobody,
}

/// A body of a request for an upload, as SDKs write it.
const WANTED: &str = r#"{"blobName":"log.txt"}"#;

impl Attempt {
    /// The request over HTTPS, for those that are one.
    pub fn request(&self, environment: &Environment) -> Option<HttpsRequest> {
        let Attempt::Ask { verb, path, token } = self else { return None };
        let request = HttpsRequest::new(verb, path.clone());
        let request = if verb == "POST" { request.json(WANTED) } else { request };
        let named = |identity: &Identity| {
            let client_id = environment.login(identity).client_id;
            request.clone().token(environment.token(identity)).header(CALLER, client_id)
        };
        Some(match token {
            Whose::Own => named(&module(GUEST)),
            Whose::OfTheLeafDevice => named(&device(VISITOR)),
            Whose::Broken => request.token("SharedAccessSignature sr=a&sig=b&se=9999999999"),
            Whose::Nobody => request,
        })
    }

    /// The requirement that says what the hub must answer.
    pub fn requirement(&self) -> &'static str {
        match self {
            Attempt::Subscribe { .. } => "C2D-02",
            Attempt::Publish { .. } => "FILE-03",
            Attempt::Ask { path, .. } if !path.to_lowercase().contains("/f") => "C2D-12",
            Attempt::Ask { path, .. } if path.contains("odules") || path.contains("ODULES") => "FILE-02",
            Attempt::Ask { .. } => "FILE-01",
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attempt::Subscribe { filter, qos } => write!(f, "it subscribes to {filter} at QoS {qos}"),
            Attempt::Publish { topic } => write!(f, "it publishes to {topic}"),
            Attempt::Ask { verb, path, token } => {
                let token = match token {
                    Whose::Own => "its own token",
                    Whose::OfTheLeafDevice => "the token of leaf device visitor",
                    Whose::Broken => "a broken token",
                    Whose::Nobody => "no token",
                };
                write!(f, "it asks {verb} {path} over HTTPS, with {token}")
            }
        }
    }
}

/// Whose messages, or whose files: the module's own, its device's, another module's, a leaf device's.
const ADDRESSES: [&str; 6] = [
    "devices/gw7/modules/guest",
    "devices/gw7",
    "devices/visitor",
    "devices/gw7/modules/other",
    "devices/gw7/guest",
    "devices/leaf1",
];

/// Every way that is written down somewhere, spelled as it is written there.
pub fn known() -> Vec<Attempt> {
    let mut all = Vec::new();
    for address in ADDRESSES {
        all.push(Attempt::Subscribe { filter: format!("{address}/messages/devicebound/#"), qos: 1 });
        all.push(Attempt::Publish { topic: format!("{address}/messages/devicebound/%24.mid=forged") });
        for tail in ["/files", "/files/notifications"] {
            for token in [Whose::Own, Whose::OfTheLeafDevice, Whose::Nobody] {
                let path = format!("/{address}{tail}?api-version=2021-04-12");
                all.push(Attempt::Ask { verb: "POST".to_owned(), path, token });
            }
        }
        let path = format!("/{address}/messages/devicebound?api-version=2021-04-12");
        all.push(Attempt::Ask { verb: "GET".to_owned(), path, token: Whose::Own });
    }
    for topic in ["$iothub/files/POST/?$rid=1", "$iothub/files/notifications/?$rid=2"] {
        all.push(Attempt::Publish { topic: topic.to_owned() });
    }
    all
}

/// Attempts of all kinds, in any order.
pub fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let attempt = prop_oneof![
        4 => (filter(), 0..=2_u8).prop_map(|(filter, qos)| Attempt::Subscribe { filter, qos }),
        2 => topic().prop_map(|topic| Attempt::Publish { topic }),
        4 => (verb(), path(), token()).prop_map(|(verb, path, token)| Attempt::Ask { verb, path, token }),
    ];
    prop::collection::vec(attempt, 1..8)
}

fn address() -> impl Strategy<Value = String> {
    let strange = select(vec![
        "devices/+/modules/+",
        "devices/+",
        "devices/GW7",
        "Devices/gw7",
        "devices/gw7%2Fmodules%2Fguest",
        "devices/%67w7",
        "devices/gw7/modules/guest/modules/guest",
        "devices/gw7/modules/$edgeHub",
        "devices//modules/guest",
        "devices",
        "devices/nobody",
    ]);
    prop_oneof![3 => select(ADDRESSES.to_vec()), 1 => strange].prop_map(str::to_owned)
}

/// Filters that a hub may take for a wish for messages from the cloud. Each is one that MQTT allows.
fn filter() -> impl Strategy<Value = String> {
    let prefix = prop_oneof![8 => Just(""), 1 => select(vec!["x/", "/", "$share/g/", "+/", "gw7/"])];
    let tail = prop_oneof![
        6 => Just("/messages/devicebound/#"),
        2 => select(vec!["/messages/devicebound", "/messages/devicebound/+", "/messages/#", "/#", "/messages/+/#"]),
        2 => select(vec![
            "/messages/deviceBound/#",
            "/Messages/Devicebound/#",
            "/messages/device%62ound/#",
            "/messages%2Fdevicebound/#",
            "//messages/devicebound/#",
            "/messages/devicebound//#",
            "/messages/devicebound/messages/devicebound/#",
            "/inputs/messages/devicebound/#",
            "/messages/events/#",
        ]),
    ];
    prop_oneof![
        12 => (prefix, address(), tail).prop_map(|(prefix, address, tail)| format!("{prefix}{address}{tail}")),
        1 => select(vec!["#", "+/#", "$iothub/#", "messages/devicebound/#", "/messages/devicebound/#", "$iothub/files/#"])
            .prop_map(str::to_owned),
    ]
}

/// Topics of the cloud's own messages, and such as could be taken for file upload. None is telemetry or a twin request.
fn topic() -> impl Strategy<Value = String> {
    let tail = select(vec![
        "/messages/devicebound",
        "/messages/devicebound/",
        "/messages/devicebound/%24.mid=forged&a=b",
        "/messages/deviceBound/a=b",
        "/files",
        "/files/",
        "/files/notifications",
        "/files/POST/?$rid=3",
        "/messages/files",
    ]);
    let address = address().prop_map(|address| address.replace('+', "gw7"));
    prop_oneof![
        3 => (address, tail).prop_map(|(address, tail)| format!("{address}{tail}")),
        2 => select(vec![
            "$iothub/files/POST/?$rid=1",
            "$iothub/files/notifications/POST/?$rid=1",
            "$iothub/files/PUT/log.txt/?$rid=1",
            "$iothub/Files/POST/?$rid=1",
            "$iothub/files",
            "$iothub/blobs/POST/?$rid=1",
            "$iothub/devicebound/GET/?$rid=1",
            "$iothub/messages/devicebound/?$rid=1",
        ]).prop_map(str::to_owned),
    ]
}

fn verb() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("POST"), 3 => Just("GET"), 2 => select(vec!["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])]
        .prop_map(str::to_owned)
}

fn token() -> impl Strategy<Value = Whose> {
    prop_oneof![
        3 => Just(Whose::Own),
        1 => Just(Whose::OfTheLeafDevice),
        1 => Just(Whose::Broken),
        1 => Just(Whose::Nobody),
    ]
}

/// Paths that an IoT Hub has for its devices, spelled in ways that a server may take for the same.
fn path() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        8 => select(ADDRESSES.to_vec()).prop_map(str::to_owned),
        1 => select(vec!["devices/gw7%2Fmodules%2Fguest", "devices/%67w7", "devices/gw7/modules/%24edgeHub", "devices/nobody"])
            .prop_map(str::to_owned),
    ];
    let tail = select(vec![
        "/files",
        "/files/notifications",
        "/files/notifications/correlation",
        "/f%69les",
        "/messages/devicebound",
        "/messages/deviceBound",
        "/messages/devicebound/8c3d",
        "/messages/devicebound/8c3d/abandon",
        "/messages%2Fdevicebound",
    ]);
    let query = select(vec!["?api-version=2021-04-12", "", "?api-version=2021-04-12&reject", "?blobName=log.txt"]);
    (address, tail, select(vec!["", "/"]), query, prop::bool::weighted(0.2)).prop_map(
        |(address, tail, slash, query, capitals)| {
            let words = format!("/{address}{tail}{slash}");
            // A device and its capitals are two; the words of a path are not.
            let words = if capitals {
                ["devices", "modules", "files", "messages"]
                    .iter()
                    .fold(words, |path, word| path.replace(&format!("/{word}"), &format!("/{}", word.to_uppercase())))
            } else {
                words
            };
            format!("{words}{query}")
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::oracle::mqtt::topic::{self, Publish};
    use proptest::strategy::ValueTree as _;

    fn drawn() -> impl Iterator<Item = Attempt> {
        let mut runner = TestRunner::deterministic();
        let mut all = known();
        for _ in 0..2_000 {
            all.extend(attempts().new_tree(&mut runner).expect("nothing is rejected").current());
        }
        all.into_iter()
    }

    #[test]
    fn no_attempt_is_something_a_module_may_do() {
        for attempt in drawn() {
            if let Attempt::Publish { topic: text } = &attempt {
                let meant = topic::publish(text);
                assert!(matches!(meant, Publish::Dropped), "{text}: {meant:?}");
                assert!(!text.contains(['#', '+']), "{text}");
            }
            if let Attempt::Ask { path, .. } = &attempt {
                let words = path.split('?').next().unwrap_or_default().to_lowercase();
                assert!(["f", "messages"].iter().any(|word| words.contains(&format!("/{word}"))), "{path}");
                assert!(!words.contains("methods") && !words.contains("scope"), "{path}");
            }
        }
    }

    #[test]
    fn every_filter_is_one_that_mqtt_allows() {
        for attempt in drawn() {
            let Attempt::Subscribe { filter, .. } = attempt else { continue };
            let levels: Vec<&str> = filter.split('/').collect();
            let (last, others) = levels.split_last().expect("there is always one");
            assert!(others.iter().all(|level| !level.contains('#')), "{filter}");
            assert!(levels.iter().all(|level| level.len() == 1 || !level.contains(['#', '+'])), "{filter}");
            assert!(!filter.is_empty() && *last != "$", "{filter}");
        }
    }

    #[test]
    fn each_requirement_about_answers_is_drawn() {
        for requirement in ["C2D-02", "FILE-03", "C2D-12", "FILE-01", "FILE-02"] {
            assert!(drawn().any(|attempt| attempt.requirement() == requirement), "{requirement}");
        }
    }
}
