//! PUBLISHes as bytes: in what pieces they come, in what order they are acknowledged, and what every topic makes of them.
//! Covers MQTT-PUB-05, -10 and -11, MQTT-LIM-04, and what well-formed packets get in any mixture.

use std::time::Duration;

use futures_util::future::BoxFuture;
use harness::client::iot_hub::Concerns;
use harness::client::property_bag;
use harness::client::raw_mqtt::{Packet, packet};
use harness::deadline;
use harness::observe::history::{Delivered, History, Identity};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::dialogue::{Dialogue, connected, module, put_back, subscribed};
use crate::course::{broken, ended, routes, settled, sink};
use crate::declare::{fixed, property};
use crate::generate::mqtt_topic;
use crate::oracle::mqtt::{Fate, Publish, Telemetry, topic};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::publishing::acknowledgements_keep_the_order_of_the_publishes",
            &["MQTT-PUB-05"],
            |worker| Box::pin(in_order(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::publishing::a_topic_of_blanks_closes_the_connection",
            &["MQTT-PUB-10"],
            |worker| Box::pin(blank(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::publishing::a_slow_twin_request_holds_back_what_follows_and_nothing_is_lost",
            &["MQTT-PUB-11", "MQTT-LIM-04", "MQTT-PUB-05"],
            |worker| Box::pin(behind_a_twin_request(worker)),
        ),
        property(
            "mqtt_head",
            "mqtt_head::publishing::packets_in_any_pieces_are_answered_as_if_written_one_by_one",
            &["MQTT-PUB-05", "MQTT-SUB-01", "MQTT-SUB-06"],
            1,
            mixtures,
            pieces,
        ),
        property(
            "mqtt_head",
            "mqtt_head::publishing::every_topic_makes_the_message_it_spells",
            &["MQTT-PUB-07", "MQTT-PUB-10", "MQTT-BAG-01", "MQTT-BAG-04", "MQTT-ERR-02"],
            1,
            topics,
            spelled,
        ),
    ]
}

const OWN: &str = "devices/gw7/modules/m10/messages/events";
const ALL_TO_I0: &str = "FROM /messages/* WHERE NOT is_defined(own) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";

fn writer() -> Identity {
    module("m10")
}

/// Reads until PINGRESP and this many PUBACKs have come; what came, or what stood in the way.
async fn answers(connection: &mut harness::client::raw_mqtt::RawMqtt, pubacks: usize) -> Result<Vec<Packet>, String> {
    let mut packets: Vec<Packet> = Vec::new();
    loop {
        let acknowledged = packets.iter().filter(|packet| packet.puback().is_some()).count();
        if acknowledged == pubacks && packets.iter().any(Packet::is_pingresp) {
            return Ok(packets);
        }
        match connection.read(deadline::ACKNOWLEDGEMENT).await {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return Err(format!("the hub closed the connection after {acknowledged} PUBACKs")),
            Err(expired) => return Err(format!("{acknowledged} PUBACKs; {expired}")),
        }
    }
}

/// The first place where two lists part.
fn difference(expected: &[u16], got: &[u16]) -> Option<String> {
    let at = (0..expected.len().max(got.len())).find(|at| expected.get(*at) != got.get(*at))?;
    Some(format!("PUBACK number {} has id {:?} instead of {:?}", at + 1, got.get(at), expected.get(at)))
}

async fn in_order(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: u16 = 200;
    let stage = worker.stage().await?;
    stage.configure(routes([("all", ALL_TO_I0)])).await?;
    let mut connection = connected(stage.environment(), &writer()).await?;
    // Those that are dropped have nothing to wait for, and must wait all the same.
    let topics =
        [format!("{OWN}/%24.on=order"), "foo/bar".to_owned(), format!("{OWN}/=malformed"), format!("{OWN}/kind=plain")];
    let ids: Vec<u16> = (0..MESSAGES).map(|number| 7 * number + 1).collect();
    let mut bytes: Vec<u8> = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        bytes.extend(packet::publish(*id, &topics[number % topics.len()], b"body"));
    }
    bytes.extend(packet::PINGREQ);
    connection.write(&bytes).await;
    let steps = [format!("module m10 writes {MESSAGES} PUBLISHes at once, to {topics:?} by turns")];
    let expected = "a PUBACK for each, in the order of the PUBLISHes";
    let observed = match answers(&mut connection, ids.len()).await {
        Ok(packets) => difference(&ids, &packets.iter().filter_map(Packet::puback).collect::<Vec<_>>()),
        Err(why) => Some(why),
    };
    let mut history = History::begin();
    if observed.is_none() {
        settled(stage, &mut history, &[sink("i0")]).await?;
        put_back(stage, writer()).await?;
    }
    Ok(ended(observed.map(|observed| broken("MQTT-PUB-05", expected, observed, &steps))))
}

