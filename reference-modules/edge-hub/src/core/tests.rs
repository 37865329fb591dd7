//! The core in virtual time: a store that answers when it is told to, and clients that are nothing but ids.

use std::time::Duration;

use super::*;
use crate::core::output::{Copy, Verdict};

/// A core, what it put out, and the time.
pub(super) struct Bench {
    core: Core,
    now: Timestamp,
    out: Vec<Output>,
    offsets: HashMap<QueueId, u64>,
    published: u64,
}

pub(super) const SENDER: ConnectionId = ConnectionId(1);
const RECEIVER: ConnectionId = ConnectionId(2);

/// As the product has them by default.
pub(super) fn settings() -> CoreSettings {
    CoreSettings {
        edge_device_id: String::from("edge1"),
        hub_module_id: String::from("$edgeHub"),
        max_connected_clients: 100,
        message_ack_timeout: Duration::from_secs(30),
        upstream_fan_out: 10,
        max_upstream_batch: 10,
        cleanup_interval: Duration::from_secs(1800),
        check_entire_queue: false,
        reported_sync: Duration::from_secs(5),
        min_twin_sync: Duration::from_secs(120),
        connectivity_check: Duration::from_secs(300),
        strong_twin_reads: false,
        any_reported_root: false,
        config_refresh: None,
        prompt_redelivery: false,
        local_configuration: None,
        seed: 7,
    }
}

impl Bench {
    /// Routes by a local configuration; module `sender` is connected.
    pub(super) fn with_routes(routes: &[&str]) -> Bench {
        Bench::with(routes, settings())
    }

    pub(super) fn with(routes: &[&str], settings: CoreSettings) -> Bench {
        let routes: serde_json::Map<String, serde_json::Value> =
            routes.iter().enumerate().map(|(number, route)| (format!("r{number}"), (*route).into())).collect();
        let document = serde_json::json!({
            "schemaVersion": "1.1", "routes": routes, "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
        });
        let local_configuration = Some(document.to_string());
        let core = Core::new(CoreSettings { local_configuration, ..settings });
        let mut bench = Bench {
            core,
            now: Timestamp::from_millis(1_000_000),
            out: Vec::new(),
            offsets: HashMap::new(),
            published: 0,
        };
        bench.tell(Input::Started { cached: None, applied: None });
        bench.connect(SENDER, "sender");
        bench
    }

    /// Tells the core something, and answers what the store would answer at once; appends wait for [`Bench::store`].
    pub(super) fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.core.handle(input, self.now) {
                if let Output::OpenQueue { queue, .. } = output {
                    inputs.push(Input::QueueOpened { queue, checkpoint: 0, tail: 0, length: 0 });
                }
                self.out.push(output);
            }
        }
    }

    fn connect(&mut self, connection: ConnectionId, module: &str) {
        self.tell(Input::Connected { connection, client: ClientId::module("edge1", module) });
    }

    fn receiver(&mut self) {
        self.connect(RECEIVER, "receiver");
        self.tell(Input::Subscribed { connection: RECEIVER, inputs: true, listening: Listening::default() });
    }

    fn publish(&mut self, body: &str) -> PublishId {
        self.published += 1;
        let publish = PublishId { connection: SENDER, number: self.published };
        let telemetry = Telemetry {
            sender: ClientId::module("edge1", "sender"),
            properties: Vec::new(),
            system: vec![(system::OUTPUT_NAME.to_owned(), Some(String::from("o")))],
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
            edge_message_id: String::from("id"),
        };
        self.tell(Input::Published { publish, telemetry });
        publish
    }

    /// The store confirms every append so far.
    fn store(&mut self) {
        let appends: Vec<(AppendId, Vec<Copy>)> = self.take(|output| match output {
            Output::Append { append, copies, .. } => Some((*append, copies.clone())),
            _ => None,
        });
        for (append, copies) in appends {
            let offsets = copies.iter().map(|copy| {
                let next = self.offsets.entry(copy.queue).or_default();
                *next += 1;
                *next - 1
            });
            let offsets = Some(offsets.collect());
            self.tell(Input::Stored { append, offsets });
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.tell(Input::Elapsed);
    }

    /// Takes matching outputs out of what was put out.
    pub(super) fn take<T>(&mut self, wanted: impl Fn(&Output) -> Option<T>) -> Vec<T> {
        let mut found = Vec::new();
        self.out.retain(|output| match wanted(output) {
            Some(taken) => {
                found.push(taken);
                false
            }
            None => true,
        });
        found
    }

    fn answers(&mut self) -> Vec<(u64, Verdict)> {
        self.take(|output| match output {
            Output::Answer { publish, verdict } => Some((publish.number, *verdict)),
            _ => None,
        })
    }

    fn deliveries(&mut self) -> Vec<(DeliveryId, String)> {
        self.take(|output| match output {
            Output::Deliver { delivery, envelope, .. } => {
                Some((*delivery, String::from_utf8_lossy(&envelope.message.body).into_owned()))
            }
            _ => None,
        })
    }

    pub(super) fn settle(&mut self, delivery: DeliveryId, outcome: DeliveryOutcome) {
        self.tell(Input::Settled { delivery, outcome });
    }
}

const TO_A: &str = "FROM /messages/* INTO BrokeredEndpoint(\"/modules/receiver/inputs/a\")";
const TO_B: &str = "FROM /messages/* INTO BrokeredEndpoint(\"/modules/receiver/inputs/b\")";

