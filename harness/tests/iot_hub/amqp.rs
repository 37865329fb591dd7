//! AMQP. The device side: tokens, telemetry, twins, methods and messages to devices. The service side: telemetry as from
//! an Event Hub, and sending to devices.

use std::time::Duration;

use fe2o3_amqp::Sendable;
use fe2o3_amqp::types::definitions::SenderSettleMode::{Mixed, Settled};
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::{ApplicationProperties, Batch, Data, Message, MessageId, Outcome, Properties};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Symbol, Value};
use harness::client::iot_hub::{CloudMessage, Concerns, Condition, Kind, MessageState, MethodCall, MethodResult};
use harness::deadline::ACKNOWLEDGEMENT;
use serde_json::json;

use crate::amqp_device::{Line, answer, audience, data, next, node, text, twin_request};
use crate::world::{EDGE, HOST, World, token};

async fn world_with_m() -> World {
    let world = World::new().await;
    world.iot_hub.create_identity(EDGE, Some("m")).await.unwrap();
    world
}

#[tokio::test]
async fn only_who_has_a_token_gets_links() {
    let world = world_with_m().await;
    let mut line = Line::open(&world).await;
    let keys = world.iot_hub.keys(EDGE, Some("m")).await.unwrap();
    let forged = token(EDGE, Some("m"), &world.iot_hub.keys(EDGE, Some("$edgeAgent")).await.unwrap().primary);
    assert_eq!(line.put_token(&audience(EDGE, Some("m")), &forged).await, 401);
    let refused = line.sender(&node("messages/events"), Mixed, None).await.unwrap_err();
    assert!(refused.contains("UnauthorizedAccess"), "{refused}");
    assert_eq!(line.put_token("nonsense", &forged).await, 401);
    assert_eq!(line.put_token(&audience(EDGE, Some("m")), &token(EDGE, Some("m"), &keys.primary)).await, 200);
    assert!(line.sender(&node("messages/events"), Mixed, None).await.is_ok());
    let nowhere = line.sender(&node("somewhere"), Mixed, None).await.unwrap_err();
    assert!(nowhere.contains("NotFound"), "{nowhere}");
}

#[tokio::test]
async fn the_hub_s_token_speaks_for_those_its_chain_names() {
    let world = world_with_m().await;
    let hub = token(EDGE, Some("$edgeHub"), &world.iot_hub.keys(EDGE, Some("$edgeHub")).await.unwrap().primary);
    for chain in [None, Some("gw7/n;gw7"), Some("gw7/m"), Some("gw7/m;gw7")] {
        // A connection each: the library does not recover from several refusals on one.
        let mut line = Line::open(&world).await;
        assert_eq!(line.put_token(&audience(EDGE, Some("m")), &hub).await, 200);
        match line.sender(&node("messages/events"), Mixed, chain).await {
            Ok(_) => assert_eq!(chain, Some("gw7/m;gw7")),
            Err(error) => assert!(error.contains("UnauthorizedAccess") && chain != Some("gw7/m;gw7"), "{error}"),
        }
    }
}

#[tokio::test]
async fn telemetry_arrives_alone_and_in_batches_with_its_properties() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let mut sender = line.sender(&node("messages/events"), Mixed, None).await.unwrap();
    let mut application = ApplicationProperties::default();
    application.0.insert("k".to_owned(), SimpleValue::String("v".to_owned()));
    application.0.insert("bare".to_owned(), SimpleValue::Null);
    application.0.insert("iothub-message-schema".to_owned(), SimpleValue::String("s".to_owned()));
    let properties = Properties::builder().message_id("7".to_owned()).content_type(Symbol::from("a/b")).build();
    let message = Message { properties: Some(properties), application_properties: Some(application), ..data("one") };
    assert!(matches!(sender.send(message).await.unwrap(), Outcome::Accepted(_)));
    // Two encoded messages, each with a data section and nothing else.
    let part =
        |body: &[u8]| Data(Binary::from([&[0, 0x53, 0x75, 0xa0, u8::try_from(body.len()).unwrap()], body].concat()));
    let batch = Batch::new(vec![part(b"two"), part(b"three")]);
    let message = Message::builder().properties(Properties::default()).body(batch).build();
    let batch = Sendable::builder().message(message).message_format(0x8001_3700).build();
    assert!(matches!(sender.send(batch).await.unwrap(), Outcome::Accepted(_)));

    let (events, _) = world.iot_hub.telemetry_from(1, ACKNOWLEDGEMENT.limit).await.unwrap();
    let bodies: Vec<_> = events.iter().map(|event| event.body.clone()).collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    assert!(events.iter().all(|event| (event.device.as_str(), event.module.as_deref()) == (EDGE, Some("m"))));
    let owned = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    assert_eq!(events[0].properties, [owned("k", Some("v")), owned("bare", None)]);
    let system = [owned("messageId", Some("7")), owned("contentType", Some("a/b")), owned("messageSchema", Some("s"))];
    assert_eq!(events[0].system, system);
}

