//! The connection, packet by packet, against a hub that says what the test wants it to say.

mod fake_daemon;
mod fake_hub;

use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;

use super::Connection;
use crate::environment::{Environment, Error, WorkloadUri};
use crate::message::Message;
use crate::twin::{News, Properties, TwinError};
use fake_daemon::FakeDaemon;
use fake_hub::{FakeHub, FromModule, Peer};

/// The hub and the daemon of one test, and the connection of the module between them.
async fn world() -> (FakeHub, FakeDaemon, Connection) {
    let hub = FakeHub::start().await;
    let daemon = FakeDaemon::start(hub.trust_bundle()).await;
    let environment = Environment {
        workload: WorkloadUri::Http(daemon.address()),
        api_version: "2022-08-03".to_owned(),
        device: "edge1".to_owned(),
        module: "relay".to_owned(),
        generation: "7".to_owned(),
        iot_hub_host: "iothub.test".to_owned(),
        gateway_host: "localhost".to_owned(),
    };
    let connection = Connection::to_port(environment, hub.port());
    (hub, daemon, connection)
}

fn text(body: &str) -> Message {
    Message { body: body.into(), properties: Vec::new() }
}

/// Lets the module and the test talk to each other until both are done.
async fn together<T>(
    module: impl Future<Output = Result<T, Error>>,
    test: impl Future<Output = ()>,
) -> Result<T, Error> {
    let both = async { tokio::join!(module, test) };
    tokio::time::timeout(PATIENCE, both).await.expect("neither waits for the other in vain").0
}

/// How long one dialogue may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The body of the PUBLISH that comes next, and its packet id.
async fn published(peer: &mut Peer) -> (String, u16) {
    match peer.read().await {
        Some(FromModule::Publish { payload, packet_id, .. }) => (String::from_utf8(payload).unwrap(), packet_id),
        other => panic!("a PUBLISH, not {other:?}"),
    }
}

const INPUT: &str = "devices/edge1/modules/relay/inputs/in/a=1&%24.cdid=edge1&%24.cmid=sensor";

