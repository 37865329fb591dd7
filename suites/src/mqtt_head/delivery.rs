//! Acknowledgement and redelivery at a module, packet by packet. Covers MQTT-DLV-04 and -08 to -11, MQTT-QOS-07 to -10.

use std::time::{Duration, Instant};

use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{RawMqtt, packet};
use harness::deadline;
use harness::observe::history::{History, Identity};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};

use super::dialogue::{connected, mark_of, module, next_mark, next_message, put_back, quiet, subscribed};
use crate::course::{broken, ended, on, probe, routes};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::delivery::one_message_at_a_time_is_unacknowledged",
            &["MQTT-DLV-04", "MQTT-QOS-08", "MQTT-QOS-09"],
            |worker| Box::pin(one_at_a_time(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::delivery::what_is_not_acknowledged_comes_again_and_nothing_else_does",
            &["MQTT-DLV-08", "MQTT-DLV-09", "MQTT-DLV-11", "MQTT-QOS-08", "MQTT-QOS-10", "MQTT-CFG-02", "MQTT-CFG-03"],
            |worker| Box::pin(again(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::delivery::a_takeover_brings_the_unacknowledged_message_at_once",
            &["MQTT-DLV-10"],
            |worker| Box::pin(takeover(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::delivery::an_empty_qos_property_does_not_close_the_receiver",
            &["MQTT-QOS-07"],
            |worker| Box::pin(empty_qos(worker)),
        ),
    ]
}

const INPUTS: &str = "devices/gw7/modules/other/inputs/#";

fn other() -> Identity {
    module("other")
}

fn into(output: &str, receiver: &str) -> String {
    format!("FROM /messages/modules/probe/outputs/{output} INTO BrokeredEndpoint(\"/modules/{receiver}\")")
}

/// Id 1, QoS 1, and no flag set; says what else it is.
fn as_the_product_sends(published: &Published) -> Option<Violation> {
    let right = published.id == Some(1) && published.qos == 1 && !published.dup && !published.retain;
    (!right).then(|| {
        let Published { id, qos, dup, retain, .. } = published;
        let observed = format!("packet id {id:?}, QoS {qos}, DUP {dup}, RETAIN {retain}");
        broken("MQTT-QOS-08", "packet id 1, QoS 1, without DUP and RETAIN", observed, &[])
    })
}

/// The next message, which must be of one of these marks.
async fn message(
    connection: &mut RawMqtt,
    requirement: &str,
    wanted: &[&str],
    steps: &[String],
) -> Result<Published, Violation> {
    let expected = || format!("{} arrives", wanted.join(" or "));
    match next_message(connection, deadline::ROUTING).await {
        Ok(Some(published)) if wanted.contains(&mark_of(&published).as_str()) => {
            match as_the_product_sends(&published) {
                Some(violation) if published.qos == 1 || published.id.is_some() => {
                    Err(Violation { smallest_case: broken("", "", "", steps).smallest_case, ..violation })
                }
                _ => Ok(published),
            }
        }
        Ok(Some(published)) => {
            Err(broken(requirement, expected(), format!("{} came instead", mark_of(&published)), steps))
        }
        Ok(None) => Err(broken(requirement, expected(), "the hub closed the connection", steps)),
        Err(expired) => Err(broken(requirement, expected(), expired.to_string(), steps)),
    }
}

async fn one_at_a_time(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("a", &into("a", "other/inputs/in")), ("b", &into("b", "other/inputs/IN"))])).await?;
    let mut connection = connected(stage.environment(), &other()).await?;
    subscribed(&mut connection, &[(INPUTS, 1)]).await?;
    let mut history = History::begin();
    for number in 0..10 {
        stage.send(&mut history, &probe(), &on(if number % 2 == 0 { "a" } else { "b" })).await?;
    }
    let mut steps = vec![
        "module other subscribes its inputs at QoS 1".to_owned(),
        "module probe sends ten messages, by turns to other/in and other/IN".to_owned(),
    ];
    let mut queues = [0, 1].map(|first| -> Vec<String> {
        history.sent.iter().skip(first).step_by(2).map(|sent| sent.mark.clone()).collect()
    });
    for number in 1..=10 {
        let next: Vec<&str> = queues.iter().filter_map(|queue| queue.first()).map(String::as_str).collect();
        let published = match message(&mut connection, "MQTT-DLV-04", &next, &steps).await {
            Ok(published) => published,
            Err(violation) => return Ok(ended(Some(violation))),
        };
        queues.iter_mut().for_each(|queue| queue.retain(|mark| *mark != mark_of(&published)));
        if let Err(observed) = quiet(&mut connection, "other").await {
            let expected = "nothing else is sent while a message is not acknowledged";
            return Ok(ended(Some(broken("MQTT-DLV-04", expected, observed, &steps))));
        }
        if number == 1 {
            steps.push("module other has received one, and writes PUBACK 77, and PUBACK 2".to_owned());
            connection.write(&[packet::puback(77), packet::puback(2)].concat()).await;
            if let Err(observed) = quiet(&mut connection, "other").await {
                let expected = "it is ignored: the connection stands, and the next message is not sent yet";
                return Ok(ended(Some(broken("MQTT-QOS-09", expected, observed, &steps))));
            }
            steps.push("module other acknowledges each message with PUBACK 1".to_owned());
        }
        connection.write(&packet::puback(1)).await;
    }
    let _ = quiet(&mut connection, "other").await;
    put_back(stage, other()).await?;
    Ok(Outcome::Conforms)
}

