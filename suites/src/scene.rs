//! A scene: routes in force, messages sent, and the judgement of who got what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use harness::deadline;
use harness::observe::history::{Delivered, History, Identity, Place};
use harness::observe::monitors::{self, Monitor};
use harness::outcome::{SmallestCase, Violation, Waited};
use harness::stage::{Outgoing, Stage, StageError};
use serde_json::{Value, json};

use crate::course::listed;
use crate::{model, oracle};

/// Who sends what.
pub type Letter = (Identity, Outgoing);

/// Routes and the messages sent while they are in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Routes by name: strings, or objects with priority and time to live.
    pub routes: BTreeMap<String, Value>,
    /// Messages, in order.
    pub letters: Vec<Letter>,
}

impl Scene {
    /// A scene of route strings, named `r1`, `r2`, ...
    pub fn of(routes: impl IntoIterator<Item = String>, letters: Vec<Letter>) -> Self {
        let routes =
            routes.into_iter().enumerate().map(|(number, route)| (format!("r{}", number + 1), json!(route))).collect();
        Self { routes, letters }
    }

    fn has_priorities(&self) -> bool {
        self.routes.values().any(|route| route.get("priority").is_some())
    }

    /// The scene as reports show it.
    pub fn shown(&self) -> SmallestCase {
        SmallestCase {
            routes: self
                .routes
                .iter()
                .map(|(name, route)| match route {
                    Value::String(text) => format!("{name}: {text}"),
                    other => format!("{name}: {other}"),
                })
                .collect(),
            messages: self.letters.iter().map(|(by, message)| shown(by, message)).collect(),
            steps: Vec::new(),
        }
    }
}

/// One message on one line.
pub fn shown(by: &Identity, message: &Outgoing) -> String {
    let mut line = by.to_string();
    if let Some(output) = &message.output {
        line.push_str(&format!(", output {output}"));
    }
    let list = |properties: &[(String, Option<String>)]| {
        let pairs: Vec<String> = properties
            .iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{name}={value:?}"),
                None => name.clone(),
            })
            .collect();
        pairs.join(" ")
    };
    if !message.properties.is_empty() {
        line.push_str(&format!(", properties {}", list(&message.properties)));
    }
    if !message.system.is_empty() {
        line.push_str(&format!(", system {}", list(&message.system)));
    }
    let body: String = message.body.escape_ascii().to_string().chars().take(160).collect();
    match message.body.len() {
        0 => line.push_str(", empty body"),
        length if length > 160 => line.push_str(&format!(", {length} bytes: {body}...")),
        _ => line.push_str(&format!(", body {body}")),
    }
    line
}

/// Who must get each message, by its mark.
type Expectation = BTreeMap<String, BTreeSet<Place>>;

/// Plays a scene and judges it by the routing model. `requirement` is the claim the scene is about.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn play(stage: &mut Stage, requirement: &str, scene: &Scene) -> Result<Option<Violation>, StageError> {
    let device = stage.environment().blueprint().edge_device.clone();
    let document = json!({
        "schemaVersion": "1.1",
        "routes": scene.routes,
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    });
    let table = oracle::config(&document)
        .ok()
        .and_then(|config| oracle::compile(&config).ok())
        .expect("scenes hold routes that the model accepts; what it refuses is played as a refusal");
    play_with(stage, requirement, scene, |history| {
        history
            .sent
            .iter()
            .map(|sent| (sent.mark.clone(), model::places(&table, &model::routed(sent, &device))))
            .collect()
    })
    .await
}

/// Plays a scene whose outcome is written down: places for each letter, in order.
///
/// # Errors
/// As [`play`].
pub async fn play_expecting(
    stage: &mut Stage,
    requirement: &str,
    scene: &Scene,
    expected: &[BTreeSet<Place>],
) -> Result<Option<Violation>, StageError> {
    play_with(stage, requirement, scene, |history| {
        let marks = history.sent.iter().map(|sent| sent.mark.clone());
        marks.zip(expected.iter().cloned()).collect()
    })
    .await
}

async fn play_with(
    stage: &mut Stage,
    requirement: &str,
    scene: &Scene,
    expectation: impl Fn(&History) -> Expectation,
) -> Result<Option<Violation>, StageError> {
    match stage.configure(scene.routes.clone()).await {
        Err(StageError::NotInForce { after, status }) => {
            return Ok(Some(Violation {
                requirement: requirement.to_owned(),
                expected: "the routes are accepted and take effect".to_owned(),
                observed: match status {
                    Value::Null => "the hub never reported this version of its desired properties".to_owned(),
                    status => format!("the hub reports {status}, and no message passes through the new routes"),
                },
                smallest_case: scene.shown(),
                timeline: Vec::new(),
                waited: Some(Waited {
                    deadline: deadline::CONFIGURATION.name,
                    limit: deadline::CONFIGURATION.limit,
                    elapsed: after,
                }),
            }));
        }
        other => other?,
    }
    let mut history = History::begin();
    for (by, message) in &scene.letters {
        stage.send(&mut history, by, message).await?;
    }
    let arena = arena(stage, scene);
    if scene.has_priorities() {
        // Its routes may take markers too, which would pass what waits in a less urgent queue. Behind the anchors alone
        // they are the last in everything.
        stage.keep_arrivals();
        let cleared = stage.configure(BTreeMap::new()).await;
        history.delivered.extend(stage.kept_arrivals());
        cleared?;
    }
    let settled = stage.settle(&mut history, &arena, deadline::ROUTING).await;
    let expected = expectation(&history);
    let verdict = judge(requirement, &history, &expected, &stage.environment().blueprint().edge_device);
    match (verdict, settled) {
        (Some(mut violation), _) => {
            violation.smallest_case = scene.shown();
            Ok(Some(violation))
        }
        (None, Err(lost @ StageError::MarkerLost { .. })) => Ok(Some(Violation {
            requirement: "ROUTE-FAN-03".to_owned(),
            expected: "every acknowledged message arrives".to_owned(),
            observed: lost.to_string(),
            smallest_case: scene.shown(),
            timeline: history.timeline(|_| false),
            waited: None,
        })),
        (None, settled) => settled.map(|()| None),
    }
}