#[tokio::test]
async fn a_module_shows_who_it_is_and_a_token_signed_by_the_daemon() {
    let (mut hub, mut daemon, connection) = world().await;
    let (seen, done) = oneshot::channel();
    let module = connection.until(async {
        done.await.unwrap();
        Ok(())
    });
    let test = async {
        let mut peer = hub.accept().await;
        let Some(FromModule::Connect { client_id, user_name, password, clean_session }) = peer.read().await else {
            panic!("a CONNECT comes first");
        };
        assert_eq!(client_id, "edge1/relay");
        assert!(user_name.starts_with("iothub.test/edge1/relay/?api-version="), "{user_name}");
        assert!(!clean_session, "the hub is to keep the subscriptions");
        let signed = daemon.signed().await;
        let (audience, expires) = signed.split_once('\n').unwrap();
        let signature = fake_daemon::SIGNATURE_ENCODED;
        assert_eq!(password, format!("SharedAccessSignature sr={audience}&sig={signature}&se={expires}"));
        seen.send(()).unwrap();
    };
    let outcome = together(module, test).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn an_input_is_acknowledged_after_its_copy_and_not_before() {
    let (mut hub, _daemon, mut connection) = world().await;
    let (mut inputs, outputs) = (connection.inputs(), connection.outputs());
    let (copied, marker_due) = oneshot::channel();
    let module = connection.until(async {
        let relay = async {
            let input = inputs.next().await.unwrap();
            assert_eq!((input.name.as_str(), input.sender.as_str()), ("in", "edge1/sensor"));
            outputs.send("out", &input.message).await?;
            input.acknowledge().await;
            Ok::<_, Error>(())
        };
        let marker = async {
            marker_due.await.unwrap();
            outputs.send("out", &text("marker")).await
        };
        tokio::try_join!(relay, marker).map(drop)
    });
    let test = async {
        let mut peer = hub.accept().await;
        peer.let_in().await;
        let subscribed = peer.subscribed().await;
        assert_eq!(subscribed, "devices/edge1/modules/relay/inputs/#");
        peer.publish(INPUT, "body").await;
        let Some(FromModule::Publish { topic, payload, packet_id }) = peer.read().await else {
            panic!("the copy comes first");
        };
        assert_eq!(topic, "devices/edge1/modules/relay/messages/events/%24.on=out&a=1");
        assert_eq!(payload, b"body");
        // Had the module acknowledged the input by now, the marker would come after that.
        copied.send(()).unwrap();
        let (marker, marker_id) = published(&mut peer).await;
        assert_eq!(marker, "marker");
        peer.acknowledge(packet_id).await;
        assert_eq!(peer.read().await, Some(FromModule::PubAck { packet_id: 1 }));
        peer.acknowledge(marker_id).await;
        assert_eq!(peer.read().await, Some(FromModule::Disconnect));
    };
    let outcome = together(module, test).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_order_and_nothing_else() {
    let (mut hub, _daemon, connection) = world().await;
    let outputs = connection.outputs();
    let module = connection.until(async {
        let (a, b, c) = (text("a"), text("b"), text("c"));
        let sent = tokio::try_join!(outputs.send("out", &a), outputs.send("out", &b), outputs.send("out", &c));
        sent.map(drop)
    });
    let test = async {
        let mut peer = hub.accept().await;
        peer.let_in().await;
        let (a, a_id) = published(&mut peer).await;
        let (b, _) = published(&mut peer).await;
        let (c, _) = published(&mut peer).await;
        assert_eq!([a, b, c], ["a", "b", "c"]);
        peer.acknowledge(a_id).await;
        peer.close().await;
        let mut peer = hub.accept().await;
        peer.let_in().await;
        for expected in ["b", "c"] {
            let (again, packet_id) = published(&mut peer).await;
            assert_eq!(again, expected);
            peer.acknowledge(packet_id).await;
        }
        assert_eq!(peer.read().await, Some(FromModule::Disconnect));
    };
    let outcome = together(module, test).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn a_module_waits_for_a_daemon_and_a_hub_that_are_not_ready() {
    let (mut hub, mut daemon, connection) = world().await;
    daemon.fail_once();
    let outputs = connection.outputs();
    let module = connection.until(async { outputs.send("out", &text("a")).await });
    let test = async {
        // Gone before CONNACK, then unavailable, then there.
        hub.accept().await.close().await;
        hub.accept().await.refuse(3).await;
        let mut peer = hub.accept().await;
        peer.let_in().await;
        let (_, packet_id) = published(&mut peer).await;
        peer.acknowledge(packet_id).await;
        assert_eq!(peer.read().await, Some(FromModule::Disconnect));
    };
    let outcome = together(module, test).await;
    assert_eq!(outcome, Ok(()));
    assert!(daemon.failed(), "the daemon was asked while it was not ready");
}

#[tokio::test]
async fn a_module_that_is_done_while_nobody_is_there_leaves_at_once() {
    let (_hub, _daemon, connection) = world().await;
    assert_eq!(connection.until(async { Ok(7) }).await, Ok(7));
}

#[tokio::test]
async fn what_comes_to_no_input_is_acknowledged_and_passed_over() {
    let (mut hub, _daemon, mut connection) = world().await;
    let mut inputs = connection.inputs();
    let module = connection.until(async { Ok(inputs.next().await.unwrap().message.body) });
    let test = async {
        let mut peer = hub.accept().await;
        peer.let_in().await;
        peer.subscribed().await;
        peer.publish("devices/edge1/modules/relay/else/a=1", "odd").await;
        assert_eq!(peer.read().await, Some(FromModule::PubAck { packet_id: 1 }));
        peer.publish(INPUT, "even").await;
        assert_eq!(peer.read().await, Some(FromModule::Disconnect));
    };
    let outcome = together(module, test).await;
    assert_eq!(outcome, Ok(b"even".to_vec()));
}

#[tokio::test]
async fn sending_over_a_connection_that_is_not_run_is_an_error() {
    let (_hub, _daemon, connection) = world().await;
    let outputs = connection.outputs();
    drop(connection);
    assert_eq!(outputs.send("out", &text("a")).await, Err(Error::Closed));
}

#[tokio::test]
async fn a_call_is_answered_under_its_id() {
    let (mut hub, _daemon, mut connection) = world().await;
    let mut methods = connection.methods();
    let module = connection.until(async {
        let call = methods.next().await.unwrap();
        assert_eq!((call.name.as_str(), &call.argument), ("a/b", &json!({"n": 1})));
        call.answer(-7, &json!(["done"])).await
    });
    let test = async {
        let mut peer = hub.accept().await;
        peer.let_in().await;
        assert_eq!(peer.subscribed().await, "$iothub/methods/POST/#");
        peer.publish("$iothub/methods/POST/a/b/?$rid=7-A", "{\"n\":1}").await;
        assert_eq!(peer.read().await, Some(FromModule::PubAck { packet_id: 1 }));
        let Some(FromModule::Publish { topic, payload, packet_id }) = peer.read().await else {
            panic!("the answer comes");
        };
        assert_eq!(topic, "$iothub/methods/res/-7/?$rid=7-A");
        assert_eq!(payload, b"[\"done\"]");
        peer.acknowledge(packet_id).await;
        assert_eq!(peer.read().await, Some(FromModule::Disconnect));
    };
    assert_eq!(together(module, test).await, Ok(()));
}

#[tokio::test]
async fn the_twin_is_read_at_first_and_no_change_is_lost_meanwhile() {
    let (mut hub, _daemon, mut connection) = world().await;
    let mut twin = connection.twin();
    let module = connection.until(async {
        let whole = Properties { desired: json!({"a": 1}), reported: json!({}) };
        assert_eq!(twin.next().await.unwrap(), Some(News::Whole(whole)));
        assert_eq!(twin.next().await.unwrap(), Some(News::Change(json!({"a": null}))));
        assert!(twin.report(&json!({"b": 2})).await.is_ok());
        assert!(matches!(twin.report(&json!({"c$": 3})).await, Err(TwinError::Refused(400))));
        Ok(())
    });
    let test = async {
        let mut peer = hub.accept().await;
        peer.let_in().await;
        let filters = [peer.subscribed().await, peer.subscribed().await];
        assert_eq!(filters, ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"]);
        let asked = ["GET/?$rid=1", "PATCH/properties/reported/?$rid=2", "PATCH/properties/reported/?$rid=3"];
        let answers = ["{\"desired\":{\"a\":1},\"reported\":{}}", "", ""];
        for (number, (asked, status)) in asked.into_iter().zip([200, 204, 400]).enumerate() {
            let Some(FromModule::Publish { topic, packet_id, .. }) = peer.read().await else {
                panic!("request {number} comes");
            };
            assert_eq!(topic, format!("$iothub/twin/{asked}"));
            peer.acknowledge(packet_id).await;
            if number == 0 {
                peer.publish("$iothub/twin/PATCH/properties/desired/?$version=2", "{\"a\":null}").await;
                assert_eq!(peer.read().await, Some(FromModule::PubAck { packet_id: 1 }));
            }
            peer.publish(&format!("$iothub/twin/res/{status}/?$rid={}", number + 1), answers[number]).await;
            assert_eq!(peer.read().await, Some(FromModule::PubAck { packet_id: 1 }));
        }
        assert_eq!(peer.read().await, Some(FromModule::Disconnect));
    };
    assert_eq!(together(module, test).await, Ok(()));
}