/// How long the hub of [`again`] waits for an acknowledgement.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What a clock here and a clock there may differ by.
const SLACK: Duration = Duration::from_millis(50);

async fn again(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = worker.blueprint().clone();
    blueprint.settings.push(("MessageAckTimeoutSecs".to_owned(), TIMEOUT.as_secs().to_string()));
    blueprint.settings.push(("mqttSettings__IotHubClient.DefaultPublishToClientQoS".to_owned(), "0".to_owned()));
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    let found = repeated(&mut stage).await?;
    stage.close().await;
    Ok(ended(found))
}

async fn repeated(stage: &mut Stage) -> Result<Option<Violation>, StageError> {
    match play_repeated(stage).await {
        Ok(Ok(())) => Ok(None),
        Ok(Err(violation)) => Ok(Some(violation)),
        Err(error) => Err(error),
    }
}

async fn play_repeated(stage: &mut Stage) -> Result<Result<(), Violation>, StageError> {
    let (sink, cam) = (module("sink"), module("cam"));
    let all = [
        ("stays", into("stays", "other/inputs/in")),
        ("leaves", into("leaves", "sink/inputs/i0")),
        ("qos0", into("qos0", "cam/inputs/q")),
    ];
    stage.configure(all.iter().map(|(name, route)| ((*name).to_owned(), serde_json::json!(route))).collect()).await?;
    let mut steps = vec![
        "a hub runs with MessageAckTimeoutSecs=2 and mqttSettings__IotHubClient.DefaultPublishToClientQoS=0".to_owned(),
        "modules other and sink subscribe their inputs at QoS 1, module cam at QoS 0".to_owned(),
    ];
    let mut stays = connected(stage.environment(), &other()).await?;
    subscribed(&mut stays, &[(INPUTS, 1)]).await?;
    let mut leaves = connected(stage.environment(), &sink).await?;
    let sink_inputs = [("devices/gw7/modules/sink/inputs/#", 1)];
    subscribed(&mut leaves, &sink_inputs).await?;
    let mut at_most_once = connected(stage.environment(), &cam).await?;
    subscribed(&mut at_most_once, &[("devices/gw7/modules/cam/inputs/#", 0)]).await?;

    let mut history = History::begin();
    steps.push("each is sent messages, and acknowledges none".to_owned());
    let kept = stage.send(&mut history, &probe(), &on("stays")).await?;
    let first = match message(&mut stays, "MQTT-CFG-03", &[&kept], &steps).await {
        Ok(first) => first,
        Err(violation) => return Ok(Err(violation)),
    };
    let at = Instant::now();
    if first.qos != 1 {
        let observed = format!("it came at QoS {}", first.qos);
        return Ok(Err(broken("MQTT-CFG-03", "the message comes at QoS 1, as granted", observed, &steps)));
    }
    let lost = stage.send(&mut history, &probe(), &on("leaves")).await?;
    if let Err(violation) = message(&mut leaves, "MQTT-DLV-09", &[&lost], &steps).await {
        return Ok(Err(violation));
    }
    let mut once = Vec::new();
    for _ in 0..3 {
        once.push(stage.send(&mut history, &probe(), &on("qos0")).await?);
    }
    for mark in &once {
        match message(&mut at_most_once, "MQTT-DLV-11", &[mark], &steps).await {
            Ok(published) if published.qos == 0 => {}
            Ok(published) => {
                let observed = format!("{mark} came at QoS {}", published.qos);
                return Ok(Err(broken("MQTT-DLV-11", "all come at QoS 0, one behind the other", observed, &steps)));
            }
            Err(violation) => return Ok(Err(violation)),
        }
    }
    steps.push("module sink breaks its connection, connects anew and subscribes".to_owned());
    drop(leaves);
    let mut returned = connected(stage.environment(), &sink).await?;
    subscribed(&mut returned, &sink_inputs).await?;

    let second = match message(&mut stays, "MQTT-DLV-08", &[&kept], &steps).await {
        Ok(second) => second,
        Err(violation) => return Ok(Err(violation)),
    };
    let waited = at.elapsed();
    if waited + SLACK < TIMEOUT {
        let observed = format!("a second copy came {:.2} s after the first", waited.as_secs_f64());
        let expected = "module other gets no second copy before 2 s have gone by";
        return Ok(Err(broken("MQTT-QOS-10", expected, observed, &steps)));
    }
    if (&second.payload, &second.topic.len()) != (&first.payload, &first.topic.len()) {
        let observed = format!("{:?} after {:?}", second.topic, first.topic);
        return Ok(Err(broken("MQTT-DLV-08", "the same message comes again", observed, &steps)));
    }
    // Every copy wants its acknowledgement: the first one's would otherwise be taken for the second's.
    stays.write(&[packet::puback(1), packet::puback(1)].concat()).await;
    if let Err(violation) = message(&mut returned, "MQTT-DLV-09", &[&lost], &steps).await {
        return Ok(Err(violation));
    }
    returned.write(&packet::puback(1)).await;
    steps.push("module other acknowledges both copies, module sink its copy; each is sent one more message".to_owned());
    for (output, connection, requirement) in [
        ("stays", &mut stays, "MQTT-DLV-08"),
        ("leaves", &mut returned, "MQTT-DLV-09"),
        ("qos0", &mut at_most_once, "MQTT-DLV-11"),
    ] {
        let mark = stage.send(&mut history, &probe(), &on(output)).await?;
        if let Err(violation) = message(connection, requirement, &[&mark], &steps).await {
            return Ok(Err(violation));
        }
        connection.write(&packet::puback(1)).await;
    }
    Ok(Ok(()))
}

