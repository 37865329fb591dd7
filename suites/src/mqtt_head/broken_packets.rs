//! Wrong packets: the connection that writes them is closed, and nobody else notices. Covers MQTT-ERR.
//!
//! Named examples stand in tables; whatever else can be wrong is drawn from [`crate::generate::mqtt_packet`] and judged
//! by [`crate::oracle::mqtt_stream`].

use std::ops::Range;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline;
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::dialogue::{Dialogue, LARGEST_PACKET, Look, connected, module, put_back, speaker, unopened};
use crate::course::{broken, ended};
use crate::declare::{self, fixed};
use crate::generate::mqtt_packet::{self, MutatedPacket, Speaker, shown};
use crate::oracle::mqtt_stream;
use crate::property;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mutated = |name: &str, weight, strategy: fn() -> BoxedStrategy<Case>| {
        let requirements =
            ["MQTT-ERR-01", "MQTT-ERR-02", "MQTT-ERR-03", "MQTT-ERR-04", "MQTT-ERR-05", "MQTT-LIM-01", "MQTT-SUB-07"];
        let mut test = declare::property("mqtt_head", name, &requirements, weight, strategy, play);
        test.body = Arc::new(move |worker| {
            Box::pin(property::check(worker, strategy, play, fewer_mutations, property::Failure::Harmless))
        });
        test
    };
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::broken_packets::what_cannot_be_decoded_closes_the_connection",
            &["MQTT-ERR-01", "MQTT-ERR-04", "MQTT-ERR-05"],
            |worker| Box::pin(async move { table(worker, "MQTT-ERR-01", &undecodable()).await }),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::broken_packets::a_wildcard_in_a_publish_topic_closes_the_connection",
            &["MQTT-ERR-02"],
            |worker| Box::pin(wildcards(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::broken_packets::pubrel_closes_and_stray_acknowledgements_are_ignored",
            &["MQTT-ERR-03"],
            |worker| Box::pin(strays(worker)),
        ),
        mutated("mqtt_head::broken_packets::mutated_packets_are_answered_or_closed", 1, || few().boxed()),
        declare::slow(mutated("mqtt_head::broken_packets::many_mutated_packets_are_answered_or_closed", 1, || {
            many().boxed()
        })),
    ]
}

/// The identity that misbehaves.
fn offender() -> Identity {
    module("m10")
}

/// The identity that must not notice.
fn bystander() -> Identity {
    module("cam2")
}

/// A connection that works all the time while others misbehave.
struct Bystander {
    connection: RawMqtt,
    published: u16,
}

impl Bystander {
    async fn connect(stage: &Stage) -> Result<Self, StageError> {
        Ok(Self { connection: connected(stage.environment(), &bystander()).await?, published: 0 })
    }

    /// Publishes and pings; says what is wrong with the answers.
    async fn works(&mut self) -> Option<String> {
        self.published = self.published % 0xffff + 1;
        let id = self.published;
        let topic = "devices/gw7/modules/cam2/messages/events/%24.on=bystander";
        let bytes = [packet::publish(id, topic, b"still here"), packet::PINGREQ.to_vec()].concat();
        self.connection.write(&bytes).await;
        let (mut acknowledged, mut answered) = (false, false);
        while !acknowledged || !answered {
            match self.connection.read(deadline::ACKNOWLEDGEMENT).await {
                Ok(Some(packet)) if packet.puback() == Some(id) => acknowledged = true,
                Ok(Some(packet)) if packet.is_pingresp() => answered = true,
                Ok(Some(packet)) => return Some(format!("it was sent {packet}")),
                Ok(None) => return Some("its connection was closed".to_owned()),
                Err(expired) => return Some(expired.to_string()),
            }
        }
        None
    }

    async fn disturbed(&mut self, steps: &[String]) -> Option<Violation> {
        let observed = self.works().await?;
        let expected = "a bystander's connection stands, and its PUBLISH and PINGREQ are answered";
        Some(broken("MQTT-ERR-04", expected, observed, steps))
    }
}

/// Puts the stage's own clients back in the place of those that took their identities.
async fn restore(stage: &mut Stage) -> Result<(), StageError> {
    put_back(stage, offender()).await?;
    put_back(stage, bystander()).await
}

