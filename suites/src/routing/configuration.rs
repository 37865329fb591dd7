//! Documents the hub takes or refuses, and what it reports of them. Covers ROUTE-CFG-01..08, 10, 13..15 and the
//! parts of ROUTE-SRC and ROUTE-SINK that are refusals.

use std::collections::{BTreeMap, BTreeSet};

use harness::deadline;
use harness::observe::history::{History, Identity};
use harness::outcome::{Outcome, SmallestCase, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::course::{broken, sink};
use crate::declare::{example, fixed};
use crate::refusal::{self, REFUSAL, Refused};
use crate::scene;

/// A patch and what the hub must report of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    requirement: String,
    patch: String,
    status: i64,
    route: Option<String>,
}

#[derive(Deserialize)]
struct File {
    document: Vec<Document>,
}

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let file: File = toml::from_str(include_str!("../../examples/configurations.toml"))
        .expect("examples/configurations.toml is checked by a test");
    let documents = file.document.into_iter().map(|document| {
        let name = format!("routing::configuration::{}", document.name);
        let requirement = document.requirement.clone();
        example("routing", &name, &[&requirement], document, |stage, document| {
            Box::pin(document_is_judged(stage, document))
        })
    });
    documents
        .chain([
            fixed(
                "routing",
                "routing::configuration::the_version_processed_is_reported_accepted_or_not",
                &["ROUTE-CFG-10"],
                |worker| Box::pin(version_is_reported(worker)),
            ),
            fixed(
                "routing",
                "routing::configuration::a_patch_that_repairs_a_refused_document_takes_effect",
                &["ROUTE-CFG-11"],
                |worker| Box::pin(repair(worker)),
            ),
            fixed(
                "routing",
                "routing::configuration::a_route_set_to_null_stops_matching",
                &["ROUTE-CFG-12"],
                |worker| Box::pin(removal(worker)),
            ),
            fixed(
                "routing",
                "routing::configuration::a_condition_that_does_not_compile_keeps_the_routes_before",
                &["ROUTE-CFG-08", "ROUTE-LANG-05"],
                |worker| Box::pin(uncompilable(worker)),
            ),
            fixed(
                "routing",
                "routing::configuration::the_reported_schema_version_is_its_own",
                &["ROUTE-CFG-15"],
                |worker| Box::pin(reported_schema(worker)),
            ),
            fixed(
                "routing",
                "routing::configuration::missing_routes_are_refused_from_1_1",
                &["ROUTE-CFG-14"],
                |worker| Box::pin(missing_routes(worker)),
            ),
        ])
        .collect()
}

fn standing() -> Value {
    json!("FROM /messages/modules/probe/outputs/standing INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")")
}

async fn document_is_judged(stage: &mut Stage, document: &Document) -> Result<Option<Violation>, StageError> {
    stage.configure(BTreeMap::from([("standing".to_owned(), standing())])).await?;
    let mut patch: Value =
        serde_json::from_str(&document.patch).expect("patches of the example file are JSON, which a test checks");
    // A second change in the same patch tells whether the patch took effect, whatever is reported.
    patch["routes"]["witness"] =
        json!("FROM /messages/modules/probe/outputs/witness INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")");
    let version = stage.patch(patch).await?;
    let reported = stage.reported(version).await?;
    let status = &reported["lastDesiredStatus"];
    let description = status["description"].as_str().unwrap_or_default();
    let steps = [format!("patch of the desired properties of $edgeHub: {}", document.patch)];
    let violation = if status["code"].as_i64() != Some(document.status) {
        Some(broken(&document.requirement, format!("status {}", document.status), format!("status {status}"), &steps))
    } else if document.status == 400 && !description.starts_with(REFUSAL) {
        Some(broken(
            "ROUTE-CFG-07",
            format!("a description that begins `{REFUSAL}`"),
            format!("`{description}`"),
            &steps,
        ))
    } else if document.route.as_ref().is_some_and(|route| !description.contains(route)) {
        Some(broken("ROUTE-CFG-07", "a description that names the route", format!("`{description}`"), &steps))
    } else {
        effect(stage, document, &steps).await?
    };
    stage.restore().await?;
    Ok(violation)
}