async fn takeover(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("taken", &into("taken", "other/inputs/in"))])).await?;
    let mut older = connected(stage.environment(), &other()).await?;
    subscribed(&mut older, &[(INPUTS, 1)]).await?;
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &on("taken")).await?;
    let steps = [
        "module other is sent a message, and does not acknowledge it".to_owned(),
        "a second connection of module other is opened, and subscribes".to_owned(),
    ];
    if let Err(violation) = message(&mut older, "MQTT-DLV-10", &[&mark], &steps).await {
        return Ok(ended(Some(violation)));
    }
    let mut newer = connected(stage.environment(), &other()).await?;
    subscribed(&mut newer, &[(INPUTS, 1)]).await?;
    if let Err(violation) = message(&mut newer, "MQTT-DLV-10", &[&mark], &steps).await {
        return Ok(ended(Some(violation)));
    }
    newer.write(&packet::puback(1)).await;
    let _ = quiet(&mut newer, "other").await;
    put_back(stage, other()).await?;
    Ok(Outcome::Conforms)
}

async fn empty_qos(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("qos", &into("qos", "other/inputs/in"))])).await?;
    let mut connection = connected(stage.environment(), &other()).await?;
    subscribed(&mut connection, &[(INPUTS, 1)]).await?;
    let mut history = History::begin();
    for (written, value) in [("mqtt-qos=", Some(String::new())), ("mqtt-qos", None)] {
        let steps =
            ["module other subscribes its inputs".to_owned(), format!("module probe sends a message with `{written}`")];
        let message = Outgoing { properties: vec![("mqtt-qos".to_owned(), value)], ..on("qos") };
        let poison = stage.send(&mut history, &probe(), &message).await?;
        let after = stage.send(&mut history, &probe(), &on("qos")).await?;
        for mark in [poison, after] {
            let got = next_mark(&mut connection, deadline::ROUTING).await;
            if got.as_ref() != Ok(&mark) {
                let expected = "the message arrives, and so does the next one";
                let observed = got.map_or_else(|why| why, |other| format!("{other} came instead of {mark}"));
                return Ok(ended(Some(broken("MQTT-QOS-07", expected, observed, &steps))));
            }
        }
    }
    let _ = quiet(&mut connection, "other").await;
    put_back(stage, other()).await?;
    Ok(Outcome::Conforms)
}
