use super::super::tests::{Bench, SENDER};
use super::*;
use crate::core::{Input, Listening};

const ON: Listening = Listening { desired: false, methods: false, cloud_to_device: true };
const OFF: Listening = Listening { desired: false, methods: false, cloud_to_device: false };
const LEAF: ConnectionId = ConnectionId(7);

/// What the core says about messages of the cloud, in order.
#[derive(Debug, PartialEq)]
enum Said {
    Listen(String, bool),
    Leave(String),
    Deliver(ConnectionId, DeliveryId, String),
    Complete(u32),
}

fn leaf() -> ClientId {
    ClientId::device("leaf1")
}

fn id(packet: u32) -> Option<CloudMessageId> {
    Some(CloudMessageId { connection: 1, packet })
}

impl Bench {
    fn said(&mut self) -> Vec<Said> {
        self.take(|output| match output {
            Output::Listen { client, listening } => Some(Said::Listen(client.to_string(), listening.cloud_to_device)),
            Output::Leave { client } => Some(Said::Leave(client.to_string())),
            Output::DeliverFromCloud { connection, delivery, message, .. } => {
                let body = String::from_utf8_lossy(&message.body).into_owned();
                Some(Said::Deliver(*connection, *delivery, body))
            }
            Output::SettleCloudMessage { message, feedback: Feedback::Complete, .. } => {
                Some(Said::Complete(message.packet))
            }
            _ => None,
        })
    }

    fn device(connection: ConnectionId) -> Bench {
        let mut bench = Bench::with_routes(&[]);
        bench.tell(Input::Connected { connection, client: leaf() });
        bench
    }

    fn wants(&mut self, connection: ConnectionId, listening: Listening) {
        self.tell(Input::Subscribed { connection, inputs: false, listening });
    }

    fn cloud_sends(&mut self, packet: u32, body: &'static str) {
        let message = CloudMessage { body: Bytes::from_static(body.as_bytes()), ..CloudMessage::default() };
        self.tell(Input::CloudMessage { client: leaf(), id: id(packet), message });
    }

    fn delivered(&mut self) -> Vec<(DeliveryId, String)> {
        let said = self.said().into_iter();
        said.filter_map(|said| match said {
            Said::Deliver(_, delivery, body) => Some((delivery, body)),
            _ => None,
        })
        .collect()
    }
}

#[test]
fn a_device_is_listened_for_while_it_subscribes_and_is_connected() {
    let mut bench = Bench::device(LEAF);
    assert_eq!(bench.said(), []);
    bench.wants(LEAF, ON);
    assert_eq!(bench.said(), [Said::Listen(leaf().to_string(), true)]);
    bench.wants(LEAF, OFF);
    assert_eq!(bench.said(), [Said::Listen(leaf().to_string(), false)]);
    bench.wants(LEAF, ON);
    assert_eq!(bench.said(), [Said::Listen(leaf().to_string(), true)]);
    bench.tell(Input::Disconnected { connection: LEAF });
    assert_eq!(bench.said(), [Said::Leave(leaf().to_string())]);
}

#[test]
fn a_module_is_never_listened_for() {
    let mut bench = Bench::with_routes(&[]);
    bench.wants(SENDER, ON);
    assert_eq!(bench.said(), []);
    bench.tell(Input::Disconnected { connection: SENDER });
    assert_eq!(bench.said(), []);
}

#[test]
fn a_message_is_completed_when_the_device_has_it_and_not_before() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.cloud_sends(3, "a");
    bench.cloud_sends(4, "b");
    let delivered = bench.delivered();
    assert_eq!(delivered.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bench.said(), []);
    bench.settle(delivered[1].0, DeliveryOutcome::Delivered);
    assert_eq!(bench.said(), [Said::Complete(4)]);
    bench.settle(delivered[1].0, DeliveryOutcome::Delivered);
    assert_eq!(bench.said(), [], "once only");
}

#[test]
fn what_is_not_acknowledged_goes_with_its_connection() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.cloud_sends(3, "a");
    let (delivery, _) = bench.delivered().remove(0);
    bench.tell(Input::Disconnected { connection: LEAF });
    bench.tell(Input::Connected { connection: ConnectionId(8), client: leaf() });
    bench.wants(ConnectionId(8), ON);
    bench.settle(delivery, DeliveryOutcome::Delivered);
    assert_eq!(bench.said(), [Said::Leave(leaf().to_string()), Said::Listen(leaf().to_string(), true)]);
    bench.cloud_sends(3, "a");
    assert_eq!(bench.delivered().len(), 1, "IoT Hub sends it again, and it counts like a new one");
}

