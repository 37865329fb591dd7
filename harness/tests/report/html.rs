use std::collections::BTreeSet;

use harness::event::Event;
use harness::outcome::Outcome;
use harness::report::{html, v1};

use crate::{awkward, sample};

fn page(events: &[Event]) -> String {
    html::page(&v1::Report::from(&sample::record(events)))
}

fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let before = format!(" {attribute}=\"");
    page.split(before.as_str()).skip(1).map(|rest| rest.split('"').next().expect("closed")).collect()
}

/// The page without its markup and its style sheet.
fn words(page: &str) -> String {
    let body = page.split_once("<body>").expect("has a body").1;
    let texts = body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    texts.collect::<Vec<_>>().join("")
}

#[test]
fn the_verdict_comes_first_and_the_violation_before_the_matrix() {
    let words = words(&page(&sample::one_violated()));
    let mut rest = words.as_str();
    for next in [
        "Violated",
        "embedded reference edgeHub 0.1.0",
        "1 of 4 requirements this run could judge did not hold.",
        "edgecert test --seed 5eed",
        "Several matching routes to one endpoint yield one delivery.",
        "Expected",
        "sensorA#42 reaches $upstream once",
        "Observed",
        "r1: FROM /messages/* INTO $upstream",
        "+0.598 s",
        "not in the model",
        "See it again",
        "--filter",
        "What a module may do",
        "A module can send device-to-cloud messages",
        "violated",
        "MQTT-PUB-01",
        "A module need not send again what was acknowledged before the hub went down.",
        "MQTT-PUB-01",
        "Not covered",
        "the subject lacks the ability `restart`",
        "The simulated IoT Hub cannot refuse a single twin yet.",
        "How to read this page",
    ] {
        let found = rest.split_once(next);
        rest = found.unwrap_or_else(|| panic!("{next:?} is missing or out of order in {words}")).1;
    }
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let page = html::page(&v1::Report::from(&awkward::record()));
    assert!(!page.contains("<script") && !page.contains("<link") && !page.contains("src=\""));
    assert!(!page.contains("url(") && !page.contains("@import"));
    for target in values(&page, "href") {
        assert!(target.starts_with('#') || target.starts_with("report/evidence/"), "{target}");
    }
}

#[test]
fn every_link_within_a_page_leads_somewhere() {
    let page = html::page(&v1::Report::from(&awkward::record()));
    let ids = values(&page, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len(), "an id stands twice");
    for target in values(&page, "href") {
        if let Some(id) = target.strip_prefix('#') {
            assert!(unique.contains(id), "{target}");
        }
    }
}

