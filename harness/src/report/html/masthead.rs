//! The verdict, before anything else.

use maud::{Markup, html};

use super::pieces::{self, Look, text};
use crate::report::figures;
use crate::report::v1::{Report, Standing, Verdict};

pub(super) fn masthead(report: &Report) -> Markup {
    let look = pieces::verdict(report.verdict);
    html! {
        header class=(look.class) {
            p.eyebrow { "edgecert conformance report" }
            h1 {
                span.sign aria-hidden="true" { (look.sign) }
                (look.word)
            }
            p.subject { (text(&report.subject)) }
            p.sentence { (sentence(report)) }
            @if let Some(fault) = &report.planted {
                p.banner.warning {
                    strong { "A fault was planted on purpose: " } code { (text(fault)) }
                    ". This report shows whether the tests notice it; it says nothing about the subject as it is."
                }
            }
            @if report.interrupted {
                p.banner.warning {
                    strong { "The run was stopped before it ended." }
                    " What it had shown by then stands; the rest is open."
                }
            }
            @for note in &report.notes {
                p.banner { (text(note)) }
            }
            (counts(report))
            (facts(report))
            h2.small { "To run it again" }
            (pieces::command(&report.repeat))
        }
    }
}

/// The verdict as a sentence.
fn sentence(report: &Report) -> String {
    let summary = &report.summary;
    let judged = summary.conforms + summary.violated + summary.inconclusive;
    let held = figures::count(summary.conforms, "requirement");
    let open = report.requirements.len() as u64 - summary.conforms - summary.violated;
    match report.verdict {
        Verdict::Conforms if summary.violated > 0 => {
            let not = figures::thousands(summary.violated);
            format!("{held} held in every case tried; {not} of level “may” did not, and need not.")
        }
        Verdict::Conforms if open == 0 => {
            format!("{held} held in every case tried: all there are.")
        }
        Verdict::Conforms => format!("{held} held in every case tried."),
        Verdict::Violated => {
            let all = figures::count(judged, "requirement");
            format!("{} of {all} this run could judge did not hold.", figures::thousands(summary.violated))
        }
        Verdict::Inconclusive if judged == 0 => "Nothing could be judged in this run.".to_owned(),
        Verdict::Inconclusive => {
            format!("Nothing was seen to be violated, and not everything could be shown: {held} held.")
        }
    }
}

fn counts(report: &Report) -> Markup {
    let summary = &report.summary;
    let parts: [(Look, u64); 6] = [
        (pieces::standing(Standing::Violated), summary.violated),
        (pieces::standing(Standing::Inconclusive), summary.inconclusive),
        (pieces::standing(Standing::Conforms), summary.conforms),
        (pieces::standing(Standing::NotApplicable), summary.not_applicable),
        (pieces::standing(Standing::NotRun), summary.not_run),
        (pieces::standing(Standing::Untested), summary.untested),
    ];
    html! {
        h2.small { (figures::count(report.requirements.len() as u64, "requirement")) }
        (pieces::bar(&parts))
        ul.counts {
            @for (look, number) in parts {
                @if number > 0 {
                    li { (look.chip()) " " strong { (figures::thousands(number)) } }
                }
            }
        }
    }
}

fn facts(report: &Report) -> Markup {
    let day = report.started_at.replacen('T', " ", 1);
    let facts = [
        ("Date", day.strip_suffix('Z').map_or(day.clone(), |day| format!("{day} UTC"))),
        ("Duration", figures::seconds(report.duration_s)),
        ("Tests", figures::thousands(report.tests.len() as u64)),
        ("Generated cases", figures::thousands(report.cases)),
        ("Seed", report.seed.clone()),
    ];
    html! {
        dl.facts {
            @for (name, value) in facts {
                div { dt { (name) } dd { (text(&value)) } }
            }
        }
    }
}
