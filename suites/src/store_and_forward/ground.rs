//! What the tests of this suite stand on: a small blueprint with short times, and a hub that can go and come back.

use std::time::Instant;

use harness::deadline::{self, Expired};
use harness::environment::Blueprint;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::Violation;
use harness::runner::Worker;
use harness::stage::{CANARY, MARKER, Stage, StageError};
use serde_json::json;

use crate::course::{broken, on, probe};

/// Senders `probe`, `m1` and `leaf1`; receivers `sink` and `other`. A hub that waits for acknowledgements as long as
/// its settings say, which here is not long.
pub fn blueprint() -> Blueprint {
    let inputs = [("sink", "i0"), ("sink", "i1"), ("other", "in")];
    let mut blueprint = Blueprint::new("gw7", &["probe", "m1", "sink", "other"], &["leaf1"], &inputs);
    for (name, value) in [("MessageAckTimeoutSecs", "1"), ("CloudOperationTimeoutSecs", "3")] {
        blueprint.settings.push((name.to_owned(), value.to_owned()));
    }
    blueprint
}

/// The same with the times that the product has of its own accord, for tests under which acknowledgements may be late.
pub fn unhurried() -> Blueprint {
    Blueprint { settings: Vec::new(), ..blueprint() }
}

/// The module that receives in tests about one receiver.
pub fn other() -> Identity {
    Identity::Module("other".to_owned())
}

/// Its input.
pub fn other_in() -> Place {
    Place::Input { module: "other".to_owned(), input: "in".to_owned() }
}

/// A route from an output of module `probe` to that input.
pub fn to_other(output: &str) -> String {
    format!("FROM /messages/modules/probe/outputs/{output} INTO BrokeredEndpoint(\"/modules/other/inputs/in\")")
}

/// The worker's stage with this blueprint, with everybody connected.
///
/// # Errors
/// [`StageError`] when it cannot be had.
pub async fn gathered(worker: &mut Worker, blueprint: Blueprint) -> Result<&mut Stage, StageError> {
    worker.set_stage(blueprint);
    let stage = worker.stage().await?;
    let blueprint = stage.environment().blueprint().clone();
    let modules = blueprint.modules.into_iter().map(Identity::Module);
    for identity in modules.chain(blueprint.leaf_devices.into_iter().map(Identity::LeafDevice)) {
        stand_up(stage, identity).await?;
    }
    Ok(stage)
}

/// Connects somebody whose connection does not stand.
///
/// # Errors
/// [`StageError::Connect`] when the hub refuses.
pub async fn stand_up(stage: &mut Stage, identity: Identity) -> Result<(), StageError> {
    if stage.client(&identity).is_ok_and(|client| client.ended().is_none()) {
        return Ok(());
    }
    stage.connect(identity).await
}

/// How a hub goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// SIGTERM.
    Stopped,
    /// SIGKILL.
    Killed,
}

impl Going {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Going::Stopped => "stopped",
            Going::Killed => "killed",
        }
    }
}

/// Ends the hub.
pub async fn end(stage: &mut Stage, going: Going) {
    match going {
        Going::Stopped => stage.environment_mut().stop_hub().await,
        Going::Killed => stage.environment_mut().kill_hub().await,
    }
}

/// Starts the hub again after it ended, and connects everybody who does not receive.
///
/// # Errors
/// [`StageError`] when it is not ready, or refuses somebody.
pub async fn start_again(stage: &mut Stage) -> Result<(), StageError> {
    for module in ["sink", "other"] {
        stage.forget_client(&Identity::Module(module.to_owned()));
    }
    stage.environment_mut().start_hub().await?;
    stage.environment_mut().ready().await?;
    for module in [MARKER, CANARY, "probe", "m1"] {
        stage.connect(Identity::Module(module.to_owned())).await?;
    }
    stage.connect(Identity::LeafDevice("leaf1".to_owned())).await
}

/// Has the hub apply its configuration anew, which makes it try at once whatever waits to be tried again.
///
/// # Errors
/// [`StageError::Service`] when the cloud refuses.
pub async fn touch(stage: &mut Stage) -> Result<(), StageError> {
    let touched = stage.desired_version + 1;
    stage.patch(json!({ "touched": touched })).await.map(drop)
}

/// Collects until these marks are at a place; when that takes long, the hub is told to try again.
///
/// # Errors
/// [`StageError::Expired`] when they do not come.
pub async fn arrive(
    stage: &mut Stage,
    history: &mut History,
    place: &Place,
    marks: &[String],
) -> Result<(), StageError> {
    let all = |history: &History| marks.iter().all(|mark| history.places_of(mark).contains(&place));
    let began = Instant::now();
    loop {
        let what = format!("{} messages at {place}", marks.len());
        match stage.collect(history, deadline::DRAIN_ONCE, &what, all).await {
            Ok(()) => return Ok(()),
            Err(_) if began.elapsed() < deadline::DRAIN.limit => touch(stage).await?,
            Err(expired) => return Err(Expired { deadline: deadline::DRAIN, ..expired }.into()),
        }
    }
}

/// Marks in the order in which they first arrived at a place.
pub fn order_at(history: &History, place: &Place) -> Vec<String> {
    let mut order: Vec<String> = Vec::new();
    for delivered in history.delivered.iter().filter(|delivered| delivered.at == *place) {
        let mark = delivered.mark().unwrap_or_default();
        if !order.iter().any(|known| known == mark) {
            order.push(mark.to_owned());
        }
    }
    order
}

/// Sends a message on each of these outputs of module `probe`, one after the other, and gives their marks.
///
/// # Errors
/// As [`Stage::send`].
pub async fn send_on(stage: &mut Stage, history: &mut History, outputs: &[&str]) -> Result<Vec<String>, StageError> {
    let mut marks = Vec::new();
    for output in outputs {
        marks.push(stage.send(history, &probe(), &on(output)).await?);
    }
    Ok(marks)
}

/// What became of a wait: a violation when the hub let it expire.
///
/// # Errors
/// Everything else.
pub fn within<T>(
    waited: Result<T, StageError>,
    requirement: &str,
    expected: &str,
    steps: &[String],
) -> Result<Result<T, Box<Violation>>, StageError> {
    match waited {
        Ok(done) => Ok(Ok(done)),
        Err(StageError::Expired(expired)) => {
            Ok(Err(Box::new(broken(requirement, expected, expired.to_string(), steps))))
        }
        Err(other) => Err(other),
    }
}
