//! Runs made up for the tests of reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness::event::{Event, PlannedTest, TestResult};
use harness::outcome::{Moment, Outcome, SmallestCase, Violation, Waited};
use harness::report::Record;
use harness::requirement::Catalogue;

const CATALOGUE: &str = r#"
[[requirement]]
id = "ROUTE-FAN-01"
level = "must"
claim = "Several matching routes to one endpoint yield one delivery."
source = "Deploy modules and establish routes, section Declare routes; product 1.5"
provenance = "documented"

[[requirement]]
id = "ROUTE-FAN-02"
level = "should"
claim = "A message that no route matches is acknowledged and dropped."
source = "Azure/iotedge 55353a64, edge-hub/core/src/Router.cs"
provenance = "source"
quirk = true

[[requirement]]
id = "ROUTE-RST-01"
level = "must"
claim = "Acknowledged messages survive a restart of the hub."
source = "Understand extended offline capabilities"
provenance = "documented"
needs = ["restart"]

[[requirement]]
id = "MQTT-PUB-01"
level = "must"
claim = "A PUBLISH of QoS 1 is acknowledged with a PUBACK."
source = "MQTT 3.1.1, section 4.3.2"
provenance = "documented"

[[requirement]]
id = "MQTT-PUB-02"
level = "may"
claim = "A retained message is delivered with the property mqtt-retain."
source = "seen on the product 1.5.21"
provenance = "observed"

[[requirement]]
id = "TWIN-GET-01"
level = "must"
claim = "A twin that the cloud refuses is answered from the store."
source = "Azure/iotedge 55353a64, TwinManager.cs"
provenance = "source"
disposition = "The simulated IoT Hub cannot refuse a single twin yet."

[[clause]]
name = "telemetry"
promise = "A module can send device-to-cloud messages that arrive wherever a route takes them, once and in order."
source = "Develop your own IoT Edge modules"
requirements = ["MQTT-PUB-01", "ROUTE-FAN-01", "TWIN-GET-01"]

[[clause]]
name = "restart"
promise = "A module need not send again what was acknowledged before the hub went down."
source = "Understand extended offline capabilities"
requirements = ["ROUTE-RST-01"]
"#;

pub fn catalogue() -> Catalogue {
    Catalogue::parse([("sample.toml", CATALOGUE)]).expect("the sample is a catalogue")
}

pub fn test(name: &str, transport: &str, cases: u64, requirements: &[&str]) -> PlannedTest {
    PlannedTest {
        name: name.to_owned(),
        suite: name.split("::").next().unwrap_or_default().to_owned(),
        transport: transport.to_owned(),
        requirements: requirements.iter().map(|id| (*id).to_owned()).collect(),
        cases,
    }
}

pub const FAN_OUT: &str = "routing::fan_out::each_matching_endpoint_gets_one_copy";
pub const DROPPED: &str = "routing::fan_out::a_message_without_a_route_is_dropped";
pub const RESTART: &str = "routing::restart::acknowledged_messages_survive";
pub const PUBACK: &str = "telemetry::publish::each_publish_is_acknowledged";

pub fn plan() -> Vec<PlannedTest> {
    vec![
        test(FAN_OUT, "mqtt", 1_200, &["ROUTE-FAN-01"]),
        test(DROPPED, "mqtt", 600, &["ROUTE-FAN-02"]),
        test(RESTART, "mqtt", 0, &["ROUTE-RST-01"]),
        test(PUBACK, "mqtt", 612, &["MQTT-PUB-01", "MQTT-PUB-02"]),
    ]
}

pub fn started(tests: Vec<PlannedTest>) -> Event {
    Event::RunStarted {
        subject: "embedded reference edgeHub 0.1.0".to_owned(),
        seed: 0x5eed,
        repeat: "edgecert test --seed 5eed".to_owned(),
        planted: None,
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        tests,
    }
}

pub fn finished(test: &PlannedTest, outcome: Outcome, millis: u64) -> Event {
    let kept = matches!(outcome, Outcome::Violated(_) | Outcome::Inconclusive { .. });
    Event::TestFinished(TestResult {
        test: test.clone(),
        outcome,
        cases: test.cases,
        duration: Duration::from_millis(millis),
        repeat: format!("edgecert test --seed 5eed --filter '{}'", test.name),
        evidence: kept.then(|| format!("report/evidence/{}", test.name.replace("::", ".")).into()),
    })
}

pub fn ended(seconds: u64) -> Event {
    Event::RunFinished { duration: Duration::from_secs(seconds) }
}

pub fn moment(at_s: f64, who: &str, what: &str, unexpected: bool) -> Moment {
    Moment { at_s, who: who.to_owned(), what: what.to_owned(), unexpected }
}

pub fn twice() -> Outcome {
    Outcome::Violated(Box::new(Violation {
        requirement: "ROUTE-FAN-01".to_owned(),
        expected: "sensorA#42 reaches $upstream once".to_owned(),
        observed: "sensorA#42 reached $upstream twice".to_owned(),
        smallest_case: SmallestCase {
            routes: vec![
                "r1: FROM /messages/* INTO $upstream".to_owned(),
                "r2: FROM /messages/modules/sensorA/* INTO $upstream".to_owned(),
            ],
            messages: vec!["sensorA, output temperature, empty body".to_owned()],
            steps: Vec::new(),
        },
        timeline: vec![
            moment(0.0, "sensorA", "#42 published on output temperature", false),
            moment(0.011, "sensorA", "#42 acknowledged", false),
            moment(0.412, "$upstream", "#42 delivered", false),
            moment(0.598, "$upstream", "#42 delivered", true),
        ],
        waited: Some(Waited {
            deadline: "ROUTING",
            limit: Duration::from_secs(10),
            elapsed: Duration::from_millis(600),
        }),
    }))
}

pub fn undecided() -> Outcome {
    Outcome::Inconclusive { reason: "the hub ended by itself with exit status 139 before the case was over".to_owned() }
}

pub fn without_restart() -> Outcome {
    Outcome::NotApplicable { reason: "the subject lacks the ability `restart`".to_owned() }
}

/// The events of a run whose tests end like this, in the order of [`plan`].
pub fn run(ends: [Outcome; 4]) -> Vec<Event> {
    let tests = plan();
    let mut events = vec![started(tests.clone())];
    for (test, end) in tests.iter().zip(ends) {
        let (name, transport) = (test.name.clone(), test.transport.clone());
        events.push(Event::TestStarted { test: name.clone(), transport: transport.clone() });
        events.push(Event::CasesJudged { test: name, transport, done: test.cases / 2 });
        events.push(finished(test, end, 1_000 + test.cases * 12));
    }
    events.push(ended(31));
    events
}

pub fn all_conform() -> Vec<Event> {
    run([Outcome::Conforms, Outcome::Conforms, Outcome::Conforms, Outcome::Conforms])
}

pub fn one_violated() -> Vec<Event> {
    run([twice(), Outcome::Conforms, without_restart(), Outcome::Conforms])
}

pub fn one_inconclusive() -> Vec<Event> {
    run([Outcome::Conforms, undecided(), Outcome::Conforms, Outcome::Conforms])
}

pub fn interrupted() -> Vec<Event> {
    let mut events = all_conform();
    events.truncate(6);
    events.push(Event::Interrupted);
    events.push(ended(12));
    events
}

pub fn record(events: &[Event]) -> Record {
    let mut record = Record::new(catalogue());
    events.iter().for_each(|event| record.observe(event));
    record
}

/// An empty folder of a test's own, below the build's.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("nobody else uses it");
    }
    fs::create_dir_all(&folder).expect("the build's folder is writable");
    folder
}
