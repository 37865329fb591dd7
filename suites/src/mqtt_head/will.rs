//! Last messages. Covers MQTT-WILL.

use std::collections::BTreeMap;

use harness::client::raw_mqtt::packet::{self, Will};
use harness::client::raw_mqtt::{Connect, RawMqtt};
use harness::deadline;
use harness::observe::history::{Delivered, History, value_of};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use serde_json::Value;

use super::guest::{GUEST, enter, inputs_of, module, output_of, subscribe};
use crate::course::{arrival, broken, ended, reached, routes, settled, sink};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::will::the_will_of_a_client_that_breaks_off_is_routed",
            &["MQTT-WILL-01", "MQTT-WILL-02"],
            |worker| Box::pin(routed(worker)),
        ),
        fixed("mqtt_head", "mqtt_head::will::a_client_that_leaves_in_order_has_no_will", &["MQTT-WILL-03"], |worker| {
            Box::pin(discarded(worker))
        }),
        fixed("mqtt_head", "mqtt_head::will::a_client_that_falls_silent_has_a_will", &["MQTT-WILL-04"], |worker| {
            Box::pin(silent(worker))
        }),
        fixed("mqtt_head", "mqtt_head::will::a_takeover_publishes_no_will", &["MQTT-WILL-05"], |worker| {
            Box::pin(taken_over(worker))
        }),
        fixed("mqtt_head", "mqtt_head::will::the_will_comes_last", &["MQTT-WILL-06"], |worker| Box::pin(last(worker))),
    ]
}

const INPUT: &str = "i2";

fn route() -> BTreeMap<String, Value> {
    routes([("will", "FROM /messages/modules/guest/outputs/will INTO BrokeredEndpoint(\"/modules/sink/inputs/i2\")")])
}

/// Connects module guest with a will of this mark.
async fn with_will(stage: &Stage, mark: &str, change: impl FnOnce(&mut Connect)) -> Result<RawMqtt, StageError> {
    let topic = output_of(stage.environment(), GUEST, "will", &format!("mark={mark}&a=b"));
    let will = Will { topic, payload: b"farewell".to_vec(), qos: 1, retain: false };
    let guest = module(GUEST);
    let entered = enter(stage.environment(), &guest, |connect| {
        connect.will = Some(will);
        change(connect);
    });
    Ok(entered.await?.0)
}

/// The will as it arrives.
async fn arrives(stage: &mut Stage, mark: &str) -> Result<Delivered, String> {
    let mut history = History::begin();
    let there = |history: &History| !reached(history, mark).is_empty();
    let arrived = stage.collect(&mut history, deadline::ROUTING, "the will at sink/i2", there).await;
    match (arrived, arrival(&history, mark, &sink(INPUT))) {
        (Ok(()), Some(will)) => Ok(will.clone()),
        (Ok(()), None) => Err("it went elsewhere".to_owned()),
        (Err(expired), _) => Err(expired.to_string()),
    }
}

