//! How long a message may wait. Covers ROUTE-SF-10 to -13, -15 and -16.
//!
//! An entry is looked at when it is read from the store, so each test has the hub read its store anew; and each ends
//! with a message that must arrive, behind all that must not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use harness::deadline;
use harness::observe::history::{History, Identity};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use serde_json::{Value, json};

use super::ground::{self, Going, arrive, other, other_in, send_on, to_other, within};
use crate::course::{broken, ended, reached, sink};
use crate::declare::{fixed, restarting, slow};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        restarting(
            "store_and_forward",
            "store_and_forward::expiry::a_route_has_its_own_time_to_live_or_inherits_it",
            &["ROUTE-SF-10", "ROUTE-SF-15"],
            |worker| Box::pin(own_or_inherited(worker)),
        ),
        restarting(
            "store_and_forward",
            "store_and_forward::expiry::the_time_to_live_is_fixed_when_a_message_is_accepted",
            &["ROUTE-SF-11", "ROUTE-SF-12"],
            |worker| Box::pin(fixed_when_accepted(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::expiry::with_a_time_to_live_of_zero_nothing_is_delivered",
            &["ROUTE-SF-13"],
            |worker| Box::pin(zero(worker)),
        ),
        slow(restarting(
            "store_and_forward",
            "store_and_forward::expiry::an_expired_message_is_counted_once_and_a_clean_queue_goes_on",
            &["ROUTE-SF-16", "ROUTE-SF-08"],
            |worker| Box::pin(cleaned(worker)),
        )),
    ]
}

/// The short time to live.
const SHORT: Duration = Duration::from_secs(1);

fn lasting(output: &str, secs: Option<u32>) -> (String, Value) {
    let route =
        secs.map_or_else(|| json!(to_other(output)), |secs| json!({"route": to_other(output), "timeToLiveSecs": secs}));
    (output.to_owned(), route)
}

async fn time_to_live(stage: &mut Stage, secs: i64, routes: &BTreeMap<String, Value>) -> Result<(), StageError> {
    stage.patch(json!({"storeAndForwardConfiguration": {"timeToLiveSecs": secs}})).await?;
    // A canary of the configuration behind it proves that it is in force.
    stage.configure(routes.clone()).await
}

/// Stops the hub for longer than the short time to live, and lets module other connect to the next one.
async fn sleep_over(stage: &mut Stage) -> Result<(), StageError> {
    ground::end(stage, Going::Stopped).await;
    // The time to live itself has to pass; nothing shows that it has.
    tokio::time::sleep(SHORT + Duration::from_millis(100)).await;
    ground::start_again(stage).await?;
    stage.connect(other()).await
}

/// Waits for the last message, and compares which of the others came.
async fn compare(
    stage: &mut Stage,
    history: &mut History,
    wanted: &[(&str, &String, bool)],
    last: &String,
    requirement: impl Fn(&str) -> &'static str,
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let arrived = arrive(stage, history, &other_in(), std::slice::from_ref(last)).await;
    if let Err(found) = within(arrived, requirement("last"), "the last message, which may wait long, arrives", steps)? {
        return Ok(Some(*found));
    }
    let came: BTreeSet<&String> =
        wanted.iter().map(|(_, mark, _)| *mark).filter(|mark| !reached(history, mark).is_empty()).collect();
    Ok(wanted.iter().find(|(_, mark, alive)| came.contains(mark) != *alive).map(|(what, _, alive)| {
        let (expected, observed) = if *alive { ("arrives", "it did not") } else { ("has expired", "it arrived") };
        broken(requirement(what), format!("the message {what} {expected}"), observed, steps)
    }))
}

