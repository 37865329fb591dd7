//! Operations that fail because a condition says so.

use harness::client::iot_hub::{Concerns, Condition, Kind, MethodCall, Operation};
use serde_json::json;

use crate::world::{EDGE, Line, World};

const FILTERS: [&str; 2] = ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"];
const GET: &str = "$iothub/twin/GET/?$rid=g";
const REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=r";

async fn module(world: &World) -> Line {
    world.iot_hub.create_identity(EDGE, Some("m")).await.unwrap();
    world.line(EDGE, Some("m"), &FILTERS).await
}

async fn impose(world: &World, kind: Kind, operation: Operation) {
    let condition = Condition::new(kind, Concerns::Identity(EDGE, Some("m"))).on(operation).times(1);
    world.iot_hub.impose_condition(&condition).await.unwrap();
}

#[tokio::test]
async fn a_throttled_operation_is_refused_and_the_next_is_carried_out() {
    let world = World::new().await;
    let mut line = module(&world).await;
    impose(&world, Kind::Throttled, Operation::TwinGet).await;
    impose(&world, Kind::Throttled, Operation::Reported).await;
    for status in [429, 200] {
        line.publish(GET, "").await;
        assert_eq!(line.next().await.topic, format!("$iothub/twin/res/{status}/?$rid=g"));
    }
    for end in ["429/?$rid=r", "204/?$rid=r&$version=2"] {
        line.publish(REPORT, r#"{"a":1}"#).await;
        assert_eq!(line.next().await.topic, format!("$iothub/twin/res/{end}"));
    }
    impose(&world, Kind::Throttled, Operation::Method).await;
    let call = MethodCall::new("dig", json!(null));
    for code in ["429001", "404103"] {
        assert_eq!(world.iot_hub.invoke(EDGE, Some("m"), &call).await.unwrap_err().code().as_deref(), Some(code));
    }
}

#[tokio::test]
async fn a_swallowed_report_is_not_carried_out_and_one_with_a_lost_answer_is() {
    let world = World::new().await;
    let mut line = module(&world).await;
    let version =
        async || world.iot_hub.twin(EDGE, Some("m")).await.unwrap()["properties"]["reported"]["$version"].clone();
    impose(&world, Kind::Unanswered, Operation::Reported).await;
    line.publish(REPORT, r#"{"a":1}"#).await;
    line.is_silent().await;
    assert_eq!(version().await, 1);
    impose(&world, Kind::AnswerLost, Operation::Reported).await;
    line.publish(REPORT, r#"{"a":1}"#).await;
    line.is_silent().await;
    assert_eq!(version().await, 2);
    let calls = world.iot_hub.calls(1).await.unwrap();
    let reported: Vec<_> = calls.iter().filter(|call| call["call"] == "reported").collect();
    assert_eq!([&reported[0]["status"], &reported[1]["status"]], [&json!(null), &json!(204)]);
}

#[tokio::test]
async fn a_desired_notice_can_be_lost_and_one_can_be_made_up() {
    let world = World::new().await;
    let mut line = module(&world).await;
    impose(&world, Kind::Unanswered, Operation::DesiredNotice).await;
    for (version, value) in [(2, 1), (3, 2)] {
        assert_eq!(world.iot_hub.patch_desired(EDGE, Some("m"), json!({"a": value})).await.unwrap(), version);
    }
    let notice = line.next().await;
    assert_eq!(notice.topic, "$iothub/twin/PATCH/properties/desired/?$version=3");
    assert_eq!(notice.payload.as_ref(), br#"{"a":2,"$version":3}"#);
    let stale = json!({"a": 1, "$version": 2});
    assert!(world.iot_hub.send_desired_notice(EDGE, Some("m"), stale).await.unwrap());
    assert_eq!(line.next().await.topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    let refused = world.iot_hub.patch_desired(EDGE, Some("m"), json!({"a.b": 1})).await.unwrap_err();
    assert_eq!((refused.status(), refused.code().as_deref()), (Some(400), Some("ArgumentInvalid")));
}

#[tokio::test]
async fn a_connect_can_stay_without_an_answer() {
    let world = World::new().await;
    let keys = world.iot_hub.create_identity(EDGE, Some("m")).await.unwrap();
    impose(&world, Kind::Unanswered, Operation::Connect).await;
    let swallowed = async {
        world.dial(EDGE, Some("m"), &keys.primary).await;
    };
    let noted = |call: &serde_json::Value| call["call"] == "connect" && call["answered"] == false;
    tokio::select! {
        () = swallowed => panic!("it was answered"),
        noted = world.iot_hub.call_that(1, harness::deadline::CONNECT, "the connect", noted) => drop(noted.unwrap()),
    }
    assert_eq!(world.dial(EDGE, Some("m"), &keys.primary).await.1, Some(0));
}
