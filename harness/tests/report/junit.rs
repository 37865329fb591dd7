use std::collections::BTreeSet;

use harness::event::Event;
use harness::outcome::Outcome;
use harness::report::{block, junit, v1};

use crate::{awkward, sample};

fn text(events: &[Event]) -> String {
    junit::text(&v1::Report::from(&sample::record(events)))
}

/// Values of an attribute, in order of appearance.
fn values<'a>(xml: &'a str, before: &str) -> Vec<&'a str> {
    xml.split(before).skip(1).map(|rest| rest.split('"').next().expect("closed")).collect()
}

#[test]
fn each_suite_is_a_testsuite_and_each_name_unique() {
    let xml = text(&sample::all_conform());
    assert_eq!(values(&xml, "<testsuite id=\"0\" name=\""), ["routing"]);
    assert_eq!(values(&xml, "<testsuite id=\"1\" name=\""), ["telemetry"]);
    assert_eq!(values(&xml, "<testcase name=\""), [sample::FAN_OUT, sample::DROPPED, sample::RESTART, sample::PUBACK]);

    let over = |transport| sample::test(sample::FAN_OUT, transport, 3, &["ROUTE-FAN-01"]);
    let xml = text(&[sample::started(vec![over("mqtt"), over("amqp"), over("amqp")])]);
    let names = values(&xml, "<testcase name=\"");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 3, "{names:?}");
}

#[test]
fn a_violation_is_a_failure_with_the_text_of_the_console() {
    let record = sample::record(&sample::one_violated());
    let report = v1::Report::from(&record);
    let xml = junit::text(&report);
    assert!(xml.contains("<failure type=\"violated\" message=\"ROUTE-FAN-01: Several matching routes"));
    assert!(xml.contains(&block::violation(&report.violations[0], 80)));
    assert_eq!(xml.matches("<failure").count(), 1);
}

#[test]
fn each_failure_has_the_text_of_its_own_violation() {
    let Outcome::Violated(mut second) = sample::twice() else { unreachable!() };
    second.requirement = "ROUTE-FAN-02".to_owned();
    second.observed = "sensorA#42 was not acknowledged".to_owned();
    let mut ends = [(); 4].map(|()| Outcome::Conforms);
    ends[0] = sample::twice();
    ends[1] = Outcome::Violated(second);
    let xml = text(&sample::run(ends));
    let messages = values(&xml, "<failure type=\"violated\" message=\"");
    let ids: Vec<&str> = messages.iter().filter_map(|message| message.split(':').next()).collect();
    assert_eq!(ids, ["ROUTE-FAN-01", "ROUTE-FAN-02"]);
    assert_eq!(xml.matches("sensorA#42 was not acknowledged").count(), 1);
}

#[test]
fn what_could_not_be_shown_is_an_error_and_what_does_not_apply_is_skipped_with_its_reason() {
    let xml = text(&sample::one_inconclusive());
    assert!(xml.contains("<error type=\"inconclusive\" message=\"the hub ended by itself"));
    let xml = text(&sample::interrupted());
    assert_eq!(xml.matches("<error type=\"unfinished\"").count(), 3);
    let xml = text(&sample::one_violated());
    assert!(xml.contains("<skipped type=\"not applicable\" message=\"the subject lacks the ability"));
}

#[test]
fn each_suite_has_the_properties_of_the_run() {
    let mut events = sample::one_violated();
    if let Event::RunStarted { subject, planted, .. } = &mut events[0] {
        *subject = format!("command: {}", awkward::MARKUP);
        *planted = Some("route-prefix".to_owned());
    }
    let xml = text(&events);
    for suite in xml.split("<testsuite ").skip(1) {
        let (tag, after) = suite.split_once('>').expect("closed");
        assert!(tag.starts_with("id="), "{tag}");
        let (properties, tests) = after.split_once("</properties>").expect("has properties");
        assert!(properties.starts_with("<properties>") && tests.starts_with("<testcase"));
        let names = values(properties, "<property name=\"");
        assert_eq!(names, ["verdict", "subject", "seed", "again", "planted fault"]);
        let values = values(properties, " value=\"");
        assert!(values[0].starts_with("VIOLATED  1 of "), "{}", values[0]);
        assert!(values[1].starts_with("command: &lt;script&gt;"), "{}", values[1]);
        assert_eq!(values[2..], ["5eed", "edgecert test --seed 5eed", "route-prefix"]);
    }
}

#[test]
fn what_looks_like_a_suite_in_a_message_is_text() {
    let fake = "<testsuite id=\"7\" name=\"fake\"></testsuite>";
    let Outcome::Violated(mut violation) = sample::twice() else { unreachable!() };
    violation.observed = fake.to_owned();
    let mut ends = [(); 4].map(|()| Outcome::Conforms);
    ends[0] = Outcome::Violated(violation);
    let xml = text(&sample::run(ends));
    assert!(xml.contains(fake));
    assert_eq!(xml.matches("<properties>").count(), 2);
}

#[test]
fn the_output_of_a_test_names_its_evidence_and_how_to_repeat_it() {
    let xml = text(&sample::one_violated());
    for line in [
        "requirements: MQTT-PUB-01 MQTT-PUB-02\n",
        "transport: mqtt\n",
        "cases: 1200\n",
        "evidence: report/evidence/routing.fan_out.each_matching_endpoint_gets_one_copy\n",
        "again: edgecert test --seed 5eed --filter 'telemetry::publish::each_publish_is_acknowledged'\n",
    ] {
        let outputs = xml.split("<system-out>").skip(1);
        let mut outputs = outputs.map(|output| output.split("</system-out>").next().expect("closed"));
        assert!(outputs.any(|output| output.contains(line)), "{line}");
    }
}

#[test]
fn what_a_subject_sent_cannot_break_the_document() {
    let xml = junit::text(&v1::Report::from(&awkward::record()));
    assert!(!xml.contains(|letter: char| letter.is_control() && letter != '\n'));
    // Outside of CDATA sections nothing the subject sent may look like markup.
    let mut outside = String::new();
    let mut rest = xml.as_str();
    while let Some((before, after)) = rest.split_once("<![CDATA[") {
        outside.push_str(before);
        rest = after.split_once("]]>").expect("each section ends").1;
    }
    outside.push_str(rest);
    assert!(!outside.contains("<script>") && !outside.contains("]]>"), "{outside}");
    let first = awkward::MARKUP.split(' ').next().expect("has a first word");
    assert!(xml.contains(first), "the text itself is kept");
}