#[test]
fn a_takeover_leaves_messages_to_iot_hub_as_well() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.cloud_sends(3, "a");
    let (delivery, _) = bench.delivered().remove(0);
    bench.tell(Input::Connected { connection: ConnectionId(8), client: leaf() });
    bench.settle(delivery, DeliveryOutcome::Delivered);
    assert_eq!(bench.said(), [Said::Leave(leaf().to_string())]);
}

#[test]
fn the_newcomer_of_a_takeover_has_the_connection_upstream_of_the_older() {
    let mut bench = Bench::device(LEAF);
    let methods = Listening { methods: true, ..OFF };
    bench.wants(LEAF, methods);
    assert_eq!(bench.said(), [Said::Listen(leaf().to_string(), false)]);
    bench.tell(Input::Connected { connection: ConnectionId(8), client: leaf() });
    assert_eq!(bench.said(), []);
    bench.tell(Input::Disconnected { connection: ConnectionId(8) });
    assert_eq!(bench.said(), [Said::Leave(leaf().to_string())], "though it never listened itself");
}

#[test]
fn a_takeover_leaves_messages_to_iot_hub_also_when_no_more_were_wanted() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, Listening { methods: true, ..ON });
    bench.cloud_sends(3, "a");
    bench.delivered();
    bench.wants(LEAF, Listening { methods: true, ..OFF });
    bench.said();
    bench.tell(Input::Connected { connection: ConnectionId(8), client: leaf() });
    assert_eq!(bench.said(), [Said::Leave(leaf().to_string())]);
}

#[test]
fn a_known_message_that_comes_again_is_delivered_again() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.cloud_sends(3, "a");
    bench.cloud_sends(3, "a");
    let delivered = bench.delivered();
    assert_eq!(delivered.len(), 2);
    bench.settle(delivered[1].0, DeliveryOutcome::Delivered);
    assert_eq!(bench.said(), [Said::Complete(3)]);
}

#[test]
fn a_message_that_comes_between_two_filters_is_delivered_with_the_second() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.wants(LEAF, OFF);
    bench.cloud_sends(3, "late");
    assert_eq!(bench.delivered(), []);
    bench.wants(LEAF, ON);
    assert_eq!(bench.delivered().len(), 1);
    bench.wants(LEAF, ON);
    assert_eq!(bench.delivered(), []);
}

#[test]
fn a_message_that_came_too_late_is_free_when_its_device_leaves() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.wants(LEAF, OFF);
    bench.cloud_sends(3, "late");
    bench.said();
    bench.tell(Input::Disconnected { connection: LEAF });
    assert_eq!(bench.said(), [Said::Leave(leaf().to_string())]);
}

#[test]
fn a_message_the_connection_could_not_pass_on_waits_for_a_filter() {
    let mut bench = Bench::device(LEAF);
    bench.wants(LEAF, ON);
    bench.cloud_sends(3, "a");
    let (delivery, _) = bench.delivered().remove(0);
    bench.settle(delivery, DeliveryOutcome::Failed);
    assert_eq!(bench.said(), []);
    bench.wants(LEAF, OFF);
    bench.wants(LEAF, ON);
    assert_eq!(bench.delivered().len(), 1);
}

#[test]
fn nothing_is_delivered_twice_that_iot_hub_sends_again() {
    let mut bench = Bench::device(LEAF);
    bench.cloud_sends(3, "early");
    bench.tell(Input::ListensAgain { client: leaf() });
    bench.wants(LEAF, ON);
    assert_eq!(bench.delivered(), []);
}

#[test]
fn a_message_for_an_absent_device_stays_with_iot_hub() {
    let mut bench = Bench::with_routes(&[]);
    bench.cloud_sends(3, "a");
    bench.tell(Input::Connected { connection: LEAF, client: leaf() });
    bench.wants(LEAF, ON);
    assert_eq!(bench.said(), [Said::Listen(leaf().to_string(), true)]);
}
