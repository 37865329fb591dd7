//! What comes before and behind CONNECT on a connection. Covers MQTT-CONN-12 to -14.

use harness::client::raw_mqtt::{Packet, packet};
use harness::deadline;
use harness::observe::history::History;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use super::super::guest::{GUEST, enter, inputs_of, listed, module, output_of, proper};
use crate::course::{broken, ended, reached, routes, sink};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::connect_comes_first_and_once",
            &["MQTT-CONN-12", "MQTT-CONN-13"],
            |worker| Box::pin(first_and_once(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::packets_behind_connect_are_processed_in_order",
            &["MQTT-CONN-14"],
            |worker| Box::pin(behind_connect(worker)),
        ),
    ]
}

async fn first_and_once(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let first: [(&str, Vec<u8>); 6] = [
        ("PINGREQ", packet::PINGREQ.to_vec()),
        ("PUBLISH", packet::publish(1, "devices/gw7/modules/guest/messages/events/", b"")),
        ("SUBSCRIBE", packet::subscribe(1, &[("devices/gw7/modules/guest/inputs/#", 1)])),
        ("PUBACK", packet::puback(1)),
        ("DISCONNECT", packet::DISCONNECT.to_vec()),
        ("CONNACK", vec![0x20, 2, 0, 0]),
    ];
    for (name, bytes) in first {
        let mut raw = environment.raw("early").await?;
        raw.write(&bytes).await;
        let observed = match raw.closed(deadline::CLOSED).await {
            Ok(packets) if packets.is_empty() => continue,
            Ok(packets) => listed(&packets),
            Err(expired) => expired.to_string(),
        };
        let steps = [format!("{name} is the first packet of a connection")];
        return Ok(ended(Some(broken("MQTT-CONN-12", "the hub closes without a byte", observed, &steps))));
    }
    let (mut raw, _) = enter(environment, &module(GUEST), |_| {}).await?;
    raw.write(&proper(environment, &module(GUEST)).bytes()).await;
    let observed = match raw.closed(deadline::CLOSED).await {
        Ok(packets) if packets.is_empty() => return Ok(Outcome::Conforms),
        Ok(packets) => listed(&packets),
        Err(expired) => expired.to_string(),
    };
    let steps = ["module guest connects".to_owned(), "it sends a second CONNECT on the same connection".to_owned()];
    Ok(ended(Some(broken("MQTT-CONN-13", "the hub closes without a CONNACK", observed, &steps))))
}

/// CONNECT, SUBSCRIBE, PUBLISH and PINGREQ, in pieces of every kind.
async fn behind_connect(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "early",
            "FROM /messages/modules/guest/outputs/early INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    for pieces in ["one piece", "CONNECT apart", "pieces of 50 bytes", "a cut within CONNECT"] {
        let mark = stage.mark();
        let environment = stage.environment();
        let connect = proper(environment, &module(GUEST)).bytes();
        let topic = output_of(environment, GUEST, "early", &format!("mark={mark}"));
        let filter = inputs_of(environment, GUEST);
        let all = [
            connect.clone(),
            packet::subscribe(7, &[(filter.as_str(), 1)]),
            packet::publish(8, &topic, b""),
            packet::PINGREQ.to_vec(),
        ]
        .concat();
        let cuts: Vec<usize> = match pieces {
            "CONNECT apart" => vec![connect.len()],
            "pieces of 50 bytes" => (1..all.len() / 50).map(|piece| piece * 50).collect(),
            "a cut within CONNECT" => vec![connect.len() / 2],
            _ => Vec::new(),
        };
        let steps = [format!(
            "module guest writes CONNECT, SUBSCRIBE, PUBLISH at QoS 1 and PINGREQ without waiting, in {pieces}"
        )];
        let mut raw = environment.raw(GUEST).await?;
        raw.write_split(&all, &cuts).await;
        let mut packets: Vec<Packet> = Vec::new();
        while packets.len() < 4 {
            match raw.read(deadline::ACKNOWLEDGEMENT).await {
                Ok(Some(packet)) => packets.push(packet),
                _ => break,
            }
        }
        let first = packets.first().and_then(Packet::connack) == Some((false, 0));
        let rest = packets.iter().any(|packet| packet.suback() == Some((7, &[1])))
            && packets.iter().any(|packet| packet.puback() == Some(8))
            && packets.iter().any(Packet::is_pingresp);
        if !first || !rest {
            let expected = "CONNACK first, then SUBACK 7, PUBACK 8 and PINGRESP";
            return Ok(ended(Some(broken("MQTT-CONN-14", expected, listed(&packets), &steps))));
        }
        let mut history = History::begin();
        let arrived = stage
            .collect(&mut history, deadline::ROUTING, "the message at sink/i0", |history| {
                reached(history, &mark).contains(&sink("i0"))
            })
            .await;
        if let Err(expired) = arrived {
            return Ok(ended(Some(broken("MQTT-CONN-14", "the message is routed", expired.to_string(), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}
