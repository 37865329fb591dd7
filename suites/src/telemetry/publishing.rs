//! Topics a client may publish to. Covers MQTT-PUB.

use std::collections::BTreeSet;

use harness::observe::history::{History, Identity, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use crate::course::{broken, ended, listed, probe, publish, reached, routes, settled, sink};
use crate::declare::{fixed, over_mqtt};
use crate::scenes;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let topics = vec![
        fixed(
            "telemetry",
            "telemetry::publishing::every_shape_of_a_telemetry_topic_is_taken",
            &["MQTT-PUB-01"],
            |worker| Box::pin(shapes(worker)),
        ),
        fixed("telemetry", "telemetry::publishing::an_output_is_named_plain_or_escaped", &["MQTT-PUB-02"], |worker| {
            Box::pin(outputs(worker))
        }),
        fixed(
            "telemetry",
            "telemetry::publishing::an_unknown_topic_is_acknowledged_and_dropped",
            &["MQTT-PUB-07"],
            |worker| Box::pin(unknown(worker)),
        ),
        fixed("telemetry", "telemetry::publishing::the_sender_is_the_one_in_the_topic", &["MQTT-PUB-08"], |worker| {
            Box::pin(sender_of_the_topic(worker))
        }),
        fixed(
            "telemetry",
            "telemetry::publishing::what_precedes_disconnect_is_processed",
            &["MQTT-PUB-06"],
            |worker| Box::pin(before_disconnect(worker)),
        ),
    ];
    let mut tests: Vec<Test> = topics.into_iter().map(over_mqtt).collect();
    tests.extend(scenes::tests("telemetry::publishing", "MQTT-PUB"));
    tests
}

const ALL_TO_I0: &str = "FROM /messages/* WHERE is_defined(raw) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";
const REST_TO_I1: &str = "FROM /messages/* WHERE NOT is_defined(own) AND NOT is_defined(raw) INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")";

async fn shapes(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("all", ALL_TO_I0)])).await?;
    let leaf = Identity::LeafDevice("leaf1".to_owned());
    for (by, address) in
        [(probe(), "devices/gw7/modules/probe/messages/events"), (leaf, "devices/leaf1/messages/events")]
    {
        // Without a bag there is no mark: such a message is known by its arrival alone, on a route of its own.
        for suffix in ["/raw=1&mark={mark}", "/raw=1&mark={mark}/"] {
            let mut history = History::begin();
            let mark = stage.mark();
            let topic = format!("{address}{}", suffix.replace("{mark}", &mark));
            publish(stage, &mut history, &by, &topic, &mark, b"shape").await?;
            settled(stage, &mut history, &[sink("i0")]).await?;
            if reached(&history, &mark) != BTreeSet::from([sink("i0")]) {
                let steps = [format!("{by} publishes to `{topic}`")];
                return Ok(ended(Some(broken(
                    "MQTT-PUB-01",
                    "the message reaches sink/i0",
                    format!("it reached {}", listed(&reached(&history, &mark))),
                    &steps,
                ))));
            }
        }
    }
    stage.configure(routes([("rest", REST_TO_I1)])).await?;
    let leaf = Identity::LeafDevice("leaf1".to_owned());
    for (by, address) in
        [(probe(), "devices/gw7/modules/probe/messages/events"), (leaf, "devices/leaf1/messages/events")]
    {
        for suffix in ["", "/"] {
            let mut history = History::begin();
            let topic = format!("{address}{suffix}");
            publish(stage, &mut history, &by, &topic, "unmarked", b"bare").await?;
            settled(stage, &mut history, &[sink("i1")]).await?;
            let arrived = history
                .delivered
                .iter()
                .filter(|delivered| delivered.at == sink("i1") && delivered.mark().is_none())
                .count();
            if arrived != 1 {
                let steps = [format!("{by} publishes to `{topic}`")];
                return Ok(ended(Some(broken(
                    "MQTT-PUB-01",
                    "the message reaches sink/i1 once",
                    format!("it arrived {arrived} times"),
                    &steps,
                ))));
            }
        }
    }
    Ok(Outcome::Conforms)
}