async fn blank(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    for topic in [" ", "    "] {
        let mut connection = connected(stage.environment(), &writer()).await?;
        connection.write(&packet::publish(1, topic, b"body")).await;
        let steps = [format!("module m10 publishes to a topic of {} blanks", topic.len())];
        let observed = match connection.closed(deadline::ACKNOWLEDGEMENT).await {
            Ok(packets) if packets.is_empty() => continue,
            Ok(packets) => format!("the hub wrote {}", packets[0]),
            Err(expired) => expired.to_string(),
        };
        let expected = "the connection is closed without a PUBACK";
        return Ok(ended(Some(broken("MQTT-PUB-10", expected, observed, &steps))));
    }
    put_back(stage, writer()).await?;
    Ok(Outcome::Conforms)
}

async fn behind_a_twin_request(worker: &mut Worker) -> Result<Outcome, StageError> {
    const BEHIND: u16 = 300;
    let stage = worker.stage().await?;
    stage.configure(routes([("all", ALL_TO_I0)])).await?;
    let delay = Duration::from_millis(400);
    let condition =
        stage.environment().iot_hub().impose("delay", Concerns::Identity("gw7", Some("m10")), delay).await?;
    let found = held_back(stage, BEHIND).await;
    stage.environment().iot_hub().lift(condition).await?;
    let found = found?;
    if found.is_none() {
        put_back(stage, writer()).await?;
    }
    Ok(ended(found))
}

async fn held_back(stage: &mut Stage, behind: u16) -> Result<Option<Violation>, StageError> {
    let mut connection = connected(stage.environment(), &writer()).await?;
    subscribed(&mut connection, &[("$iothub/twin/res/#", 0)]).await?;
    let mut bytes = packet::publish(1_000, "$iothub/twin/GET/?$rid=slow", b"");
    let ids: Vec<u16> = (1..=behind).collect();
    let mut marks = Vec::new();
    for id in &ids {
        let mark = stage.mark();
        bytes.extend(packet::publish(*id, &format!("{OWN}/mark={mark}"), b""));
        marks.push(mark);
    }
    bytes.extend(packet::PINGREQ);
    let steps = [
        "the cloud is slow to answer module m10".to_owned(),
        format!("module m10 writes at once: a twin GET, {behind} messages at QoS 1, a PINGREQ"),
    ];
    connection.write(&bytes).await;
    let packets = match answers(&mut connection, ids.len() + 1).await {
        Ok(packets) => packets,
        Err(why) => {
            let expected = "everything is acknowledged once the twin request is answered";
            return Ok(Some(broken("MQTT-LIM-04", expected, why, &steps)));
        }
    };
    let at = |wanted: &dyn Fn(&Packet) -> bool| packets.iter().position(wanted);
    let response = at(&|packet| packet.publish().is_some_and(|publish| publish.topic.starts_with("$iothub/twin/res/")));
    let acknowledged = at(&|packet| packet.puback().is_some());
    let pinged = at(&Packet::is_pingresp);
    if response.is_none() || acknowledged < response {
        let observed = format!("the hub wrote first: {}, {}", packets[0], packets[1]);
        let expected = "the answer to the twin request comes before any PUBACK";
        return Ok(Some(broken("MQTT-PUB-11", expected, observed, &steps)));
    }
    if pinged < response {
        let expected =
            "the PINGREQ behind more than 100 waiting PUBLISHes is not read before the twin request is answered";
        return Ok(Some(broken("MQTT-LIM-04", expected, "PINGRESP came first", &steps)));
    }
    let order: Vec<u16> = std::iter::once(1_000).chain(ids).collect();
    let got: Vec<u16> = packets.iter().filter_map(Packet::puback).collect();
    if let Some(observed) = difference(&order, &got) {
        return Ok(Some(broken("MQTT-PUB-05", "PUBACKs in the order of the PUBLISHes", observed, &steps)));
    }
    let mut history = History::begin();
    settled(stage, &mut history, &[sink("i0")]).await?;
    let arrived: Vec<&str> = history.delivered.iter().filter_map(Delivered::mark).collect();
    Ok((arrived != marks).then(|| {
        let observed = format!("{} of {} arrived", arrived.len(), marks.len());
        broken("MQTT-LIM-04", "all messages arrive at sink/i0, in order", observed, &steps)
    }))
}