async fn own_or_inherited(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let routes = BTreeMap::from([
        lasting("brief", Some(1)),
        lasting("long", Some(600)),
        lasting("zero", Some(0)),
        lasting("absent", None),
    ]);
    for (global, inherits) in [(7200, true), (1, false)] {
        ground::stand_up(stage, other()).await?;
        time_to_live(stage, global, &routes).await?;
        stage.drop_client(&other()).await?;
        let mut history = History::begin();
        // The first is in the hands of the pump; none of the others is taken before the hub is stopped.
        let marks = send_on(stage, &mut history, &["brief", "brief", "zero", "absent", "long"]).await?;
        sleep_over(stage).await?;
        let last = send_on(stage, &mut history, &["long"]).await?;
        let wanted = [
            ("with timeToLiveSecs 1", &marks[1], false),
            ("with timeToLiveSecs 0", &marks[2], inherits),
            ("without timeToLiveSecs", &marks[3], inherits),
            ("with timeToLiveSecs 600", &marks[4], true),
        ];
        let steps = [
            format!(
                "the global time to live is {global} s; routes to other/in have 1, 600, 0 and none of their own; module other is away"
            ),
            "module probe sends on each; the hub is stopped, and started again when a second has passed".to_owned(),
            "module other connects, and module probe sends another message that may wait for 600 s".to_owned(),
        ];
        let requirement = |what: &str| if what.ends_with(" 1") { "ROUTE-SF-15" } else { "ROUTE-SF-10" };
        if let Some(found) = compare(stage, &mut history, &wanted, &last[0], requirement, &steps).await? {
            return Ok(ended(Some(found)));
        }
    }
    stage.restore().await?;
    Ok(Outcome::Conforms)
}

async fn fixed_when_accepted(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let routes = BTreeMap::from([lasting("global", None), lasting("long", Some(600))]);
    time_to_live(stage, 600, &routes).await?;
    stage.drop_client(&other()).await?;
    let mut history = History::begin();
    let mut marks = send_on(stage, &mut history, &["long"]).await?;
    for secs in [600, 1, -1] {
        time_to_live(stage, secs, &routes).await?;
        marks.extend(send_on(stage, &mut history, &["global"]).await?);
    }
    time_to_live(stage, 1, &routes).await?;
    sleep_over(stage).await?;
    let last = send_on(stage, &mut history, &["long"]).await?;
    let wanted = [
        ("sent while the time to live was 600 s", &marks[1], true),
        ("sent while the time to live was 1 s", &marks[2], false),
        ("sent while the time to live was negative", &marks[3], true),
    ];
    let steps = [
        "a route to other/in that inherits its time to live; module other is away".to_owned(),
        "module probe sends a message with a global time to live of 600 s, one with 1 s, and one with -1; then it becomes 1 s".to_owned(),
        "the hub is stopped, and started again when a second has passed; module other connects".to_owned(),
    ];
    let requirement = |what: &str| if what.ends_with("negative") { "ROUTE-SF-12" } else { "ROUTE-SF-11" };
    let found = compare(stage, &mut history, &wanted, &last[0], requirement, &steps).await?;
    if found.is_none() {
        stage.restore().await?;
    }
    Ok(ended(found))
}

/// How long after the report the change may still be without effect.
const EFFECT: Duration = Duration::from_millis(1_500);

async fn zero(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let to = |output: &str| {
        format!("FROM /messages/modules/probe/outputs/{output} INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")")
    };
    stage
        .configure(BTreeMap::from([
            ("inherits".to_owned(), json!(to("inherits"))),
            ("own".to_owned(), json!({"route": to("own"), "timeToLiveSecs": 60})),
        ]))
        .await?;
    let version = stage.patch(json!({"storeAndForwardConfiguration": {"timeToLiveSecs": 0}})).await?;
    stage.reported(version).await?;
    let reported = Instant::now();
    let steps = [
        "two routes to sink/i0: one inherits the global time to live, the other has 60 s; the global one becomes 0"
            .to_owned(),
        "module probe sends a message on each".to_owned(),
    ];
    loop {
        let mut history = History::begin();
        let sent = Instant::now();
        let marks = send_on(stage, &mut history, &["inherits", "own"]).await?;
        let behind = |history: &History| reached(history, &marks[1]).contains(&sink("i0"));
        let arrived = stage.collect(&mut history, deadline::ROUTING, "the message with 60 s", behind).await;
        let found = match arrived {
            Err(expired) => Some(broken("ROUTE-SF-13", "the message with 60 s arrives", expired.to_string(), &steps)),
            Ok(()) if reached(&history, &marks[0]).is_empty() => None,
            Ok(()) if sent - reported < EFFECT => continue,
            Ok(()) => Some(broken("ROUTE-SF-13", "only the message with 60 s arrives", "both did", &steps)),
        };
        stage.restore().await?;
        return Ok(ended(found));
    }
}

