//! Several routes, several endpoints, one message. Covers ROUTE-FAN.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::deadline;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::course::{broken, ended, listed, on, probe, reached, routes, settled, sink};
use crate::declare::{self, fixed, restarting};
use crate::scene::{self, Scene};
use crate::{generate, oracle, scenes};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        declare::scenes(
            "routing",
            "routing::fan_out::each_endpoint_of_the_matching_routes_gets_one_copy",
            &["ROUTE-FAN-01", "ROUTE-FAN-03"],
            15,
            fans,
            |stage, scene| Box::pin(scene::play(stage, "ROUTE-FAN-03", scene)),
        ),
        fixed(
            "routing",
            "routing::fan_out::of_several_routes_to_an_endpoint_the_most_urgent_priority_counts",
            &["ROUTE-FAN-02"],
            |worker| Box::pin(most_urgent(worker)),
        ),
        restarting(
            "routing",
            "routing::fan_out::with_the_priority_goes_its_time_to_live",
            &["ROUTE-FAN-02"],
            |worker| Box::pin(its_time_to_live(worker)),
        ),
        fixed(
            "routing",
            "routing::fan_out::telemetry_no_route_wants_is_acknowledged_and_counted",
            &["ROUTE-FAN-05"],
            |worker| Box::pin(unrouted(worker)),
        ),
        fixed("routing", "routing::fan_out::an_absent_sink_does_not_hold_up_the_others", &["ROUTE-FAN-06"], |worker| {
            Box::pin(absent_sink(worker))
        }),
        restarting(
            "routing",
            "routing::fan_out::what_was_acknowledged_is_stored_for_every_endpoint",
            &["ROUTE-FAN-04", "MQTT-PUB-03", "MQTT-DLV-12"],
            |worker| Box::pin(killed_behind_the_acknowledgement(worker)),
        ),
    ];
    tests.extend(scenes::tests("routing::fan_out", "ROUTE-FAN"));
    tests
}

/// Routes that share endpoints, some with a priority.
fn fans() -> impl Strategy<Value = Scene> {
    let to = select(vec![
        "/modules/sink/inputs/i0",
        "/modules/sink/inputs/i1",
        "/modules/other/inputs/in",
        "/modules/other/inputs/IN",
        "$upstream",
    ]);
    let condition = prop_oneof![3 => Just("true".to_owned()), 2 => generate::condition()];
    let priority = proptest::option::weighted(0.4, 0..=9_u32);
    let routes = vec((generate::source(), condition, to, priority), 1..=7);
    let messages = vec((generate::sender(), generate::message()), 1..=3);
    (routes, messages).prop_map(|(routes, messages)| {
        let mut accepted = BTreeMap::new();
        for (source, condition, to, priority) in routes {
            let to = if to.starts_with('/') { format!("BrokeredEndpoint(\"{to}\")") } else { to.to_owned() };
            let text = format!("FROM {source} WHERE {condition} INTO {to}");
            if oracle::route(&text).is_ok_and(|route| route.compiles()) {
                let name = format!("r{}", accepted.len() + 1);
                accepted.insert(
                    name,
                    priority.map_or_else(|| json!(text), |priority| json!({"route": text, "priority": priority})),
                );
            }
        }
        let letters = messages.into_iter().map(|((by, output), message)| (by, Outgoing { output, ..message }));
        Scene { routes: accepted, letters: letters.collect() }
    })
}

const TO_I0: &str = "BrokeredEndpoint(\"/modules/sink/inputs/i0\")";