#[tokio::test]
async fn a_twin_is_read_reported_and_watched() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let mut news = line.receiver(&node("twin"), Settled, false).await;
    let mut requests = line.sender(&node("twin"), Settled, None).await.unwrap();
    let ask = [
        ("PATCH", "Patch1", r#"{"a":1}"#, 204),
        ("GET", "Get2", "", 200),
        ("PATCH", "Patch3", "x", 400),
        ("PUT", "Put4", "", 200),
    ];
    for (operation, rid, body, status) in ask {
        requests.send(twin_request(operation, rid, body)).await.unwrap();
        let answered = next(&mut news).await.into_message();
        assert_eq!(answer(&answered), (Some(status), Some(rid.to_owned())));
        if operation == "GET" {
            let twin: serde_json::Value = serde_json::from_str(&text(answered)).unwrap();
            assert_eq!(twin, json!({"desired": {"$version": 1}, "reported": {"a": 1, "$version": 2}}));
        }
    }
    world.iot_hub.patch_desired(EDGE, Some("m"), json!({"b": 2})).await.unwrap();
    let notice = next(&mut news).await.into_message();
    assert_eq!(answer(&notice), (None, None));
    assert_eq!(text(notice), r#"{"b":2,"$version":2}"#);
    requests.send(twin_request("DELETE", "Delete5", "")).await.unwrap();
    next(&mut news).await;
    world.iot_hub.patch_desired(EDGE, Some("m"), json!({"b": 3})).await.unwrap();
    requests.send(twin_request("GET", "Get6", "")).await.unwrap();
    assert_eq!(answer(&next(&mut news).await.into_message()).1.as_deref(), Some("Get6"));
}

#[tokio::test]
async fn a_method_is_called_and_answered() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let mut calls = line.receiver(&node("methods/deviceBound"), Settled, false).await;
    let mut answers = line.sender(&node("methods/deviceBound"), Settled, None).await.unwrap();
    let mut call = MethodCall::new("dig", json!({"deep": [1, null]}));
    call.connect_timeout_secs = Some(20);
    let answering = async {
        let request = next(&mut calls).await.into_message();
        let name = request.application_properties.clone().unwrap().0.get("IoThub-methodname").cloned();
        assert_eq!(name, Some(SimpleValue::String("dig".to_owned())));
        let id = request.properties.clone().unwrap().correlation_id.unwrap();
        assert!(matches!(id, MessageId::Uuid(_)));
        assert_eq!(text(request), r#"{"deep":[1,null]}"#);
        let mut application = ApplicationProperties::default();
        application.0.insert("IoThub-status".to_owned(), SimpleValue::Int(-7));
        let answer = Message {
            properties: Some(Properties::builder().correlation_id(id).build()),
            application_properties: Some(application),
            ..data(r#"{"done":true}"#)
        };
        answers.send(answer).await.unwrap();
    };
    let (result, ()) = tokio::join!(world.iot_hub.invoke(EDGE, Some("m"), &call), answering);
    assert_eq!(result.unwrap(), MethodResult { status: -7, payload: json!({"done": true}) });
}

#[tokio::test]
async fn a_message_is_accepted_rejected_or_comes_again() {
    let world = World::new().await;
    world.iot_hub.create_identity("leaf", None).await.unwrap();
    for id in ["m1", "m2", "m3"] {
        let mut message = CloudMessage::new(id, "body");
        message.properties = vec![("k".to_owned(), Some("v w".to_owned()))];
        message.system = vec![("ack".to_owned(), Some("full".to_owned()))];
        world.iot_hub.send_to_device("leaf", None, &message).await.unwrap();
    }
    let mut line = Line::of(&world, "leaf", None).await;
    let mut receiver = line.receiver("/devices/leaf/messages/deviceBound", Mixed, true).await;
    let (first, second, third) = (next(&mut receiver).await, next(&mut receiver).await, next(&mut receiver).await);
    assert!([&first, &second, &third].iter().all(|delivery| delivery.delivery_tag().len() == 16));
    let properties = first.message().properties.clone().unwrap();
    assert_eq!(properties.message_id, Some(MessageId::String("m1".to_owned())));
    assert_eq!(properties.to.as_deref(), Some("/devices/leaf/messages/devicebound"));
    let application: Vec<_> = first.message().application_properties.clone().unwrap().0.into_iter().collect();
    let owned = |name: &str, value: &str| (name.to_owned(), SimpleValue::String(value.to_owned()));
    assert_eq!(application, [owned("iothub-ack", "full"), owned("k", "v w")]);

    receiver.accept(&first).await.unwrap();
    receiver.reject(&second, None).await.unwrap();
    receiver.release(&third).await.unwrap();
    let again = next(&mut receiver).await;
    let id = again.message().properties.clone().unwrap().message_id;
    assert_eq!(id, Some(MessageId::String("m3".to_owned())));
    receiver.accept(&again).await.unwrap();
    let completed = |call: &serde_json::Value| call["call"] == "c2d_completed" && call["message_id"] == "m3";
    world.iot_hub.call_that(1, ACKNOWLEDGEMENT, "m3 to be completed", completed).await.unwrap();
    let queue = world.iot_hub.device_queue("leaf").await.unwrap();
    let states: Vec<_> = queue.iter().map(|message| (message.state, message.delivery_count)).collect();
    assert_eq!(states, [(MessageState::Completed, 1), (MessageState::Rejected, 1), (MessageState::Completed, 2)]);
}

#[tokio::test]
async fn an_outage_of_one_identity_leaves_the_others_alone() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let other = token(EDGE, Some("$edgeHub"), &world.iot_hub.keys(EDGE, Some("$edgeHub")).await.unwrap().primary);
    assert_eq!(line.put_token(&audience(EDGE, Some("$edgeHub")), &other).await, 200);
    let mut struck = line.sender(&node("messages/events"), Mixed, None).await.unwrap();
    let address = node("messages/events").replace("/m/", "/%24edgeHub/");
    let mut spared = line.sender(&address, Mixed, None).await.unwrap();
    let outage = Condition::new(Kind::Outage, Concerns::Identity(EDGE, Some("m")));
    let outage = world.iot_hub.impose_condition(&outage).await.unwrap();
    let ended = tokio::time::timeout(ACKNOWLEDGEMENT.limit, struck.on_detach()).await;
    assert!(format!("{ended:?}").contains("DetachForced"), "{ended:?}");
    let gone = |call: &serde_json::Value| call["call"] == "disconnect" && call["client_id"] == "gw7/m";
    world.iot_hub.call_that(1, ACKNOWLEDGEMENT, "m to be gone", gone).await.unwrap();
    assert!(matches!(spared.send(data("still here")).await.unwrap(), Outcome::Accepted(_)));
    let key = world.iot_hub.keys(EDGE, Some("m")).await.unwrap().primary;
    assert_eq!(line.put_token(&audience(EDGE, Some("m")), &token(EDGE, Some("m"), &key)).await, 503);
    world.iot_hub.lift(outage).await.unwrap();
    assert_eq!(line.put_token(&audience(EDGE, Some("m")), &token(EDGE, Some("m"), &key)).await, 200);
    assert!(line.sender(&node("messages/events"), Mixed, None).await.is_ok());
}

#[tokio::test]
async fn a_newer_session_takes_an_older_one_s_place_over_either_protocol() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let mut older = line.sender(&node("messages/events"), Mixed, None).await.unwrap();
    let _newer = world.line(EDGE, Some("m"), &[]).await;
    let ended = tokio::time::timeout(ACKNOWLEDGEMENT.limit, older.on_detach()).await;
    assert!(format!("{ended:?}").contains("DetachForced"), "{ended:?}");
}

