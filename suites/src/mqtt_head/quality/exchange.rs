//! Messages and filters of every kind, and with what QoS, flags and properties each message must arrive.

use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline;
use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::guest::{
    GUEST, HOST, acknowledge, carrying, enter, listed, module, output_of, property, send_to, subscribe, until,
};
use super::connected_by_a_route;
use crate::course::broken;
use crate::declare;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![declare::property(
        "mqtt_head",
        "mqtt_head::quality::what_a_sender_asks_for_and_a_receiver_is_granted_decides_the_delivery",
        &["MQTT-QOS-01", "MQTT-QOS-04", "MQTT-QOS-05", "MQTT-QOS-06", "MQTT-QOS-08", "MQTT-RET-01", "MQTT-RET-02"],
        2,
        exchanges,
        |stage, exchange| Box::pin(exchanged(stage, exchange)),
    )]
}

/// One message.
#[derive(Debug, Clone)]
struct Letter {
    qos: u8,
    dup: bool,
    retain: bool,
    /// Value of the property `mqtt-qos`.
    asked: Option<&'static str>,
}

/// What a receiver subscribes, in one packet, and what it is sent.
#[derive(Debug, Clone)]
struct Exchange {
    filters: Vec<(&'static str, u8)>,
    letters: Vec<Letter>,
}

/// Filters of module host that all take its input `in`.
const FILTERS: [&str; 3] =
    ["devices/gw7/modules/host/inputs/#", "devices/gw7/modules/host/inputs/in/#", "devices/gw7/modules/host/#"];

fn exchanges() -> impl Strategy<Value = Exchange> {
    let letter = (
        0..=1_u8,
        any::<bool>(),
        any::<bool>(),
        proptest::option::weighted(0.4, select(vec!["0", "1", "2", "7", "abc", "00"])),
    )
        // A DUP at QoS 0 is none that a client may send.
        .prop_map(|(qos, dup, retain, asked)| Letter { qos, dup: dup && qos > 0, retain, asked });
    let filters = (subsequence(FILTERS.to_vec(), 1..=3).prop_shuffle(), vec(0..=2_u8, 3))
        .prop_map(|(filters, qos)| filters.into_iter().zip(qos).collect());
    (filters, vec(letter, 1..=3)).prop_map(|(filters, letters)| Exchange { filters, letters })
}

/// The QoS a letter must be delivered with.
fn delivered_at(exchange: &Exchange, letter: &Letter) -> u8 {
    let granted = exchange.filters.iter().map(|(_, qos)| (*qos).min(1)).max().unwrap_or_default();
    let asked = if letter.asked == Some("0") { 0 } else { 1 };
    granted.min(asked)
}

fn steps_of(exchange: &Exchange) -> Vec<String> {
    let mut steps = vec![format!("module host subscribes {:?}", exchange.filters)];
    steps.extend(exchange.letters.iter().map(|letter| {
        let flag = |set: bool, name: &str| if set { format!(", {name}") } else { String::new() };
        let asked = letter.asked.map(|value| format!(", property mqtt-qos={value}")).unwrap_or_default();
        format!(
            "module guest publishes at QoS {}{}{}{asked}",
            letter.qos,
            flag(letter.dup, "DUP"),
            flag(letter.retain, "RETAIN")
        )
    }));
    steps
}

async fn exchanged(stage: &mut Stage, exchange: &Exchange) -> Result<Option<Violation>, StageError> {
    connected_by_a_route(stage).await?;
    let steps = steps_of(exchange);
    let (mut receiver, _) = enter(stage.environment(), &module(HOST), |_| {}).await?;
    let granted = subscribe(&mut receiver, 5, &exchange.filters).await;
    let wanted: Vec<u8> = exchange.filters.iter().map(|(_, qos)| (*qos).min(1)).collect();
    if granted.as_ref() != Ok(&wanted) {
        let observed = granted.map_or_else(|observed| observed, |codes| format!("{codes:?}"));
        return Ok(Some(broken("MQTT-QOS-04", format!("SUBACK granting {wanted:?}"), observed, &steps)));
    }
    let (mut sender, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let mut marks = Vec::new();
    for (number, letter) in exchange.letters.iter().enumerate() {
        let mark = stage.mark();
        let asked = letter.asked.map(|value| format!("&mqtt-qos={value}")).unwrap_or_default();
        let topic = output_of(stage.environment(), GUEST, "q", &format!("mark={mark}{asked}"));
        let id = 10 + u16::try_from(number).expect("a few letters");
        let Letter { qos, dup, retain, .. } = *letter;
        sender.write(&packet::Publish { topic: &topic, id, qos, dup, retain, payload: b"" }.bytes()).await;
        marks.push(mark);
    }
    if let Some(found) = acknowledged(&mut sender, exchange, &steps).await? {
        return Ok(Some(found));
    }
    for (letter, mark) in exchange.letters.iter().zip(&marks) {
        let (others, published) = match until(&mut receiver, deadline::ROUTING, carrying(mark)).await {
            Ok(found) => found,
            Err(observed) => {
                let requirement = if letter.dup { "MQTT-RET-02" } else { "MQTT-QOS-05" };
                return Ok(Some(broken(requirement, "every message is delivered", observed, &steps)));
            }
        };
        acknowledge(&mut receiver, &published).await;
        if !others.is_empty() {
            return Ok(Some(broken("MQTT-QOS-05", "one copy of each message", listed(&others), &steps)));
        }
        let found = differs(letter, delivered_at(exchange, letter), &published);
        if let Some((requirement, expected, observed)) = found {
            return Ok(Some(broken(requirement, expected, observed, &steps)));
        }
    }
    // Order is promised: what comes before this one is a copy too many.
    let marker = send_to(stage, HOST, "in").await?;
    let found = match until(&mut receiver, deadline::ROUTING, carrying(&marker)).await {
        Ok((others, published)) => {
            acknowledge(&mut receiver, &published).await;
            (!others.is_empty()).then(|| broken("MQTT-QOS-05", "one copy of each message", listed(&others), &steps))
        }
        Err(observed) => Some(broken("MQTT-QOS-05", "a later message", observed, &steps)),
    };
    if found.is_none() {
        // All was stored and delivered by now, so whatever would have been acknowledged has been.
        let late = sender.ping().await.ok().flatten().unwrap_or_default();
        if !late.is_empty() {
            return Ok(Some(broken("MQTT-QOS-01", "nothing at QoS 0 is acknowledged", listed(&late), &steps)));
        }
    }
    let _ = (receiver.disconnect().await, sender.disconnect().await);
    Ok(found)
}

/// The sender gets a PUBACK for each message at QoS 1, in order, and nothing else: PINGRESP shows that there was nothing
/// more to come.
async fn acknowledged(
    sender: &mut RawMqtt,
    exchange: &Exchange,
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let letters = exchange.letters.iter().zip(10_u16..);
    let ids: Vec<u16> = letters.filter(|(letter, _)| letter.qos == 1).map(|(_, id)| id).collect();
    // A publish at QoS 1 behind the others: its PUBACK comes last.
    sender.write(&packet::publish(99, "no/topic/of/this/hub", b"")).await;
    let last = |packet: &Packet| packet.puback().filter(|id| *id == 99);
    let expected = format!("PUBACKs of {ids:?}");
    Ok(match until(sender, deadline::ACKNOWLEDGEMENT, last).await {
        Ok((packets, _)) => {
            let got: Vec<Option<u16>> = packets.iter().map(Packet::puback).collect();
            let same = got.iter().copied().eq(ids.iter().copied().map(Some));
            (!same).then(|| broken("MQTT-QOS-01", expected, listed(&packets), steps))
        }
        Err(observed) => Some(broken("MQTT-QOS-01", expected, observed, steps)),
    })
}

/// The first thing a delivery has otherwise than it must.
fn differs(letter: &Letter, qos: u8, published: &Published) -> Option<(&'static str, String, String)> {
    let set = |flag: bool| flag.then(|| "true".to_owned());
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
    let retain = property(published, "mqtt-retain");
    let dup = property(published, "mqtt-dup");
    if published.qos != qos {
        let requirement = if letter.asked == Some("0") { "MQTT-QOS-06" } else { "MQTT-QOS-05" };
        return Some((requirement, format!("delivery at QoS {qos}"), format!("at QoS {}", published.qos)));
    }
    if published.retain || retain != set(letter.retain) {
        let observed = format!("RETAIN {}, mqtt-retain {}", u8::from(published.retain), shown(&retain));
        return Some(("MQTT-RET-01", format!("RETAIN 0, mqtt-retain {}", shown(&set(letter.retain))), observed));
    }
    if dup != set(letter.dup) {
        return Some(("MQTT-RET-02", format!("mqtt-dup {}", shown(&set(letter.dup))), shown(&dup)));
    }
    let id = (qos > 0).then_some(1);
    if published.dup || published.id != id {
        let observed = format!("DUP {}, packet id {:?}", u8::from(published.dup), published.id);
        return Some(("MQTT-QOS-08", format!("DUP 0, packet id {id:?}"), observed));
    }
    None
}