/// Each of these, written on a connection of its own, closes it without a word; the identity may return at once, and
/// a bystander goes on working.
async fn closes(
    stage: &mut Stage,
    requirement: &str,
    rows: &[(&str, Vec<u8>)],
) -> Result<Option<Violation>, StageError> {
    let mut bystander = Bystander::connect(stage).await?;
    let mut again = false;
    for (what, bytes) in rows {
        let steps = [format!("module m10 connects and writes {what}: {}", shown(bytes))];
        let mut connection = match (again, connected(stage.environment(), &offender()).await) {
            (_, Ok(connection)) => connection,
            (false, Err(error)) => return Err(error),
            (true, Err(error)) => {
                let expected = "after a connection was closed for a fault the same identity connects at once";
                return Ok(Some(broken("MQTT-ERR-05", expected, error.to_string(), &steps)));
            }
        };
        connection.write(bytes).await;
        connection.write(&packet::PINGREQ).await;
        let expected = "the connection is closed, and nothing is written on it";
        match connection.read(deadline::ACKNOWLEDGEMENT).await {
            Ok(None) => {}
            Ok(Some(packet)) if packet.is_pingresp() => {
                let observed = "it stands: a PINGREQ behind the packet is answered";
                return Ok(Some(broken(requirement, expected, observed, &steps)));
            }
            Ok(Some(packet)) => {
                return Ok(Some(broken(requirement, expected, format!("the hub wrote {packet}"), &steps)));
            }
            Err(expired) => return Ok(Some(broken(requirement, expected, expired.to_string(), &steps))),
        }
        again = true;
        if let Some(violation) = bystander.disturbed(&steps).await {
            return Ok(Some(violation));
        }
    }
    if connected(stage.environment(), &offender()).await.is_err() {
        let steps = ["module m10 wrote a packet that closed its connection".to_owned()];
        return Ok(Some(broken("MQTT-ERR-05", "it connects at once", "it is not let in", &steps)));
    }
    Ok(None)
}

/// Each of these packets, written on a connection of its own on the worker's stage, closes it without a word; the same
/// identity may return at once, and a bystander goes on working.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn table(worker: &mut Worker, requirement: &str, rows: &[(&str, Vec<u8>)]) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let found = closes(stage, requirement, rows).await?;
    if found.is_none() {
        restore(stage).await?;
    }
    Ok(ended(found))
}