/// The metrics page says in which queue a message waited.
async fn most_urgent(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    for (priorities, urgent) in [([7, 3], "3"), ([2, 8], "2"), ([0, 1], "0")] {
        let route = |priority: u32| json!({"route": format!("FROM /messages/modules/probe/outputs/urgent INTO {TO_I0}"), "priority": priority});
        stage
            .configure(BTreeMap::from([
                ("first".to_owned(), route(priorities[0])),
                ("second".to_owned(), route(priorities[1])),
            ]))
            .await?;
        let labels = [("from_route_output", "urgent"), ("to_route_input", "i0"), ("priority", urgent)];
        let before = stage.metric("edgehub_messages_sent_total", &labels, 0.0).await?;
        let mut history = History::begin();
        let mark = stage.send(&mut history, &probe(), &on("urgent")).await?;
        settled(stage, &mut history, &[sink("i0")]).await?;
        let counted = stage.metric("edgehub_messages_sent_total", &labels, before + 1.0).await? - before;
        let steps = [
            format!("two routes to one input, with priorities {} and {}", priorities[0], priorities[1]),
            "module probe sends a message that both take".to_owned(),
        ];
        if reached(&history, &mark).is_empty() || (counted - 1.0).abs() > f64::EPSILON {
            let observed = format!("edgehub_messages_sent_total with priority=\"{urgent}\" grew by {counted}");
            return Ok(ended(Some(broken(
                "ROUTE-FAN-02",
                format!("one message sent under priority {urgent}"),
                observed,
                &steps,
            ))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn unrouted(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(BTreeMap::new()).await?;
    let labels = [("reason", "no_route"), ("from", "gw7/probe"), ("from_route_output", "nowhere")];
    let before = stage.metric("edgehub_messages_dropped_total", &labels, 0.0).await?;
    let mut history = History::begin();
    for _ in 0..3 {
        stage.send(&mut history, &probe(), &on("nowhere")).await?;
    }
    let steps = ["module probe sends three messages that no route takes".to_owned()];
    if let Some(sent) = history.sent.iter().find(|sent| sent.acknowledged.is_none()) {
        return Ok(ended(Some(broken(
            "ROUTE-FAN-05",
            "three PUBACKs",
            format!("no PUBACK for {}", sent.mark),
            &steps,
        ))));
    }
    let counted = stage.metric("edgehub_messages_dropped_total", &labels, before + 3.0).await? - before;
    let found = ((counted - 3.0).abs() > f64::EPSILON).then(|| {
        let observed = format!("it grew by {counted}");
        broken("ROUTE-FAN-05", "edgehub_messages_dropped_total with reason=\"no_route\" grows by 3", observed, &steps)
    });
    Ok(ended(found))
}

async fn absent_sink(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([
            (
                "absent",
                "FROM /messages/modules/probe/outputs/both INTO BrokeredEndpoint(\"/modules/absent/inputs/in\")",
            ),
            ("present", "FROM /messages/modules/probe/outputs/both INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
        ]))
        .await?;
    let steps = [
        "routes to an absent module and to sink/i0".to_owned(),
        "module probe sends four messages that both take".to_owned(),
    ];
    let mut history = History::begin();
    for _ in 0..4 {
        stage.send(&mut history, &probe(), &on("both")).await?;
    }
    settled(stage, &mut history, &[sink("i0")]).await?;
    let missing = history.sent.iter().find(|sent| reached(&history, &sent.mark).is_empty());
    let found = missing.map(|sent| {
        let mut violation = broken(
            "ROUTE-FAN-06",
            "all four reach sink/i0",
            format!("{} did not, within {} s", sent.mark, deadline::ROUTING.limit.as_secs()),
            &steps,
        );
        violation.timeline = history.timeline(|_| false);
        violation
    });
    if found.is_none() {
        stage.configure(BTreeMap::new()).await?;
    }
    Ok(ended(found))
}

/// The hub is killed right behind each acknowledgement; whatever it had not stored by then is gone.
async fn killed_behind_the_acknowledgement(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 12;
    let blueprint = worker.blueprint().clone();
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    stage
        .configure(routes([
            ("first", "FROM /messages/modules/probe/outputs/kept INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
            ("second", "FROM /messages/modules/probe/outputs/kept INTO BrokeredEndpoint(\"/modules/other/inputs/in\")"),
            ("third", "FROM /messages/modules/probe/outputs/kept INTO $upstream"),
        ]))
        .await?;
    let steps = [
        "routes from output kept to sink/i0, other/in and $upstream; modules sink and other are not connected"
            .to_owned(),
        format!("module probe sends {MESSAGES} messages; the hub is killed behind the last acknowledgement"),
        "the hub is started again, and everybody connects".to_owned(),
    ];
    for receiver in ["sink", "other"] {
        stage.drop_client(&Identity::Module(receiver.to_owned())).await?;
    }
    let mut history = History::begin();
    for _ in 0..MESSAGES {
        stage.send(&mut history, &probe(), &on("kept")).await?;
    }
    stage.environment_mut().kill_hub().await;
    stage.environment_mut().start_hub().await?;
    stage.environment_mut().ready().await?;
    stage.connect_all().await?;
    let wanted = [sink("i0"), Place::Input { module: "other".to_owned(), input: "in".to_owned() }, Place::Upstream];
    let acknowledged: Vec<String> =
        history.sent.iter().filter(|sent| sent.acknowledged.is_some()).map(|sent| sent.mark.clone()).collect();
    let complete = |history: &History| acknowledged.iter().all(|mark| reached(history, mark).len() == wanted.len());
    let waited =
        stage.collect(&mut history, deadline::RETRY, "every acknowledged message at three places", complete).await;
    let missing = acknowledged.iter().find(|mark| reached(&history, mark).len() < wanted.len());
    let found = match (missing, waited) {
        (Some(mark), _) => Some(broken(
            "ROUTE-FAN-04",
            format!("{mark}, which was acknowledged, reaches sink/i0, other/in and $upstream"),
            format!("it reached {}", listed(&reached(&history, mark))),
            &steps,
        )),
        (None, _) if acknowledged.len() < MESSAGES => Some(broken(
            "MQTT-PUB-04",
            format!("{MESSAGES} acknowledgements"),
            format!("{} came", acknowledged.len()),
            &steps,
        )),
        (None, _) => None,
    };
    stage.close().await;
    Ok(ended(found))
}

/// The urgent route keeps messages for hours, the other for a second; after that second the hub reads its store anew.
async fn its_time_to_live(worker: &mut Worker) -> Result<Outcome, StageError> {
    const SHORT: Duration = Duration::from_secs(1);
    let blueprint = worker.blueprint().clone();
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    let other = Identity::Module("other".to_owned());
    let route = |priority: u32, secs: u64| json!({"route": "FROM /messages/modules/probe/outputs/kept INTO BrokeredEndpoint(\"/modules/other/inputs/in\")", "priority": priority, "timeToLiveSecs": secs});
    stage
        .configure(BTreeMap::from([
            ("first".to_owned(), route(3, 7200)),
            ("second".to_owned(), route(7, SHORT.as_secs())),
        ]))
        .await?;
    stage.drop_client(&other).await?;
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &on("kept")).await?;
    stage.environment_mut().kill_hub().await;
    // The time to live itself has to pass; nothing shows that it has.
    tokio::time::sleep(SHORT + Duration::from_millis(100)).await;
    stage.environment_mut().start_hub().await?;
    stage.environment_mut().ready().await?;
    stage.connect(other).await?;
    let arrived = stage
        .collect(&mut history, deadline::ROUTING, "the message at other/in", |history| {
            !reached(history, &mark).is_empty()
        })
        .await;
    stage.close().await;
    let steps = [
        "two routes from output kept to other/in: priority 3 with timeToLiveSecs 7200, priority 7 with 1; module other is away".to_owned(),
        "module probe sends a message; the hub is killed, and started again when a second has passed".to_owned(),
        "module other connects".to_owned(),
    ];
    Ok(ended(arrived.err().map(|expired| {
        broken(
            "ROUTE-FAN-02",
            "the message is delivered: the time to live of priority 3 counts",
            expired.to_string(),
            &steps,
        )
    })))
}
