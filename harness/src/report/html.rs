//! `report.html`: a report for everybody. One file that needs nothing else, in light and dark, on screens and paper.
//!
//! Everything a subject can influence is escaped, and the page forbids itself scripts and every outside resource.

mod clauses;
mod coverage;
mod masthead;
mod pieces;
mod reading;
mod requirements;
mod tests;
mod violations;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::v1::Report;

const STYLE: &str = include_str!("html/style.css");
/// Even if something slipped through the escaping, nothing would be loaded and no script would run.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub fn page(report: &Report) -> String {
    let title = format!("{}: {}", pieces::verdict(report.verdict).word, report.subject);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (pieces::text(&title)) " · edgecert" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (masthead::masthead(report))
                (contents(report))
                main {
                    (violations::section(report))
                    (clauses::section(report))
                    (requirements::section(report))
                    (coverage::section(report))
                    (tests::section(report))
                    (reading::section())
                }
                (footer(report))
            }
        }
    }
    .into_string()
}

fn contents(report: &Report) -> Markup {
    let sections = [
        ("violations", "Violations", report.violations.len()),
        ("module", "What a module may do", report.clauses.len()),
        ("requirements", "Requirements", report.requirements.len()),
        ("not-covered", "Not covered", coverage::open(report).count()),
        ("tests", "Tests", report.tests.len()),
    ];
    html! {
        nav aria-label="Contents" {
            ul {
                @for (id, name, number) in sections.into_iter().filter(|(id, ..)| *id != "module" || !report.clauses.is_empty()) {
                    li { a href={ "#" (id) } { (name) " " span.number { (number) } } }
                }
                li { a href="#reading" { "How to read this page" } }
            }
        }
    }
}

fn footer(report: &Report) -> Markup {
    html! {
        footer {
            p {
                "Written by edgecert. The same for programs: " code { "report.json" } " (" (report.schema) ") and "
                code { "junit.xml" } " beside this file."
            }
        }
    }
}