fn undecodable() -> Vec<(&'static str, Vec<u8>)> {
    let topic = "devices/gw7/modules/m10/messages/events/";
    let publish = |qos: u8, id: u16| packet::Publish { topic, qos, id, ..packet::Publish::default() }.bytes();
    let changed = |mut bytes: Vec<u8>, at: usize, byte: u8| {
        bytes[at] = byte;
        bytes
    };
    vec![
        ("a packet of type 0", vec![0x00, 0]),
        ("a packet of type 15", vec![0xf0, 0]),
        ("a CONNACK", vec![0x20, 2, 0, 0]),
        ("a SUBACK", vec![0x90, 3, 0, 1, 0]),
        ("an UNSUBACK", vec![0xb0, 2, 0, 1]),
        ("a PINGRESP", vec![0xd0, 0]),
        ("a SUBSCRIBE with flags 0", changed(packet::subscribe(1, &[("a", 0)]), 0, 0x80)),
        ("a SUBSCRIBE with flags 3", changed(packet::subscribe(1, &[("a", 0)]), 0, 0x83)),
        ("an UNSUBSCRIBE with flags 0", changed(packet::unsubscribe(1, &["a"]), 0, 0xa0)),
        ("a PUBACK with flags 2", changed(packet::puback(1), 0, 0x42)),
        ("a PINGREQ with flags 1", vec![0xc1, 0]),
        ("a DISCONNECT with flags 1", vec![0xe1, 0]),
        ("a PUBLISH at QoS 3", publish(3, 1)),
        ("a PUBLISH at QoS 1 with packet id 0", publish(1, 0)),
        ("a SUBSCRIBE with packet id 0", packet::subscribe(0, &[("a", 0)])),
        ("an UNSUBSCRIBE with packet id 0", packet::unsubscribe(0, &["a"])),
        ("a PUBACK with packet id 0", packet::puback(0)),
        ("a PUBLISH with an empty topic", packet::publish(1, "", b"body")),
        ("a PUBLISH whose topic is longer than the packet", vec![0x30, 4, 0, 9, b'a', b'b']),
        ("a PUBLISH at QoS 1 that ends before its packet id", vec![0x32, 4, 0, 1, b'a', 0]),
        ("a PUBLISH of one byte", vec![0x30, 1, 0]),
        ("a remaining length of five bytes", vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("a PINGREQ with a surplus byte", vec![0xc0, 1, 0]),
        ("a PUBACK with a surplus byte", vec![0x40, 3, 0, 1, 0]),
        ("a PUBACK of one byte", vec![0x40, 1, 0]),
        ("an UNSUBSCRIBE with a surplus byte", packet::frame(0xa2, &[0, 1, 0, 1, b'a', 0])),
        ("a SUBSCRIBE without the last QoS", packet::frame(0x82, &[0, 1, 0, 1, b'a'])),
        ("an empty SUBSCRIBE", packet::frame(0x82, &[])),
    ]
}

async fn wildcards(worker: &mut Worker) -> Result<Outcome, StageError> {
    let topics = [
        "devices/+/messages/events/",
        "devices/gw7/modules/m10/messages/events/#",
        "devices/gw7/modules/m10/messages/events/a=1+1",
        "a#",
        "//+",
        "$iothub/twin/GET/?$rid=1+1",
    ];
    let rows: Vec<(String, Vec<u8>)> = topics
        .iter()
        .flat_map(|topic| {
            [0, 1].map(|qos| {
                let publish = packet::Publish { topic, qos, id: 1, ..packet::Publish::default() };
                (format!("a PUBLISH at QoS {qos} to `{topic}`"), publish.bytes())
            })
        })
        .collect();
    let rows: Vec<(&str, Vec<u8>)> = rows.iter().map(|(what, bytes)| (what.as_str(), bytes.clone())).collect();
    table(worker, "MQTT-ERR-02", &rows).await
}

async fn strays(worker: &mut Worker) -> Result<Outcome, StageError> {
    let closed = table(worker, "MQTT-ERR-03", &[("a PUBREL", vec![0x62, 2, 0, 1])]).await?;
    if closed != Outcome::Conforms {
        return Ok(closed);
    }
    let stage = worker.stage().await?;
    let mut connection = connected(stage.environment(), &offender()).await?;
    for (what, bytes) in [
        ("a PUBREC", vec![0x50, 2, 0, 1]),
        ("a PUBCOMP", vec![0x70, 2, 0, 1]),
        ("a PUBREC of another id", vec![0x50, 2, 0xff, 0xff]),
        ("a PUBCOMP of another id", vec![0x70, 2, 0xff, 0xff]),
    ] {
        let steps = [format!("module m10 connects and writes {what} that nobody asked for")];
        connection.write(&bytes).await;
        let observed = match connection.ping().await {
            Ok(Some(before)) if before.is_empty() => continue,
            Ok(Some(before)) => format!("the hub wrote {}", before[0]),
            Ok(None) => "the hub closed the connection".to_owned(),
            Err(expired) => expired.to_string(),
        };
        return Ok(ended(Some(broken("MQTT-ERR-03", "it is ignored", observed, &steps))));
    }
    restore(stage).await?;
    Ok(Outcome::Conforms)
}

/// One packet of a generated case, by its seed.
#[derive(Debug, Clone)]
struct Drawn {
    seed: u64,
    /// Written as the first packet of a connection.
    opening: bool,
    /// Mutations left out again, to make the case smaller.
    left_out: usize,
}

impl Drawn {
    fn packet(&self, speaker: &Speaker) -> MutatedPacket {
        let whole = if self.opening {
            mqtt_packet::opening(self.seed, speaker)
        } else {
            mqtt_packet::packet(self.seed, speaker)
        };
        (0..whole.mutations().len())
            .rev()
            .filter(|number| self.left_out & 1 << number != 0)
            .fold(whole, |packet, number| packet.simpler().nth(number).expect("counted"))
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (any::<u64>().no_shrink(), proptest::bool::weighted(0.06).no_shrink()).prop_map(|(seed, opening)| Drawn {
        seed,
        opening,
        left_out: 0,
    })
}

/// Packets to write, one behind the other, on as many connections as they end.
#[derive(Debug, Clone)]
struct Case(Vec<Drawn>);

fn few() -> impl Strategy<Value = Case> {
    vec(drawn(), 1..=44).prop_map(Case)
}

fn many() -> impl Strategy<Value = Case> {
    vec(drawn(), 1..=1_200).prop_map(Case)
}

fn play<'a>(stage: &'a mut Stage, case: &'a Case) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move { Ok(played(stage, &case.0).await?.map(|(violation, _)| violation)) })
}

/// Plays packets. A violation comes with the packets of the connection it was seen on.
async fn played(stage: &mut Stage, case: &[Drawn]) -> Result<Option<(Violation, Range<usize>)>, StageError> {
    let speaker = speaker(stage.environment(), &offender());
    let mut bystander = Bystander::connect(stage).await?;
    let mut dialogue: Option<Dialogue> = None;
    let (mut waiting, mut first) = (0, 0);
    for (number, drawn) in case.iter().enumerate() {
        let packet = drawn.packet(&speaker);
        if drawn.opening {
            dialogue = None;
            if let Some(violation) = opened(stage, &packet).await? {
                return Ok(Some((violation, number..number + 1)));
            }
            continue;
        }
        let on = match &mut dialogue {
            Some(on) => on,
            none => match connected(stage.environment(), &offender()).await {
                Ok(connection) => {
                    first = number;
                    none.insert(Dialogue::on(connection))
                }
                Err(error) => {
                    let steps = ["module m10 wrote packets until its connection ended, and connects again".to_owned()];
                    let expected = "it is accepted at once";
                    let violation = broken("MQTT-ERR-05", expected, error.to_string(), &steps);
                    return Ok(Some((violation, first..number)));
                }
            },
        };
        waiting += 1;
        if !on.write(&format!("module m10 writes {packet}"), &packet.bytes()).await && waiting < 8 {
            continue;
        }
        waiting = 0;
        let looked = on.look().await?;
        let disturbed = bystander.disturbed(&on.steps).await;
        match looked {
            Err(violation) => return Ok(Some((violation, first..number + 1))),
            Ok(_) if disturbed.is_some() => return Ok(disturbed.map(|violation| (violation, first..number + 1))),
            Ok(Look::Stands) => {}
            Ok(Look::Over) => dialogue = None,
        }
    }
    if let Some(mut on) = dialogue {
        if let Err(violation) = on.look().await? {
            return Ok(Some((violation, first..case.len())));
        }
    }
    restore(stage).await?;
    Ok(None)
}

/// Writes a first packet: it is refused, waited for, or accepted, the latter only if it is a CONNECT at all.
async fn opened(stage: &Stage, packet: &MutatedPacket) -> Result<Option<Violation>, StageError> {
    let bytes = packet.bytes();
    let mut connection = unopened(stage.environment(), &offender()).await?;
    connection.write(&bytes).await;
    let Some(acceptable) = mqtt_stream::acceptable(&bytes, LARGEST_PACKET) else {
        // An incomplete packet is waited for.
        return Ok(None);
    };
    let read = connection.read(deadline::CONNECT).await;
    let steps = [format!("module m10 opens a connection and writes {packet}")];
    let refused = |packet: &Packet| matches!(packet.connack(), Some((false, 1 | 3 | 5)));
    let accepted = |packet: &Packet| packet.connack() == Some((false, 0));
    let observed = match &read {
        Ok(None) => return Ok(None),
        Ok(Some(packet)) if refused(packet) => return Ok(None),
        Ok(Some(packet)) if acceptable && accepted(packet) => {
            // Known to the hub by then, it is not taken for the newcomer of the next connection.
            let _ = connection.ping().await;
            return Ok(None);
        }
        Ok(Some(packet)) => format!("the hub wrote {packet}: {}", shown(&packet.bytes)),
        Err(expired) => expired.to_string(),
    };
    let expected = if acceptable {
        "a CONNACK, or the connection is closed"
    } else {
        "a CONNACK that refuses, or the connection is closed"
    };
    Ok(Some(broken("MQTT-ERR-01", expected, observed, &steps)))
}

/// Keeps the packets of one connection, then the last of them, then as few mutations as still show the violation.
fn fewer_mutations<'a>(
    stage: &'a mut Stage,
    case: &'a Case,
    found: Violation,
) -> BoxFuture<'a, Result<Violation, StageError>> {
    Box::pin(async move {
        let mut smallest = (case.0.clone(), found);
        for _ in 0..2 {
            let Some((_, seen)) = played(stage, &smallest.0).await? else { break };
            let last = seen.end.saturating_sub(1)..seen.end;
            for part in [seen, last] {
                let part = smallest.0.get(part).unwrap_or_default().to_vec();
                if part.len() < smallest.0.len() {
                    still(stage, &mut smallest, part).await?;
                }
            }
        }
        for at in 0..smallest.0.len().min(MOST_SIMPLIFIED) {
            for mutation in 0..3 {
                let mut simpler = smallest.0.clone();
                simpler[at].left_out |= 1 << mutation;
                still(stage, &mut smallest, simpler).await?;
            }
        }
        Ok(smallest.1)
    })
}

/// Packets of a case whose mutations are left out one by one; more take too long.
const MOST_SIMPLIFIED: usize = 6;

/// Takes a part for the smallest case if it shows the same violation.
async fn still(stage: &mut Stage, smallest: &mut (Vec<Drawn>, Violation), part: Vec<Drawn>) -> Result<(), StageError> {
    if let Some((violation, _)) = played(stage, &part).await? {
        if violation.requirement == smallest.1.requirement {
            *smallest = (part, violation);
        }
    }
    Ok(())
}
