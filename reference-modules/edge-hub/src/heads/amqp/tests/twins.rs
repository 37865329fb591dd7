//! Twins and methods.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::link::delivery::Delivery;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::definitions::SenderSettleMode;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Message, MessageAnnotations, MessageId, Properties};
use fe2o3_amqp_types::primitives::{SimpleValue, Symbol};
use serde_amqp::Value;

use super::world::{Anything, World, data};
use crate::core::methods::request::MethodRequest;
use crate::core::{Input, MethodOutcome};
use crate::identity::ClientId;

const TWIN: &str = "devices/edge1/modules/filter/twin";
const METHODS: &str = "/devices/edge1/modules/filter/methods/devicebound";
const SETTLED: SenderSettleMode = SenderSettleMode::Settled;

async fn ask(sender: &mut Sender, operation: &str, correlation: &str, body: &[u8]) {
    let annotations =
        MessageAnnotations::builder().insert(Symbol::from("operation"), Value::String(operation.to_owned()));
    let message = Message::builder()
        .message_annotations(annotations.build())
        .properties(Properties::builder().correlation_id(correlation.to_owned()).build())
        .data(body.to_vec())
        .build();
    sender.send(message).await.expect("sent");
}

async fn next(receiver: &mut Receiver) -> Anything {
    let receive = receiver.recv::<Body<Value>>();
    let delivery: Delivery<Body<Value>> =
        tokio::time::timeout(Duration::from_secs(10), receive).await.expect("in time").expect("delivered");
    delivery.into_message()
}

fn status(message: &Anything) -> Option<(String, i32)> {
    let annotations = message.message_annotations.as_ref()?;
    let (_, value) = annotations.0.iter().find(|(key, _)| format!("{key:?}").contains("status"))?;
    let correlation = message.properties.as_ref()?.correlation_id.as_ref()?;
    match (correlation, value) {
        (MessageId::String(correlation), Value::Int(status)) => Some((correlation.clone(), *status)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_twin_is_read_updated_and_listened_to() {
    let world = World::new();
    let mut filter = world.connect_as("edge1/filter").await;
    let mut answers = filter.receiver(TWIN, SETTLED).await.expect("attached");
    let mut requests = filter.sender(TWIN, SETTLED).await.expect("attached");
    ask(&mut requests, "GET", "r1", b"").await;
    let answer = next(&mut answers).await;
    assert_eq!(status(&answer), Some((String::from("r1"), 200)));
    let twin: serde_json::Value = serde_json::from_slice(&data(&answer)).expect("JSON");
    assert_eq!(twin["desired"]["a"], 1);
    ask(&mut requests, "PATCH", "r2", b"{\"x\":1}").await;
    let answer = next(&mut answers).await;
    assert_eq!((status(&answer), data(&answer)), (Some((String::from("r2"), 204)), Vec::new()));
    ask(&mut requests, "PATCH", "r3", b"x").await;
    assert_eq!(status(&next(&mut answers).await), Some((String::from("r3"), 500)));
    ask(&mut requests, "WHAT", "r4", b"").await;
    ask(&mut requests, "PUT", "r5", b"").await;
    assert_eq!(status(&next(&mut answers).await), Some((String::from("r5"), 200)));
    let changed = |number: i64| Input::DesiredChanged {
        client: ClientId::module("edge1", "filter"),
        patch: format!("{{\"a\":{number},\"$version\":{number}}}").into(),
        version: Some(number),
    };
    world.engine.tell(changed(4));
    let change = next(&mut answers).await;
    assert_eq!((status(&change), data(&change)), (None, b"{\"a\":4,\"$version\":4}".to_vec()));
    ask(&mut requests, "DELETE", "r6", b"").await;
    assert_eq!(status(&next(&mut answers).await), Some((String::from("r6"), 200)));
    world.engine.tell(changed(5));
    world.engine.heard().await;
    ask(&mut requests, "GET", "r7", b"").await;
    assert_eq!(status(&next(&mut answers).await), Some((String::from("r7"), 200)));
}

#[tokio::test]
async fn a_method_is_called_and_answered() {
    let world = World::new();
    let mut filter = world.connect_as("edge1/filter").await;
    let mut calls = filter.receiver(METHODS, SETTLED).await.expect("attached");
    let mut answers = filter.sender(METHODS, SETTLED).await.expect("attached");
    for (status, expected) in [(SimpleValue::Int(207), 207), (SimpleValue::Long(207), 400_000)] {
        let request = MethodRequest {
            name: String::from("ping"),
            payload: Bytes::from_static(b"{\"a\":1}"),
            response_timeout: Duration::from_secs(10),
            connect_timeout: Duration::ZERO,
        };
        let engine = world.engine.clone();
        let called = tokio::spawn(async move { engine.call(ClientId::module("edge1", "filter"), request).await });
        let call = next(&mut calls).await;
        assert_eq!(data(&call), b"{\"a\":1}");
        let name = call.application_properties.as_ref().and_then(|properties| properties.0.get("IoThub-methodname"));
        assert_eq!(name, Some(&SimpleValue::String(String::from("ping"))));
        let Some(MessageId::String(rid)) = call.properties.and_then(|properties| properties.correlation_id) else {
            panic!("no id")
        };
        let uuid = uuid::Uuid::parse_str(&rid).expect("a GUID");
        let id = MessageId::Uuid(serde_amqp::primitives::Uuid::from(*uuid.as_bytes()));
        let message = Message::builder()
            .properties(Properties::builder().correlation_id(id).build())
            .application_properties(ApplicationProperties::builder().insert("IoThub-status", status).build())
            .data(b"{\"b\":2}".to_vec())
            .build();
        answers.send(message).await.expect("sent");
        let outcome = called.await.expect("no panic").expect("the hub lives");
        let MethodOutcome::Answered { status, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(status, expected);
    }
}
