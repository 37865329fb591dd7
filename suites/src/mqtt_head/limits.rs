//! How large a packet, a message and a topic may be, to the byte. Covers MQTT-LIM-01 to -03 and -05.

use harness::client::raw_mqtt::packet;
use harness::deadline;
use harness::observe::history::{Delivered, History, Identity};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::dialogue::{LARGEST_PACKET, connected, mark_of, module, next_message, put_back, quiet, subscribed};
use crate::course::{broken, ended, on, probe, routes, settled, sink};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::limits::a_packet_of_262144_bytes_is_taken_and_no_larger_one",
            &["MQTT-LIM-01"],
            |worker| Box::pin(packets(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::limits::a_message_at_the_limit_arrives_whole_and_a_larger_one_is_dropped",
            &["MQTT-LIM-02", "MQTT-LIM-03"],
            |worker| Box::pin(messages(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::limits::a_property_without_value_does_not_hide_what_stands_before_it",
            &["MQTT-LIM-06"],
            |worker| Box::pin(hidden(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::limits::a_topic_that_cannot_be_written_disturbs_nobody",
            &["MQTT-LIM-05"],
            |worker| Box::pin(outgoing(worker)),
        ),
    ]
}

/// A PUBLISH of exactly this size in all, on a topic.
fn sized(topic: &str, size: usize) -> Vec<u8> {
    // One byte, the length, the topic with its own length, a packet id.
    let around = 1 + packet::length(size).len() + 2 + topic.len() + 2;
    let bytes = packet::publish(1, topic, &vec![b'x'; size - around]);
    assert_eq!(bytes.len(), size, "the length of the remaining length is the same for both");
    bytes
}

async fn packets(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    for topic in ["foo/bar", "devices/gw7/modules/m10/messages/events/%24.on=nowhere"] {
        let found = at_the_limit(stage, topic, LARGEST_PACKET, "MQTT-LIM-01").await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    put_back(stage, module("m10")).await?;
    Ok(Outcome::Conforms)
}

/// A packet of this size is acknowledged, and one that is a byte longer closes the connection.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn at_the_limit(
    stage: &Stage,
    topic: &str,
    limit: usize,
    requirement: &str,
) -> Result<Option<Violation>, StageError> {
    packet_limit(stage.environment(), &module("m10"), topic, limit, requirement).await
}

/// As [`at_the_limit`], for any environment and identity.
///
/// # Errors
/// As [`at_the_limit`].
pub async fn packet_limit(
    environment: &harness::environment::Environment,
    identity: &Identity,
    topic: &str,
    limit: usize,
    requirement: &str,
) -> Result<Option<Violation>, StageError> {
    let mut connection = connected(environment, identity).await?;
    let steps = |size: usize| [format!("{identity} writes a PUBLISH to {topic} that is {size} bytes in all")];
    connection.write(&sized(topic, limit)).await;
    let observed = match connection.read(deadline::ACKNOWLEDGEMENT).await {
        Ok(Some(packet)) if packet.puback() == Some(1) => None,
        Ok(Some(packet)) => Some(format!("the hub wrote {packet}")),
        Ok(None) => Some("the hub closed the connection".to_owned()),
        Err(expired) => Some(expired.to_string()),
    };
    if let Some(observed) = observed {
        return Ok(Some(broken(requirement, "PUBACK", observed, &steps(limit))));
    }
    connection.write(&sized(topic, limit + 1)).await;
    let observed = match connection.closed(deadline::ACKNOWLEDGEMENT).await {
        Ok(packets) if packets.is_empty() => return Ok(None),
        Ok(packets) => format!("the hub wrote {}", packets[0]),
        Err(expired) => expired.to_string(),
    };
    Ok(Some(broken(requirement, "the connection is closed without a PUBACK", observed, &steps(limit + 1))))
}

/// The size of message the product routes.
const LARGEST_MESSAGE: usize = 262_144;

async fn messages(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let all = "FROM /messages/* WHERE NOT is_defined(own) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";
    stage.configure(routes([("all", all)])).await?;
    // What the hub adds to a message, by the product's count: the names and values of the properties it stamps.
    let (of_a_module, of_a_leaf) = (115, 99);
    let rows = [
        (module("m10"), "devices/gw7/modules/m10/messages/events/", of_a_module + "gw7m10".len()),
        (module("m10"), "devices/gw7/modules/m10/messages/events/%24.on=o0", of_a_module + "gw7m10".len() + 10 + 2),
        (module("m10"), "devices/gw7/modules/m10/messages/events/a=%20bc", of_a_module + "gw7m10".len() + 4),
        (module("m10"), "devices/gw7/modules/m10/messages/events/%C3%BC=%E6%97%A5", of_a_module + "gw7m10".len() + 2),
        (Identity::LeafDevice("leaf1".to_owned()), "devices/leaf1/messages/events/", of_a_leaf + "leaf1".len()),
    ];
    for (identity, topic, added) in rows {
        let mut connection = connected(stage.environment(), &identity).await?;
        let body: Vec<u8> = (0..=LARGEST_MESSAGE - added).map(|at| (at % 251) as u8).collect();
        let (whole, longer) = (&body[..body.len() - 1], &body[..]);
        for (id, body) in [(1, whole), (2, longer)] {
            let steps = [format!("{identity} publishes {} bytes to `{topic}`", body.len())];
            connection.write(&packet::publish(id, topic, body)).await;
            let observed = match connection.read(deadline::ACKNOWLEDGEMENT).await {
                Ok(Some(packet)) if packet.puback() == Some(id) => None,
                Ok(Some(packet)) => Some(format!("the hub wrote {packet}")),
                Ok(None) => Some("the hub closed the connection".to_owned()),
                Err(expired) => Some(expired.to_string()),
            };
            if let Some(observed) = observed {
                let requirement = if id == 1 { "MQTT-LIM-03" } else { "MQTT-LIM-02" };
                return Ok(ended(Some(broken(requirement, "PUBACK", observed, &steps))));
            }
            let mut history = History::begin();
            settled(stage, &mut history, &[sink("i0")]).await?;
            if let Some(violation) = whole_or_not_at_all(id == 1, body, &history.delivered, &steps) {
                return Ok(ended(Some(violation)));
            }
        }
        drop(connection);
        put_back(stage, identity).await?;
    }
    Ok(Outcome::Conforms)
}

/// A message over the limit, with a property without value behind most of what counts.
async fn hidden(worker: &mut Worker) -> Result<Outcome, StageError> {
    const VALUE: usize = 1_000;
    let stage = worker.stage().await?;
    let all = "FROM /messages/* WHERE NOT is_defined(own) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";
    stage.configure(routes([("all", all)])).await?;
    let topic = format!("devices/gw7/modules/m10/messages/events/a={}&n", "v".repeat(VALUE));
    let added = 115 + "gw7m10".len() + "a".len() + VALUE + "n".len();
    let body = vec![b'x'; LARGEST_MESSAGE - added + 1];
    let mut connection = connected(stage.environment(), &module("m10")).await?;
    connection.write(&packet::publish(1, &topic, &body)).await;
    let steps = [format!(
        "module m10 publishes {} bytes with a property `a` of {VALUE} characters and, behind it, `n` without a value",
        body.len()
    )];
    let observed = match connection.read(deadline::ACKNOWLEDGEMENT).await? {
        Some(packet) if packet.puback() == Some(1) => {
            let mut history = History::begin();
            settled(stage, &mut history, &[sink("i0")]).await?;
            (!history.delivered.is_empty()).then(|| "it arrived".to_owned())
        }
        Some(packet) => Some(format!("the hub wrote {packet}")),
        None => Some("the hub closed the connection".to_owned()),
    };
    if observed.is_none() {
        put_back(stage, module("m10")).await?;
    }
    let expected = "the message is one over the limit: PUBACK, and it is dropped";
    Ok(ended(observed.map(|observed| broken("MQTT-LIM-06", expected, observed, &steps))))
}

fn whole_or_not_at_all(fits: bool, body: &[u8], delivered: &[Delivered], steps: &[String]) -> Option<Violation> {
    match (fits, delivered) {
        (true, [only]) if only.body == body => None,
        (true, [only]) => {
            let observed = format!("{} bytes arrived, not those sent", only.body.len());
            Some(broken("MQTT-LIM-03", "the message arrives whole", observed, steps))
        }
        (true, several) => {
            let observed = format!("{} messages arrived", several.len());
            Some(broken("MQTT-LIM-03", "the message is at the limit, and arrives", observed, steps))
        }
        (false, []) => None,
        (false, _) => Some(broken("MQTT-LIM-02", "the message is over the limit, and dropped", "it arrived", steps)),
    }
}

/// Eleven thousand letters of two bytes: 22,000 bytes when they come, 66,000 when they are escaped.
const GROWING: usize = 11_000;

async fn outgoing(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let other = module("other");
    let from_probe = "FROM /messages/modules/probe/outputs/grow INTO BrokeredEndpoint(\"/modules/other/inputs/in\")";
    let from_m10 = "FROM /messages/modules/m10/outputs/grow INTO BrokeredEndpoint(\"/modules/other/inputs/in\")";
    stage.configure(routes([("probe", from_probe), ("m10", from_m10)])).await?;
    let mut receiver = connected(stage.environment(), &other).await?;
    subscribed(&mut receiver, &[("devices/gw7/modules/other/inputs/#", 1)]).await?;
    let mut sender = connected(stage.environment(), &module("m10")).await?;
    let topic = format!("devices/gw7/modules/m10/messages/events/$.on=grow&mark=long&a={}", "ü".repeat(GROWING));
    sender.write(&packet::publish(1, &topic, b"body")).await;
    let steps = [
        format!("module m10 publishes a message with a property of {GROWING} letters `ü`, routed to other/in"),
        "module probe sends a message to the same input".to_owned(),
    ];
    match sender.read(deadline::ACKNOWLEDGEMENT).await? {
        Some(packet) if packet.puback() == Some(1) => {}
        other => {
            let observed = other.map_or("a close".to_owned(), |packet| packet.to_string());
            return Ok(ended(Some(broken("MQTT-LIM-05", "PUBACK for the sender", observed, &steps))));
        }
    }
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &on("grow")).await?;
    let observed = match next_message(&mut receiver, deadline::ROUTING).await {
        Ok(Some(published)) if mark_of(&published) == mark => {
            receiver.write(&packet::puback(1)).await;
            quiet(&mut receiver, "other").await.err()
        }
        Ok(Some(published)) => Some(format!(
            "a PUBLISH came with packet id {:?} on a topic of {} bytes",
            published.id,
            published.topic.len()
        )),
        Ok(None) => Some("the receiver's connection was closed".to_owned()),
        Err(expired) => Some(expired.to_string()),
    };
    if let Some(observed) = observed {
        let expected = "the message that can be written arrives, and nothing else";
        return Ok(ended(Some(broken("MQTT-LIM-05", expected, observed, &steps))));
    }
    for identity in [other, module("m10")] {
        put_back(stage, identity).await?;
    }
    Ok(Outcome::Conforms)
}
