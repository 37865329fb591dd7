//! What filters a client may have, and what each does. Covers MQTT-SUB.

use harness::client::raw_mqtt::packet;
use harness::deadline;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::broken_packets::table;
use super::dialogue::{connected, module, next_mark, put_back, quiet, subscribed};
use crate::course::{broken, ended, on, probe, reached, routes};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed("mqtt_head", "mqtt_head::subscribing::every_valid_filter_is_granted", &["MQTT-SUB-01"], |worker| {
            Box::pin(granted(worker))
        }),
        fixed(
            "mqtt_head",
            "mqtt_head::subscribing::filters_that_are_no_input_filters_take_no_inputs",
            &["MQTT-SUB-02", "MQTT-SUB-05"],
            |worker| Box::pin(inert(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::subscribing::the_messages_of_others_are_not_revealed",
            &["MQTT-SUB-02", "MQTT-SUB-03"],
            |worker| Box::pin(others(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::subscribing::both_documented_filters_deliver_inputs",
            &["MQTT-SUB-04"],
            |worker| Box::pin(documented(worker)),
        ),
        fixed("mqtt_head", "mqtt_head::subscribing::unsubscribe_is_always_answered", &["MQTT-SUB-06"], |worker| {
            Box::pin(unsubscribed(worker))
        }),
        fixed(
            "mqtt_head",
            "mqtt_head::subscribing::an_invalid_filter_closes_the_connection",
            &["MQTT-SUB-07"],
            |worker| Box::pin(invalid(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::subscribing::removing_one_of_two_filters_loses_nothing",
            &["MQTT-SUB-09"],
            |worker| Box::pin(one_of_two(worker)),
        ),
    ]
}

const INPUTS: &str = "devices/gw7/modules/other/inputs/#";
const WHOLE: &str = "devices/gw7/modules/other/#";

fn other() -> Identity {
    module("other")
}

fn to_other(output: &str) -> String {
    format!("FROM /messages/modules/probe/outputs/{output} INTO BrokeredEndpoint(\"/modules/other/inputs/in\")")
}

async fn granted(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let mut connection = connected(stage.environment(), &module("m10")).await?;
    let long = "x/".repeat(32_767);
    let filters = [
        "foo/#",
        "foo/bar",
        "+",
        "#",
        "/",
        " ",
        "+/+/#",
        "$iothub/#",
        "$iothub/twin/res/#",
        "devices/gw7/modules/m10/inputs/#",
        "devices/gw7/modules/sink/inputs/#",
        "devices/gw7/messages/devicebound/#",
        "devices/leaf1/messages/devicebound/#",
        "$iothub/twin/PATCH/properties/desired/#",
        "größe/+",
        long.as_str(),
    ];
    for filter in filters {
        let shown: String = filter.chars().take(60).collect();
        let steps = [format!("module m10 subscribes `{shown}` ({} bytes) at QoS 1", filter.len())];
        let observed = match subscribed(&mut connection, &[(filter, 1)]).await {
            Ok(Some(granted)) if granted == [1] => quiet(&mut connection, "m10").await.err(),
            Ok(Some(granted)) => Some(format!("SUBACK grants {granted:02x?}")),
            Ok(None) => Some("the hub closed the connection".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(observed) = observed {
            let expected = "SUBACK grants QoS 1, and the connection stands";
            return Ok(ended(Some(broken("MQTT-SUB-01", expected, observed, &steps))));
        }
    }
    put_back(stage, module("m10")).await?;
    Ok(Outcome::Conforms)
}

/// A message waits for module other, whose filters must not take it; another follows once it has a filter that does.
async fn inert(worker: &mut Worker) -> Result<Outcome, StageError> {
    let rows = [
        ("MQTT-SUB-02", ["foo/#", "devices/gw7/modules/other/+"]),
        ("MQTT-SUB-05", ["devices/gw7/modules/other/inputs/in", "devices/gw7/modules/other/inputs/+"]),
    ];
    let stage = worker.stage().await?;
    stage.configure(routes([("inert", &to_other("inert"))])).await?;
    for (requirement, filters) in rows {
        if let Some(violation) = kept_until_subscribed(stage, requirement, filters).await? {
            return Ok(ended(Some(violation)));
        }
    }
    put_back(stage, other()).await?;
    Ok(Outcome::Conforms)
}

async fn kept_until_subscribed(
    stage: &mut Stage,
    requirement: &str,
    filters: [&str; 2],
) -> Result<Option<Violation>, StageError> {
    let mut connection = connected(stage.environment(), &other()).await?;
    let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (*filter, 1)).collect();
    let mut steps = vec![format!("module other subscribes {filters:?}, and nothing else")];
    if subscribed(&mut connection, &asked).await?.is_none() {
        return Ok(Some(broken("MQTT-SUB-01", "SUBACK", "the hub closed the connection", &steps)));
    }
    let mut history = History::begin();
    steps.push("module probe sends a message that a route takes to other/in".to_owned());
    let first = stage.send(&mut history, &probe(), &on("inert")).await?;
    if let Err(observed) = quiet(&mut connection, "other").await {
        return Ok(Some(broken(requirement, "nothing is delivered", observed, &steps)));
    }
    steps.push(format!("module other subscribes `{INPUTS}`, and probe sends another message"));
    if subscribed(&mut connection, &[(INPUTS, 1)]).await?.is_none() {
        return Ok(Some(broken("MQTT-SUB-01", "SUBACK", "the hub closed the connection", &steps)));
    }
    let second = stage.send(&mut history, &probe(), &on("inert")).await?;
    for wanted in [first, second] {
        let got = next_mark(&mut connection, deadline::RETRY).await;
        if got.as_ref() != Ok(&wanted) {
            let observed = match got {
                Ok(other) => format!("instead of {wanted} came {other}"),
                Err(why) => format!("{wanted} did not come: {why}"),
            };
            let expected = "both messages arrive, the first one first";
            return Ok(Some(broken(requirement, expected, observed, &steps)));
        }
    }
    Ok(None)
}

async fn others(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("others", &to_other("others"))])).await?;
    let mut curious = connected(stage.environment(), &module("cam")).await?;
    let filters = [(WHOLE, 1), ("devices/+/modules/+/inputs/#", 1), ("#", 0), ("foo/#", 1)];
    let mut steps =
        vec!["module cam subscribes the inputs of module other, those of everybody, # and foo/#".to_owned()];
    if subscribed(&mut curious, &filters).await?.is_none() {
        return Ok(ended(Some(broken("MQTT-SUB-01", "SUBACK", "the hub closed the connection", &steps))));
    }
    let mut history = History::begin();
    steps.push("module probe publishes to foo/bar, and sends three messages that a route takes to other/in".to_owned());
    let client = stage.mqtt(&probe())?;
    let unknown = client.publish("foo/bar", bytes::Bytes::from_static(b"?"), harness::client::mqtt::QoS::AtLeastOnce);
    unknown.await.acknowledged().await?;
    let mut last = String::new();
    for _ in 0..3 {
        last = stage.send(&mut history, &probe(), &on("others")).await?;
    }
    let at = Place::Input { module: "other".to_owned(), input: "in".to_owned() };
    let arrived = |history: &History| reached(history, &last).contains(&at);
    stage.collect(&mut history, deadline::ROUTING, "the messages at other/in", arrived).await?;
    let found = match quiet(&mut curious, "cam").await {
        Ok(()) => None,
        Err(observed) => {
            let requirement = if observed.contains("foo/bar") { "MQTT-SUB-02" } else { "MQTT-SUB-03" };
            Some(broken(requirement, "they reach module other, and module cam gets nothing", observed, &steps))
        }
    };
    if found.is_none() {
        put_back(stage, module("cam")).await?;
    }
    Ok(ended(found))
}

async fn documented(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("documented", &to_other("documented"))])).await?;
    for filter in [INPUTS, WHOLE] {
        let mut connection = connected(stage.environment(), &other()).await?;
        let steps = [format!("module other subscribes `{filter}`"), "a message is routed to other/in".to_owned()];
        if subscribed(&mut connection, &[(filter, 1)]).await?.is_none() {
            return Ok(ended(Some(broken("MQTT-SUB-01", "SUBACK", "the hub closed the connection", &steps))));
        }
        let mut history = History::begin();
        let mark = stage.send(&mut history, &probe(), &on("documented")).await?;
        let got = next_mark(&mut connection, deadline::ROUTING).await;
        if got.as_ref() != Ok(&mark) {
            let observed = got.map_or_else(|why| why, |other| format!("{other} came instead"));
            return Ok(ended(Some(broken("MQTT-SUB-04", "it is delivered", observed, &steps))));
        }
        // The acknowledgement is dealt with before the next connection takes over.
        let _ = quiet(&mut connection, "other").await;
    }
    put_back(stage, other()).await?;
    Ok(Outcome::Conforms)
}

