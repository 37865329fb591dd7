//! What must hold: requirements, models, properties, examples, planted faults. Nothing here depends on a subject.
//!
//! - `requirements/*.toml`, `faults/*.toml`, `examples/*.toml`: data. [`catalogue`] and [`faults`] read it.
//! - [`routing`], [`telemetry`], [`mqtt_head`], [`amqp_head`], [`cross_protocol`], [`store_and_forward`]: the suites; [`deployment`]: the tests of a manifest somebody brings along.
//! - [`scene`], [`refusal`], [`course`]: the forms a case can take, and how each is judged.
//! - [`property`], [`generate`]: generated cases. [`model`] and [`oracle`]: what must come of them.
//! - [`soak`]: long runs of one kind of trouble, commands of their own.
//! - [`vectors`]: recorded results of the product's code, replayed on the oracle.

pub mod amqp_head;
pub mod course;
pub mod cross_protocol;
pub mod declare;
pub mod deployment;
pub mod direct_methods;
pub mod examples;
pub mod faults;
pub mod generate;
pub mod identity;
pub mod model;
pub mod mqtt_head;
pub mod oracle;
pub mod property;
pub mod refusal;
pub mod rejections;
pub mod routing;
pub mod scene;
pub mod scenes;
pub mod soak;
pub mod store_and_forward;
pub mod telemetry;
pub mod twins;
pub mod vectors;

use harness::environment::Blueprint;
use harness::requirement::{Catalogue, CatalogueError};
use harness::runner::Test;

/// The suites, each with one sentence about it.
pub const SUITES: [(&str, &str); 10] = [
    ("routing", "configuration, sources, sinks, the condition language, fan-out, live changes: where a message goes"),
    ("telemetry", "topics, property bag, system properties, sender and body: what a message is when it arrives"),
    ("mqtt_head", "connecting, authentication, sessions, subscribing, limits and faults: what the protocol head does"),
    ("amqp_head", "layers, tokens, links, outcomes, twins and methods: what the head of the other protocol does"),
    ("store_and_forward", "loss, duplicates, order, priority and expiry across restarts, kills and outages"),
    (
        "twins",
        "reported and desired properties, versions, validation, isolation: what a twin holds and who hears of it",
    ),
    ("direct_methods", "who may call whom, over HTTPS and from the cloud, and what exactly the caller gets"),
    ("rejections", "cloud-to-device messages and file upload: refused to modules, given to leaf devices"),
    ("cross_protocol", "messages, twins, methods and takeover between clients that speak different protocols"),
    ("identity", "who may act as whom, and what becomes of a client whose identity changes"),
];

/// Every requirement.
///
/// # Errors
/// [`CatalogueError`] names the file; a test holds that there is none.
pub fn catalogue() -> Result<Catalogue, CatalogueError> {
    Catalogue::parse([
        ("routing.toml", include_str!("../requirements/routing.toml")),
        ("mqtt.toml", include_str!("../requirements/mqtt.toml")),
        ("mqtt_connect.toml", include_str!("../requirements/mqtt_connect.toml")),
        ("mqtt_packets.toml", include_str!("../requirements/mqtt_packets.toml")),
        ("amqp_head.toml", include_str!("../requirements/amqp_head.toml")),
        ("cross_protocol.toml", include_str!("../requirements/cross_protocol.toml")),
        ("store_and_forward.toml", include_str!("../requirements/store_and_forward.toml")),
        ("twins.toml", include_str!("../requirements/twins.toml")),
        ("direct_methods.toml", include_str!("../requirements/direct_methods.toml")),
        ("https.toml", include_str!("../requirements/https.toml")),
        ("rejections.toml", include_str!("../requirements/rejections.toml")),
        ("identity.toml", include_str!("../requirements/identity.toml")),
        ("modules.toml", include_str!("../requirements/modules.toml")),
    ])
}

/// Every test, in the order of the suites.
pub fn tests() -> Vec<Test> {
    let mut tests = routing::tests();
    tests.extend(telemetry::tests());
    tests.extend(mqtt_head::tests());
    tests.extend(amqp_head::tests());
    tests.extend(store_and_forward::tests());
    tests.extend(twins::tests());
    tests.extend(direct_methods::tests());
    tests.extend(rejections::tests());
    tests.extend(cross_protocol::tests());
    tests.extend(identity::tests());
    tests
}

/// What every stage has.
pub fn blueprint() -> Blueprint {
    let numbered: Vec<String> = (0..16).map(|number| format!("i{number}")).collect();
    let mut inputs: Vec<(&str, &str)> = numbered.iter().map(|input| ("sink", input.as_str())).collect();
    inputs.extend([("other", "in"), ("other", "IN")]);
    inputs.extend(mqtt_head::guest::INPUTS);
    let modules = ["probe", "m1", "m10", "cam", "cam2", "sink", "other", "dot.ted"];
    let mut guests = mqtt_head::guest::guests();
    guests.extend(direct_methods::guests());
    Blueprint { guests, ..Blueprint::new("gw7", &modules, &["leaf1", "leaf2"], &inputs) }
}
