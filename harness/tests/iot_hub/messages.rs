//! Cloud-to-device messages.

use std::time::Duration;

use harness::client::iot_hub::{CloudMessage, Concerns, DeliveryLimits, MessageState};
use harness::client::raw_mqtt::packet;
use harness::deadline::ACKNOWLEDGEMENT;

use crate::world::{EDGE, World};

const FILTER: &str = "devices/leaf/messages/devicebound/#";

async fn states(world: &World) -> Vec<(MessageState, u64)> {
    let queue = world.iot_hub.device_queue("leaf").await.unwrap();
    queue.into_iter().map(|message| (message.state, message.delivery_count)).collect()
}

async fn send(world: &World, id: &str) {
    world.iot_hub.send_to_device("leaf", None, &CloudMessage::new(id, "body")).await.unwrap();
}

#[tokio::test]
async fn messages_wait_for_a_subscription_and_are_completed_by_puback() {
    let world = World::new().await;
    world.iot_hub.create_identity("leaf", None).await.unwrap();
    send(&world, "m1").await;
    let mut message = CloudMessage::new("m2", "two");
    message.properties = vec![("k".to_owned(), Some("v w".to_owned()))];
    message.system = vec![("contentType".to_owned(), Some("text".to_owned()))];
    world.iot_hub.send_to_device("leaf", None, &message).await.unwrap();
    let mut line = world.line("leaf", None, &[]).await;
    line.is_silent().await;
    assert_eq!(states(&world).await, [(MessageState::Enqueued, 0), (MessageState::Enqueued, 0)]);

    let from = world.iot_hub.next_call().await.unwrap();
    let mut line = world.line("leaf", None, &[FILTER]).await;
    let (first, second) = (line.next().await, line.next().await);
    let bag = |id: &str| format!("%24.mid={id}&%24.to=%2Fdevices%2Fleaf%2Fmessages%2Fdevicebound");
    assert_eq!(first.topic, format!("devices/leaf/messages/devicebound/{}", bag("m1")));
    assert_eq!(second.topic, format!("devices/leaf/messages/devicebound/{}&%24.ct=text&k=v%20w", bag("m2")));
    assert_eq!((first.payload.as_ref(), first.qos), (&b"body"[..], 1));
    assert_ne!(first.id, second.id);
    line.acknowledge(&second).await;
    let completed = |call: &serde_json::Value| call["call"] == "c2d_completed" && call["message_id"] == "m2";
    world.iot_hub.call_that(from, ACKNOWLEDGEMENT, "m2 to be completed", completed).await.unwrap();
    assert_eq!(states(&world).await, [(MessageState::Locked, 1), (MessageState::Completed, 1)]);
}

#[tokio::test]
async fn a_message_without_a_puback_comes_again_until_it_is_exhausted() {
    let world = World::new().await;
    world.iot_hub.create_identity("leaf", None).await.unwrap();
    let limits = DeliveryLimits { lock_ms: Some(100), max_delivery_count: Some(3), ..DeliveryLimits::default() };
    world.iot_hub.limit_deliveries(&limits).await.unwrap();
    let mut line = world.line("leaf", None, &[FILTER]).await;
    send(&world, "m1").await;
    for _ in 0..3 {
        assert!(line.next().await.topic.contains("%24.mid=m1&"));
    }
    // The lock of the last delivery ends before the next message can be handed out twice.
    send(&world, "m2").await;
    for _ in 0..2 {
        assert!(line.next().await.topic.contains("%24.mid=m2&"));
    }
    assert_eq!(states(&world).await[0], (MessageState::Exhausted, 3));
}

/// Looking at the queue ends the lock, while the connection is busy with something else.
#[tokio::test]
async fn a_message_comes_again_whoever_saw_its_lock_end() {
    let world = World::new().await;
    world.iot_hub.create_identity("leaf", None).await.unwrap();
    let limits = DeliveryLimits { lock_ms: Some(300), ..DeliveryLimits::default() };
    world.iot_hub.limit_deliveries(&limits).await.unwrap();
    let mut line = world.line("leaf", None, &[FILTER]).await;
    world.iot_hub.impose("delay", Concerns::Everyone, Duration::from_secs(1)).await.unwrap();
    send(&world, "m1").await;
    line.next().await;
    line.raw.write(&packet::PINGREQ).await;
    while states(&world).await != [(MessageState::Enqueued, 1)] {
        tokio::task::yield_now().await;
    }
    assert!(line.raw.read(ACKNOWLEDGEMENT).await.unwrap().unwrap().is_pingresp());
    assert!(line.next().await.topic.contains("%24.mid=m1&"));
}

#[tokio::test]
async fn a_queue_takes_fifty_messages_and_can_be_purged() {
    let world = World::new().await;
    world.iot_hub.create_identity("leaf", None).await.unwrap();
    let mut short = CloudMessage::new("short", "");
    short.time_to_live = Some(Duration::ZERO);
    world.iot_hub.send_to_device("leaf", None, &short).await.unwrap();
    for number in 0..50 {
        send(&world, &number.to_string()).await;
    }
    let full = world.iot_hub.send_to_device("leaf", None, &CloudMessage::new("x", "")).await.unwrap_err();
    assert_eq!(full.code().as_deref(), Some("DeviceMaximumQueueDepthExceeded"));
    assert_eq!(world.iot_hub.purge_queue("leaf").await.unwrap(), 50);
    let states = states(&world).await;
    assert_eq!(states[0], (MessageState::Expired, 0));
    assert!(states[1..].iter().all(|state| *state == (MessageState::Purged, 0)));
}

#[tokio::test]
async fn messages_for_modules_are_queued_and_those_for_nobody_refused() {
    let world = World::new().await;
    let message = CloudMessage::new("m1", "");
    world.iot_hub.send_to_device(EDGE, Some("$edgeHub"), &message).await.unwrap();
    assert_eq!(world.iot_hub.module_queue(EDGE, "$edgeHub").await.unwrap().len(), 1);
    assert_eq!(world.iot_hub.device_queue(EDGE).await.unwrap(), []);
    let refused = world.iot_hub.send_to_device(EDGE, Some("nobody"), &message).await.unwrap_err();
    assert_eq!(refused.code().as_deref(), Some("ModuleNotFound"));
}
