//! How MQTT spells requests and answers. Covers MQTT-TWIN and TWIN-DES-14.

use harness::client::mqtt::QoS;
use harness::client::mqtt::twin::TwinClient;
use harness::client::raw_mqtt::{Packet, packet};
use harness::deadline;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use serde_json::json;

use super::ground::{self, ALPHA, Actor, cloud, comes_to_have};
use super::tale::{self, Tale, Told};
use crate::declare::{fixed, over_mqtt};
use crate::mqtt_head::guest;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    macro_rules! on_stage {
        ($name:literal, $requirements:expr, $course:ident) => {
            fixed("twins", concat!("twins::wire::", $name), &$requirements, |worker: &mut Worker| {
                Box::pin(async move { tale::outcome($course(ground::stage(worker).await?).await) })
            })
        };
    }
    let tests = vec![
        on_stage!("a_request_id_comes_back_as_it_was_spelled", ["MQTT-TWIN-08", "TWIN-GET-01"], echoed),
        on_stage!("a_read_without_request_id_ends_the_connection", ["MQTT-TWIN-06"], unnamed),
        on_stage!("any_other_twin_topic_ends_the_connection", ["MQTT-TWIN-07", "TWIN-DES-14"], other_topics),
        on_stage!("an_answer_nobody_subscribed_to_is_dropped", ["MQTT-TWIN-09"], unsubscribed),
        on_stage!("an_answer_precedes_the_acknowledgement", ["MQTT-TWIN-13"], before_puback),
    ];
    tests.into_iter().map(over_mqtt).collect()
}

async fn echoed(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("MQTT-TWIN-08");
    let actor = Actor::enter(stage, ALPHA).await?;
    let long = "r".repeat(200);
    let spellings =
        ["1", "a%20b", "505e09bb-0076-4b9f-b4a3-529430f1593f", &long, "a=b", "a/b", "a?b", "ü", "%2525", "A"];
    for rid in spellings {
        tale.step(format!("{ALPHA} reads its twin and reports {{}}, each with `$rid={rid}`"));
        let expected = "an answer that has the request id as it was spelled";
        let got = Actor::answered(&tale, actor.client.mqtt().get_as(rid).await, expected)?;
        let topic = format!("$iothub/twin/res/200/?$rid={rid}");
        tale.hold(got.topic == topic, "MQTT-TWIN-08", topic, got.topic.clone())?;
        let done = Actor::answered(&tale, actor.client.mqtt().report_as(rid, "{}").await, expected)?;
        let topic = format!("$iothub/twin/res/204/?$rid={rid}");
        tale.hold(done.topic == topic, "MQTT-TWIN-08", topic, done.topic.clone())?;
    }
    Ok(())
}

/// Publishes to a topic as it stands; the hub must end the connection, and not acknowledge.
async fn ends(tale: &mut Tale, stage: &Stage, topic: &str, requirement: &str) -> Told {
    let actor = Actor::enter(stage, ALPHA).await?;
    tale.step(format!("{ALPHA} connects and publishes {{\"broken\":1}} to {topic}"));
    let pending = actor.client.mqtt().mqtt().publish(topic, "{\"broken\":1}".into(), QoS::AtLeastOnce).await;
    let closed = actor.client.mqtt().mqtt().closed(deadline::CLOSED).await;
    let observed = closed.as_ref().map_or_else(ToString::to_string, |reason| format!("closed: {reason}"));
    tale.saw(ALPHA, observed.clone());
    tale.hold(closed.is_ok(), requirement, "the hub ends the connection", observed)?;
    let acknowledged = pending.acknowledged().await.is_ok();
    tale.hold(!acknowledged, requirement, "the PUBLISH is not acknowledged", "it was acknowledged")
}

async fn unnamed(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("MQTT-TWIN-06");
    for topic in ["$iothub/twin/GET/", "$iothub/twin/GET/?", "$iothub/twin/GET/?$rid=", "$iothub/twin/GET/?rid=1"] {
        ends(&mut tale, stage, topic, "MQTT-TWIN-06").await?;
    }
    Ok(())
}

