//! QoS in both directions, RETAIN and DUP, packet ids. Covers MQTT-QOS and MQTT-RET.
//!
//! - [`exchange`]: generated messages and filters, and what a pure model says of their delivery.

use std::time::{Duration, Instant};

use harness::client::raw_mqtt::{Packet, packet};
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use serde_json::json;

use super::guest::{
    GUEST, HOST, acknowledge, carrying, enter, inputs_of, listed, module, output_of, send_to, subscribe, until,
};
use super::sessions::TWIN;
use crate::course::{broken, ended, routes};
use crate::declare::fixed;

pub mod exchange;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        fixed(
            "mqtt_head",
            "mqtt_head::quality::a_publish_at_qos_2_closes_the_connection",
            &["MQTT-QOS-02"],
            |worker| Box::pin(second_quality(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::quality::nothing_is_retained_for_a_late_subscriber",
            &["MQTT-RET-01"],
            |worker| Box::pin(late_subscriber(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::quality::a_property_of_a_message_does_not_close_its_receiver",
            &["MQTT-QOS-07"],
            |worker| Box::pin(empty_quality(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::quality::an_acknowledgement_of_nothing_settles_nothing",
            &["MQTT-QOS-09", "MQTT-QOS-08"],
            |worker| Box::pin(stray_acknowledgement(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::quality::a_message_comes_once_before_the_acknowledgement_is_overdue",
            &["MQTT-QOS-10"],
            |worker| Box::pin(withheld(worker)),
        ),
    ];
    tests.extend(exchange::tests());
    tests
}

/// From module guest to module host.
async fn connected_by_a_route(stage: &mut Stage) -> Result<(), StageError> {
    const ROUTE: &str = "FROM /messages/modules/guest/outputs/q INTO BrokeredEndpoint(\"/modules/host/inputs/in\")";
    stage.configure(routes([("quality", ROUTE)])).await
}

async fn second_quality(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let (mut raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let publish = packet::Publish { topic: "no/topic/of/this/hub", id: 3, qos: 2, ..packet::Publish::default() };
    raw.write(&publish.bytes()).await;
    let observed = match raw.closed(deadline::CLOSED).await {
        Ok(packets) if packets.is_empty() => None,
        Ok(packets) => Some(format!("{}, then the end of the connection", listed(&packets))),
        Err(expired) => Some(expired.to_string()),
    };
    let steps = ["module guest publishes at QoS 2".to_owned()];
    let expected = "the connection is closed, without PUBREC";
    Ok(ended(observed.map(|observed| broken("MQTT-QOS-02", expected, observed, &steps))))
}

async fn late_subscriber(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    connected_by_a_route(stage).await?;
    let mut steps = vec!["module guest publishes a message with RETAIN, which module host gets".to_owned()];
    let filter = inputs_of(stage.environment(), HOST);
    let mark = stage.mark();
    let topic = output_of(stage.environment(), GUEST, "q", &format!("mark={mark}"));
    let (mut first, _) = enter(stage.environment(), &module(HOST), |_| {}).await?;
    let (mut sender, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let mut observed = subscribe(&mut first, 1, &[(&filter, 1)]).await.err();
    sender
        .write(&packet::Publish { topic: &topic, id: 1, qos: 1, retain: true, ..packet::Publish::default() }.bytes())
        .await;
    match until(&mut first, deadline::ROUTING, carrying(&mark)).await {
        Ok((_, published)) => acknowledge(&mut first, &published).await,
        Err(what) => observed = observed.or(Some(what)),
    }
    let _ = (first.disconnect().await, sender.disconnect().await);
    steps.push("module host connects again, subscribes, and is sent another message".to_owned());
    let (mut second, _) = enter(stage.environment(), &module(HOST), |_| {}).await?;
    let subscribed = subscribe(&mut second, 1, &[(&filter, 1)]).await;
    observed = observed.or(subscribed.err());
    let marker = send_to(stage, HOST, "in").await?;
    match until(&mut second, deadline::ROUTING, carrying(&marker)).await {
        Ok((others, published)) => {
            acknowledge(&mut second, &published).await;
            observed = observed.or((!others.is_empty()).then(|| listed(&others)));
        }
        Err(what) => observed = observed.or(Some(what)),
    }
    let _ = second.disconnect().await;
    let expected = "each message once, and the first not again";
    Ok(ended(observed.map(|observed| broken("MQTT-RET-01", expected, observed, &steps))))
}

async fn empty_quality(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    connected_by_a_route(stage).await?;
    let filter = inputs_of(stage.environment(), HOST);
    for bag in ["mqtt-qos=", "mqtt-qos"] {
        let steps = [format!("module guest sends module host a message with the property `{bag}`")];
        let (mut receiver, _) = enter(stage.environment(), &module(HOST), |_| {}).await?;
        let (mut sender, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
        let mut observed = subscribe(&mut receiver, 1, &[(&filter, 1)]).await.err();
        let mark = stage.mark();
        let topic = output_of(stage.environment(), GUEST, "q", &format!("mark={mark}&{bag}"));
        sender.write(&packet::publish(1, &topic, b"")).await;
        match until(&mut receiver, deadline::ROUTING, carrying(&mark)).await {
            Ok((_, published)) => acknowledge(&mut receiver, &published).await,
            Err(what) => observed = observed.or(Some(what)),
        }
        if let Some(observed) = observed {
            return Ok(ended(Some(broken(
                "MQTT-QOS-07",
                "module host gets it, and stays connected",
                observed,
                &steps,
            ))));
        }
        let _ = (receiver.disconnect().await, sender.disconnect().await);
    }
    Ok(Outcome::Conforms)
}

async fn stray_acknowledgement(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let filter = inputs_of(stage.environment(), GUEST);
    let (mut raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let steps = [
        "module guest is sent two messages, and gets the first".to_owned(),
        "it answers with PUBACK 77, then asks for its twin".to_owned(),
        "it answers with PUBACK 1".to_owned(),
    ];
    let subscribed = subscribe(&mut raw, 1, &[(&filter, 1), (TWIN, 1)]).await;
    if let Err(observed) = subscribed {
        return Ok(ended(Some(broken("MQTT-QOS-09", "SUBACK", observed, &steps))));
    }
    let (one, two) = (send_to(stage, GUEST, "in").await?, send_to(stage, GUEST, "in").await?);
    let first = match until(&mut raw, deadline::ROUTING, carrying(&one)).await {
        Ok((_, published)) => published,
        Err(observed) => return Ok(ended(Some(broken("MQTT-QOS-09", "the first message", observed, &steps)))),
    };
    raw.write(&packet::puback(77)).await;
    // The answers pass through all of the hub, so that an acknowledgement before them has had its effect.
    let mut before = Vec::new();
    for id in [8, 9] {
        raw.write(&packet::publish(id, &format!("$iothub/twin/GET/?$rid={id}"), b"")).await;
        match until(&mut raw, deadline::ACKNOWLEDGEMENT, |packet| packet.puback().filter(|answered| *answered == id))
            .await
        {
            Ok((packets, _)) => before.extend(packets),
            Err(observed) => return Ok(ended(Some(broken("MQTT-QOS-09", "the connection stays", observed, &steps)))),
        }
    }
    let early = before.iter().any(|packet| carrying(&two)(packet).is_some());
    if early {
        let expected = "the second message waits for PUBACK 1";
        return Ok(ended(Some(broken("MQTT-QOS-09", expected, "it came after PUBACK 77", &steps))));
    }
    let odd = before.iter().filter_map(Packet::publish).find(|published| published.id != Some(1) || published.dup);
    if let Some(odd) = odd.or(Some(first).filter(|first| first.id != Some(1))) {
        let observed = format!("packet id {:?}, DUP {} on {}", odd.id, u8::from(odd.dup), odd.topic);
        return Ok(ended(Some(broken(
            "MQTT-QOS-08",
            "packet id 1 and DUP 0, while several are in flight",
            observed,
            &steps,
        ))));
    }
    // One for the message and one for each response, the oldest first.
    for _ in 0..3 {
        raw.write(&packet::puback(1)).await;
    }
    let found = match until(&mut raw, deadline::ROUTING, carrying(&two)).await {
        Ok((_, published)) => {
            acknowledge(&mut raw, &published).await;
            None
        }
        Err(observed) => Some(broken("MQTT-QOS-09", "the second message comes after PUBACK 1", observed, &steps)),
    };
    let _ = raw.disconnect().await;
    Ok(ended(found))
}

/// With an ack timeout of 3 s: what comes twice comes after that.
async fn withheld(worker: &mut Worker) -> Result<Outcome, StageError> {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let mut blueprint = worker.blueprint().clone();
    blueprint.settings.push(("MessageAckTimeoutSecs".to_owned(), TIMEOUT.as_secs().to_string()));
    let route = "FROM /messages/modules/guest/outputs/q INTO BrokeredEndpoint(\"/modules/host/inputs/in\")";
    blueprint.desired = Some(json!({
        "schemaVersion": "1.1",
        "routes": { "quality": route },
        "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
    }));
    let environment = worker.environment(&blueprint).await?;
    let found = twice(&environment, TIMEOUT).await;
    environment.stop().await;
    Ok(ended(found?))
}

async fn twice(environment: &Environment, timeout: Duration) -> Result<Option<Violation>, StageError> {
    let steps = [
        format!("a hub with MessageAckTimeoutSecs={}", timeout.as_secs()),
        "module host gets a message and does not acknowledge it".to_owned(),
    ];
    let filter = inputs_of(environment, HOST);
    let (mut receiver, _) = enter(environment, &module(HOST), |_| {}).await?;
    let (mut sender, _) = enter(environment, &module(GUEST), |_| {}).await?;
    if let Err(observed) = subscribe(&mut receiver, 1, &[(&filter, 1)]).await {
        return Ok(Some(broken("MQTT-QOS-10", "SUBACK", observed, &steps)));
    }
    sender.write(&packet::publish(1, &output_of(environment, GUEST, "q", "mark=m"), b"")).await;
    let mut copies = Vec::new();
    for _ in 0..2 {
        match until(&mut receiver, deadline::TIME_LIMIT, carrying("m")).await {
            Ok((_, published)) => copies.push((Instant::now(), published)),
            Err(observed) => {
                return Ok(Some(broken("MQTT-QOS-10", "a second copy after the timeout", observed, &steps)));
            }
        }
    }
    let apart = copies[1].0 - copies[0].0;
    let expected = format!("the second copy more than {} s after the first", timeout.as_secs());
    // The first is read a moment after the hub began to wait for its acknowledgement.
    let early = apart + Duration::from_millis(100) < timeout;
    Ok(early.then(|| broken("MQTT-QOS-10", expected, format!("{:.2} s after it", apart.as_secs_f64()), &steps)))
}
