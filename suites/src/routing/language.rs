//! Conditions: what they yield for a message. Covers ROUTE-LANG, ROUTE-BODY and ROUTE-FN.
//!
//! The generated cases are judged by the oracle alone; the rows of `examples/conditions.toml` carry their result.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use harness::observe::history::Place;
use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Outgoing, Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use crate::course::probe;
use crate::declare::{example, property};
use crate::examples::{self, Expected, Row};
use crate::refusal::{self, Refused};
use crate::scene::{self, Scene};
use crate::{declare, generate, oracle, scenes};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        declare::scenes(
            "routing",
            "routing::language::a_condition_routes_what_it_is_true_for",
            &["ROUTE-LANG-01"],
            50,
            conditions,
            |stage, scene| Box::pin(scene::play(stage, "ROUTE-LANG-01", scene)),
        ),
        property(
            "routing",
            "routing::language::a_condition_that_is_refused_changes_nothing",
            &["ROUTE-CFG-06", "ROUTE-CFG-08", "ROUTE-LANG-17"],
            5,
            generate::broken_condition,
            refused,
        ),
    ];
    let mut by_requirement: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in examples::conditions() {
        for requirement in &row.requirements {
            by_requirement.entry(requirement.clone()).or_default().push(row.clone());
        }
    }
    tests.extend(by_requirement.into_iter().map(|(requirement, rows)| {
        let name = format!("routing::language::examples_of_{requirement}");
        example("routing", &name, &[&requirement.clone()], (requirement, rows), rows_hold)
    }));
    for area in ["ROUTE-LANG", "ROUTE-BODY", "ROUTE-FN"] {
        tests.extend(scenes::tests("routing::language", area));
    }
    tests
}

fn route(condition: &str, number: usize) -> String {
    format!(
        "FROM /messages/modules/probe/outputs/raw WHERE {condition} INTO BrokeredEndpoint(\"/modules/sink/inputs/i{number}\")"
    )
}

/// A few conditions, each towards an input of its own, and a few messages.
fn conditions() -> impl Strategy<Value = Scene> {
    (vec(generate::condition(), 1..=6), vec(generate::message(), 1..=3)).prop_map(|(conditions, messages)| {
        let compiling = conditions.iter().filter(|condition| oracle::condition(condition).is_ok());
        let routes = compiling.enumerate().map(|(number, condition)| route(condition, number));
        let letters = messages.into_iter().map(|message| {
            let output = Some("raw".to_owned());
            (probe(), Outgoing { output, ..message })
        });
        Scene::of(routes, letters.collect())
    })
}

fn refused<'a>(
    stage: &'a mut Stage,
    (condition, refused): &'a (String, Refused),
) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    let routes = BTreeMap::from([("refusable".to_owned(), json!(route(condition, 2)))]);
    Box::pin(async move {
        let requirement = match refused {
            Refused::Parsing => "ROUTE-LANG-17",
            Refused::Compiling => "ROUTE-CFG-08",
        };
        refusal::play(stage, requirement, &routes, *refused).await
    })
}

/// How many rows share one configuration: as many as inputs stand.
const TOGETHER: usize = 16;

fn rows_hold<'a>(
    stage: &'a mut Stage,
    (requirement, rows): &'a (String, Vec<Row>),
) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let (yielding, refused): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| matches!(row.expected, Expected::True | Expected::False | Expected::Undefined));
        // Rows with one message share a configuration; each row has an input of its own.
        let mut by_message: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in yielding {
            by_message.entry(format!("{:?}", row.message())).or_default().push(row);
        }
        for rows in by_message.values().flat_map(|rows| rows.chunks(TOGETHER)) {
            if let Some(violation) = together(stage, requirement, rows).await? {
                return Ok(Some(match alone(stage, requirement, rows).await? {
                    Some(smaller) => smaller,
                    None => scene::narrowed(stage, &scene_of(rows), violation).await?,
                }));
            }
        }
        for row in refused {
            let kind = if row.expected == Expected::Parse { Refused::Parsing } else { Refused::Compiling };
            let routes = BTreeMap::from([("refusable".to_owned(), json!(route(&row.condition, 2)))]);
            if let Some(violation) = refusal::play(stage, requirement, &routes, kind).await? {
                return Ok(Some(violation));
            }
        }
        Ok(None)
    })
}

fn scene_of(rows: &[&Row]) -> Scene {
    let routes = rows.iter().enumerate().map(|(number, row)| route(&row.condition, number));
    Scene::of(routes, vec![(probe(), rows[0].message())])
}

/// One configuration with a route for each row, and the message all of them are about.
async fn together(stage: &mut Stage, requirement: &str, rows: &[&Row]) -> Result<Option<Violation>, StageError> {
    let scene = scene_of(rows);
    let reached = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.expected == Expected::True)
        .map(|(number, _)| Place::Input { module: "sink".to_owned(), input: format!("i{number}") });
    let expected: BTreeSet<Place> = reached.collect();
    scene::play_expecting(stage, requirement, &scene, &[expected]).await
}

/// The first row that fails alone.
async fn alone(stage: &mut Stage, requirement: &str, rows: &[&Row]) -> Result<Option<Violation>, StageError> {
    for row in rows {
        if let Some(violation) = together(stage, requirement, &[row]).await? {
            return Ok(Some(violation));
        }
    }
    Ok(None)
}