/// One well-formed packet of a mixture.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Message { qos: u8, routed: bool, body: usize },
    Ping,
    Subscribe(Vec<(&'static str, u8)>),
    Unsubscribe(Vec<&'static str>),
}

/// Packets, and where the bytes of all of them are cut (in thousandths of the whole).
#[derive(Debug, Clone)]
struct Mixture {
    pieces: Vec<Piece>,
    cuts: Vec<u16>,
}

const FILTERS: [&str; 6] =
    ["foo/#", "devices/gw7/modules/m10/inputs/#", "devices/gw7/modules/m10/#", "+/bar", "$iothub/twin/res/#", "#"];

fn mixtures() -> impl Strategy<Value = Mixture> {
    let filter = || proptest::sample::select(FILTERS.to_vec());
    let body = prop_oneof![4 => 0..40_usize, 2 => 100..140_usize, 1 => 16_300..16_400_usize];
    let piece = prop_oneof![
        8 => (0..=1_u8, any::<bool>(), body).prop_map(|(qos, routed, body)| Piece::Message { qos, routed, body }),
        2 => Just(Piece::Ping),
        2 => vec((filter(), 0..=2_u8), 1..4).prop_map(Piece::Subscribe),
        2 => vec(filter(), 1..4).prop_map(Piece::Unsubscribe),
    ];
    (vec(piece, 1..48), vec(0..1_000_u16, 0..30)).prop_map(|(pieces, cuts)| Mixture { pieces, cuts })
}

fn pieces<'a>(stage: &'a mut Stage, case: &'a Mixture) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(mixed(stage, case))
}

async fn mixed(stage: &mut Stage, case: &Mixture) -> Result<Option<Violation>, StageError> {
    let route = "FROM /messages/modules/m10/outputs/mixed INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";
    stage.configure(routes([("mixed", route)])).await?;
    let (mut bytes, mut told, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    for (number, piece) in case.pieces.iter().enumerate() {
        let id = u16::try_from(number + 1).expect("few pieces");
        told.push(match piece {
            Piece::Message { qos, routed, body } => {
                let mark = stage.mark();
                let topic = if *routed { format!("{OWN}/%24.on=mixed&mark={mark}") } else { format!("foo/{mark}") };
                let payload = vec![b'x'; *body];
                let publish = packet::Publish { topic: &topic, id, qos: *qos, payload: &payload, ..Default::default() };
                bytes.extend(publish.bytes());
                marks.extend(routed.then_some(mark));
                format!("PUBLISH {id} at QoS {qos} to {topic}, {body} bytes")
            }
            Piece::Ping => {
                bytes.extend(packet::PINGREQ);
                "PINGREQ".to_owned()
            }
            Piece::Subscribe(filters) => {
                bytes.extend(packet::subscribe(id, filters));
                format!("SUBSCRIBE {id} {filters:?}")
            }
            Piece::Unsubscribe(filters) => {
                bytes.extend(packet::unsubscribe(id, filters));
                format!("UNSUBSCRIBE {id} {filters:?}")
            }
        });
    }
    let mut cuts: Vec<usize> = case.cuts.iter().map(|cut| bytes.len() * usize::from(*cut) / 1_000).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut dialogue = Dialogue::on(connected(stage.environment(), &writer()).await?);
    dialogue.write_split(&format!("module m10 writes, cut at {cuts:?}: {}", told.join("; ")), &bytes, &cuts).await;
    if let Err(violation) = dialogue.look().await? {
        return Ok(Some(violation));
    }
    let mut history = History::begin();
    let quiet = settled(stage, &mut history, &[sink("i0")]).await?;
    let arrived: Vec<&str> = history.delivered.iter().filter_map(Delivered::mark).collect();
    if !quiet || arrived != marks {
        let observed = format!("{arrived:?} arrived");
        let expected = format!("{marks:?} arrive at sink/i0, in this order");
        return Ok(Some(broken("MQTT-PUB-05", expected, observed, &dialogue.steps)));
    }
    put_back(stage, writer()).await?;
    Ok(None)
}

/// Topics to publish to, one behind the other.
#[derive(Debug, Clone)]
struct Topics(Vec<String>);

fn topics() -> impl Strategy<Value = Topics> {
    // What nobody has settled is not asked.
    let settled = |topic: &String| !matches!(topic::publish(topic), Publish::Telemetry(message) if message.fate() == Fate::Unsettled);
    vec(mqtt_topic::topic(), 1..24).prop_map(move |topics| Topics(topics.into_iter().filter(settled).collect()))
}

fn spelled<'a>(stage: &'a mut Stage, case: &'a Topics) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(spells(stage, &case.0))
}

async fn spells(stage: &mut Stage, topics: &[String]) -> Result<Option<Violation>, StageError> {
    stage.configure(routes([("all", ALL_TO_I0)])).await?;
    let mut dialogue = Dialogue::on(connected(stage.environment(), &writer()).await?);
    let mut due: Vec<(&str, Pairs)> = Vec::new();
    let mut steps = Vec::new();
    for (number, topic) in topics.iter().enumerate() {
        let id = u16::try_from(number + 1).expect("few topics");
        let what = format!("module m10 publishes to `{topic}`");
        steps.push(what.clone());
        let ends = dialogue.write(&what, &packet::publish(id, topic, b"body")).await;
        let wild = topic.chars().skip(1).any(|character| matches!(character, '#' | '+'));
        if let (Some(pairs), false) = (delivered(topic), wild) {
            // What carries this name is the harness's own.
            if !pairs.iter().any(|(name, _)| name == "own") {
                due.push((topic, pairs));
            }
        }
        if !ends {
            continue;
        }
        match dialogue.look().await? {
            Err(violation) => return Ok(Some(violation)),
            Ok(super::dialogue::Look::Stands) => {}
            Ok(super::dialogue::Look::Over) => {
                dialogue = Dialogue::on(connected(stage.environment(), &writer()).await?);
            }
        }
    }
    if let Err(violation) = dialogue.look().await? {
        return Ok(Some(violation));
    }
    let mut history = History::begin();
    let quiet = settled(stage, &mut history, &[sink("i0")]).await?;
    for number in 0..due.len().max(history.delivered.len()) {
        let found = match (due.get(number), history.delivered.get(number)) {
            (Some((topic, wanted)), Some(delivered)) => {
                let got = as_told(delivered);
                (got != *wanted)
                    .then(|| ("MQTT-BAG-01", format!("`{topic}` arrives as {wanted:?}"), format!("{got:?}")))
            }
            (Some((topic, _)), None) if quiet => {
                Some(("MQTT-PUB-01", format!("`{topic}` makes a message, which arrives"), "it did not".to_owned()))
            }
            (None, Some(delivered)) => {
                let observed = format!("there is one more: {}", delivered.topic);
                Some(("MQTT-BAG-04", format!("{} messages arrive, the others are dropped", due.len()), observed))
            }
            _ => None,
        };
        if let Some((requirement, expected, observed)) = found {
            return Ok(Some(broken(requirement, expected, observed, &steps)));
        }
    }
    put_back(stage, writer()).await?;
    Ok(None)
}

/// The pairs of a bag, as far as they can be compared: sorted, decoded, a missing value and an empty one the same.
type Pairs = Vec<(String, String)>;

fn as_told(delivered: &Delivered) -> Pairs {
    let wire = |name: &str| {
        property_bag::SYSTEM
            .iter()
            .find(|(_, internal)| *internal == name)
            .map_or(name.to_owned(), |(wire, _)| (*wire).to_owned())
    };
    let system = delivered.system.iter().map(|(name, value)| (wire(name), value.clone().unwrap_or_default()));
    let own = delivered.properties.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()));
    let mut pairs: Pairs = own.chain(system).collect();
    pairs.sort();
    pairs
}

/// How the message that a topic makes arrives, if it makes one.
fn delivered(topic: &str) -> Option<Pairs> {
    let Publish::Telemetry(message) = topic::publish(topic) else { return None };
    if message.fate() != Fate::Routed {
        return None;
    }
    let Telemetry { system, properties } = message;
    let pairs = topic::delivered(&properties, &system);
    let mut pairs: Pairs = pairs.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    pairs.sort();
    Some(pairs)
}
