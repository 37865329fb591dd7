//! What this run says nothing about, and why.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::pieces::{self, name, text};
use crate::report::v1::{Report, Requirement, Standing, Test, TestOutcome};

/// Requirements that were not judged.
pub(super) fn open(report: &Report) -> impl Iterator<Item = &Requirement> {
    let judged = |found: &&Requirement| matches!(found.outcome, Standing::Conforms | Standing::Violated);
    report.requirements.iter().filter(move |found| !judged(found))
}

pub(super) fn section(report: &Report) -> Markup {
    let standing =
        |wanted| -> Vec<&Requirement> { report.requirements.iter().filter(|found| found.outcome == wanted).collect() };
    html! {
        section #not-covered {
            h2 { "Not covered" }
            @if open(report).next().is_none() {
                p.quiet { "Every requirement of the catalogue was judged." }
            }
            (tests_with_reasons(
                report, TestOutcome::Inconclusive, "Inconclusive",
                "The harness could not tell.",
            ))
            (tests_with_reasons(
                report, TestOutcome::NotApplicable, "Not applicable",
                "The claim does not concern this subject.",
            ))
            (untested(&standing(Standing::Untested)))
            (ids(
                "Partly run",
                "Some of their tests ended and none was violated; the run ended before the others.",
                &partly_run(report),
            ))
            (ids(
                "Not run",
                "Their tests were not selected, or the run ended before them.",
                &standing(Standing::NotRun),
            ))
        }
    }
}

/// Tests that ended without a verdict, by reason.
fn tests_with_reasons(report: &Report, outcome: TestOutcome, title: &str, lead: &str) -> Markup {
    let mut reasons: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in report.tests.iter().filter(|test| test.outcome == outcome) {
        reasons.entry(test.reason.as_deref().unwrap_or("no reason was given")).or_default().push(test);
    }
    html! {
        @if !reasons.is_empty() {
            h3 { (title) }
            p.lead { (lead) }
            dl.reasons {
                @for (reason, tests) in reasons {
                    dt { (text(reason)) }
                    @for test in tests {
                        dd {
                            code { (name(&test.name)) } " "
                            @for id in &test.requirements {
                                a.id href={ "#" (id) } { (text(id)) } " "
                            }
                            @if let Some(folder) = &test.evidence {
                                " Evidence: " (pieces::evidence(folder))
                            }
                            @if let (TestOutcome::Inconclusive, Some(again)) = (outcome, &test.repeat) {
                                (pieces::command(again))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Requirements left open only because the run ended before all their tests did.
fn partly_run(report: &Report) -> Vec<&Requirement> {
    let undecided = report.tests.iter().filter(|test| test.outcome == TestOutcome::Inconclusive);
    let explained: BTreeSet<&str> = undecided.flat_map(|test| &test.requirements).map(String::as_str).collect();
    let open = report.requirements.iter().filter(|found| found.outcome == Standing::Inconclusive);
    open.filter(|found| !explained.contains(found.id.as_str())).collect()
}

fn untested(requirements: &[&Requirement]) -> Markup {
    html! {
        @if !requirements.is_empty() {
            h3 { "Without a test" }
            p.lead { "Known claims that no test covers, each with the reason." }
            dl.reasons {
                @for requirement in requirements {
                    dt {
                        a.id href={ "#" (requirement.id) } { (text(&requirement.id)) } " "
                        (text(&requirement.claim))
                    }
                    dd { (text(requirement.disposition.as_deref().unwrap_or("no reason was given"))) }
                }
            }
        }
    }
}

fn ids(title: &str, lead: &str, requirements: &[&Requirement]) -> Markup {
    html! {
        @if !requirements.is_empty() {
            h3 { (title) }
            p.lead { (lead) }
            p.ids {
                @for requirement in requirements {
                    a.id href={ "#" (requirement.id) } { (text(&requirement.id)) } " "
                }
            }
        }
    }
}
