//! Names and values on the wire. Covers MQTT-BAG.

use std::collections::BTreeSet;

use harness::observe::history::{Delivered, History};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use crate::course::{arrival, broken, ended, probe, publish, routes, settled, sink};
use crate::declare::{fixed, over_mqtt};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let tests = vec![
        fixed(
            "telemetry",
            "telemetry::property_bag::what_is_escaped_arrives_escaped_the_same_way",
            &["MQTT-BAG-01"],
            |worker| Box::pin(round_trips(worker)),
        ),
        fixed(
            "telemetry",
            "telemetry::property_bag::a_dollar_may_be_escaped_and_is_when_it_arrives",
            &["MQTT-BAG-02"],
            |worker| Box::pin(dollars(worker)),
        ),
        fixed(
            "telemetry",
            "telemetry::property_bag::a_property_without_value_arrives_bare",
            &["MQTT-BAG-03"],
            |worker| Box::pin(bare(worker)),
        ),
        fixed(
            "telemetry",
            "telemetry::property_bag::a_malformed_bag_is_acknowledged_and_dropped",
            &["MQTT-BAG-04"],
            |worker| Box::pin(malformed(worker)),
        ),
        fixed("telemetry", "telemetry::property_bag::of_duplicates_the_last_wins", &["MQTT-BAG-05"], |worker| {
            Box::pin(duplicates(worker))
        }),
        fixed(
            "telemetry",
            "telemetry::property_bag::a_leading_question_mark_belongs_to_the_name",
            &["MQTT-BAG-06"],
            |worker| Box::pin(question_mark(worker)),
        ),
        fixed(
            "telemetry",
            "telemetry::property_bag::output_and_interface_are_not_shown",
            &["MQTT-DLV-03", "ROUTE-MSG-03"],
            |worker| Box::pin(not_shown(worker)),
        ),
    ];
    tests.into_iter().map(over_mqtt).collect()
}

