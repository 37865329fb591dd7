//! Cases told in steps: what is done is written out beside what is done, and what came of it is judged by hand.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use harness::client::mqtt::QoS;
use harness::deadline;
use harness::observe::history::{Delivered, History, Identity, MARK, Place, Sent};
use harness::outcome::{Outcome, SmallestCase, Violation};
use harness::stage::{Outgoing, Stage, StageError};
use serde_json::{Value, json};

/// The module most cases send from.
pub fn probe() -> Identity {
    Identity::Module("probe".to_owned())
}

/// An input of the module that receives in most cases.
pub fn sink(input: &str) -> Place {
    Place::Input { module: "sink".to_owned(), input: input.to_owned() }
}

/// Routes by name.
pub fn routes<const N: usize>(routes: [(&str, &str); N]) -> BTreeMap<String, Value> {
    routes.into_iter().map(|(name, route)| (name.to_owned(), json!(route))).collect()
}

/// An empty message on an output.
pub fn on(output: &str) -> Outgoing {
    Outgoing { output: Some(output.to_owned()), ..Outgoing::default() }
}

/// A violation of a case told in steps.
pub fn broken(
    requirement: &str,
    expected: impl Into<String>,
    observed: impl Into<String>,
    steps: &[String],
) -> Violation {
    Violation {
        requirement: requirement.to_owned(),
        expected: expected.into(),
        observed: observed.into(),
        smallest_case: SmallestCase { steps: steps.to_vec(), ..SmallestCase::default() },
        timeline: Vec::new(),
        waited: None,
    }
}

/// The end of a course that found this, or nothing.
pub fn ended(found: Option<Violation>) -> Outcome {
    found.map_or(Outcome::Conforms, |violation| Outcome::Violated(Box::new(violation)))
}

/// Publishes to a topic as it stands; `mark` is the mark the bag in it carries.
///
/// # Errors
/// [`StageError::Absent`] when there is no such client.
pub async fn publish(
    stage: &Stage,
    history: &mut History,
    by: &Identity,
    topic: &str,
    mark: &str,
    body: &'static [u8],
) -> Result<(), StageError> {
    let at = std::time::Instant::now();
    let pending = stage.mqtt(by)?.publish(topic, Bytes::from_static(body), QoS::AtLeastOnce).await;
    let acknowledged = pending.acknowledged().await.ok().map(|()| std::time::Instant::now());
    history.sent.push(Sent {
        by: by.clone(),
        at,
        mark: mark.to_owned(),
        output: None,
        properties: vec![(MARK.to_owned(), Some(mark.to_owned()))],
        system: Vec::new(),
        body: Bytes::from_static(body),
        acknowledged,
    });
    Ok(())
}

/// Waits until nothing of the history is under way to these places. `Ok(false)` when the hub lets the wait expire.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn settled(stage: &mut Stage, history: &mut History, places: &[Place]) -> Result<bool, StageError> {
    match stage.settle(history, places, deadline::ROUTING).await {
        Ok(()) => Ok(true),
        Err(StageError::Unsettled { .. }) => Ok(false),
        Err(other) => Err(other),
    }
}

/// Where the message of a mark arrived.
pub fn reached(history: &History, mark: &str) -> BTreeSet<Place> {
    history.places_of(mark).into_iter().cloned().collect()
}

/// The message of a mark as it arrived at a place.
pub fn arrival<'a>(history: &'a History, mark: &str, at: &Place) -> Option<&'a Delivered> {
    history.delivered.iter().find(|delivered| delivered.mark() == Some(mark) && delivered.at == *at)
}

/// Names of places, for a reader.
pub fn listed(places: &BTreeSet<Place>) -> String {
    if places.is_empty() {
        return "nobody".to_owned();
    }
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}