#[test]
fn a_message_is_acknowledged_when_every_copy_is_stored() {
    let mut bench = Bench::with_routes(&[TO_A, TO_B]);
    let publish = bench.publish("x");
    assert_eq!(bench.answers(), []);
    bench.store();
    assert_eq!(bench.answers(), [(publish.number, Verdict::Accepted)]);
}

#[test]
fn a_message_that_cannot_be_stored_is_not_acknowledged() {
    let mut bench = Bench::with_routes(&[TO_A]);
    let publish = bench.publish("x");
    let appends = bench.take(|output| match output {
        Output::Append { append, .. } => Some(*append),
        _ => None,
    });
    bench.tell(Input::Stored { append: appends[0], offsets: None });
    assert_eq!(bench.answers(), [(publish.number, Verdict::NotStored)]);
}

#[test]
fn a_message_no_route_wants_is_acknowledged_at_once() {
    let mut bench = Bench::with_routes(&["FROM /messages/modules/other INTO $upstream"]);
    let publish = bench.publish("x");
    assert_eq!(bench.answers(), [(publish.number, Verdict::Accepted)]);
}

#[test]
fn one_message_is_unacknowledged_at_a_time_over_all_inputs() {
    let mut bench = Bench::with_routes(&[TO_A, TO_B]);
    bench.receiver();
    bench.publish("1");
    bench.store();
    let first = bench.deliveries();
    assert_eq!(first.len(), 1, "{first:?}");
    bench.settle(first[0].0, DeliveryOutcome::Delivered);
    assert_eq!(bench.deliveries().len(), 1, "the other input's turn");
}

#[test]
fn messages_of_an_endpoint_keep_their_order() {
    let mut bench = Bench::with_routes(&[TO_A]);
    bench.receiver();
    for body in ["1", "2", "3"] {
        bench.publish(body);
    }
    bench.store();
    let mut seen = Vec::new();
    while let Some((delivery, body)) = bench.deliveries().pop() {
        seen.push(body);
        bench.settle(delivery, DeliveryOutcome::Delivered);
    }
    assert_eq!(seen, ["1", "2", "3"]);
}

#[test]
fn an_absent_module_is_tried_again_after_one_second_and_then_less_often() {
    let mut bench = Bench::with_routes(&[TO_A]);
    bench.publish("1");
    bench.store();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let due = bench.core.next_due().expect("a retry is due");
        waits.push(due.since(bench.now));
        bench.wait(due.since(bench.now));
    }
    assert_eq!(waits[0], Duration::from_secs(1));
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    assert_eq!(waits.last(), Some(&Duration::from_secs(60)), "{waits:?}");
    bench.receiver();
    bench.wait(Duration::from_secs(60));
    assert_eq!(bench.deliveries().len(), 1);
}

#[test]
fn a_message_that_is_not_acknowledged_comes_again() {
    let mut bench = Bench::with_routes(&[TO_A]);
    bench.receiver();
    bench.publish("1");
    bench.store();
    assert_eq!(bench.deliveries().len(), 1);
    bench.wait(Duration::from_secs(29));
    assert_eq!(bench.deliveries(), []);
    bench.wait(Duration::from_secs(1));
    bench.wait(Duration::from_secs(1));
    let again = bench.deliveries();
    assert_eq!(again.len(), 1, "30 s of patience and 1 s of pause");
    bench.settle(again[0].0, DeliveryOutcome::Delivered);
    bench.wait(Duration::from_secs(120));
    assert_eq!(bench.deliveries(), []);
}

#[test]
fn a_takeover_fails_what_the_older_connection_had_not_acknowledged() {
    let mut bench = Bench::with_routes(&[TO_A]);
    bench.receiver();
    bench.publish("1");
    bench.store();
    assert_eq!(bench.deliveries().len(), 1);
    let newer = ConnectionId(3);
    bench.connect(newer, "receiver");
    bench.tell(Input::Subscribed { connection: newer, inputs: true, listening: Listening::default() });
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.deliveries().len(), 1, "without running out the 30 s");
}

#[test]
fn a_failure_upstream_keeps_the_order_of_a_sender() {
    let mut bench = Bench::with_routes(&["FROM /messages/* INTO $upstream"]);
    for body in ["1", "2", "3"] {
        bench.publish(body);
    }
    bench.store();
    let sends = |bench: &mut Bench| {
        bench.take(|output| match output {
            Output::Send { send, messages, .. } => {
                let bodies =
                    messages.iter().map(|envelope| String::from_utf8_lossy(&envelope.message.body).into_owned());
                Some((*send, bodies.collect::<Vec<_>>()))
            }
            _ => None,
        })
    };
    let mut seen = Vec::new();
    for round in 0..6 {
        for (send, bodies) in sends(&mut bench) {
            // Every other attempt breaks off behind its first message.
            let (accepted, outcome) =
                if round % 2 == 0 { (1, SendOutcome::Failed) } else { (bodies.len(), SendOutcome::Accepted) };
            let accepted = accepted.min(bodies.len());
            seen.extend(bodies[..accepted].to_vec());
            bench.tell(Input::Sent { send, accepted, outcome });
        }
        bench.wait(Duration::from_secs(60));
    }
    assert_eq!(seen, ["1", "2", "3"]);
}