/// Publishes a bag beside output and mark, and gives what arrives at sink/i0 as the pairs of the raw topic.
async fn through(
    stage: &mut Stage,
    bag: &str,
) -> Result<(Option<Delivered>, BTreeSet<String>, String, bool), StageError> {
    stage
        .configure(routes([(
            "bag",
            "FROM /messages/modules/probe/outputs/bag INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    let mut history = History::begin();
    let mark = stage.mark();
    let topic = format!(
        "devices/gw7/modules/probe/messages/events/{}",
        bag.replace("{own}", &format!("%24.on=bag&mark={mark}"))
    );
    publish(stage, &mut history, &probe(), &topic, &mark, b"").await?;
    settled(stage, &mut history, &[sink("i0")]).await?;
    let arrived = arrival(&history, &mark, &sink("i0")).cloned();
    let pairs = arrived.as_ref().map(|arrived| raw_pairs(&arrived.topic)).unwrap_or_default();
    let acknowledged = history.sent[0].acknowledged.is_some();
    Ok((arrived, pairs, topic, acknowledged))
}

/// The bag of a delivered topic, taken apart and not decoded.
fn raw_pairs(topic: &str) -> BTreeSet<String> {
    let bag = topic.splitn(7, '/').nth(6).unwrap_or_default();
    bag.split('&').map(str::to_owned).collect()
}

/// Expects these raw pairs among those that arrive, and none of the others.
async fn holds(
    stage: &mut Stage,
    requirement: &str,
    bag: &str,
    wanted: &[&str],
    unwanted: &[&str],
) -> Result<Option<Violation>, StageError> {
    let (arrived, pairs, topic, _) = through(stage, bag).await?;
    let steps = [format!("module probe publishes to `{topic}`, routed to sink/i0")];
    if arrived.is_none() {
        return Ok(Some(broken(requirement, "the message arrives", "it did not", &steps)));
    }
    let missing: Vec<&&str> = wanted.iter().filter(|pair| !pairs.contains(**pair)).collect();
    let surplus: Vec<&&str> = unwanted
        .iter()
        .filter(|name| pairs.iter().any(|pair| pair == **name || pair.starts_with(&format!("{name}="))))
        .collect();
    Ok((!missing.is_empty() || !surplus.is_empty()).then(|| {
        let expected = format!(
            "the bag holds {wanted:?}{}",
            if unwanted.is_empty() { String::new() } else { format!(" and none of {unwanted:?}") }
        );
        broken(requirement, expected, format!("the bag is {pairs:?}"), &steps)
    }))
}

async fn all(
    worker: &mut Worker,
    requirement: &str,
    cases: &[(&str, &[&str], &[&str])],
) -> Result<Outcome, StageError> {
    for (bag, wanted, unwanted) in cases {
        let found = holds(worker.stage().await?, requirement, bag, wanted, unwanted).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn round_trips(worker: &mut Worker) -> Result<Outcome, StageError> {
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("{own}&a=x%20y", &["a=x%20y"], &[]),
        ("{own}&a=1%2B2", &["a=1%2B2"], &[]),
        ("{own}&a=%2F%26%3D%25%23", &["a=%2F%26%3D%25%23"], &[]),
        ("{own}&n%C3%A4me=%E6%97%A5", &["n%C3%A4me=%E6%97%A5"], &[]),
        ("{own}&a%20b=-_.~", &["a%20b=-_.~"], &[]),
        ("{own}&a=%zz&b=%", &["a=%25zz", "b=%25"], &[]),
    ];
    all(worker, "MQTT-BAG-01", &cases).await
}

async fn dollars(worker: &mut Worker) -> Result<Outcome, StageError> {
    let cases: [(&str, &[&str], &[&str]); 2] = [
        ("{own}&$.mid=7&$.cid=8", &["%24.mid=7", "%24.cid=8", "%24.cdid=gw7", "%24.cmid=probe"], &["$.mid", "$.cid"]),
        ("{own}&%24.mid=7&%24.ct=text%2Fplain", &["%24.mid=7", "%24.ct=text%2Fplain"], &["$.mid", "$.ct"]),
    ];
    all(worker, "MQTT-BAG-02", &cases).await
}

async fn bare(worker: &mut Worker) -> Result<Outcome, StageError> {
    all(worker, "MQTT-BAG-03", &[("{own}&a&b=", &["a", "b"], &[])]).await
}

async fn malformed(worker: &mut Worker) -> Result<Outcome, StageError> {
    for bag in ["{own}&a=b&", "&{own}&a=b", "{own}&=b", "{own}&a=b=c", "{own}&a/b", "{own}&&a=b", "{own}&Same=1&same=2"]
    {
        let (arrived, _, topic, acknowledged) = through(worker.stage().await?, bag).await?;
        let steps = [format!("module probe publishes to `{topic}`, routed to sink/i0")];
        let found = match (acknowledged, arrived) {
            (false, _) => Some(broken("MQTT-BAG-04", "a PUBACK, and the connection stays open", "no PUBACK", &steps)),
            (true, Some(_)) => Some(broken("MQTT-BAG-04", "the message is dropped", "it was delivered", &steps)),
            (true, None) => None,
        };
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn duplicates(worker: &mut Worker) -> Result<Outcome, StageError> {
    all(worker, "MQTT-BAG-05", &[("{own}&a=1&a=2", &["a=2"], &["a=1"])]).await
}

async fn question_mark(worker: &mut Worker) -> Result<Outcome, StageError> {
    all(worker, "MQTT-BAG-06", &[("?food=x&{own}", &["%3Ffood=x"], &["food"])]).await
}

async fn not_shown(worker: &mut Worker) -> Result<Outcome, StageError> {
    all(
        worker,
        "MQTT-DLV-03",
        &[("{own}&%24.ifid=urn%3Aother%3A1&kept=1", &["kept=1"], &["%24.on", "%24.ifid", "outputName"])],
    )
    .await
}
