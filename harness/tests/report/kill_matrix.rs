use harness::report::kill_matrix::{Fault, FaultOutcome, KillMatrix, Run};
use serde_json::json;

use crate::sample;

/// Seconds that a self-test took, with faults side by side.
const TOGETHER: f64 = 1.5;

fn fault(id: &str, outcome: FaultOutcome, killed_by: &[&str], reason: Option<&str>) -> Fault {
    Fault {
        id: id.to_owned(),
        what: "a source takes messages of every module whose name begins the same".to_owned(),
        violates: vec!["ROUTE-SRC-08".to_owned()],
        killed_by: killed_by.iter().map(|id| (*id).to_owned()).collect(),
        tests: killed_by.iter().map(|id| format!("routing::{}", id.to_lowercase())).collect(),
        duration_s: 1.25,
        outcome,
        reason: reason.map(str::to_owned),
        strikes: None,
        runs: Vec::new(),
    }
}

#[test]
fn what_strikes_now_and_then_is_told_with_the_run_that_finds_it() {
    let run = |profile: &str, noticed, judged| Run { profile: profile.to_owned(), noticed, judged };
    let struck = |id: &str, strikes: &str, runs| Fault {
        strikes: Some(strikes.to_owned()),
        runs,
        ..fault(id, FaultOutcome::Killed, &["ROUTE-SF-04"], None)
    };
    let matrix = KillMatrix::new(
        vec![
            struck("drop-1-in-10", "1 in 10", vec![run("quick", true, 300)]),
            struck("drop-after-10000", "after 10,000", vec![run("quick", false, 2_100), run("full", true, 10_200)]),
            fault("route-prefix", FaultOutcome::Killed, &["ROUTE-SRC-08"], None),
        ],
        TOGETHER,
    );
    insta::assert_snapshot!(matrix.rates(), @r#"
      fault             strikes       quick run                 full run
      drop-1-in-10      1 in 10       finds it by 300           not needed
      drop-after-10000  after 10,000  does not, of 2,100        finds it by 10,200
    "#);
}

fn mixed() -> KillMatrix {
    KillMatrix::new(
        vec![
            fault("route-prefix", FaultOutcome::Killed, &["ROUTE-SRC-08", "ROUTE-SRC-09"], None),
            fault("route-twice", FaultOutcome::Survived, &[], None),
            fault("queue-lost", FaultOutcome::Broken, &[], Some("the hub did not start within 20 s (START)")),
        ],
        TOGETHER,
    )
}

#[test]
fn the_table_explains_what_lives_and_ends_with_the_verdict() {
    insta::assert_snapshot!(mixed().table(80), @r#"
      fault         outcome        time  caught by
      route-prefix  killed        1.3 s  ROUTE-SRC-08, ROUTE-SRC-09
      route-twice   SURVIVED      1.3 s  violates ROUTE-SRC-08
                                         a source takes messages of every module
                                         whose name begins the same
      queue-lost    broken        1.3 s  the hub did not start within 20 s (START)

    SURVIVED  1 of 3 planted faults not noticed, 1 untold, 1.5 s
    "#);
}

#[test]
fn all_killed_is_told_in_one_line() {
    let faults = ["a", "b"].map(|id| fault(id, FaultOutcome::Killed, &["ROUTE-SRC-08"], None));
    assert_eq!(KillMatrix::new(faults.to_vec(), TOGETHER).line(), "KILLED  2 of 2 planted faults noticed, 1.5 s");
}

#[test]
fn no_line_is_longer_than_it_may_be() {
    let long = "x".repeat(90);
    let ids = vec!["ROUTE-SRC-08"; 30];
    let faults =
        vec![fault(&long, FaultOutcome::Killed, &ids, None), fault("b", FaultOutcome::Survived, &[], Some(&long))];
    for line in KillMatrix::new(faults, TOGETHER).table(80).lines() {
        assert!(line.chars().count() <= 80 || line.contains(&long), "{line}");
    }
}

#[test]
fn a_survivor_exits_with_1_and_a_broken_run_with_2() {
    let code = |ends: &[FaultOutcome]| {
        KillMatrix::new(ends.iter().map(|end| fault("f", *end, &[], None)).collect(), TOGETHER).exit_code()
    };
    use FaultOutcome::{Broken, Killed, Survived};
    assert_eq!(code(&[Killed, Killed]), 0);
    assert_eq!(code(&[Killed, Broken, Survived]), 1);
    assert_eq!(code(&[Killed, Broken]), 2);
    assert_eq!(code(&[]), 2);
}

#[test]
fn the_file_has_the_published_shape() {
    let folder = sample::folder("kill-matrix");
    let file = mixed().write(&folder).expect("written");
    assert_eq!(file.file_name().expect("named"), "kill-matrix.json");
    let text = std::fs::read_to_string(file).expect("readable");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["schema"], "edgecert-kill-matrix/1");
    assert_eq!((&value["planted"], &value["killed"]), (&json!(3), &json!(1)));
    assert_eq!(value["survived"], json!(["route-twice"]));
    assert_eq!(value["duration_s"], 1.5);
    assert_eq!(
        value["faults"][0],
        json!({
            "id": "route-prefix",
            "what": "a source takes messages of every module whose name begins the same",
            "violates": ["ROUTE-SRC-08"],
            "killed_by": ["ROUTE-SRC-08", "ROUTE-SRC-09"],
            "tests": ["routing::route-src-08", "routing::route-src-09"],
            "duration_s": 1.25,
            "outcome": "killed"
        })
    );
    assert_eq!(value["faults"][2]["reason"], "the hub did not start within 20 s (START)");
    let read: KillMatrix = serde_json::from_str(&text).expect("readable back");
    assert_eq!(read, mixed());
}
