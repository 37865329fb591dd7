//! What a module may do and what it may not: each clause as a table of its own.

use maud::{Markup, html};

use super::pieces::{self, text};
use crate::report::figures;
use crate::report::v1::{Clause, Report, Requirement};

pub(super) fn section(report: &Report) -> Markup {
    html! {
        @if !report.clauses.is_empty() {
            section #module {
                h2 { "What a module may do" }
                p.lead {
                    "What the documentation promises to module authors, clause by clause, and the requirements each comes down to. "
                    "A clause holds when all of its requirements do; what does not apply or has no test says nothing, and what was not run leaves it open."
                }
                @for clause in &report.clauses { (table(clause, report)) }
            }
        }
    }
}

fn table(clause: &Clause, report: &Report) -> Markup {
    let rows: Vec<&Requirement> = clause
        .requirements
        .iter()
        .filter_map(|id| report.requirements.iter().find(|requirement| requirement.id == *id))
        .collect();
    html! {
        h3.clause id={ "module-" (clause.name) } {
            span { (text(&clause.promise)) } " " (pieces::standing(clause.outcome).chip())
        }
        p.source { (text(&clause.source)) }
        table.clause role="table" {
            colgroup { col.id; col; col.outcome; col.figure; }
            thead role="rowgroup" {
                tr role="row" {
                    @for head in ["Requirement", "Claim", "Outcome"] {
                        th scope="col" role="columnheader" { (head) }
                    }
                    th.figure scope="col" role="columnheader" { "Tests" }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    @let look = pieces::standing(row.outcome);
                    tr role="row" class=(look.class) {
                        th.id scope="row" role="rowheader" { a href={ "#" (row.id) } { (text(&row.id)) } }
                        td.claim role="cell" { (text(&row.claim)) }
                        td.outcome role="cell" { (look.chip()) }
                        td.figure role="cell" { (figures::thousands(row.tests.len() as u64)) }
                    }
                }
            }
        }
    }
}
