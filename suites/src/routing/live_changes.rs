//! What happens to messages while routes change. Covers ROUTE-CFG-09, -20 and -21, ROUTE-SF-17 and -18.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::deadline;
use harness::observe::history::{History, Identity, Place};
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
        property(
            "routing",
            "routing::live_changes::a_message_is_routed_by_one_configuration",
            &["ROUTE-CFG-20"],
            3,
            changes,
            |stage, change| Box::pin(one_configuration(stage, change)),
        ),
        fixed(
            "routing",
            "routing::live_changes::a_change_between_standing_endpoints_is_in_force_when_it_is_reported",
            &["ROUTE-CFG-21"],
            |worker| Box::pin(in_force_when_reported(worker)),
        ),
        fixed(
            "routing",
            "routing::live_changes::nothing_acknowledged_is_lost_while_endpoints_come_and_go",
            &["ROUTE-CFG-20"],
            |worker| Box::pin(endpoints_come_and_go(worker)),
        ),
        fixed(
            "routing",
            "routing::live_changes::an_endpoint_that_tries_again_does_not_hold_up_its_removal",
            &["ROUTE-CFG-20", "ROUTE-CFG-21"],
            |worker| Box::pin(removal_while_retrying(worker)),
        ),
        fixed(
            "routing",
            "routing::live_changes::the_time_to_live_of_an_uncompilable_document_does_not_apply",
            &["ROUTE-CFG-09"],
            |worker| Box::pin(uncompilable_time_to_live(worker)),
        ),
        fixed(
            "routing",
            "routing::live_changes::the_backlog_of_a_removed_endpoint_is_discarded_unless_it_has_a_priority",
            &["ROUTE-SF-17", "ROUTE-SF-18"],
            |worker| Box::pin(backlogs(worker)),
        ),
    ]
}

/// Sets of inputs that take the same output before and after a change.
type Change = (Vec<u8>, Vec<u8>);

fn changes() -> impl Strategy<Value = Change> {
    (vec(0..8_u8, 1..=5), vec(0..8_u8, 1..=5))
}

fn towards(inputs: &[u8]) -> BTreeMap<String, serde_json::Value> {
    let route = |input: &u8| {
        json!(format!(
            "FROM /messages/modules/probe/outputs/live INTO BrokeredEndpoint(\"/modules/sink/inputs/i{input}\")"
        ))
    };
    inputs.iter().map(|input| (format!("to-{input}"), route(input))).collect()
}

/// Messages sent around a change of routes reach the places of before, or those of after, and never a mixture.
async fn one_configuration(stage: &mut Stage, (before, after): &Change) -> Result<Option<Violation>, StageError> {
    stage.configure(towards(before)).await?;
    let places = |inputs: &[u8]| inputs.iter().map(|input| sink(&format!("i{input}"))).collect();
    let (old, new): (std::collections::BTreeSet<Place>, std::collections::BTreeSet<Place>) =
        (places(before), places(after));
    let mut proposed: BTreeMap<String, serde_json::Value> =
        towards(before).into_keys().map(|name| (name, json!(null))).collect();
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
        return Ok(Some(broken(
            "ROUTE-CFG-20",
            "the standing routes stay in force",
            "messages on them do not arrive any more",
            &steps,
        )));
    }
    Ok(None)
}

/// How long after the report the change must be in force, with room for the way of the message.
const PROMISED: Duration = Duration::from_millis(1_500);

async fn in_force_when_reported(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let to = |input: &str| {
        format!("FROM /messages/modules/probe/outputs/moving INTO BrokeredEndpoint(\"/modules/sink/inputs/{input}\")")
    };
    stage.configure_patiently(routes([("moving", &to("i0"))])).await?;
    let version = stage.propose(routes([("moving", &to("i1"))])).await?;
    let reported = stage.reported(version).await?;
    let began = Instant::now();
    let steps = [
        "a route from output moving goes to sink/i0".to_owned(),
        "patch: it goes to sink/i1; status 200 is reported".to_owned(),
        "module probe sends on output moving until a message takes the new way".to_owned(),
    ];
    if reported["lastDesiredStatus"]["code"] != json!(200) {
        return Ok(ended(Some(broken(
            "ROUTE-CFG-21",
            "status 200",
            format!("{}", reported["lastDesiredStatus"]),
            &steps,
        ))));
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
            let observed =
                format!("a message sent {:.1} s after the report still took the old way", sent_after.as_secs_f64());
            return Ok(ended(Some(broken(
                "ROUTE-CFG-21",
                "the change is in force within 1 s of the report",
                observed,
                &steps,
            ))));
        }
    }
}

/// One patch drops an endpoint and adds another; what is acknowledged behind the report reaches the new one.
async fn endpoints_come_and_go(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let to = |input: &str| {
        format!("FROM /messages/modules/probe/outputs/new INTO BrokeredEndpoint(\"/modules/sink/inputs/{input}\")")
    };
    stage.configure(routes([("old", &to("passing-1"))])).await?;
    let mut patch = routes([("new", &to("passing-2"))]);
    patch.insert("old".to_owned(), json!(null));
    let version = stage.propose(patch).await?;
    stage.reported(version).await?;
    let mut history = History::begin();
    let message = Outgoing { body: "kept".into(), ..on("new") };
    for _ in 0..5 {
        stage.send(&mut history, &probe(), &message).await?;
    }
    let marks: Vec<String> = history.sent.iter().map(|sent| sent.mark.clone()).collect();
    let all = |history: &History| marks.iter().all(|mark| !reached(history, mark).is_empty());
    let waited = stage.collect(&mut history, deadline::ROUTING, "five messages at sink/passing-2", all).await;
    let found = waited.err().map(|expired| {
        let lost = marks.iter().filter(|mark| reached(&history, mark).is_empty()).count();
        let steps = [
            "a route from output new goes to sink/passing-1".to_owned(),
            "one patch removes it and adds one to sink/passing-2; status 200 is reported".to_owned(),
            "module probe sends five messages on output new; all are acknowledged".to_owned(),
        ];
        broken("ROUTE-CFG-20", "all five reach sink/passing-2", format!("{lost} did not: {expired}"), &steps)
    });
    if found.is_none() {
        stage.configure(BTreeMap::new()).await?;
    }
    Ok(ended(found))
}

