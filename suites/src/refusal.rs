//! A change the hub must refuse: what it reports, and that the routes before it stay in force.

use std::collections::{BTreeMap, BTreeSet};

use harness::deadline;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::{SmallestCase, Violation};
use harness::stage::{Outgoing, Stage, StageError};
use serde_json::{Value, json};

use crate::scene;

/// Prefix of every description of a refusal. Source: `config/TwinConfigSource.cs`.
pub const REFUSAL: &str = "Error while parsing desired properties - ";

/// How the hub must refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// While it reads the document: status 400.
    Parsing,
    /// While it applies the document: it reports 200, and keeps the routes it has.
    Compiling,
}

const OLD: (&str, &str) = ("sink", "i0");
const NEW: (&str, &str) = ("sink", "i1");

/// Proposes `routes` together with a change of the standing route, and judges that neither takes effect.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn play(
    stage: &mut Stage,
    requirement: &str,
    routes: &BTreeMap<String, Value>,
    refused: Refused,
) -> Result<Option<Violation>, StageError> {
    let standing = |output: &str, to: (&str, &str)| {
        json!(format!(
            "FROM /messages/modules/probe/outputs/{output} INTO BrokeredEndpoint(\"/modules/{}/inputs/{}\")",
            to.0, to.1
        ))
    };
    stage.configure(BTreeMap::from([("standing".to_owned(), standing("before", OLD))])).await?;
    let mut proposed = routes.clone();
    proposed.insert("standing".to_owned(), standing("after", NEW));
    let version = stage.propose(proposed).await?;
    let shown = SmallestCase {
        routes: routes.iter().map(|(name, route)| format!("{name}: {}", text(route))).collect(),
        messages: Vec::new(),
        steps: vec![
            "standing route: FROM /messages/modules/probe/outputs/before".to_owned(),
            "patch: the routes shown, and the standing route's source becomes outputs/after".to_owned(),
            "module probe sends on output before, then on output after".to_owned(),
        ],
    };
    let reported = stage.reported(version).await?;
    if let Some((expected, observed)) = wrong_status(&reported, refused, routes) {
        return Ok(Some(Violation {
            requirement: requirement.to_owned(),
            expected,
            observed,
            smallest_case: shown,
            timeline: Vec::new(),
            waited: None,
        }));
    }
    let mut history = History::begin();
    let probe = Identity::Module("probe".to_owned());
    for output in ["before", "after"] {
        let message = Outgoing { output: Some(output.to_owned()), ..Outgoing::default() };
        stage.send(&mut history, &probe, &message).await?;
    }
    let place = |(module, input): (&str, &str)| Place::Input { module: module.to_owned(), input: input.to_owned() };
    let settled = stage.settle(&mut history, &[place(OLD), place(NEW)], deadline::ROUTING).await;
    let device = stage.environment().blueprint().edge_device.clone();
    let expected = BTreeMap::from([
        (history.sent[0].mark.clone(), BTreeSet::from([place(OLD)])),
        (history.sent[1].mark.clone(), BTreeSet::new()),
    ]);
    match (scene::judge(requirement, &history, &expected, &device), settled) {
        (Some(violation), _) => Ok(Some(Violation { smallest_case: shown, ..violation })),
        // Markers travel on the routes before the change. Without them, those routes are not in force any more.
        (None, Err(StageError::Unsettled { .. })) => Ok(Some(Violation {
            requirement: requirement.to_owned(),
            expected: "the routes before the refused change stay in force".to_owned(),
            observed: "messages on the standing routes do not arrive any more".to_owned(),
            smallest_case: shown,
            timeline: history.timeline(|_| false),
            waited: None,
        })),
        (None, settled) => settled.map(|()| None),
    }
}

fn wrong_status(reported: &Value, refused: Refused, routes: &BTreeMap<String, Value>) -> Option<(String, String)> {
    let status = &reported["lastDesiredStatus"];
    let (code, description) = (status["code"].as_i64(), status["description"].as_str().unwrap_or_default());
    match refused {
        Refused::Compiling if code != Some(200) => {
            Some(("status 200: what does not compile is not reported".to_owned(), format!("status {status}")))
        }
        Refused::Parsing if code != Some(400) => Some(("status 400".to_owned(), format!("status {status}"))),
        Refused::Parsing if !description.starts_with(REFUSAL) => {
            Some((format!("a description that begins `{REFUSAL}`"), format!("description `{description}`")))
        }
        Refused::Parsing if !routes.keys().any(|name| description.contains(name.as_str())) => {
            Some(("a description that names the route".to_owned(), format!("description `{description}`")))
        }
        _ => None,
    }
}

fn text(route: &Value) -> String {
    route.as_str().map_or_else(|| route.to_string(), str::to_owned)
}
