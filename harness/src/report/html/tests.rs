//! Every test of the run.

use maud::{Markup, html};

use super::pieces::{self, name, text};
use crate::report::figures;
use crate::report::v1::{Report, Test, TestOutcome};

pub(super) fn section(report: &Report) -> Markup {
    html! {
        section #tests {
            h2 { "Tests" }
            @if report.tests.is_empty() {
                p.quiet { "None was selected." }
            } @else {
                table.tests role="table" {
                    colgroup { col.no; col; col.outcome; col.figure; col.figure; }
                    thead role="rowgroup" {
                        tr role="row" {
                            @for head in ["No.", "Test", "Outcome"] {
                                th scope="col" role="columnheader" { (head) }
                            }
                            th.figure scope="col" role="columnheader" { "Cases" }
                            th.figure scope="col" role="columnheader" { "Time" }
                        }
                    }
                    tbody role="rowgroup" {
                        @for (index, test) in report.tests.iter().enumerate() { (row(index + 1, test)) }
                    }
                }
            }
        }
    }
}

fn row(number: usize, test: &Test) -> Markup {
    let look = pieces::outcome(test.outcome);
    let ended = test.outcome != TestOutcome::Unfinished;
    html! {
        tr role="row" id={ "test-" (number) } class=(look.class) {
            td.no role="cell" { "T" (number) }
            th.name scope="row" role="rowheader" {
                code { (name(&test.name)) }
                p.source {
                    (text(&test.transport)) " · "
                    @for id in &test.requirements {
                        a.id href={ "#" (id) } { (text(id)) } " "
                    }
                }
            }
            td.outcome role="cell" { (look.chip()) }
            td.figure.cases.none[test.cases == 0] role="cell" {
                @if test.cases > 0 { (figures::thousands(test.cases)) } @else { "–" }
            }
            td.figure.time role="cell" {
                @if ended { (figures::seconds(test.duration_s)) } @else { "–" }
            }
        }
    }
}