/// Whether the witness route is in force exactly when the document was to be accepted, and the standing one always.
async fn effect(stage: &mut Stage, document: &Document, steps: &[String]) -> Result<Option<Violation>, StageError> {
    let accepted = document.status == 200;
    let probe = Identity::Module("probe".to_owned());
    let mut history = History::begin();
    for output in ["standing", "witness"] {
        let message = Outgoing { output: Some(output.to_owned()), ..Outgoing::default() };
        stage.send(&mut history, &probe, &message).await?;
    }
    let expected = BTreeMap::from([
        (history.sent[0].mark.clone(), BTreeSet::from([sink("i0")])),
        (history.sent[1].mark.clone(), if accepted { BTreeSet::from([sink("i1")]) } else { BTreeSet::new() }),
    ]);
    let settled = stage.settle(&mut history, &[sink("i0"), sink("i1")], deadline::ROUTING).await;
    let device = stage.environment().blueprint().edge_device.clone();
    match (scene::judge(&document.requirement, &history, &expected, &device), settled) {
        (Some(violation), _) => Ok(Some(Violation {
            smallest_case: SmallestCase { steps: steps.to_vec(), ..SmallestCase::default() },
            ..violation
        })),
        (None, Err(StageError::Unsettled { .. })) => Ok(Some(broken(
            &document.requirement,
            "the standing routes stay in force",
            "messages on them do not arrive any more",
            steps,
        ))),
        (None, settled) => settled.map(|()| None),
    }
}

