//! Ordeals of twins: clients report, read, subscribe, come and go, the cloud desires and is away, the hub dies. After
//! each step, and in the end, what is seen must be what the model allows.
//!
//! - `step`: what can be done, and how a reader is told.
//! - `model`: what may then be seen.
//! - `trial`: doing it, and looking.

use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use super::ground::{self, Going};
use super::tale;
use crate::declare;
use crate::property::steps;
use step::{PARTIES, Step};
use trial::Trial;

mod model;
mod step;
mod trial;

/// Requirements that an ordeal can break.
const JUDGED: [&str; 16] = [
    "TWIN-RPT-05",
    "TWIN-RPT-01",
    "TWIN-RPT-06",
    "TWIN-RPT-08",
    "TWIN-GET-01",
    "TWIN-GET-02",
    "TWIN-GET-03",
    "TWIN-GET-05",
    "TWIN-GET-06",
    "TWIN-GET-08",
    "TWIN-DES-01",
    "TWIN-DES-02",
    "TWIN-DES-03",
    "TWIN-DES-04",
    "TWIN-DES-12",
    "TWIN-ISO-01",
];

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let ordeal = |name: &str, strategy: fn() -> BoxedStrategy<Vec<Step>>| {
        declare::on(
            ground::blueprint,
            declare::ordeals("twins", name, &JUDGED, 1, strategy, |stage, steps| Box::pin(play(stage, steps))),
        )
    };
    vec![
        ordeal("twins::interleavings::twins_agree_while_the_cloud_comes_and_goes", || ordeals(2, 0)),
        ordeal("twins::interleavings::twins_agree_while_the_hub_comes_and_goes", || ordeals(1, 1)),
    ]
}

/// Sequences of steps; the weights say what goes away: link, hub. Simple steps come first, so failures shrink to them.
fn ordeals(link: u32, hub: u32) -> BoxedStrategy<Vec<Step>> {
    let who = 0..PARTIES.len();
    let going = select(vec![Going::Killed, Going::Stopped]);
    let step: [(u32, BoxedStrategy<Step>); 13] = [
        (6, (who.clone(), reported()).prop_map(|(by, patch)| Step::Report { by, patch }).boxed()),
        (4, who.clone().prop_map(|by| Step::Read { by }).boxed()),
        (4, (who.clone(), desired()).prop_map(|(of, patch)| Step::Desire { of, patch }).boxed()),
        (2, who.clone().prop_map(|by| Step::Subscribe { by }).boxed()),
        (1, who.clone().prop_map(|by| Step::Unsubscribe { by }).boxed()),
        (1, who.clone().prop_map(|by| Step::Leave { by }).boxed()),
        (1, who.clone().prop_map(|by| Step::Return { by }).boxed()),
        (2 * link, Just(Step::Cut).boxed()),
        (2 * link, Just(Step::Mend).boxed()),
        (link, Just(Step::Slow).boxed()),
        (1, Just(Step::Settle).boxed()),
        (2 * hub, going.clone().prop_map(Step::Befall).boxed()),
        (hub, (who, reported(), going).prop_map(|(by, patch, going)| Step::Race { by, patch, going }).boxed()),
    ];
    let step = Union::new_weighted(step.into_iter().filter(|(weight, _)| *weight > 0).collect());
    steps(step, 3..=9).boxed()
}

/// Patches of a client. A name that has been an object stays one: of `1` and then `{"x":1}`, gathered into one patch,
/// nobody can tell that the object in between was gone.
fn reported() -> BoxedStrategy<Value> {
    patches(&["a", "b"])
}

/// Patches of the cloud.
fn desired() -> BoxedStrategy<Value> {
    patches(&["d", "e"])
}

fn patches(names: &[&'static str]) -> BoxedStrategy<Value> {
    let plain = prop_oneof![
        4 => (0..4_i64).prop_map(Value::from),
        1 => Just(json!("grün")),
        1 => Just(json!([1, { "x": 2.5 }])),
        2 => Just(Value::Null),
    ];
    let flat = (select(names.to_vec()), plain.clone()).prop_map(|(name, value)| json!({ name: value }));
    let inner = vec((select(vec!["x", "y"]), plain), 1..3).prop_map(|members| {
        let members: Map<_, _> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        json!({ "n": members })
    });
    let both = (flat.clone(), inner.clone()).prop_map(|(mut flat, inner)| {
        flat["n"] = inner["n"].clone();
        flat
    });
    prop_oneof![3 => flat, 2 => inner, 1 => both].boxed()
}

async fn play(stage: &mut Stage, steps: &[Step]) -> Result<Option<Violation>, StageError> {
    tale::found(ordeal(stage, steps).await)
}

async fn ordeal(stage: &mut Stage, steps: &[Step]) -> tale::Told {
    let mut trial = Trial::begin(stage).await?;
    for step in steps {
        trial.take(step).await?;
    }
    trial.end().await
}