async fn outputs(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "out",
            "FROM /messages/modules/probe/outputs/named INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    for output in ["$.on=named", "%24.on=named", "%24%2Eon=named"] {
        let mut history = History::begin();
        let mark = stage.mark();
        let topic = format!("devices/gw7/modules/probe/messages/events/{output}&mark={mark}");
        publish(stage, &mut history, &probe(), &topic, &mark, b"").await?;
        settled(stage, &mut history, &[sink("i0")]).await?;
        if reached(&history, &mark).is_empty() {
            let steps = [format!("module probe publishes to `{topic}`")];
            return Ok(ended(Some(broken(
                "MQTT-PUB-02",
                "the message reaches the route of output named",
                "it reached nobody",
                &steps,
            ))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn unknown(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("all", ALL_TO_I0), ("up", "FROM /* WHERE is_defined(raw) INTO $upstream")])).await?;
    for topic in [
        "devices/gw7/modules/probe/messages/event/raw=1&mark={mark}",
        "devices/gw7/modules/probe/messages/events/raw=1/mark={mark}",
        "Devices/gw7/modules/probe/messages/events/raw=1&mark={mark}",
        "devices/gw7/modules/probe/messages/events/raw=1&mark={mark}//",
        "$iothub/methods/POST/reboot/?$rid=1&raw=1&mark={mark}",
        "some/where/else?raw=1&mark={mark}",
    ] {
        let mut history = History::begin();
        let mark = stage.mark();
        let topic = topic.replace("{mark}", &mark);
        publish(stage, &mut history, &probe(), &topic, &mark, b"").await?;
        let steps = [format!("module probe publishes to `{topic}`")];
        if history.sent[0].acknowledged.is_none() {
            return Ok(ended(Some(broken("MQTT-PUB-07", "a PUBACK, and the connection stays", "no PUBACK", &steps))));
        }
        settled(stage, &mut history, &[sink("i0")]).await?;
        if !reached(&history, &mark).is_empty() {
            return Ok(ended(Some(broken(
                "MQTT-PUB-07",
                "the message is dropped",
                format!("it reached {}", listed(&reached(&history, &mark))),
                &steps,
            ))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn sender_of_the_topic(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "cam",
            "FROM /messages/modules/cam/outputs/other INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    let mut history = History::begin();
    let mark = stage.mark();
    let topic = format!("devices/gw7/modules/cam/messages/events/%24.on=other&mark={mark}");
    publish(stage, &mut history, &probe(), &topic, &mark, b"").await?;
    settled(stage, &mut history, &[sink("i0")]).await?;
    let steps = [format!("module probe publishes to `{topic}`")];
    let found = reached(&history, &mark)
        .is_empty()
        .then(|| broken("MQTT-PUB-08", "the message takes the route of module cam", "it reached nobody", &steps));
    Ok(ended(found))
}

async fn before_disconnect(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 20;
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "last",
            "FROM /messages/modules/m1/outputs/last INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    let by = Identity::Module("m1".to_owned());
    stage.drop_client(&by).await?;
    let client = stage
        .environment()
        .connect_mqtt(&by)
        .await
        .map_err(|source| StageError::Connect { who: by.to_string(), source })?;
    let mut marks = Vec::new();
    let mut history = History::begin();
    for _ in 0..MESSAGES {
        let mark = stage.mark();
        let topic = format!("devices/gw7/modules/m1/messages/events/%24.on=last&mark={mark}");
        client.publish(&topic, bytes::Bytes::new(), harness::client::mqtt::QoS::AtMostOnce).await;
        marks.push(mark);
    }
    client.disconnect().await;
    let all = |history: &History| marks.iter().all(|mark| !reached(history, mark).is_empty());
    let arrived = stage.collect(&mut history, harness::deadline::ROUTING, "all messages at sink/i0", all).await;
    stage.connect(by).await?;
    let steps = [format!("module m1 publishes {MESSAGES} messages at QoS 0 and disconnects at once")];
    Ok(ended(arrived.err().map(|expired| {
        let missing = marks
            .iter()
            .filter(|mark| {
                !reached(&history, mark).contains(&Place::Input { module: "sink".to_owned(), input: "i0".to_owned() })
            })
            .count();
        broken("MQTT-PUB-06", "all reach sink/i0", format!("{missing} did not: {expired}"), &steps)
    })))
}
