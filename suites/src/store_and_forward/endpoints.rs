//! What waits for one endpoint: retries, acknowledgements, changes of routes. Covers ROUTE-SF-04 to -06, -19, -24 and
//! -25, and ROUTE-MET-05.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::deadline::{self, Deadline};
use harness::observe::history::History;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};
use serde_json::json;

use super::ground::{self, arrive, order_at, other, other_in, send_on, to_other, within};
use super::receiver::{Receiver, Withheld};
use crate::course::{broken, ended, on, probe, reached, routes};
use crate::declare::{fixed, slow};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "store_and_forward",
            "store_and_forward::endpoints::an_absent_receiver_is_tried_less_and_less_often_until_told",
            &["ROUTE-SF-04", "ROUTE-SF-05", "ROUTE-SF-24", "ROUTE-MET-05"],
            |worker| Box::pin(backing_off(worker, 3)),
        ),
        slow(fixed(
            "store_and_forward",
            "store_and_forward::endpoints::an_absent_receiver_is_tried_once_a_minute_in_the_end",
            &["ROUTE-SF-04", "ROUTE-SF-05"],
            |worker| Box::pin(backing_off(worker, 8)),
        )),
        fixed(
            "store_and_forward",
            "store_and_forward::endpoints::what_waits_is_delivered_soon_after_its_receiver_subscribes",
            &["ROUTE-SF-04"],
            |worker| Box::pin(late(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::endpoints::an_unacknowledged_message_comes_again_before_the_next",
            &["ROUTE-SF-06"],
            |worker| Box::pin(unacknowledged(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::endpoints::a_changed_condition_does_not_concern_what_is_queued",
            &["ROUTE-SF-19"],
            |worker| Box::pin(condition(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::endpoints::two_messages_of_one_message_id_are_two_messages",
            &["ROUTE-SF-25"],
            |worker| Box::pin(same_id(worker)),
        ),
    ]
}

const RETRIES: &str = "edgehub_operation_retry_total";
/// How soon a queue is tried again after the configuration was touched.
const AT_ONCE: Deadline = Deadline { name: "AT_ONCE", limit: Duration::from_millis(1_500) };
/// What a look at the metrics page, and the attempt itself, may add to a measured pause.
const SLACK: Duration = Duration::from_millis(700);

/// Waits until the counter of retries grows, and says when it was seen to.
async fn next_retry(
    stage: &Stage,
    labels: &[(&str, &str)],
    before: f64,
    limit: Duration,
) -> Result<Instant, StageError> {
    let began = Instant::now();
    loop {
        let page = stage.environment().metrics().await?;
        if harness::observe::metrics::sum(&page, RETRIES, labels) > before || began.elapsed() > limit {
            return Ok(Instant::now());
        }
        // A counter has no way to be waited for.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// The pause before retry `k` (0 is the first) is 1 s + (2^k - 1) times 0.8 to 1.2 s, and never more than 60 s.
async fn backing_off(worker: &mut Worker, retries: u32) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let routes = routes([("kept", &to_other("kept"))]);
    stage.configure(routes).await?;
    stage.drop_client(&other()).await?;
    let labels = [("id", "gw7/other/in")];
    let spelled = [("id", "gw7/other/in"), ("operation", " SendMessageToModule")];
    let before = stage.metric(RETRIES, &labels, 0.0).await?;
    let spelled_before = stage.metric(RETRIES, &spelled, 0.0).await?;
    let mut history = History::begin();
    let marks = send_on(stage, &mut history, &["kept"]).await?;
    let steps = ["module other is away; module probe sends a message to other/in".to_owned()];
    let mut last = Instant::now();
    // The last pause is not waited out.
    for retry in 0..retries - 1 {
        let doublings = f64::from(2_u32.pow(retry) - 1);
        let pause = |spread: f64| Duration::from_secs_f64((1.0 + doublings * spread).min(60.0));
        let counted = before + f64::from(retry);
        let at = next_retry(stage, &labels, counted, pause(1.2) + SLACK * 2).await?;
        let took = at - last;
        last = at;
        let soonest = pause(0.8).saturating_sub(Duration::from_millis(60));
        if took < soonest || took > pause(1.2) + SLACK {
            let expected = format!(
                "retry {} comes {:.1} to {:.1} s after the attempt before",
                retry + 1,
                pause(0.8).as_secs_f64(),
                pause(1.2).as_secs_f64()
            );
            let observed = format!("{:.2} s passed by edgehub_operation_retry_total", took.as_secs_f64());
            return Ok(ended(Some(broken("ROUTE-SF-05", expected, observed, &steps))));
        }
    }
    let spelled = stage.metric(RETRIES, &spelled, 0.0).await? - spelled_before;
    stage.connect(other()).await?;
    ground::touch(stage).await?;
    let there = |history: &History| reached(history, &marks[0]).contains(&other_in());
    let at_once = stage.collect(&mut history, AT_ONCE, "the message at other/in", there).await;
    let steps = [
        steps[0].clone(),
        "the hub has tried in vain, and waits; module other connects".to_owned(),
        "the hub's desired properties are touched".to_owned(),
    ];
    if let Err(expired) = at_once {
        return Ok(ended(Some(broken("ROUTE-SF-24", "the message is delivered at once", expired.to_string(), &steps))));
    }
    let found = (spelled < f64::from(retries - 1)).then(|| {
        let expected = "retries are counted with operation=\" SendMessageToModule\", leading blank included";
        broken("ROUTE-MET-05", expected, format!("{spelled} were"), &steps)
    });
    Ok(ended(found))
}

async fn late(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("kept", &to_other("kept"))])).await?;
    stage.drop_client(&other()).await?;
    let mut history = History::begin();
    let marks = send_on(stage, &mut history, &["kept"; 25]).await?;
    stage.connect(other()).await?;
    let all = |history: &History| marks.iter().all(|mark| !reached(history, mark).is_empty());
    let arrived = stage.collect(&mut history, deadline::RETRY, "25 messages at other/in", all).await;
    let steps = ["module other is away; module probe sends 25 messages to other/in; module other connects".to_owned()];
    Ok(ended(
        arrived.err().map(|expired| broken("ROUTE-SF-04", "they arrive within 65 s", expired.to_string(), &steps)),
    ))
}

async fn unacknowledged(worker: &mut Worker) -> Result<Outcome, StageError> {
    /// `MessageAckTimeoutSecs` of the blueprint.
    const PATIENCE: Duration = Duration::from_secs(1);
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("kept", &to_other("kept"))])).await?;
    let withheld = Withheld::default();
    let receiver = Receiver::connect(stage, "other", &withheld).await?;
    receiver.mute(true);
    let mut history = History::begin();
    let marks = send_on(stage, &mut history, &["kept"; 2]).await?;
    let steps = [
        "MessageAckTimeoutSecs is 1; module probe sends two messages to other/in".to_owned(),
        "module other does not acknowledge the first; when it has come again, it acknowledges".to_owned(),
    ];
    let times = |history: &History, mark: &String| history.places_of(mark).len();
    let waited = stage
        .collect(&mut history, deadline::DRAIN, "the first message at other/in, twice", |history| {
            times(history, &marks[0]) > 1 || times(history, &marks[1]) > 0
        })
        .await;
    let came: Vec<_> = history.delivered.iter().map(|delivered| (delivered.mark(), delivered.when)).collect();
    if let Err(expired) = waited {
        return Ok(ended(Some(broken("ROUTE-SF-06", "the first message comes again", expired.to_string(), &steps))));
    }
    if times(&history, &marks[1]) > 0 {
        let observed = "the second message came first";
        return Ok(ended(Some(broken("ROUTE-SF-06", "the first message comes again", observed, &steps))));
    }
    let apart = came[1].1 - came[0].1;
    if apart < PATIENCE {
        let observed = format!("it came again after {:.2} s", apart.as_secs_f64());
        return Ok(ended(Some(broken("ROUTE-SF-06", "the first message comes again after 1 s", observed, &steps))));
    }
    receiver.mute(false);
    let arrived = arrive(stage, &mut history, &other_in(), &marks).await;
    let found = match within(arrived, "ROUTE-SF-06", "both messages arrive", &steps)? {
        Err(found) => Some(*found),
        Ok(()) => (order_at(&history, &other_in()) != marks)
            .then(|| broken("ROUTE-SF-06", "the first message, then the second", "the other way round", &steps)),
    };
    Ok(ended(found))
}

