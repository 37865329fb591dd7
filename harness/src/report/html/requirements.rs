//! The matrix: every requirement, area by area, and where it stands.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::pieces::{self, Look, text};
use crate::report::record::area_of;
use crate::report::v1::{Report, Requirement, Standing, Violation};

pub(super) fn section(report: &Report) -> Markup {
    let mut areas: BTreeMap<&str, Vec<&Requirement>> = BTreeMap::new();
    for requirement in &report.requirements {
        areas.entry(area_of(&requirement.id)).or_default().push(requirement);
    }
    let page = Page::new(report);
    html! {
        section #requirements {
            h2 { "Requirements" }
            @if areas.is_empty() { p.quiet { "The catalogue is empty." } }
            @if !areas.is_empty() { (overview(&areas)) }
            @for (name, requirements) in &areas { (page.table(name, requirements)) }
        }
    }
}

fn overview(areas: &BTreeMap<&str, Vec<&Requirement>>) -> Markup {
    html! {
        ul.areas {
            @for (name, requirements) in areas {
                li {
                    a href={ "#area-" (name) } { (text(name)) }
                    (pieces::bar(&parts(requirements)))
                    span.words { (in_words(requirements)) }
                }
            }
        }
    }
}

fn parts(requirements: &[&Requirement]) -> Vec<(Look, u64)> {
    let count = |standing| requirements.iter().filter(|found| found.outcome == standing).count();
    Standing::ALL.map(|standing| (pieces::standing(standing), count(standing) as u64)).to_vec()
}

fn in_words(requirements: &[&Requirement]) -> String {
    let parts = parts(requirements);
    let some = parts.iter().filter(|(_, number)| *number > 0);
    let words = some.map(|(look, number)| match (look.word, number) {
        ("conforms", 2..) => format!("{number} conform"),
        (word, _) => format!("{number} {word}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Where things stand on the page, so that rows can point there.
struct Page<'a> {
    transports: Vec<&'a str>,
    tests: BTreeMap<&'a str, usize>,
    violations: &'a [Violation],
}

impl<'a> Page<'a> {
    fn new(report: &'a Report) -> Self {
        let used = report.requirements.iter().flat_map(|found| found.transports.keys());
        let mut transports: Vec<&str> = used.map(String::as_str).collect();
        transports.sort_unstable();
        transports.dedup();
        // Of several with one name the first is pointed to.
        let numbered = report.tests.iter().enumerate().rev();
        let tests = numbered.map(|(index, test)| (test.name.as_str(), index + 1));
        Self { transports, tests: tests.collect(), violations: &report.violations }
    }

    fn table(&self, name: &str, requirements: &[&Requirement]) -> Markup {
        html! {
            h3 id={ "area-" (name) } { (text(name)) " " span.number { (in_words(requirements)) } }
            table role="table" {
                colgroup {
                    col.id; col.level; col;
                    @for _ in 0..self.transports.len().max(1) { col.outcome; }
                    col.tests;
                }
                thead role="rowgroup" {
                    tr role="row" {
                        @for head in ["Requirement", "Level", "Claim"] {
                            th scope="col" role="columnheader" { (head) }
                        }
                        @if self.transports.len() > 1 {
                            @for name in &self.transports {
                                th scope="col" role="columnheader" { (text(name)) }
                            }
                        } @else {
                            th scope="col" role="columnheader" { "Outcome" }
                        }
                        th scope="col" role="columnheader" { "Tests" }
                    }
                }
                tbody role="rowgroup" {
                    @for requirement in requirements { (self.row(requirement)) }
                }
            }
        }
    }

    fn row(&self, requirement: &Requirement) -> Markup {
        html! {
            tr role="row" id=(requirement.id) class=(pieces::standing(requirement.outcome).class) {
                th.id scope="row" role="rowheader" { (text(&requirement.id)) }
                td.level role="cell" { (pieces::level(requirement.level)) }
                td.claim role="cell" {
                    (text(&requirement.claim))
                    p.source {
                        (requirement.provenance.as_str()) ": " (pieces::source(&requirement.source))
                        @if requirement.quirk { " · " em { "differs from what the documentation suggests" } }
                    }
                }
                @if self.transports.len() > 1 {
                    @for name in &self.transports {
                        td.outcome role="cell" {
                            span.transport { (text(name)) " " }
                            (self.chip(requirement, Some(name)))
                        }
                    }
                } @else {
                    td.outcome role="cell" { (self.chip(requirement, None)) }
                }
                td.tests role="cell" { (self.tests(requirement)) }
            }
        }
    }

    /// Where it stands, on one transport or over all; what is violated leads to a violation.
    fn chip(&self, requirement: &Requirement, on: Option<&str>) -> Markup {
        let standing = match (on, requirement.outcome) {
            (None, standing) | (_, standing @ Standing::Untested) => standing,
            (Some(name), _) => {
                let found = requirement.transports.get(name);
                found.copied().unwrap_or(Standing::NotRun)
            }
        };
        let breaks = |found: &Violation| {
            (found.requirement == requirement.id || requirement.tests.contains(&found.test))
                && on.is_none_or(|name| found.transport == name)
        };
        let violation = self.violations.iter().position(breaks);
        html! {
            @match (standing, violation) {
                (Standing::Violated, Some(index)) => {
                    a href={ "#violation-" (index + 1) } { (pieces::standing(standing).chip()) }
                }
                _ => (pieces::standing(standing).chip()),
            }
        }
    }

    fn tests(&self, requirement: &Requirement) -> Markup {
        let numbers = requirement.tests.iter().filter_map(|test| self.tests.get(test.as_str()));
        html! {
            @if requirement.tests.is_empty() { span.quiet { "none" } }
            @for number in numbers {
                a href={ "#test-" (number) } { "T" (number) } " "
            }
        }
    }
}