async fn unsubscribed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let mut connection = connected(stage.environment(), &module("m10")).await?;
    subscribed(&mut connection, &[("foo/#", 1)]).await?;
    for (id, filters) in
        [(7, vec!["foo/#"]), (8, vec!["foo/#"]), (9, vec!["never/subscribed", "+"]), (0xffff, vec!["#"])]
    {
        let steps = [
            "module m10 subscribes foo/#, and unsubscribes it again".to_owned(),
            format!("module m10 unsubscribes {filters:?} with packet id {id}"),
        ];
        connection.write(&packet::unsubscribe(id, &filters)).await;
        connection.write(&packet::PINGREQ).await;
        let mut answers = Vec::new();
        while !answers.iter().any(harness::client::raw_mqtt::Packet::is_pingresp) {
            match connection.read(deadline::ACKNOWLEDGEMENT).await? {
                Some(packet) => answers.push(packet),
                None => break,
            }
        }
        if answers.first().and_then(harness::client::raw_mqtt::Packet::unsuback) != Some(id) {
            let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
            let observed = if answers.is_empty() { "a close".to_owned() } else { answers.join(", ") };
            return Ok(ended(Some(broken("MQTT-SUB-06", format!("UNSUBACK {id}"), observed, &steps))));
        }
    }
    put_back(stage, module("m10")).await?;
    Ok(Outcome::Conforms)
}