#[tokio::test]
async fn telemetry_is_taken_and_not_answered_while_acknowledgements_are_dropped() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let mut sender = line.sender(&node("messages/events"), Mixed, None).await.unwrap();
    let dropped = Condition::new(Kind::DropAcks, Concerns::Everyone);
    let dropped = world.iot_hub.impose_condition(&dropped).await.unwrap();
    let unanswered = sender.send_batchable(data("one")).await.unwrap();
    let (events, _) = world.iot_hub.telemetry_from(1, ACKNOWLEDGEMENT.limit).await.unwrap();
    assert_eq!(events.len(), 1);
    world.iot_hub.lift(dropped).await.unwrap();
    // Dispositions keep their order: the second one is behind what would be the first one.
    assert!(matches!(sender.send(data("two")).await.unwrap(), Outcome::Accepted(_)));
    assert!(tokio::time::timeout(Duration::ZERO, unanswered).await.is_err());
}

#[tokio::test]
async fn a_service_reads_telemetry_from_where_it_wants() {
    let world = world_with_m().await;
    let mut line = Line::of(&world, EDGE, Some("m")).await;
    let mut sender = line.sender(&node("messages/events"), Mixed, None).await.unwrap();
    for body in ["one", "two"] {
        assert!(matches!(sender.send(data(body)).await.unwrap(), Outcome::Accepted(_)));
    }
    let mut service = Line::open(&world).await;
    let partition = format!("amqps://{HOST}/events/ConsumerGroups/$Default/Partitions/0");
    let refused = service.reader(&partition, None).await.unwrap_err();
    assert!(refused.contains("UnauthorizedAccess"), "{refused}");
    assert_eq!(service.put_token(&format!("sb://{HOST}/events"), &world.service_token()).await, 200);
    let mut all = service.reader(&partition, None).await.unwrap();
    let mut later = service.reader(&partition, Some("amqp.annotation.x-opt-offset > '1'")).await.unwrap();
    let mut newest = service.reader(&partition, Some("amqp.annotation.x-opt-offset > '@latest'")).await.unwrap();
    let first = next(&mut all).await.into_message();
    let annotations = first.message_annotations.clone().unwrap().0;
    assert_eq!(annotations.get(&OwnedKey::from("iothub-connection-module-id")), Some(&Value::String("m".to_owned())));
    assert_eq!(annotations.get(&OwnedKey::from("x-opt-offset")), Some(&Value::String("1".to_owned())));
    assert_eq!((text(first), text(next(&mut all).await.into_message())), ("one".to_owned(), "two".to_owned()));
    assert_eq!(text(next(&mut later).await.into_message()), "two");
    assert!(matches!(sender.send(data("three")).await.unwrap(), Outcome::Accepted(_)));
    for reader in [&mut all, &mut later, &mut newest] {
        assert_eq!(text(next(reader).await.into_message()), "three");
    }
}

