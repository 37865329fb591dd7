//! Telemetry, input messages, messages of the cloud.

use std::time::Duration;

use fe2o3_amqp::Sendable;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp_types::definitions::{ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::{Body, Data, Message, Modified, Outcome, Properties};
use fe2o3_amqp_types::primitives::Symbol;
use serde_amqp::Value;

use super::world::{World, data, telemetry};
use crate::core::Feedback;
use crate::engine::ToUpstream;

const SENSOR: &str = "/devices/edge1/modules/sensor/messages/events";
const FILTER: &str = "amqps://edgehost/devices/edge1/modules/filter/messages/events";
const MIXED: SenderSettleMode = SenderSettleMode::Mixed;

#[tokio::test]
async fn what_a_module_sends_arrives_at_inputs_in_order() {
    let world = World::new();
    let mut filter = world.connect_as("edge1/filter").await;
    let mut inputs = filter.receiver(FILTER, MIXED).await.expect("attached");
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    for number in 0..250_u8 {
        let outcome = events.send(telemetry("out", &[number])).await.expect("sent");
        assert!(outcome.is_accepted(), "{outcome:?}");
    }
    for number in 0..250_u8 {
        let delivery: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
        assert_eq!(data(delivery.message()), [number]);
        inputs.accept(&delivery).await.expect("accepted");
    }
    assert!(events.send(telemetry("two", b"x")).await.expect("sent").is_accepted());
    let delivery: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    let annotations = delivery.message().message_annotations.clone().expect("there are some");
    let annotated = |name: &str| {
        let key = OwnedKey::Symbol(Symbol::from(name));
        annotations.0.iter().find(|(known, _)| **known == key).map(|(_, value)| value.clone())
    };
    assert_eq!(annotated("x-opt-input-name"), Some(Value::String(String::from("in2"))));
    assert_eq!(annotated("iothub-connection-module-id"), Some(Value::String(String::from("sensor"))));
    assert_eq!(delivery.delivery_tag().len(), 16);
    let properties = delivery.message().application_properties.clone().expect("there are some");
    assert_eq!(properties.0.len(), 1, "{properties:?}");
}

#[tokio::test]
async fn a_large_message_goes_both_ways_in_several_frames() {
    let world = World::new();
    let mut filter = world.connect_as("edge1/filter").await;
    let mut inputs = filter.receiver(FILTER, MIXED).await.expect("attached");
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    let body: Vec<u8> = (0..250_000_u32).map(|number| (number % 251) as u8).collect();
    assert!(events.send(telemetry("out", &body)).await.expect("sent").is_accepted());
    let delivery: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    assert!(data(delivery.message()) == body);
}

#[tokio::test]
async fn too_large_a_message_is_rejected_and_the_link_goes_on() {
    let world = World::new();
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    for (size, condition) in [(262_144, "amqp:link:message-size-exceeded"), (700_000, "amqp:not-allowed")] {
        let outcome = events.send(telemetry("out", &vec![0; size])).await.expect("sent");
        let Outcome::Rejected(rejected) = outcome else { panic!("{outcome:?}") };
        let error = rejected.error.expect("there is one");
        let said = serde_amqp::to_value(&error.condition).expect("a symbol");
        assert_eq!(said, Value::Symbol(condition.into()));
        let described = error.description.expect("there is one");
        assert!(described.starts_with('"') && described.ends_with('"'), "{described}");
    }
    assert!(events.send(telemetry("out", b"x")).await.expect("sent").is_accepted());
}

#[tokio::test]
async fn a_batch_stops_at_its_first_refused_message() {
    let world = World::new();
    let mut filter = world.connect_as("edge1/filter").await;
    let mut inputs = filter.receiver(FILTER, MIXED).await.expect("attached");
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    let large = vec![0; 262_144];
    for (bodies, accepted) in [(vec![&b"1"[..], b"2", b"3"], true), (vec![&b"4"[..], &large, b"5"], false)] {
        let inner = bodies.iter().map(|body| {
            let message = fe2o3_amqp_types::messaging::message::__private::Serializable(telemetry("out", body));
            Data(serde_amqp::to_vec(&message).expect("plain data").into())
        });
        let batch = Message::builder().data_batch(inner.collect::<Vec<_>>()).build();
        let sendable = Sendable::builder().message(batch).message_format(0x8001_3700).build();
        let outcome = events.send(sendable).await.expect("sent");
        assert_eq!(outcome.is_accepted(), accepted, "{outcome:?}");
    }
    assert!(events.send(telemetry("out", b"6")).await.expect("sent").is_accepted());
    for expected in [b"1", b"2", b"3", b"4", b"6"] {
        let delivery: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
        assert_eq!(data(delivery.message()), expected);
        inputs.accept(&delivery).await.expect("accepted");
    }
}

#[tokio::test]
async fn a_message_without_properties_or_body_is_rejected() {
    let world = World::new();
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    let bare = Message::builder().data(b"x".to_vec()).build();
    assert!(events.send(bare).await.expect("sent").is_rejected());
    let with = Message::builder().properties(Properties::default()).data(b"".to_vec()).build();
    assert!(events.send(with).await.expect("sent").is_accepted());
}

#[tokio::test]
async fn rejected_and_released_are_dropped_and_modified_comes_again() {
    let world = World::with(&[("MessageAckTimeoutSecs", "1")]);
    let mut filter = world.connect_as("edge1/filter").await;
    let mut inputs = filter.receiver(FILTER, MIXED).await.expect("attached");
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    for body in [b"1", b"2", b"3", b"4"] {
        assert!(events.send(telemetry("out", body)).await.expect("sent").is_accepted());
    }
    let first: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    inputs.reject(&first, None).await.expect("settled");
    let second: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    inputs.release(&second).await.expect("settled");
    let third: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    inputs
        .modify(&third, Modified { delivery_failed: None, undeliverable_here: None, message_annotations: None })
        .await
        .expect("settled");
    let again: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    inputs.accept(&again).await.expect("settled");
    let fourth: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    let bodies = [&first, &second, &third, &again, &fourth].map(|delivery| data(delivery.message())[0]);
    assert_eq!(&bodies, b"12334");
    assert_ne!(third.delivery_tag(), again.delivery_tag());
}

#[tokio::test]
async fn a_module_that_comes_back_gets_what_it_did_not_settle() {
    let world = World::with(&[("edgecert__promptRedelivery", "true")]);
    let mut sensor = world.connect_as("edge1/sensor").await;
    let mut events = sensor.sender(SENSOR, MIXED).await.expect("attached");
    for body in [b"1", b"2"] {
        assert!(events.send(telemetry("out", body)).await.expect("sent").is_accepted());
    }
    let mut filter = world.connect_as("edge1/filter").await;
    let mut inputs = filter.receiver(FILTER, MIXED).await.expect("attached");
    let _unsettled: Delivery<Body<Value>> = inputs.recv().await.expect("delivered");
    // The newcomer takes over; the older connection is closed without an error.
    let mut newer = world.connect_as("edge1/filter").await;
    let mut again = newer.receiver(FILTER, MIXED).await.expect("attached");
    let closed = tokio::time::timeout(Duration::from_secs(10), filter.connection.on_close()).await.expect("in time");
    assert!(!format!("{closed:?}").contains("WithError"), "{closed:?}");
    for body in [b"1", b"2"] {
        let delivery: Delivery<Body<Value>> = again.recv().await.expect("delivered");
        assert_eq!(data(delivery.message()), body);
        again.accept(&delivery).await.expect("accepted");
    }
}

#[tokio::test]
async fn a_device_completes_messages_of_the_cloud() {
    let world = World::new();
    let mut leaf = world.connect_as("leaf1").await;
    let address = "/devices/leaf1/messages/deviceBound";
    let mut bound = leaf.receiver_with(address, MIXED, ReceiverSettleMode::Second).await.expect("attached");
    world.send_from_cloud("leaf1", b"hello");
    let delivery: Delivery<Body<Value>> = bound.recv().await.expect("delivered");
    assert_eq!(data(delivery.message()), b"hello");
    let to = delivery.message().properties.as_ref().and_then(|properties| properties.to.clone());
    assert_eq!(to.as_deref(), Some("/devices/leaf1"));
    bound.accept(&delivery).await.expect("settled by both");
    let completed = || {
        let told = world.upstream.lock().expect("nobody panicked");
        told.iter().any(|told| matches!(told, ToUpstream::Settle { .. }))
    };
    let done = async {
        while !completed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("in time");
}

#[tokio::test]
async fn whatever_a_device_says_of_a_message_is_told_and_answered_with_amqp_upstream() {
    let world = World::with(&[("UpstreamProtocol", "Amqp")]);
    let mut leaf = world.connect_as("leaf1").await;
    let address = "/devices/leaf1/messages/deviceBound";
    let mut bound = leaf.receiver_with(address, MIXED, ReceiverSettleMode::Second).await.expect("attached");
    let said = [Feedback::Reject, Feedback::Abandon, Feedback::Complete];
    for feedback in said {
        world.send_from_cloud("leaf1", b"hello");
        let delivery: Delivery<Body<Value>> = bound.recv().await.expect("delivered");
        match feedback {
            Feedback::Reject => bound.reject(&delivery, None).await.expect("said"),
            Feedback::Abandon => bound.release(&delivery).await.expect("said"),
            Feedback::Complete => bound.accept(&delivery).await.expect("said"),
        }
    }
    let told = || -> Vec<Feedback> {
        let told = world.upstream.lock().expect("nobody panicked");
        let feedback = |told: &ToUpstream| match told {
            ToUpstream::Settle { feedback, .. } => Some(*feedback),
            _ => None,
        };
        told.iter().filter_map(feedback).collect()
    };
    let done = async {
        while told().len() < said.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), done).await.expect("in time");
    assert_eq!(told(), said);
}
