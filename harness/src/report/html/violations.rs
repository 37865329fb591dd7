//! What was violated: claim before symptom, and how to see it again.

use maud::{Markup, html};

use super::pieces::{self, name, text};
use crate::report::figures;
use crate::report::v1::{Moment, Report, Test, Violation};

pub(super) fn section(report: &Report) -> Markup {
    html! {
        section #violations {
            h2 { "Violations" }
            @if report.violations.is_empty() {
                p.quiet { "None was seen." }
            } @else {
                p.lead { "Each with the smallest case found that shows it, and the command that shows it again." }
            }
            @for (index, violation) in report.violations.iter().enumerate() {
                (article(index + 1, violation, report))
            }
        }
    }
}

fn article(number: usize, violation: &Violation, report: &Report) -> Markup {
    html! {
        article.violation id={ "violation-" (number) } {
            p.eyebrow {
                a href={ "#" (violation.requirement) } { (text(&violation.requirement)) }
                @if let Some(level) = violation.level { " " (pieces::level(level)) }
                " " (pieces::standing(crate::report::Standing::Violated).chip())
            }
            h3 { (text(&violation.claim)) }
            p.source { "Source: " (pieces::source(&violation.source)) }
            div.pair {
                div.expected { h4 { "Expected" } p { (text(&violation.expected)) } }
                div.observed { h4 { "Observed" } p { (text(&violation.observed)) } }
            }
            (smallest_case(violation))
            (timeline(violation))
            h4 { "See it again" }
            (pieces::command(&violation.repeat))
            p.source {
                "Found by " code { (name(&violation.test)) } " over " (text(&violation.transport)) "."
                (also_covered(violation, report))
                @if let Some(folder) = &violation.evidence {
                    " Evidence: " (pieces::evidence(folder))
                }
            }
        }
    }
}

/// What else stands as violated because of this violation.
fn also_covered(violation: &Violation, report: &Report) -> Markup {
    let same = |test: &&Test| test.name == violation.test && test.transport == violation.transport;
    let covered = report.tests.iter().find(same).map_or(&[][..], |test| &test.requirements);
    let others: Vec<&String> = covered.iter().filter(|id| **id != violation.requirement).collect();
    html! {
        @if !others.is_empty() {
            " The same test covers "
            @for id in others { a.id href={ "#" (id) } { (text(id)) } " " }
            "too, so this counts against each of them."
        }
    }
}

fn smallest_case(violation: &Violation) -> Markup {
    let case = &violation.smallest_case;
    let empty = case.routes.is_empty() && case.messages.is_empty() && case.steps.is_empty();
    html! {
        @if !empty {
            h4 { "Smallest case" }
            div.case {
                (pieces::listing("Routes", &case.routes))
                (pieces::listing("Messages", &case.messages))
                (pieces::listing("Steps", &case.steps))
            }
        }
    }
}

fn timeline(violation: &Violation) -> Markup {
    html! {
        @if !violation.timeline.is_empty() {
            h4 { "Timeline" }
            ol.timeline {
                @for moment in &violation.timeline { (moment_of(moment)) }
            }
        }
        @if let Some(waited) = &violation.waited {
            p.source {
                "Judged after " (figures::seconds(waited.elapsed_s)) " of waiting; the deadline "
                code { (text(&waited.deadline)) } " allows " (figures::seconds(waited.limit_s)) "."
            }
        }
    }
}

fn moment_of(moment: &Moment) -> Markup {
    html! {
        li.unexpected[moment.unexpected] {
            span.time { (format!("+{:.3} s", moment.at_s)) }
            span.who { (text(&moment.who)) }
            span.what {
                (text(&moment.what))
                @if moment.unexpected { " " strong.mark { "not in the model" } }
            }
        }
    }
}
