//! `junit.xml`: a report for CI servers.
//!
//! A suite is a `testsuite`, a test a `testcase`. A violation is a `failure` with the text the console shows; a test
//! that could not tell or never ended is an `error`; one that does not apply is `skipped` with its reason.
//!
//! Subject, verdict, seed and the command that repeats the run are `properties` of every suite. What belongs to one
//! test stands in its `system-out`, one `name: value` a line: requirements, transport, cases, the folder with the
//! evidence, and the command that repeats the test.

mod properties;

use std::collections::BTreeSet;

use junit_report::{Duration, OffsetDateTime, ReportBuilder, TestCase, TestCaseBuilder, TestSuite, TestSuiteBuilder};

use super::block;
use super::paragraph;
use super::v1::{Report, Test, TestOutcome, Violation};

/// Columns of the text of a failure.
const WIDTH: usize = 80;

/// The text of `junit.xml`.
pub fn text(report: &Report) -> String {
    let mut suites: Vec<&str> = Vec::new();
    for test in &report.tests {
        if !suites.contains(&test.suite.as_str()) {
            suites.push(&test.suite);
        }
    }
    let mut names = BTreeSet::new();
    let suites = suites.into_iter().map(|name| suite(report, name, &mut names));
    let document = ReportBuilder::new().add_testsuites(suites.collect::<Vec<_>>()).build();
    let mut xml = Vec::new();
    document.write_xml(&mut xml).expect("memory takes everything that is written to it");
    let xml = String::from_utf8(xml).expect("made of strings only");
    let mut xml = properties::insert(&xml, &of_run(report));
    xml.push('\n');
    xml
}

/// What every suite says of the run it belongs to.
fn of_run(report: &Report) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("verdict", attribute(&report.verdict_line)),
        ("subject", attribute(&report.subject)),
        ("seed", attribute(&report.seed)),
        ("again", attribute(&report.repeat)),
    ];
    let planted = report.planted.as_deref();
    properties.extend(planted.map(|fault| ("planted fault", attribute(fault))));
    properties
}

fn suite(report: &Report, name: &str, names: &mut BTreeSet<String>) -> TestSuite {
    let mut cases = Vec::new();
    for test in report.tests.iter().filter(|test| test.suite == name) {
        cases.push(case(report, test, &unique(test, names)));
    }
    let mut suite = TestSuiteBuilder::new(&attribute(name));
    suite.set_timestamp(started_at(report)).add_testcases(cases);
    suite.build()
}

fn case(report: &Report, test: &Test, name: &str) -> TestCase {
    let time = Duration::seconds_f64(test.duration_s);
    let reason = attribute(test.reason.as_deref().unwrap_or("the run ended before this test did"));
    let mut case = match test.outcome {
        TestOutcome::Conforms => TestCaseBuilder::success(name, time),
        TestOutcome::Violated => failure(report, test, name, time),
        TestOutcome::Inconclusive => {
            let mut case = TestCaseBuilder::error(name, time, "inconclusive", &reason);
            case.set_trace(&content(&block::inconclusive(test, WIDTH)));
            case
        }
        TestOutcome::Unfinished => TestCaseBuilder::error(name, time, "unfinished", &reason),
        TestOutcome::NotApplicable => TestCaseBuilder::skipped_with_cause(name, "not applicable", &reason),
    };
    case.set_classname(&attribute(&format!("{}.{}", test.suite, test.transport)));
    let (cases, ids) = (test.cases.to_string(), test.requirements.join(" "));
    let mut properties = vec![("requirements", ids.as_str()), ("transport", &test.transport), ("cases", &cases)];
    properties.extend(test.evidence.as_deref().map(|folder| ("evidence", folder)));
    properties.extend(test.repeat.as_deref().map(|command| ("again", command)));
    case.set_system_out(&lines(&properties));
    case.build()
}

fn failure(report: &Report, test: &Test, name: &str, time: Duration) -> TestCaseBuilder {
    let same = |found: &&Violation| found.test == test.name && found.transport == test.transport;
    let Some(found) = report.violations.iter().find(same) else {
        return TestCaseBuilder::failure(name, time, "violated", "the report lacks the violation");
    };
    let message = attribute(&format!("{}: {}", found.requirement, found.claim));
    let mut case = TestCaseBuilder::failure(name, time, "violated", &message);
    case.set_trace(&content(&block::violation(found, WIDTH)));
    case
}

/// The test's name; where another test has the same, with what tells them apart.
fn unique(test: &Test, names: &mut BTreeSet<String>) -> String {
    let plain = attribute(&test.name);
    let with_transport = attribute(&format!("{} ({})", test.name, test.transport));
    let numbered = (2..).map(|number| format!("{with_transport} {number}"));
    let mut candidates = [plain, with_transport.clone()].into_iter().chain(numbered);
    candidates.find(|name| names.insert(name.clone())).expect("numbers do not end")
}

fn started_at(report: &Report) -> OffsetDateTime {
    let at: Result<jiff::Timestamp, _> = report.started_at.parse();
    let seconds = at.map_or(0, jiff::Timestamp::as_second);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn lines(properties: &[(&str, &str)]) -> String {
    let lines = properties.iter().map(|(name, value)| format!("{name}: {}\n", attribute(value)));
    content(&lines.collect::<String>())
}

/// Text on one line, of characters XML allows.
fn attribute(text: &str) -> String {
    paragraph::one_line(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// Text for a CDATA section, which the crate writes as it is: the mark that would end the section is split over two.
fn content(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}").replace("]]>", "]]]]><![CDATA[>")
}