async fn invalid(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut rows: Vec<(String, Vec<u8>)> = Vec::new();
    for filter in ["", "a/#/b", "a#", "#a", "a+", "+a", "a/b+/c", "##", "a/#/"] {
        rows.push((format!("a SUBSCRIBE of `{filter}`"), packet::subscribe(1, &[("good/#", 1), (filter, 1)])));
    }
    rows.push(("an UNSUBSCRIBE of `a/#/b`".to_owned(), packet::unsubscribe(1, &["a/#/b"])));
    rows.push(("an UNSUBSCRIBE of an empty filter".to_owned(), packet::unsubscribe(1, &[""])));
    rows.push(("a SUBSCRIBE without filters".to_owned(), packet::subscribe(1, &[])));
    rows.push(("an UNSUBSCRIBE without filters".to_owned(), packet::unsubscribe(1, &[])));
    rows.push(("a SUBSCRIBE at QoS 3".to_owned(), packet::subscribe(1, &[("foo/#", 3)])));
    rows.push(("a SUBSCRIBE with reserved bits".to_owned(), packet::subscribe(1, &[("foo/#", 1), ("bar", 0x81)])));
    let rows: Vec<(&str, Vec<u8>)> = rows.iter().map(|(what, bytes)| (what.as_str(), bytes.clone())).collect();
    table(worker, "MQTT-SUB-07", &rows).await
}

async fn one_of_two(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("two", &to_other("two"))])).await?;
    let mut connection = connected(stage.environment(), &other()).await?;
    let mut steps = vec![format!("module other subscribes `{INPUTS}`, then `{WHOLE}`, and unsubscribes the latter")];
    subscribed(&mut connection, &[(INPUTS, 1)]).await?;
    subscribed(&mut connection, &[(WHOLE, 1)]).await?;
    connection.write(&packet::unsubscribe(2, &[WHOLE])).await;
    if let Ok(Some(before)) = connection.ping().await {
        if !before.iter().any(|packet| packet.unsuback() == Some(2)) {
            return Ok(ended(Some(broken("MQTT-SUB-06", "UNSUBACK", "PINGRESP without UNSUBACK before it", &steps))));
        }
    }
    let mut history = History::begin();
    steps.push("module probe sends a message that a route takes to other/in".to_owned());
    let first = stage.send(&mut history, &probe(), &on("two")).await?;
    // A hub that still delivers does better than the product; one that does not must keep the message.
    steps.push(format!("module other connects anew, subscribes `{INPUTS}` alone, and probe sends another message"));
    let mut marks = Vec::new();
    if let Ok(Some(before)) = connection.ping().await {
        for published in before.iter().filter_map(harness::client::raw_mqtt::Packet::publish) {
            connection.write(&packet::puback(published.id.unwrap_or(1))).await;
            marks.push(super::dialogue::mark_of(&published));
        }
    }
    let mut connection = connected(stage.environment(), &other()).await?;
    subscribed(&mut connection, &[(INPUTS, 1)]).await?;
    let second = stage.send(&mut history, &probe(), &on("two")).await?;
    while !marks.contains(&second) {
        match next_mark(&mut connection, deadline::RETRY).await {
            Ok(mark) => marks.push(mark),
            Err(why) => {
                let expected = "both messages arrive";
                return Ok(ended(Some(broken("MQTT-SUB-09", expected, format!("{marks:?} came; {why}"), &steps))));
            }
        }
    }
    let found = (!marks.contains(&first)).then(|| {
        let observed = "the second came, the first did not";
        broken("MQTT-SUB-09", "the first message arrives, on the old connection or on the new one", observed, &steps)
    });
    let _ = quiet(&mut connection, "other").await;
    if found.is_none() {
        put_back(stage, other()).await?;
    }
    Ok(ended(found))
}