#[test]
fn what_a_subject_sent_is_text_and_nothing_else() {
    let page = html::page(&v1::Report::from(&awkward::record()));
    assert!(!page.contains("<img"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;"));
    assert!(page.contains("模块的消息"), "letters of every kind are kept");
    assert!(page.contains("\\u{202e}desrever"), "turned text is shown, not obeyed");
    assert!(!page.contains(|letter: char| letter.is_control() && letter != '\n'));
}

#[test]
fn no_outcome_is_told_by_colour_alone() {
    let page = html::page(&v1::Report::from(&awkward::record()));
    for chip in page.split("<span class=\"chip ").skip(1) {
        let end = chip.split("</span></").next().expect("closed");
        let word = end.rsplit("</span>").next().expect("has a word");
        assert!(word.chars().any(char::is_alphabetic), "{chip:.80}");
    }
    assert_eq!(page.matches("<th ").count(), page.matches(" scope=").count());
}

#[test]
fn a_planted_fault_and_an_interruption_are_told_beside_the_verdict() {
    let mut events = sample::interrupted();
    if let Event::RunStarted { planted, .. } = &mut events[0] {
        *planted = Some("route-prefix".to_owned());
    }
    let words = words(&page(&events));
    let head = words.split("Violations").next().expect("has a head");
    assert!(head.contains("A fault was planted on purpose: route-prefix"), "{head}");
    assert!(head.contains("stopped before it ended"), "{head}");
}

#[test]
fn a_requirement_of_which_some_tests_never_ended_is_told_as_partly_run() {
    let over = |transport| sample::test(sample::FAN_OUT, transport, 3, &["ROUTE-FAN-01"]);
    let words = words(&page(&[
        sample::started(vec![over("mqtt"), over("amqp")]),
        sample::finished(&over("mqtt"), Outcome::Conforms, 10),
        Event::Interrupted,
        sample::ended(1),
    ]));
    let (_, after) = words.split_once("Partly run").expect("is told");
    let (partly, _) = after.split_once("Not run").expect("others were not run");
    assert!(partly.contains("ROUTE-FAN-01"), "{partly}");
    assert!(!partly.contains("ROUTE-FAN-02"), "{partly}");
}

#[test]
fn a_violation_counts_visibly_against_all_its_test_covers_on_its_transport() {
    let covered = ["MQTT-PUB-01", "MQTT-PUB-02"];
    let over = |transport| sample::test(sample::PUBACK, transport, 3, &covered);
    let page = page(&[
        sample::started(vec![over("mqtt"), over("amqp")]),
        sample::finished(&over("mqtt"), sample::twice(), 10),
        sample::finished(&over("amqp"), Outcome::Conforms, 10),
        sample::ended(1),
    ]);
    let article = page.split("<article").nth(1).expect("one violation");
    let told = words(&format!("<body>{article}"));
    assert!(told.contains("The same test covers MQTT-PUB-01 MQTT-PUB-02 too"), "{told}");
    for id in ["MQTT-PUB-01", "MQTT-PUB-02", "ROUTE-FAN-01"] {
        let row = page.split(&format!("<tr role=\"row\" id=\"{id}\"")).nth(1);
        let row = row.and_then(|row| row.split("</tr>").next()).expect("a row");
        assert_eq!(row.matches("href=\"#violation-1\"").count(), 1, "{row}");
    }
}

#[test]
fn the_masthead_counts_every_outcome_there_is() {
    let record = awkward::record();
    let words = words(&html::page(&v1::Report::from(&record)));
    let head = words.split("To run it again").next().expect("has a head");
    for count in [
        "100 requirements",
        "violated 2",
        "inconclusive 1",
        "conforms 77",
        "not applicable 2",
        "not run 12",
        "untested 6",
    ] {
        assert!(head.contains(count), "{count}: {head}");
    }
}

#[test]
fn every_test_stands_with_its_outcome_cases_and_time() {
    let page = page(&sample::one_violated());
    let (_, tests) = page.split_once("<section id=\"tests\"").expect("a section");
    let rows = tests.split("<tr ").skip(2);
    let rows = rows.map(|row| words(&format!("<body><tr {row}")));
    let ends = ["✕violated1,20015 s", "✓conforms6008.2 s", "–not applicable–1.0 s", "✓conforms6128.3 s"];
    let rows: Vec<String> = rows.collect();
    assert_eq!(rows.len(), ends.len());
    for ((test, row), end) in sample::plan().iter().zip(&rows).zip(ends) {
        assert!(row.contains(&test.name) && row.contains(end), "{row}");
    }
}

#[test]
fn a_test_that_could_not_tell_says_why_and_how_to_run_it_again() {
    let words = words(&page(&sample::one_inconclusive()));
    let (_, after) = words.split_once("Not covered 2").expect("counted in the contents");
    let (_, after) = after.split_once("Not covered").expect("a section");
    let (_, after) = after.split_once("the hub ended by itself").expect("the reason");
    let (told, _) = after.split_once("Without a test").expect("the next");
    assert!(told.contains(sample::DROPPED) && told.contains("--filter"), "{told}");
}

#[test]
fn a_violated_transport_leads_to_the_violation_seen_on_it() {
    let over = |transport| sample::test(sample::FAN_OUT, transport, 3, &["ROUTE-FAN-01"]);
    let page = page(&[
        sample::started(vec![over("mqtt"), over("amqp")]),
        sample::finished(&over("mqtt"), sample::twice(), 10),
        sample::finished(&over("amqp"), sample::twice(), 10),
    ]);
    let row = page.split("<tr role=\"row\" id=\"ROUTE-FAN-01\"").nth(1);
    let row = row.and_then(|row| row.split("</tr>").next()).expect("a row");
    let links = values(row, "href");
    assert_eq!(links[..2], ["#violation-2", "#violation-1"], "amqp, then mqtt");
}