async fn version_is_reported(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    for (patch, code) in [
        (json!({"routes": {"extra": "FROM /messages/modules/cam INTO $upstream"}}), 200),
        (json!({"routes": {"extra": "FROM"}}), 400),
        (json!({"routes": {"extra": null}}), 200),
    ] {
        let version = stage.patch(patch.clone()).await?;
        // Waits for exactly this version: a hub that reports another one runs into the deadline.
        let steps = [format!("patch: {patch}")];
        match stage.reported(version).await {
            Ok(reported) if reported["lastDesiredStatus"]["code"].as_i64() == Some(code) => {}
            Ok(reported) => {
                let observed = format!("status {}", reported["lastDesiredStatus"]);
                return Ok(Outcome::Violated(Box::new(broken(
                    "ROUTE-CFG-10",
                    format!("version {version} with status {code}"),
                    observed,
                    &steps,
                ))));
            }
            Err(StageError::Expired(expired)) => {
                return Ok(Outcome::Violated(Box::new(broken(
                    "ROUTE-CFG-10",
                    format!("lastDesiredVersion {version}"),
                    expired.to_string(),
                    &steps,
                ))));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(Outcome::Conforms)
}

async fn repair(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(BTreeMap::from([("standing".to_owned(), standing())])).await?;
    let good = "FROM /messages/modules/probe/outputs/witness INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")";
    let bad = stage.patch(json!({"routes": {"good": good, "bad": "FROM nowhere"}})).await?;
    let refused = stage.reported(bad).await?;
    let steps = [
        "patch: one good and one bad route; refused".to_owned(),
        "patch: the bad route becomes null".to_owned(),
        "module probe sends through the good route".to_owned(),
    ];
    if refused["lastDesiredStatus"]["code"].as_i64() != Some(400) {
        let observed = format!("status {}", refused["lastDesiredStatus"]);
        return Ok(Outcome::Violated(Box::new(broken("ROUTE-CFG-06", "status 400", observed, &steps))));
    }
    let repaired = stage.patch(json!({"routes": {"bad": null}})).await?;
    let reported = stage.reported(repaired).await?;
    let document = Document {
        name: String::new(),
        requirement: "ROUTE-CFG-11".to_owned(),
        patch: String::new(),
        status: 200,
        route: None,
    };
    let violation = if reported["lastDesiredStatus"]["code"].as_i64() == Some(200) {
        effect(stage, &document, &steps).await?
    } else {
        Some(broken("ROUTE-CFG-11", "status 200", format!("status {}", reported["lastDesiredStatus"]), &steps))
    };
    stage.restore().await?;
    Ok(violation.map_or(Outcome::Conforms, |violation| Outcome::Violated(Box::new(violation))))
}

async fn removal(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let gone = json!("FROM /messages/modules/probe/outputs/gone INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")");
    stage.configure(BTreeMap::from([("standing".to_owned(), standing()), ("gone".to_owned(), gone)])).await?;
    // The next configuration is without the route, so its patch sets it to null.
    stage.configure(BTreeMap::from([("standing".to_owned(), standing())])).await?;
    let mut history = History::begin();
    let probe = Identity::Module("probe".to_owned());
    for output in ["gone", "standing"] {
        let message = Outgoing { output: Some(output.to_owned()), ..Outgoing::default() };
        stage.send(&mut history, &probe, &message).await?;
    }
    stage.settle(&mut history, &[sink("i0"), sink("i1")], deadline::ROUTING).await?;
    let expected = BTreeMap::from([
        (history.sent[0].mark.clone(), BTreeSet::new()),
        (history.sent[1].mark.clone(), BTreeSet::from([sink("i0")])),
    ]);
    let device = stage.environment().blueprint().edge_device.clone();
    Ok(match scene::judge("ROUTE-CFG-12", &history, &expected, &device) {
        None => Outcome::Conforms,
        Some(mut violation) => {
            violation.smallest_case.steps = vec![
                "patch: a route becomes null".to_owned(),
                "module probe sends a message that only this route took".to_owned(),
            ];
            Outcome::Violated(Box::new(violation))
        }
    })
}

async fn uncompilable(worker: &mut Worker) -> Result<Outcome, StageError> {
    for condition in ["grade = 12", "nosuchfunction(line)", "concat('a') = 'a'", "not line"] {
        let route = json!(format!("FROM /messages/modules/cam WHERE {condition} INTO $upstream"));
        let routes = BTreeMap::from([("uncompilable".to_owned(), route)]);
        if let Some(violation) =
            refusal::play(worker.stage().await?, "ROUTE-CFG-08", &routes, Refused::Compiling).await?
        {
            return Ok(Outcome::Violated(Box::new(violation)));
        }
    }
    Ok(Outcome::Conforms)
}

async fn reported_schema(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    for schema in ["1.0", "1.2", "1.3"] {
        let version = stage.patch(json!({"schemaVersion": schema})).await?;
        let reported = stage.reported(version).await?;
        if reported["schemaVersion"] != json!("1.0") {
            let steps = [format!("patch: schemaVersion {schema}")];
            let observed = format!("reported schemaVersion {}", reported["schemaVersion"]);
            stage.restore().await?;
            return Ok(Outcome::Violated(Box::new(broken(
                "ROUTE-CFG-15",
                "reported schemaVersion \"1.0\"",
                observed,
                &steps,
            ))));
        }
    }
    stage.restore().await?;
    Ok(Outcome::Conforms)
}

async fn missing_routes(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let version = stage
        .replace_desired(json!({"schemaVersion": "1.1", "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}}))
        .await?;
    let reported = stage.reported(version).await?;
    stage.restore().await?;
    if reported["lastDesiredStatus"]["code"].as_i64() == Some(400) {
        return Ok(Outcome::Conforms);
    }
    let steps = ["desired properties without `routes`, schema version 1.1".to_owned()];
    let observed = format!("status {}", reported["lastDesiredStatus"]);
    Ok(Outcome::Violated(Box::new(broken("ROUTE-CFG-14", "status 400", observed, &steps))))
}
