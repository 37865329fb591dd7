use std::time::Duration;

use harness::event::Event;
use harness::outcome::Outcome;
use harness::report::{Standing, Verdict, verdict};
use harness::requirement::Catalogue;

use crate::sample;

fn verdict(events: &[Event]) -> (Verdict, u8) {
    let record = sample::record(events);
    (record.verdict(), record.exit_code())
}

#[test]
fn a_run_in_which_all_conform_exits_with_0() {
    assert_eq!(verdict(&sample::all_conform()), (Verdict::Conforms, 0));
}

#[test]
fn one_violation_is_enough_to_exit_with_1() {
    assert_eq!(verdict(&sample::one_violated()), (Verdict::Violated, 1));
}

#[test]
fn a_violation_stays_one_when_the_run_is_stopped() {
    let mut events = sample::one_violated();
    events.truncate(5);
    events.push(Event::Interrupted);
    assert_eq!(verdict(&events), (Verdict::Violated, 1));
}

#[test]
fn what_could_not_be_shown_exits_with_2() {
    let none_applies = sample::run([(); 4].map(|()| sample::without_restart()));
    let nothing_selected = vec![sample::started(Vec::new()), sample::ended(0)];
    let mut broken_off = sample::all_conform();
    broken_off.retain(|event| !matches!(event, Event::TestFinished(end) if end.test.name == sample::RESTART));
    for events in [sample::one_inconclusive(), sample::interrupted(), none_applies, nothing_selected, broken_off] {
        assert_eq!(verdict(&events), (Verdict::Inconclusive, 2), "{:?}", events.last());
    }
}

#[test]
fn a_requirement_of_level_may_is_no_reason_to_fail() {
    let Outcome::Violated(mut violation) = sample::twice() else { unreachable!() };
    violation.requirement = "MQTT-PUB-02".to_owned();
    let test = sample::test("telemetry::publish::retained", "mqtt", 3, &["MQTT-PUB-02"]);
    let held = sample::test("telemetry::publish::acknowledged", "mqtt", 3, &["MQTT-PUB-01"]);
    let record = sample::record(&[
        sample::started(vec![test.clone(), held.clone()]),
        sample::finished(&test, Outcome::Violated(violation), 10),
        sample::finished(&held, Outcome::Conforms, 10),
        sample::ended(1),
    ]);
    assert_eq!(record.standing("MQTT-PUB-02"), Standing::Violated);
    assert_eq!(record.exit_code(), 0);
    assert_eq!(verdict::line(&record), "CONFORMS  1 requirement held, 1 optional did not, 6 cases, 1.0 s  (seed 5eed)");
}

#[test]
fn a_requirement_of_level_should_is_a_reason_to_fail() {
    let Outcome::Violated(mut violation) = sample::twice() else { unreachable!() };
    violation.requirement = "ROUTE-FAN-02".to_owned();
    let ends = [Outcome::Conforms, Outcome::Violated(violation), Outcome::Conforms, Outcome::Conforms];
    assert_eq!(verdict(&sample::run(ends)), (Verdict::Violated, 1));
}

#[test]
fn a_requirement_stands_where_the_worst_of_its_tests_ended() {
    use Standing::{Conforms, Inconclusive, NotApplicable, NotRun, Violated};
    let conforms = || Some(Outcome::Conforms);
    let rows = [
        (vec![conforms(), Some(sample::twice()), Some(sample::undecided())], Violated),
        (vec![conforms(), Some(sample::undecided())], Inconclusive),
        (vec![conforms(), Some(sample::without_restart())], Conforms),
        (vec![Some(sample::without_restart())], NotApplicable),
        (vec![conforms(), None], Inconclusive),
        (vec![None, None], NotRun),
        (vec![], NotRun),
    ];
    for (ends, expected) in rows {
        assert_eq!(Standing::of(ends.iter().map(Option::as_ref)), expected, "{ends:?}");
    }
}

#[test]
fn a_requirement_without_a_test_stands_at_its_disposition() {
    let record = sample::record(&sample::all_conform());
    assert_eq!(record.standing("TWIN-GET-01"), Standing::Untested);
}

#[test]
fn a_violation_counts_for_the_requirement_it_names_though_the_test_is_about_another() {
    let test = sample::test(sample::PUBACK, "mqtt", 3, &["MQTT-PUB-01"]);
    let record = sample::record(&[sample::started(vec![test.clone()]), sample::finished(&test, sample::twice(), 10)]);
    assert_eq!(record.standing("ROUTE-FAN-01"), Standing::Violated);
    assert_eq!(record.standing("MQTT-PUB-01"), Standing::Violated);
    assert_eq!(record.standing("ROUTE-FAN-02"), Standing::NotRun);
}

#[test]
fn the_matrix_tells_transports_apart() {
    let over = |transport| sample::test(sample::FAN_OUT, transport, 3, &["ROUTE-FAN-01"]);
    let record = sample::record(&[
        sample::started(vec![over("mqtt"), over("amqp")]),
        sample::finished(&over("amqp"), sample::twice(), 10),
        sample::finished(&over("mqtt"), Outcome::Conforms, 10),
    ]);
    let matrix = record.matrix();
    let areas: Vec<&str> = matrix.iter().map(|area| area.name).collect();
    assert_eq!(areas, ["MQTT-PUB", "ROUTE-FAN", "ROUTE-RST", "TWIN-GET"]);
    let row = &matrix[1].rows[0];
    assert_eq!(row.standing, Standing::Violated);
    assert_eq!(row.transports["mqtt"], Standing::Conforms);
    assert_eq!(row.transports["amqp"], Standing::Violated);
    assert!(matrix[1].rows[1].transports.is_empty());
}

#[test]
fn counts_add_up_to_the_catalogue() {
    let record = sample::record(&sample::one_violated());
    let counts = record.counts();
    assert_eq!(counts.total(), record.catalogue().iter().count() as u64);
    assert_eq!(counts.judged(), 5);
    assert_eq!(record.cases(), 2_412);
    assert_eq!(record.duration(), Duration::from_secs(31));
}

#[test]
fn a_clause_holds_when_all_of_it_that_was_judged_does() {
    use Standing::{Conforms, Inconclusive, NotApplicable, NotRun, Untested, Violated};
    for (together, standings) in [
        (Violated, vec![Conforms, Violated, NotRun]),
        (Inconclusive, vec![Conforms, Inconclusive]),
        (Inconclusive, vec![Conforms, NotRun]),
        (Conforms, vec![Conforms, Untested, NotApplicable]),
        (NotRun, vec![NotRun, NotApplicable]),
        (NotApplicable, vec![NotApplicable, Untested]),
        (Untested, vec![]),
    ] {
        assert_eq!(Standing::together(standings.iter().copied()), together, "{standings:?}");
    }
}

#[test]
fn a_clause_that_names_an_unknown_requirement_is_refused() {
    let text = "[[clause]]\nname = \"n\"\npromise = \"p\"\nsource = \"s\"\nrequirements = [\"NO-SUCH-01\"]\n";
    let error = Catalogue::parse([("file.toml", text)]).expect_err("there is no such requirement");
    assert_eq!(error.to_string(), "requirements/file.toml: clause n names NO-SUCH-01, which no file has");
}