/// Whether the will has come by now: a later message of the same client, and a marker behind that, have.
async fn has_come(stage: &mut Stage, mark: &str) -> Result<bool, StageError> {
    let (mut raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let later = stage.mark();
    let topic = output_of(stage.environment(), GUEST, "will", &format!("mark={later}"));
    raw.write(&packet::publish(1, &topic, b"")).await;
    let mut history = History::begin();
    let there = |history: &History| !reached(history, &later).is_empty();
    stage.collect(&mut history, deadline::ROUTING, "a message at sink/i2", there).await?;
    let _ = raw.disconnect().await;
    settled(stage, &mut history, &[sink(INPUT)]).await?;
    Ok(!reached(&history, mark).is_empty())
}

async fn routed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(route()).await?;
    for broken_packet in [false, true] {
        let mark = stage.mark();
        let mut raw = with_will(stage, &mark, |_| {}).await?;
        let mut steps = vec!["module guest connects with a will".to_owned()];
        if broken_packet {
            steps.push("it sends bytes that are no packet, and the hub closes".to_owned());
            raw.write(&[0x00, 0x00]).await;
            raw.closed(deadline::CLOSED).await?;
        } else {
            steps.push("its connection ends without DISCONNECT".to_owned());
            raw.break_off().await?;
        }
        let will = match arrives(stage, &mark).await {
            Ok(will) => will,
            Err(observed) => {
                return Ok(ended(Some(broken("MQTT-WILL-01", "the will arrives at sink/i2", observed, &steps))));
            }
        };
        if will.body.as_ref() != b"farewell" || value_of(&will.properties, "a") != Some("b") {
            let observed = format!("body {:?}, properties {:?}", will.body, will.properties);
            return Ok(ended(Some(broken("MQTT-WILL-01", "its payload and its properties", observed, &steps))));
        }
        if value_of(&will.properties, "MessageType") != Some("Will") {
            let observed = format!("properties {:?}", will.properties);
            return Ok(ended(Some(broken("MQTT-WILL-02", "the property MessageType=Will", observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn discarded(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(route()).await?;
    let mark = stage.mark();
    let raw = with_will(stage, &mark, |_| {}).await?;
    raw.disconnect().await?;
    let steps = ["module guest connects with a will".to_owned(), "it says DISCONNECT, and the hub closes".to_owned()];
    let came = has_come(stage, &mark).await?;
    Ok(ended(came.then(|| broken("MQTT-WILL-03", "the will is discarded", "it arrived at sink/i2", &steps))))
}

async fn silent(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(route()).await?;
    let mark = stage.mark();
    let mut raw = with_will(stage, &mark, |connect| connect.keep_alive = 1).await?;
    let steps = ["module guest connects with a will and keep alive 1".to_owned(), "it says nothing".to_owned()];
    let closed = raw.closed(deadline::TIME_LIMIT).await.map_err(|expired| expired.to_string());
    let arrived = match closed {
        Ok(_) => arrives(stage, &mark).await,
        Err(observed) => Err(observed),
    };
    let expected = "the connection is closed, and the will arrives at sink/i2";
    Ok(ended(arrived.err().map(|observed| broken("MQTT-WILL-04", expected, observed, &steps))))
}

async fn taken_over(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(route()).await?;
    let mark = stage.mark();
    let mut older = with_will(stage, &mark, |_| {}).await?;
    let steps = ["module guest connects with a will".to_owned(), "it connects again, without one".to_owned()];
    // A client is known to the hub some time after CONNACK, and before SUBACK: only then can it be taken over.
    let filter = inputs_of(stage.environment(), GUEST);
    if let Err(observed) = subscribe(&mut older, 1, &[(&filter, 1)]).await {
        return Ok(ended(Some(broken("MQTT-WILL-05", "SUBACK", observed, &steps))));
    }
    let (newer, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    older.closed(deadline::CLOSED).await?;
    drop(newer);
    let came = has_come(stage, &mark).await?;
    Ok(ended(came.then(|| broken("MQTT-WILL-05", "the will is not published", "it arrived at sink/i2", &steps))))
}

async fn last(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 10;
    let stage = worker.stage().await?;
    stage.configure(route()).await?;
    let mark = stage.mark();
    let mut raw = with_will(stage, &mark, |_| {}).await?;
    let mut before = Vec::new();
    let mut bytes = Vec::new();
    for _ in 0..MESSAGES {
        let mark = stage.mark();
        let topic = output_of(stage.environment(), GUEST, "will", &format!("mark={mark}"));
        bytes.extend(packet::Publish { topic: &topic, ..packet::Publish::default() }.bytes());
        before.push(mark);
    }
    raw.write(&bytes).await;
    raw.break_off().await?;
    let mut history = History::begin();
    let there = |history: &History| !reached(history, &mark).is_empty();
    let arrived = stage.collect(&mut history, deadline::ROUTING, "the will at sink/i2", there).await;
    let steps = [
        format!("module guest connects with a will and sends {MESSAGES} messages at QoS 0"),
        "its connection ends without DISCONNECT".to_owned(),
    ];
    let order: Vec<&str> = history.delivered.iter().filter_map(Delivered::mark).collect();
    before.push(mark.clone());
    let found: Option<Violation> = match arrived {
        Err(expired) => Some(broken("MQTT-WILL-06", "the will arrives", expired.to_string(), &steps)),
        Ok(()) if order != before => {
            Some(broken("MQTT-WILL-06", format!("order {before:?}, the will last"), format!("order {order:?}"), &steps))
        }
        Ok(()) => None,
    };
    Ok(ended(found))
}
