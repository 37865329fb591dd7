//! Stories of calls: callees come, go and listen, callers call side by side, answers come in any order, from the wrong
//! place, twice or too late. A pure model says what each caller must get.
//!
//! - `step`: what can happen, and how a reader is told. `model`: what must come of it. `trial`: doing it.

use futures_util::future::BoxFuture;
use harness::outcome::{SmallestCase, Violation};
use harness::runner::Test;
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::declare::property;
use crate::generate::method::{argument, name};
use step::{CALLEES, Departure, Fraud, Step};
use trial::Trial;

mod model;
mod step;
mod trial;

/// Requirements that a story of calls can break.
const JUDGED: [&str; 21] = [
    "METHOD-INV-01",
    "METHOD-INV-02",
    "METHOD-INV-03",
    "METHOD-INV-05",
    "METHOD-INV-06",
    "METHOD-INV-18",
    "METHOD-INV-19",
    "METHOD-INV-20",
    "METHOD-INV-21",
    "METHOD-INV-22",
    "METHOD-INV-24",
    "METHOD-INV-25",
    "METHOD-RCV-01",
    "METHOD-RCV-02",
    "METHOD-RCV-03",
    "METHOD-RCV-04",
    "METHOD-RCV-05",
    "MQTT-DM-03",
    "MQTT-DM-06",
    "MQTT-DM-07",
    "MQTT-DM-11",
];

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![property(
        "direct_methods",
        "direct_methods::interleavings::each_caller_gets_its_own_answer",
        &JUDGED,
        8,
        stories,
        play,
    )]
}

fn stories() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..CALLEES.len();
    let call = 0..8_usize;
    let answer = (call.clone(), any::<bool>(), statuses(), proptest::option::weighted(0.8, argument()));
    let departure = prop_oneof![Just(Departure::Goodbye), Just(Departure::Silence)];
    let fraud = prop_oneof![
        3 => Just(Fraud::ByAnother),
        2 => Just(Fraud::UnknownId),
        1 => Just(Fraud::NoId),
        3 => Just(Fraud::Late),
    ];
    let step = prop_oneof![
        4 => who.clone().prop_map(Step::Arrive),
        1 => who.clone().prop_map(Step::Connect),
        2 => who.clone().prop_map(Step::Subscribe),
        2 => who.clone().prop_map(Step::Unsubscribe),
        1 => (who.clone(), departure).prop_map(|(who, how)| Step::Leave { who, how }),
        8 => (0..2_usize, who, 1..=4_usize, name(), argument())
            .prop_map(|(by, to, count, name, argument)| Step::Call { by, to, count, name, argument }),
        8 => answer.prop_map(|(call, shouted, status, payload)| Step::Answer { call, shouted, status, payload }),
        3 => (call, fraud).prop_map(|(call, fraud)| Step::Deceive { call, fraud }),
    ];
    // Without somebody who listens most stories would be about absence.
    (vec(step, 4..=14), any::<[bool; CALLEES.len()]>()).prop_map(|(steps, there)| {
        let present = there.into_iter().enumerate().filter(|(_, there)| *there).map(|(who, _)| Step::Arrive(who));
        present.chain(steps).collect()
    })
}

/// Statuses of a callee's answer.
fn statuses() -> impl Strategy<Value = i32> {
    prop_oneof![
        2 => select(vec![200, 0, -1, 404, 500, 504, i32::MAX, i32::MIN]),
        1 => any::<i32>(),
    ]
}

fn play<'a>(stage: &'a mut Stage, steps: &'a Vec<Step>) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let mut trial = Trial::begin(stage);
        let mut found = None;
        for step in steps {
            found = trial.take(step).await?;
            if found.is_some() {
                break;
            }
        }
        if found.is_none() {
            found = trial.conclude().await?;
        }
        let steps = steps.iter().map(ToString::to_string).chain([step::END.to_owned()]).collect();
        Ok(found.map(|found| Violation {
            requirement: found.requirement.to_owned(),
            expected: found.expected,
            observed: found.observed,
            smallest_case: SmallestCase { steps, ..SmallestCase::default() },
            timeline: trial.timeline(),
            waited: None,
        }))
    })
}

/// What a callee answers to a marked call, so that no two answers of a story are alike.
fn marked(call: usize, payload: &Value) -> Value {
    serde_json::json!({ "call": call, "value": payload })
}