async fn other_topics(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("MQTT-TWIN-07");
    let before = cloud(stage.environment().iot_hub(), ALPHA).await?;
    let topics = [
        ("$iothub/twin/GET/something/?$rid=1", "MQTT-TWIN-07"),
        ("$iothub/twin/unknown/?$rid=1", "MQTT-TWIN-07"),
        ("$iothub/twin/get/?$rid=1", "MQTT-TWIN-07"),
        ("$iothub/twin/PATCH/properties/reported/more/?$rid=1", "MQTT-TWIN-07"),
        ("$iothub/twin/PUT/properties/reported/?$rid=1", "MQTT-TWIN-07"),
        ("$iothub/twin/PATCH/properties/desired/?$rid=1", "TWIN-DES-14"),
        ("$iothub/twin/PATCH/properties/desired/", "TWIN-DES-14"),
    ];
    for (topic, requirement) in topics {
        ends(&mut tale, stage, topic, requirement).await?;
    }
    tale.step(format!("{ALPHA} connects and reads its twin"));
    let got = Actor::enter(stage, ALPHA).await?.get(&mut tale).await?;
    let clean = crate::oracle::twin::same(&got.desired, &before.desired);
    tale.hold(clean, "TWIN-DES-14", format!("the twin as it was: {before}"), got.to_string())
}

async fn unsubscribed(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("MQTT-TWIN-09");
    let login = stage.environment().login(&ALPHA.identity());
    let connected = harness::client::mqtt::MqttClient::connect(login).await;
    let mqtt = connected.map_err(|source| StageError::Connect { who: ALPHA.to_string(), source })?;
    let client = TwinClient::deaf(mqtt);
    let mark = ground::tick();
    tale.step(format!("{ALPHA}, which subscribed to nothing, asks for its twin and reports {{\"deaf\":{mark}}}"));
    let patch = json!({ "deaf": mark }).to_string();
    for (topic, payload) in
        [("$iothub/twin/GET/?$rid=early", ""), ("$iothub/twin/PATCH/properties/reported/?$rid=early2", &patch)]
    {
        let published =
            client.mqtt().publish(topic, payload.to_owned().into(), QoS::AtLeastOnce).await.acknowledged().await;
        published.map_err(|why| tale.unanswered("the PUBLISH is acknowledged", &why))?;
    }
    tale.step("it subscribes to answers, and asks again");
    let subscribed = client.mqtt().subscribe("$iothub/twin/res/#").await;
    subscribed.map_err(|why| tale.unanswered("SUBSCRIBE is answered", &why))?;
    Actor::answered(&tale, client.get_as("late").await, "the second read is answered")?;
    let answers: Vec<String> = client.answers().into_iter().map(|answer| answer.topic).collect();
    tale.hold(answers.len() == 1, "MQTT-TWIN-09", "one answer, to the second read", format!("{answers:?}"))?;
    comes_to_have(&mut tale, stage, ALPHA, "MQTT-TWIN-09", &json!({ "deaf": mark })).await
}

async fn before_puback(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("MQTT-TWIN-13");
    let (mut raw, _) = guest::enter(stage.environment(), &ALPHA.identity(), |_| {}).await?;
    let subscribed = guest::subscribe(&mut raw, 1, &[("$iothub/twin/res/#", 0)]).await;
    subscribed.map_err(|observed| tale.broken("MQTT-TWIN-13", "SUBSCRIBE is answered", observed))?;
    let requests = [("$iothub/twin/GET/?$rid=2", ""), ("$iothub/twin/PATCH/properties/reported/?$rid=3", "{\"p\":1}")];
    for (id, (topic, payload)) in (2_u16..).zip(requests) {
        tale.step(format!("{ALPHA} publishes to {topic} with packet id {id}"));
        raw.write(&packet::publish(id, topic, payload.as_bytes())).await;
        let mut done = (false, false);
        while !(done.0 && done.1) {
            let packet: Option<Packet> = raw.read(deadline::TWIN).await.map_err(StageError::from)?;
            let Some(packet) = packet else {
                return Err(tale.broken("MQTT-TWIN-13", "an answer, then PUBACK", "the connection ended"));
            };
            tale.saw(ALPHA, packet.to_string());
            let puback = packet.puback() == Some(id);
            let answer = packet.publish().is_some_and(|publish| publish.topic.contains("/twin/res/"));
            let expected = "the answer, then the PUBACK";
            tale.hold(!puback || done.0, "MQTT-TWIN-13", expected, "the PUBACK came first")?;
            done = (done.0 || answer, done.1 || puback);
        }
    }
    Ok(())
}
