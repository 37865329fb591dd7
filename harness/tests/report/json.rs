use harness::report::{json, v1};
use serde_json::{Value, json};

use crate::{awkward, sample};

fn schema() -> Value {
    serde_json::from_str(json::JSON_SCHEMA).expect("the schema is JSON")
}

fn full() -> Value {
    let report = v1::Report::from(&awkward::record());
    serde_json::from_str(&json::text(&report)).expect("a report is JSON")
}

#[test]
fn a_full_report_satisfies_the_published_schema() {
    jsonschema::draft202012::meta::validate(&schema()).expect("the schema is one");
    let validator = jsonschema::draft202012::new(&schema()).expect("the schema is complete in itself");
    let errors: Vec<String> = validator.iter_errors(&full()).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// Closes every object of a schema whose properties are listed.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let condition = ["if", "then"].map(|key| object.remove(key));
            object.values_mut().for_each(close);
            if object.get("type") == Some(&json!("object")) && object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            drop(condition);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn the_schema_names_every_field_a_report_has() {
    let mut closed = schema();
    close(&mut closed);
    let validator = jsonschema::draft202012::new(&closed).expect("still a schema");
    let errors: Vec<String> = validator.iter_errors(&full()).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut unknown = full();
    unknown["violations"][0]["mood"] = json!("bad");
    assert!(!validator.is_valid(&unknown), "closing the schema had no effect");
}

#[test]
fn broken_reports_do_not_satisfy_the_schema() {
    let validator = jsonschema::draft202012::new(&schema()).expect("a schema");
    type Break = fn(&mut Value);
    let breaks: [(&str, Break); 10] = [
        ("another version", |report| report["schema"] = json!("edgecert-report/2")),
        ("no seed", |report| drop(report.as_object_mut().unwrap().remove("seed"))),
        ("a seed that is a number", |report| report["seed"] = json!(24301)),
        ("a negative duration", |report| report["duration_s"] = json!(-1)),
        ("a local time", |report| report["started_at"] = json!("yesterday")),
        ("an unknown verdict", |report| report["verdict"] = json!("fine")),
        ("an unknown outcome", |report| report["tests"][0]["outcome"] = json!("flaky")),
        ("no reason", |report| {
            report["tests"][0]["outcome"] = json!("inconclusive");
        }),
        ("no expectation", |report| {
            drop(report["violations"][0].as_object_mut().unwrap().remove("expected"));
        }),
        ("no disposition", |report| {
            report["requirements"][0]["outcome"] = json!("untested");
        }),
    ];
    for (what, break_it) in breaks {
        let mut report = full();
        break_it(&mut report);
        assert!(!validator.is_valid(&report), "{what}");
    }
}

#[test]
fn a_report_survives_writing_and_reading() {
    let report = v1::Report::from(&awkward::record());
    let read = json::read(&json::text(&report)).expect("readable");
    assert_eq!(read, report);
}

#[test]
fn a_report_of_another_version_is_refused_by_name() {
    let error = json::read(r#"{"schema": "edgecert-report/9"}"#).expect_err("unknown").to_string();
    assert!(error.contains("edgecert-report/9") && error.contains("edgecert-report/1"), "{error}");
    assert!(json::read("[]").is_err());
}

#[test]
fn a_violation_tells_claim_case_and_command() {
    let report = v1::Report::from(&sample::record(&sample::one_violated()));
    assert_eq!(report.started_at, "2026-09-21T14:13:20Z");
    assert_eq!(report.seed, "5eed");
    let violation = serde_json::to_value(&report.violations[0]).expect("JSON");
    assert_eq!(violation["claim"], "Several matching routes to one endpoint yield one delivery.");
    assert_eq!(violation["timeline"][3]["unexpected"], true);
    assert_eq!(violation["smallest_case"]["routes"][0], "r1: FROM /messages/* INTO $upstream");
    assert_eq!(violation["waited"], json!({"deadline": "ROUTING", "limit_s": 10.0, "elapsed_s": 0.6}));
    assert_eq!(
        violation["repeat"],
        "edgecert test --seed 5eed --filter 'routing::fan_out::each_matching_endpoint_gets_one_copy'"
    );
}

#[test]
fn the_summary_counts_the_requirements_by_outcome() {
    let runs = [
        (sample::all_conform(), [5, 0, 0, 0, 0, 1]),
        (sample::one_violated(), [3, 1, 0, 1, 0, 1]),
        (sample::one_inconclusive(), [4, 0, 1, 0, 0, 1]),
        (sample::interrupted(), [1, 0, 0, 0, 4, 1]),
    ];
    for (events, expected) in runs {
        let report = v1::Report::from(&sample::record(&events));
        let report = serde_json::to_value(&report).expect("JSON");
        let words = ["conforms", "violated", "inconclusive", "not_applicable", "not_run", "untested"];
        assert_eq!(words.map(|word| report["summary"][word].as_u64().unwrap()), expected);
        let rows = report["requirements"].as_array().expect("a list");
        let counted = words.map(|word| rows.iter().filter(|row| row["outcome"] == word).count());
        assert_eq!(counted, expected.map(|number| number as usize));
    }
}

#[test]
fn every_violation_of_a_run_is_in_its_report() {
    let report = v1::Report::from(&awkward::record());
    let found = report.violations.iter().map(|found| found.test.as_str());
    let ended = report.tests.iter().filter(|test| test.outcome == v1::TestOutcome::Violated);
    let ended: Vec<&str> = ended.map(|test| test.name.as_str()).collect();
    assert_eq!(found.collect::<Vec<_>>(), ended);
    assert_eq!(ended.len(), 2);
}

#[test]
fn a_requirement_tells_its_level_provenance_and_tests() {
    let report = v1::Report::from(&sample::record(&sample::one_violated()));
    let row = |id: &str| {
        let found = report.requirements.iter().find(|found| found.id == id);
        serde_json::to_value(found.expect("in the catalogue")).expect("JSON")
    };
    assert_eq!(
        row("ROUTE-FAN-02"),
        json!({
            "id": "ROUTE-FAN-02",
            "level": "should",
            "outcome": "conforms",
            "transports": {"mqtt": "conforms"},
            "tests": [sample::DROPPED],
            "provenance": "source",
            "claim": "A message that no route matches is acknowledged and dropped.",
            "source": "Azure/iotedge 55353a64, edge-hub/core/src/Router.cs",
            "quirk": true,
            "disposition": null
        })
    );
    assert_eq!(row("MQTT-PUB-02")["provenance"], "observed");
    assert_eq!(row("TWIN-GET-01")["tests"], json!([]));
}
