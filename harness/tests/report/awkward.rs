//! A large run full of what breaks reports: markup, long routes, letters of every kind.

use std::time::Duration;

use harness::event::Event;
use harness::outcome::{Outcome, SmallestCase, Violation, Waited};
use harness::report::Record;
use harness::requirement::Catalogue;

use crate::sample;

pub const MARKUP: &str = "<script>alert(1)</script>&\"'<img src=x onerror=alert(2)>";

const AREAS: [(&str, usize, &str); 9] = [
    ("MQTT-BAG", 9, "A property bag in a topic is decoded once, and unknown keys are application properties."),
    ("MQTT-DLV", 15, "A message to an input is delivered to the module that subscribed to it, and to no other."),
    ("MQTT-PUB", 11, "A PUBLISH of QoS 1 is acknowledged with a PUBACK whether or not a route wants the message."),
    (
        "ROUTE-CFG",
        21,
        "One bad route at parse stage MUST reject the whole document, leaving previous routes and TTL in force.",
    ),
    ("ROUTE-FAN", 6, "Several matching routes to one endpoint yield one delivery."),
    (
        "ROUTE-LANG",
        14,
        "AND binds tighter than OR, and NOT of an undefined operand is undefined, which does not match.",
    ),
    ("ROUTE-SINK", 4, "A sink BrokeredEndpoint(\"/modules/m/inputs/i\") delivers to the input i of the module m."),
    (
        "ROUTE-SRC",
        14,
        "A source /messages/modules/m1/* MUST NOT take messages of a module whose name only begins with m1.",
    ),
    ("TWIN-GET", 6, "A twin that the cloud refuses is answered from the store."),
];

fn catalogue() -> Catalogue {
    let mut text = String::new();
    for (area, number, claim) in AREAS {
        for index in 1..=number {
            let level = ["must", "must", "must", "should", "may"][index % 5];
            let provenance = ["documented", "source", "observed"][index % 3];
            text.push_str(&format!(
                "[[requirement]]\nid = \"{area}-{index:02}\"\nlevel = \"{level}\"\nclaim = {claim:?}\n\
                 source = \"Azure/iotedge 55353a64, edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Core/config/{area}.cs\"\n\
                 provenance = \"{provenance}\"\nquirk = {}\n",
                index % 7 == 0
            ));
            if area == "TWIN-GET" {
                text.push_str("disposition = \"The simulated IoT Hub cannot refuse a single twin yet.\"\n");
            }
        }
    }
    Catalogue::parse([("awkward.toml", text.as_str())]).expect("the sample is a catalogue")
}

fn long_route() -> String {
    let condition =
        (0..9).map(|index| format!("temperature{index} > {index}.5 AND $body.nested.path{index} <> '{index}'"));
    let condition = condition.collect::<Vec<_>>().join(" OR ");
    format!(
        "the-long-one: FROM /messages/modules/sensorA/outputs/* WHERE {condition} INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")"
    )
}

fn marked_up() -> Outcome {
    let steps = [
        "start the hub",
        "publish #1 while the upstream link is cut",
        "kill the hub",
        "start it again on the same storage",
    ];
    Outcome::Violated(Box::new(Violation {
        requirement: "ROUTE-SRC-08".to_owned(),
        expected: format!("#1 with body {MARKUP} reaches filter/in"),
        observed: "#1 reached filter/in and also filter10/in, with body 模块的消息 🌡️ \u{202e}desrever\u{202c} \x1b[31m\r\n]]> naïve ﷽".to_owned(),
        smallest_case: SmallestCase {
            routes: vec![long_route(), "r2: FROM /messages/modules/m1/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")".to_owned()],
            messages: vec![format!("m1, output out, properties {MARKUP}=\"温度\", body {{\"温度\": 21.5, \"ünï\": \"👩‍🔬\"}}"), "m10, output out, empty body".to_owned()],
            steps: steps.map(str::to_owned).to_vec(),
        },
        timeline: vec![
            sample::moment(0.0, "m1", "#1 published on output out", false),
            sample::moment(0.004, "m10", "#2 published on output out", false),
            sample::moment(0.009, "m1", "#1 acknowledged", false),
            sample::moment(0.013, "m10", "#2 acknowledged", false),
            sample::moment(0.412, "filter/in", "#1 delivered", false),
            sample::moment(0.598, "a-module-with-a-really-long-name-of-its-own/input-with-a-long-name", &format!("#2 delivered {MARKUP}"), true),
            sample::moment(12.25, "harness", "marker delivered", false),
        ],
        waited: Some(Waited { deadline: "ROUTING", limit: Duration::from_secs(10), elapsed: Duration::from_millis(12_250) }),
    }))
}

/// A hundred requirements, two violations, and everything else a run can hold.
pub fn record() -> Record {
    let mut tests = Vec::new();
    for (area, number, _) in &AREAS[..8] {
        for index in (1..=*number).filter(|index| index % 6 != 0) {
            let suite = if area.starts_with("MQTT") { "telemetry" } else { "routing" };
            let section = area.split('-').next_back().unwrap_or_default().to_lowercase();
            let ids = [format!("{area}-{index:02}")];
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            for transport in ["mqtt", "mqtt-ws"] {
                let cases = if index % 4 == 0 { 0 } else { 40 * index as u64 };
                let name = format!(
                    "{suite}::{section}::claim_{index}_holds_for_every_generated_case_over_{}",
                    transport.replace('-', "_")
                );
                tests.push(sample::test(&name, transport, cases, &ids));
            }
        }
    }
    let mut record = Record::new(catalogue());
    record.observe(&sample::started(tests.clone()));
    for (index, test) in tests.iter().enumerate() {
        let outcome = match (test.requirements[0].as_str(), test.transport.as_str()) {
            ("ROUTE-SRC-08", "mqtt") => marked_up(),
            ("ROUTE-FAN-01", "mqtt-ws") => sample::twice(),
            ("MQTT-DLV-05", _) => sample::undecided(),
            ("ROUTE-SINK-03" | "MQTT-PUB-09", _) => sample::without_restart(),
            _ => Outcome::Conforms,
        };
        record.observe(&sample::finished(test, outcome, 200 + 37 * index as u64));
    }
    record
        .observe(&Event::Note { text: "A newer edgecert is needed for 2 deviations; they were left out.".to_owned() });
    record.observe(&sample::ended(184));
    record
}