async fn condition(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let with = |grade: &str| {
        let text = format!(
            "FROM /messages/modules/probe/* WHERE grade = '{grade}' INTO BrokeredEndpoint(\"/modules/other/inputs/in\")"
        );
        BTreeMap::from([("graded".to_owned(), json!(text))])
    };
    stage.configure(with("A")).await?;
    stage.drop_client(&other()).await?;
    let mut history = History::begin();
    let mut marks = Vec::new();
    for _ in 0..15 {
        let message = Outgoing { properties: vec![("grade".to_owned(), Some("A".to_owned()))], ..on("graded") };
        marks.push(stage.send(&mut history, &probe(), &message).await?);
    }
    stage.configure(with("B")).await?;
    stage.connect(other()).await?;
    let arrived = arrive(stage, &mut history, &other_in(), &marks).await;
    let steps = [
        "a route to other/in takes messages of grade A; module other is away, and module probe sends fifteen"
            .to_owned(),
        "the route takes grade B instead; module other connects".to_owned(),
    ];
    let found: Option<Box<Violation>> = within(arrived, "ROUTE-SF-19", "all fifteen arrive", &steps)?.err();
    Ok(found.map_or(Outcome::Conforms, Outcome::Violated))
}

async fn same_id(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("kept", &to_other("kept"))])).await?;
    let mut history = History::begin();
    let mut marks = Vec::new();
    for _ in 0..2 {
        let message = Outgoing { system: vec![("messageId".to_owned(), Some("the-same".to_owned()))], ..on("kept") };
        marks.push(stage.send(&mut history, &probe(), &message).await?);
    }
    stage.settle(&mut history, &[other_in()], deadline::ROUTING).await?;
    let got = order_at(&history, &other_in());
    let steps = ["module probe sends two messages with `$.mid` the-same to other/in".to_owned()];
    Ok(ended(
        (got != marks).then(|| broken("ROUTE-SF-25", "both arrive", format!("{} of them did", got.len()), &steps)),
    ))
}
