//! Ordeals: random sequences of steps that try to make a hub lose, repeat or confuse messages. Whatever was done, in
//! the end everything is restored, what waited is delivered, and [`super::judgement`] judges the story.
//!
//! - `step`: what can be done, and how a reader is told.
//! - `trial`: doing it.

use harness::deadline;
use harness::environment::StartError;
use harness::observe::history::Place;
use harness::observe::monitors::{self, Monitor};
use harness::outcome::{SmallestCase, Violation, Waited};
use harness::runner::Test;
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;

use super::ground;
use super::judgement::{self, Promise, Tolerance};
use crate::declare;
use crate::property::steps;
use step::{Fate, LANES, Step, Whom};
use trial::{Drained, Trial};

mod step;
mod trial;

/// Requirements that a story of queues can break.
const JUDGED: [&str; 9] = [
    "ROUTE-SF-01",
    "ROUTE-SF-02",
    "ROUTE-SF-04",
    "ROUTE-SF-05",
    "ROUTE-SF-08",
    "ROUTE-SF-09",
    "ROUTE-SF-19",
    "ROUTE-FAN-04",
    "MQTT-DLV-01",
];

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let ordeal = |name: &str, strategy: fn() -> BoxedStrategy<Vec<Step>>| {
        declare::on(
            ground::blueprint,
            declare::ordeals("store_and_forward", name, &JUDGED, 1, strategy, |stage, steps| {
                Box::pin(play(stage, steps))
            }),
        )
    };
    vec![
        ordeal("store_and_forward::interleavings::nothing_is_lost_while_the_hub_comes_and_goes", || ordeals(2, 1, 1)),
        ordeal("store_and_forward::interleavings::nothing_is_lost_while_receivers_and_link_come_and_go", || {
            ordeals(0, 2, 2)
        }),
    ]
}

/// Sequences of steps; the weights say what goes away most often: hub, receivers, link.
fn ordeals(hub: u32, receivers: u32, link: u32) -> BoxedStrategy<Vec<Step>> {
    let sender = 0..3_usize;
    let lane = 0..LANES.len();
    let receiver = select(vec!["sink", "other"]);
    let fate = prop_oneof![3 => Just(Fate::Killed), 2 => Just(Fate::Stopped), 1 => Just(Fate::Halted)];
    let whom = prop_oneof![1 => Just(Whom::Everybody), 3 => (0..3_usize).prop_map(Whom::Sender)];
    let how = select(vec!["outage", "refuse", "unauthorized"]);
    let step = prop_oneof![
        12 => (sender.clone(), lane.clone(), 1..=12_usize).prop_map(|(by, lane, count)| Step::Send { by, lane, count }),
        1 + hub => (sender, lane, 1..=12_usize, fate.clone())
            .prop_map(|(by, lane, count, fate)| Step::Race { by, lane, count, fate }),
        1 + hub => fate.prop_map(Step::Befall),
        2 * receivers => receiver.clone().prop_map(Step::Leave),
        2 * receivers => receiver.clone().prop_map(Step::Return),
        receivers => receiver.prop_map(Step::FallSilent),
        2 * link => (whom, how).prop_map(|(whom, how)| Step::Cut { whom, how }),
        2 * link => Just(Step::Mend),
        1 => Just(Step::Switch),
    ];
    steps(step, 4..=10).boxed()
}

async fn play(stage: &mut Stage, steps: &[Step]) -> Result<Option<Violation>, StageError> {
    let mut trial = Trial::begin(stage).await?;
    let course = course(&mut trial, steps).await;
    let device = trial.edge_device();
    let (history, story) = trial.end().await;
    let violation = |requirement: &str, expected: String, observed: String, mark: Option<&str>| Violation {
        requirement: requirement.to_owned(),
        expected,
        observed,
        smallest_case: SmallestCase {
            routes: step::shown_routes(),
            steps: steps.iter().map(ToString::to_string).chain([step::END.to_owned()]).collect(),
            ..SmallestCase::default()
        },
        timeline: history.timeline(|delivered| mark.is_some() && delivered.mark() == mark),
        waited: None,
    };
    let drained = match course {
        Err(StageError::Start(gone @ StartError::HubFailed(_))) => {
            let expected = "a hub that was stopped or killed starts again with what it had stored".to_owned();
            return Ok(Some(violation("ROUTE-SF-08", expected, gone.to_string(), None)));
        }
        course => course?,
    };
    if let Some(found) = judgement::judge(&story, Tolerance::default()) {
        // What is still on its way is not lost; that it stays on its way is said below.
        if found.promise != Promise::Loss || matches!(drained, Drained::All | Drained::Lost(_)) {
            let requirement = requirement_of(found.promise, &found.place, &story);
            return Ok(Some(violation(requirement, found.expected, found.observed, Some(&found.mark))));
        }
    }
    for delivered in &history.delivered {
        let sent = history.sent.iter().find(|sent| delivered.mark() == Some(&sent.mark));
        if let Some((monitor, expected, observed)) = sent.and_then(|sent| monitors::altered(sent, delivered, &device)) {
            let requirement = if monitor == Monitor::ApplicationProperties { "ROUTE-MSG-02" } else { "MQTT-DLV-01" };
            return Ok(Some(violation(requirement, expected, observed, delivered.mark())));
        }
    }
    Ok(match drained {
        Drained::All => None,
        Drained::Lost(observed) => {
            let expected = "a message sent at the end, with nothing in the way, arrives".to_owned();
            Some(violation("ROUTE-SF-04", expected, observed, None))
        }
        Drained::Stuck { place, elapsed } => {
            let requirement = if place.contains("upstream") { "ROUTE-SF-05" } else { "ROUTE-SF-04" };
            let expected = format!("with nothing in the way any more, everything that waited arrives at {place}");
            let mut stuck = violation(requirement, expected, "nothing more arrives there".to_owned(), None);
            stuck.waited = Some(Waited { deadline: deadline::DRAIN.name, limit: deadline::DRAIN.limit, elapsed });
            Some(stuck)
        }
    })
}

/// Takes the steps, and then has everything delivered.
async fn course(trial: &mut Trial<'_>, steps: &[Step]) -> Result<Drained, StageError> {
    for step in steps {
        trial.take(step).await?;
    }
    trial.restore().await?;
    trial.drain().await
}

/// The requirement a promise stands in.
fn requirement_of(promise: Promise, place: &Place, story: &judgement::Story) -> &'static str {
    let ended = |what: &judgement::Cause| matches!(what, judgement::Cause::HubKilled | judgement::Cause::HubStopped);
    match (promise, place) {
        (Promise::Loss, _) if story.interruptions.iter().any(|gone| ended(&gone.what)) => "ROUTE-SF-08",
        (Promise::Loss, Place::Input { .. }) => "ROUTE-SF-04",
        (Promise::Loss, Place::Upstream) => "ROUTE-SF-05",
        (Promise::Stray, _) => "ROUTE-SF-19",
        (Promise::Duplicate, _) => "ROUTE-SF-09",
        (Promise::Order, _) => "ROUTE-SF-01",
        (Promise::Priority, _) => "ROUTE-SF-02",
    }
}