/// How long the search for a smaller scene may go on.
const NARROWING: Duration = Duration::from_secs(12);

/// The smallest part of a scene that the model finds violated too: one message where one is enough, and no route that
/// can be left out. What cannot be made smaller stays as it was found.
///
/// # Errors
/// As [`play`].
pub async fn narrowed(stage: &mut Stage, scene: &Scene, found: Violation) -> Result<Violation, StageError> {
    let began = Instant::now();
    let requirement = found.requirement.clone();
    let mut smallest = (scene.clone(), found);
    for letter in &scene.letters {
        let part = Scene { routes: scene.routes.clone(), letters: vec![letter.clone()] };
        if let Some(violation) = replayed(stage, &requirement, &part).await? {
            smallest = (part, violation);
            break;
        }
    }
    // Halves first, then single routes: what can be left out is mostly most of them.
    let mut share = smallest.0.routes.len().div_ceil(2);
    while share > 0 && began.elapsed() < NARROWING {
        let names: Vec<String> = smallest.0.routes.keys().cloned().collect();
        for left_out in names.chunks(share) {
            let mut part = smallest.0.clone();
            part.routes.retain(|name, _| !left_out.contains(name));
            if part.routes.is_empty() || part.routes.len() == smallest.0.routes.len() {
                continue;
            }
            if let Some(violation) = replayed(stage, &requirement, &part).await? {
                smallest = (part, violation);
            }
        }
        share /= 2;
    }
    Ok(smallest.1)
}

/// [`narrowed`], as generated cases want it.
pub fn polish<'a>(
    stage: &'a mut Stage,
    scene: &'a Scene,
    found: Violation,
) -> BoxFuture<'a, Result<Violation, StageError>> {
    Box::pin(narrowed(stage, scene, found))
}

/// A part that cannot be played says nothing.
async fn replayed(stage: &mut Stage, requirement: &str, part: &Scene) -> Result<Option<Violation>, StageError> {
    match play(stage, requirement, part).await {
        Err(error) if error.is_harness_failure() => Err(error),
        other => Ok(other.unwrap_or_default().filter(|violation| violation.requirement == requirement)),
    }
}

/// The places at which something can arrive while the scene's routes are in force.
fn arena(stage: &Stage, scene: &Scene) -> Vec<Place> {
    let mut places = Vec::new();
    let texts: Vec<String> = scene
        .routes
        .values()
        .map(|route| match route {
            Value::String(text) => text.clone(),
            other => other["route"].as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    for (module, input) in &stage.environment().blueprint().inputs {
        let parts = (format!("/{module}/"), format!("/{input}"));
        if texts.iter().any(|text| text.contains(&parts.0) && text.contains(&parts.1)) {
            places.push(Place::Input { module: module.clone(), input: input.clone() });
        }
    }
    if texts.iter().any(|text| text.to_ascii_lowercase().contains("$upstream")) {
        places.push(Place::Upstream);
    }
    places
}

/// Judges a settled history: each message was acknowledged and is where the expectation has it, nowhere else, and
/// the standing monitors are quiet.
pub fn judge(requirement: &str, history: &History, expected: &Expectation, edge_device: &str) -> Option<Violation> {
    let violation = |requirement: &str, expected: String, observed: String, unexpected: &dyn Fn(&Delivered) -> bool| {
        Some(Violation {
            requirement: requirement.to_owned(),
            expected,
            observed,
            smallest_case: SmallestCase::default(),
            timeline: history.timeline(unexpected),
            waited: None,
        })
    };
    if let Some(sent) = history.sent.iter().find(|sent| sent.acknowledged.is_none()) {
        return violation(
            "MQTT-PUB-04",
            format!("{} is acknowledged, whether or not a route wants it", sent.mark),
            "no PUBACK".to_owned(),
            &|_| false,
        );
    }
    for sent in &history.sent {
        let Some(wanted) = expected.get(&sent.mark) else { continue };
        let got: BTreeSet<Place> = history.places_of(&sent.mark).into_iter().cloned().collect();
        if got != *wanted {
            let mark = sent.mark.clone();
            let wanted_too = wanted.clone();
            return violation(
                requirement,
                format!("{mark} from {} reaches {}", sent.by, listed(wanted)),
                format!("{mark} reached {}", listed(&got)),
                &move |delivered| delivered.mark() == Some(&mark) && !wanted_too.contains(&delivered.at),
            );
        }
    }
    let breach = monitors::first_breach(history, edge_device)?;
    let wrong = history.delivered[breach.delivery].when;
    let at = &history.delivered[breach.delivery].at;
    violation(claim_of(breach.monitor, at), breach.expected, breach.observed, &move |delivered| delivered.when == wrong)
}

/// The requirement a standing monitor speaks for.
fn claim_of(monitor: Monitor, at: &Place) -> &'static str {
    match monitor {
        Monitor::Origin | Monitor::Body => "MQTT-DLV-01",
        Monitor::ApplicationProperties => "ROUTE-MSG-02",
        Monitor::SystemProperties => "MQTT-DLV-03",
        Monitor::Sender if *at == Place::Upstream => "ROUTE-MSG-05",
        Monitor::Sender => "ROUTE-MSG-03",
        Monitor::Once => "ROUTE-FAN-01",
        Monitor::Order => "MQTT-DLV-05",
    }
}
