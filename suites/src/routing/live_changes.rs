//! What happens to messages while routes change. Covers ROUTE-CFG-20 and -21.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::deadline;
use harness::observe::history::{History, Place};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use crate::course::{broken, ended, listed, on, probe, reached, routes, settled, sink};
use crate::declare::{fixed, property};


/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property("routing", "routing::live_changes::a_message_is_routed_by_one_configuration", &["ROUTE-CFG-20"], 3, changes, |stage, change| {
            Box::pin(one_configuration(stage, change))
        }),
        fixed("routing", "routing::live_changes::a_change_between_standing_endpoints_is_in_force_when_it_is_reported", &["ROUTE-CFG-21"], |worker| Box::pin(in_force_when_reported(worker))),
        fixed("routing", "routing::live_changes::nothing_acknowledged_is_lost_while_endpoints_come_and_go", &["ROUTE-CFG-20"], |worker| Box::pin(endpoints_come_and_go(worker))),
    ]
}

/// Sets of inputs that take the same output before and after a change.
type Change = (Vec<u8>, Vec<u8>);

fn changes() -> impl Strategy<Value = Change> {
    (vec(0..8_u8, 1..=5), vec(0..8_u8, 1..=5))
}

fn towards(inputs: &[u8]) -> BTreeMap<String, serde_json::Value> {
    let route = |input: &u8| json!(format!("FROM /messages/modules/probe/outputs/live INTO BrokeredEndpoint(\"/modules/sink/inputs/i{input}\")"));
    inputs.iter().map(|input| (format!("to-{input}"), route(input))).collect()
}

/// Messages sent around a change of routes reach the places of before, or those of after, and never a mixture.
async fn one_configuration(stage: &mut Stage, (before, after): &Change) -> Result<Option<Violation>, StageError> {
    stage.configure(towards(before)).await?;
    let places = |inputs: &[u8]| inputs.iter().map(|input| sink(&format!("i{input}"))).collect();
    let (old, new): (std::collections::BTreeSet<Place>, std::collections::BTreeSet<Place>) = (places(before), places(after));
    let mut proposed: BTreeMap<String, serde_json::Value> = towards(before).into_keys().map(|name| (name, json!(null))).collect();
    proposed.extend(towards(after));
    stage.propose(proposed).await?;
    let mut history = History::begin();
    for _ in 0..6 {
        stage.send(&mut history, &probe(), &on("live")).await?;
    }
    let all: Vec<Place> = old.union(&new).cloned().collect();
    let settled = settled(stage, &mut history, &all).await?;
    let steps = [
        format!("routes from output live to {}", listed(&old)),
        format!("patch: the same output goes to {}", listed(&new)),
        "module probe sends six messages meanwhile".to_owned(),
    ];
    let mut switched = false;
    for sent in &history.sent {
        let got = reached(&history, &sent.mark);
        let by_old = got == old && (!switched || old == new);
        switched |= got == new && old != new;
        if got != new && !by_old {
            let mut violation = broken(
                "ROUTE-CFG-20",
                format!("{} reaches {}, or {} before the first that does", sent.mark, listed(&new), listed(&old)),
                format!("it reached {}", listed(&got)),
                &steps,
            );
            violation.timeline = history.timeline(|delivered| delivered.mark() == Some(&sent.mark));
            return Ok(Some(violation));
        }
    }
    if !settled {
        return Ok(Some(broken("ROUTE-CFG-20", "the standing routes stay in force", "messages on them do not arrive any more", &steps)));
    }
    Ok(None)
}

/// How long after the report the change must be in force, with room for the way of the message.
const PROMISED: Duration = Duration::from_millis(1_500);

async fn in_force_when_reported(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let to = |input: &str| format!("FROM /messages/modules/probe/outputs/moving INTO BrokeredEndpoint(\"/modules/sink/inputs/{input}\")");
    stage.configure(routes([("moving", &to("i0"))])).await?;
    let version = stage.propose(routes([("moving", &to("i1"))])).await?;
    let reported = stage.reported(version).await?;
    let began = Instant::now();
    let steps = ["a route from output moving goes to sink/i0".to_owned(), "patch: it goes to sink/i1; status 200 is reported".to_owned(), "module probe sends on output moving until a message takes the new way".to_owned()];
    if reported["lastDesiredStatus"]["code"] != json!(200) {
        return Ok(ended(Some(broken("ROUTE-CFG-21", "status 200", format!("{}", reported["lastDesiredStatus"]), &steps))));
    }
    let mut history = History::begin();
    loop {
        let mark = stage.send(&mut history, &probe(), &on("moving")).await?;
        settled(stage, &mut history, &[sink("i0"), sink("i1")]).await?;
        let sent_after = history.sent.last().map_or(began, |sent| sent.at).saturating_duration_since(began);
        if reached(&history, &mark).contains(&sink("i1")) {
            return Ok(Outcome::Conforms);
        }
        if sent_after > PROMISED {
            let observed = format!("a message sent {:.1} s after the report still took the old way", sent_after.as_secs_f64());
            return Ok(ended(Some(broken("ROUTE-CFG-21", "the change is in force within 1 s of the report", observed, &steps))));
        }
    }
}

/// One patch drops an endpoint and adds another; what is acknowledged behind the report reaches the new one.
async fn endpoints_come_and_go(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let to = |input: &str| format!("FROM /messages/modules/probe/outputs/new INTO BrokeredEndpoint(\"/modules/sink/inputs/{input}\")");
    stage.configure(routes([("old", &to("passing-1"))])).await?;
    let mut patch = routes([("new", &to("passing-2"))]);
    patch.insert("old".to_owned(), json!(null));
    let version = stage.propose(patch).await?;
    stage.reported(version).await?;
    let mut history = History::begin();
    let message = Outgoing {
        body: "kept".into(),
        ..on("new")
    };
    for _ in 0..5 {
        stage.send(&mut history, &probe(), &message).await?;
    }
    let marks: Vec<String> = history.sent.iter().map(|sent| sent.mark.clone()).collect();
    let all = |history: &History| marks.iter().all(|mark| !reached(history, mark).is_empty());
    let waited = stage.collect(&mut history, deadline::ROUTING, "five messages at sink/passing-2", all).await;
    let found = waited.err().map(|expired| {
        let lost = marks.iter().filter(|mark| reached(&history, mark).is_empty()).count();
        let steps = ["a route from output new goes to sink/passing-1".to_owned(), "one patch removes it and adds one to sink/passing-2; status 200 is reported".to_owned(), "module probe sends five messages on output new; all are acknowledged".to_owned()];
        broken("ROUTE-CFG-20", "all five reach sink/passing-2", format!("{lost} did not: {expired}"), &steps)
    });
    stage.configure(BTreeMap::new()).await?;
    Ok(ended(found))
}