#[tokio::test]
async fn a_service_asks_what_there_is_and_sends_to_devices() {
    let world = World::new().await;
    world.iot_hub.create_identity("leaf", None).await.unwrap();
    let mut service = Line::open(&world).await;
    assert_eq!(service.put_token(&format!("sb://{HOST}/events"), &world.service_token()).await, 200);
    let mut answers = service.receiver("$management", Mixed, false).await;
    let mut questions = service.sender("$management", Mixed, None).await.unwrap();
    let mut application = ApplicationProperties::default();
    for (name, value) in [("operation", "READ"), ("type", "com.microsoft:eventhub"), ("name", "events")] {
        application.0.insert(name.to_owned(), SimpleValue::String(value.to_owned()));
    }
    let question = Message { application_properties: Some(application), ..data("") };
    assert!(matches!(questions.send(question).await.unwrap(), Outcome::Accepted(_)));
    let described = next(&mut answers).await.into_body().try_into_value().unwrap();
    let Value::Map(described) = described else { panic!("{described:?}") };
    let partitions = described.get(&Value::String("partition_ids".to_owned()));
    assert_eq!(partitions, Some(&Value::Array(vec![Value::String("0".to_owned())].into())));

    let mut sender = service.sender("/messages/devicebound", Mixed, None).await.unwrap();
    for (to, taken) in [("leaf", true), ("nobody", false)] {
        let properties = Properties::builder().message_id("m1".to_owned());
        let properties = properties.to(format!("/devices/{to}/messages/devicebound")).build();
        let outcome = sender.send(Message { properties: Some(properties), ..data("hello") }).await.unwrap();
        assert_eq!(matches!(outcome, Outcome::Accepted(_)), taken, "{outcome:?}");
    }
    let queue = world.iot_hub.device_queue("leaf").await.unwrap();
    let states: Vec<_> = queue.iter().map(|message| (message.message_id.as_str(), message.state)).collect();
    assert_eq!(states, [("m1", MessageState::Enqueued)]);
}
