//! Direct methods.

use harness::client::iot_hub::{MethodCall, MethodResult};
use serde_json::json;

use crate::world::{EDGE, World};

const METHODS: &str = "$iothub/methods/POST/#";

#[tokio::test]
async fn only_the_one_called_can_answer_and_its_first_answer_counts() {
    let world = World::new().await;
    world.iot_hub.create_identity(EDGE, Some("a")).await.unwrap();
    world.iot_hub.create_identity(EDGE, Some("b")).await.unwrap();
    let mut a = world.line(EDGE, Some("a"), &[METHODS]).await;
    let mut b = world.line(EDGE, Some("b"), &[METHODS]).await;
    let call = MethodCall::new("dig", json!({"deep": [1, null]}));
    let answers = async {
        let request = a.next().await;
        assert!(request.topic.starts_with("$iothub/methods/POST/dig/?$rid="), "{}", request.topic);
        assert_eq!((request.payload.as_ref(), request.qos), (&br#"{"deep":[1,null]}"#[..], 0));
        let rid = request.topic.rsplit_once('=').unwrap().1;
        b.publish(&format!("$iothub/methods/res/500/?$rid={rid}"), "1").await;
        b.is_silent().await;
        a.publish(&format!("$iothub/methods/res/-7/?$rid={rid}"), r#"{"done":true}"#).await;
        a.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), "2").await;
    };
    let (result, ()) = tokio::join!(world.iot_hub.invoke(EDGE, Some("a"), &call), answers);
    assert_eq!(result.unwrap(), MethodResult { status: -7, payload: json!({"done": true}) });
    let calls = world.iot_hub.calls(1).await.unwrap();
    let taken: Vec<bool> = calls.iter().filter_map(|call| call["taken"].as_bool()).collect();
    assert_eq!(taken, [false, true, false]);
    b.is_silent().await;
}

#[tokio::test]
async fn a_call_waits_for_a_listener_as_long_as_it_says() {
    let world = World::new().await;
    let mut call = MethodCall::new("dig", json!(null)).answered_within(5);
    let offline = world.iot_hub.invoke(EDGE, Some("$edgeHub"), &call).await.unwrap_err();
    assert_eq!((offline.status(), offline.code().as_deref()), (Some(404), Some("404103")));
    call.connect_timeout_secs = Some(20);
    let answers = async {
        let mut line = world.line(EDGE, Some("$edgeHub"), &[METHODS]).await;
        line.next().await
    };
    let (result, _) = tokio::join!(world.iot_hub.invoke(EDGE, Some("$edgeHub"), &call), answers);
    let unanswered = result.unwrap_err();
    assert_eq!((unanswered.status(), unanswered.code().as_deref()), (Some(504), Some("504101")));
    let unknown = world.iot_hub.invoke(EDGE, Some("nobody"), &call).await.unwrap_err();
    assert_eq!((unknown.status(), unknown.code().as_deref()), (Some(404), Some("404010")));
}