/// The shortest period of the clean-up that the product accepts, and a moment for the clean-up itself.
const CLEANED: Duration = Duration::from_secs(35);

async fn cleaned(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = ground::blueprint();
    blueprint.settings.push(("MessageCleanupIntervalSecs".to_owned(), "30".to_owned()));
    let stage = ground::gathered(worker, blueprint).await?;
    // Two places, so two queues refer to each message.
    let mut routes = BTreeMap::from([lasting("brief", Some(1)), lasting("settled", None)]);
    let second = "FROM /messages/modules/probe/outputs/brief INTO BrokeredEndpoint(\"/modules/other/inputs/second\")";
    routes.insert("second".to_owned(), json!({"route": second, "timeToLiveSecs": 1}));
    let third = "FROM /messages/modules/probe/outputs/shared INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";
    routes.insert("third".to_owned(), json!(third));
    routes.extend([lasting("shared", None)]);
    stage.configure(routes).await?;
    let mut history = History::begin();
    let settled = send_on(stage, &mut history, &["settled"; 3]).await?;
    arrive(stage, &mut history, &other_in(), &settled).await?;
    stage.drop_client(&other()).await?;
    send_on(stage, &mut history, &["brief"; 4]).await?;
    let shared = send_on(stage, &mut history, &["shared"; 3]).await?;
    let labels = [("reason", "ttl_expiry"), ("from", "gw7/probe"), ("from_route_output", "brief")];
    let began = Instant::now();
    let mut counted = 0.0;
    while counted < 4.0 && began.elapsed() < CLEANED {
        counted = stage.metric("edgehub_messages_dropped_total", &labels, 4.0).await?;
    }
    let steps = [
        "two routes with timeToLiveSecs 1 take messages of module probe to two inputs of module other, which is away"
            .to_owned(),
        "module probe sends four; the hub cleans up every 30 s".to_owned(),
    ];
    if (counted - 4.0).abs() > f64::EPSILON {
        let observed = format!("after {} s it is {counted}", CLEANED.as_secs());
        let expected = "edgehub_messages_dropped_total with reason=\"ttl_expiry\" becomes 4";
        return Ok(ended(Some(broken("ROUTE-SF-16", expected, observed, &steps))));
    }
    // The queues are empty by now, and must go on where they ended.
    ground::end(stage, Going::Stopped).await;
    ground::start_again(stage).await?;
    stage.connect(other()).await?;
    let mut later = shared;
    later.extend(send_on(stage, &mut history, &["settled"; 3]).await?);
    let arrived = arrive(stage, &mut history, &other_in(), &later).await;
    // The queue of sink/i0 was left empty.
    let receiver = Identity::Module("sink".to_owned());
    stage.connect(receiver).await?;
    let fresh = send_on(stage, &mut history, &["shared"; 2]).await?;
    let at_sink = arrive(stage, &mut history, &sink("i0"), &fresh).await;
    let steps = [
        "three messages were delivered to other/in, and three that wait for it to sink/i0 as well; the hub has cleaned up, was stopped and started again".to_owned(),
        "module probe sends three more".to_owned(),
    ];
    let expected = "the three that waited and the three new ones arrive at other/in";
    let found = within(arrived, "ROUTE-SF-08", expected, &steps)?;
    let found = found.and(within(at_sink, "ROUTE-SF-08", "two more arrive at sink/i0", &steps)?);
    worker.discard_stage().await;
    Ok(found.err().map_or(Outcome::Conforms, Outcome::Violated))
}