/// The dropped endpoint has a message for a module that is not there, and tries to deliver it.
async fn removal_while_retrying(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "stuck",
            "FROM /messages/modules/probe/outputs/stuck INTO BrokeredEndpoint(\"/modules/nobody/inputs/stuck\")",
        )]))
        .await?;
    let mut history = History::begin();
    stage.send(&mut history, &probe(), &on("stuck")).await?;
    let mut patch = routes([(
        "next",
        "FROM /messages/modules/probe/outputs/next INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
    )]);
    patch.insert("stuck".to_owned(), json!(null));
    let version = stage.propose(patch).await?;
    stage.reported(version).await?;
    let mark = stage.send(&mut history, &probe(), &on("next")).await?;
    let standing = settled(stage, &mut history, &[sink("i0")]).await?;
    let arrived = reached(&history, &mark).contains(&sink("i0"));
    let steps = [
        "a message waits for module nobody, which does not exist".to_owned(),
        "one patch removes its route and adds one from output next to sink/i0; status 200 is reported".to_owned(),
        "module probe sends a message on output next".to_owned(),
    ];
    if !arrived || !standing {
        return Ok(ended(Some(broken(
            "ROUTE-CFG-20",
            "the message reaches sink/i0",
            "it was acknowledged and did not",
            &steps,
        ))));
    }
    stage.configure(BTreeMap::new()).await?;
    Ok(Outcome::Conforms)
}

async fn uncompilable_time_to_live(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "standing",
            "FROM /messages/modules/probe/outputs/lasting INTO BrokeredEndpoint(\"/modules/other/inputs/in\")",
        )]))
        .await?;
    let version = stage
        .patch(json!({
            "routes": {"bad": "FROM /messages WHERE nosuch(line) INTO $upstream"},
            "storeAndForwardConfiguration": {"timeToLiveSecs": 0},
        }))
        .await?;
    stage.reported(version).await?;
    // With a time to live of zero nothing would ever be delivered.
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &on("lasting")).await?;
    let arrives = |history: &History| !reached(history, &mark).is_empty();
    let arrived = stage.collect(&mut history, deadline::ROUTING, "the message at other/in", arrives).await;
    let steps = [
        "patch: a route that does not compile, and timeToLiveSecs 0".to_owned(),
        "module probe sends a message on a standing route".to_owned(),
    ];
    stage.restore().await?;
    Ok(ended(arrived.err().map(|expired| {
        broken(
            "ROUTE-CFG-09",
            "the message is delivered: the time to live of before holds",
            expired.to_string(),
            &steps,
        )
    })))
}

async fn backlogs(worker: &mut Worker) -> Result<Outcome, StageError> {
    for (priority, kept) in [(None, false), (Some(0), true)] {
        let stage = worker.stage().await?;
        let other = Identity::Module("other".to_owned());
        let text =
            "FROM /messages/modules/probe/outputs/backlog INTO BrokeredEndpoint(\"/modules/other/inputs/backlog\")";
        let route = priority.map_or_else(|| json!(text), |priority| json!({"route": text, "priority": priority}));
        let with = BTreeMap::from([("backlog".to_owned(), route)]);
        stage.configure(with.clone()).await?;
        stage.drop_client(&other).await?;
        let mut history = History::begin();
        let early = stage.send(&mut history, &probe(), &on("backlog")).await?;
        stage.configure(BTreeMap::new()).await?;
        stage.configure(with).await?;
        let late = stage.send(&mut history, &probe(), &on("backlog")).await?;
        stage.connect(other).await?;
        let arrives = |history: &History| !reached(history, &late).is_empty();
        let arrived =
            stage.collect(&mut history, deadline::RETRY, "the second message at other/backlog", arrives).await;
        let early_arrived = !reached(&history, &early).is_empty();
        let steps = [
            format!("a route to other/backlog{}; module other is away", if kept { " with priority 0" } else { "" }),
            "module probe sends a message; the route is removed, and added again".to_owned(),
            "module probe sends a second message, and module other connects".to_owned(),
        ];
        let requirement = if kept { "ROUTE-SF-18" } else { "ROUTE-SF-17" };
        let expected = if kept { "both messages arrive, in order" } else { "only the second message arrives" };
        let found = match arrived {
            Err(expired) => Some(broken(requirement, expected, expired.to_string(), &steps)),
            Ok(()) if early_arrived != kept => {
                Some(broken(requirement, expected, if kept { "the first did not" } else { "both did" }, &steps))
            }
            Ok(()) => None,
        };
        if found.is_some() {
            return Ok(ended(found));
        }
        stage.configure(BTreeMap::new()).await?;
    }
    Ok(Outcome::Conforms)
}
