//! How a console begins and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Style;
use crate::outcome::Outcome;
use crate::report::figures;
use crate::report::files::Written;
use crate::report::paragraph;
use crate::report::record::{Entry, Record};
use crate::report::standing::Standing;
use crate::report::verdict;

/// Columns the ends of a suite's tests have at least, however long its name is.
const LEAST: usize = 20;

/// Columns before the words of a clause.
const CLAUSE: usize = 18;

/// What is judged, and with how much.
pub(super) fn heading(record: &Record, style: Style) -> String {
    let subject = paragraph::one_line(&format!("edgecert judges {}", record.subject()));
    let mut text = paragraph::wrap(&subject, style.width).join("\n  ");
    text.push('\n');
    if let Some(fault) = record.planted() {
        text.push_str(&format!("  with a fault planted on purpose: {}\n", paragraph::one_line(fault)));
    }
    let tests = figures::count(record.entries().len() as u64, "test");
    let cases = record.entries().iter().map(|entry| entry.test.cases).sum();
    let cases = figures::count(cases, "generated case");
    text.push_str(&format!("  {tests}, {cases}, seed {}\n", figures::seed(record.seed())));
    text
}

/// What did not apply, a line for each suite, what was left out, where the report is, and the verdict.
pub(super) fn ending(record: &Record, written: Option<&Written>, style: Style) -> String {
    let mut text = not_applicable(record, style);
    text.push('\n');
    text.push_str(&table(record, style));
    text.push_str(&clauses(record, style));
    if let Some(line) = left_out(record) {
        text.push_str(&format!("\n  {line}\n"));
    }
    if let Some(written) = written {
        let report = written.html.display().to_string();
        text.push_str(&format!("\n  report  {}\n", paragraph::one_line(&report)));
    }
    text.push_str(&format!("\n{}\n", style.paint(&verdict::line(record))));
    text
}

fn not_applicable(record: &Record, style: Style) -> String {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in record.entries() {
        if let Some(Outcome::NotApplicable { reason }) = entry.outcome() {
            reasons.entry(reason).or_default().push(&entry.test.name);
        }
    }
    let mut text = String::new();
    for (reason, tests) in reasons {
        let reason = paragraph::one_line(reason);
        let lines = paragraph::wrap(&reason, style.width - 16).join("\n                ");
        text.push_str(&format!("\nNOT APPLICABLE  {lines}\n"));
        for test in tests {
            text.push_str(&format!("  {}\n", paragraph::one_line(test)));
        }
    }
    text
}

fn table(record: &Record, style: Style) -> String {
    let suites = record.suites();
    let name = suites.iter().map(|(name, _)| paragraph::columns(name)).max().unwrap_or(0).max(5);
    let mut text = format!("  {:<name$}  tests    cases  test time\n", "suite");
    for (suite, entries) in suites {
        let cases = figures::thousands(entries.iter().map(|entry| entry.cases).sum());
        let results = entries.iter().filter_map(|entry| entry.result.as_ref());
        let time = figures::duration(results.map(|result| result.duration).sum::<Duration>());
        let tests = entries.len();
        let row = format!("  {suite:<name$}  {tests:>5}  {cases:>7}  {time:>9}  ");
        let indent = paragraph::columns(&row);
        let room = style.width.saturating_sub(indent).max(LEAST);
        let ends = paragraph::wrap(&ends(&entries), room).join(&format!("\n{:indent$}", ""));
        text.push_str(&format!("{row}{ends}\n"));
    }
    text
}

/// What a module may do, a line for each clause that this run can tell something of as a whole.
fn clauses(record: &Record, style: Style) -> String {
    let mut text = String::new();
    for (clause, standing) in record.clauses() {
        let open = clause.requirements.iter().any(|id| record.standing(id) == Standing::NotRun);
        if open && standing != Standing::Violated {
            continue;
        }
        if text.is_empty() {
            text.push_str("\n  a module\n");
        }
        let word = standing.in_words();
        let room = style.width.saturating_sub(CLAUSE).max(LEAST);
        let promise = clause.promise.strip_prefix("A module ").unwrap_or(&clause.promise);
        let lines = paragraph::wrap(&paragraph::one_line(promise), room).join(&format!("\n{:CLAUSE$}", ""));
        text.push_str(&format!("  {word:<14}  {lines}\n"));
    }
    text
}

/// How the tests of a suite ended: `all conform`, or `17 conform, 1 violated`.
fn ends(entries: &[&Entry]) -> String {
    let words = ["conform", "violated", "inconclusive", "not applicable", "not ended"];
    let mut counts = [0; 5];
    for entry in entries {
        let index = match entry.outcome() {
            Some(Outcome::Conforms) => 0,
            Some(Outcome::Violated(_)) => 1,
            Some(Outcome::Inconclusive { .. }) => 2,
            Some(Outcome::NotApplicable { .. }) => 3,
            None => 4,
        };
        counts[index] += 1;
    }
    if counts[0] == entries.len() {
        return "all conform".to_owned();
    }
    let parts = counts.iter().zip(words).filter(|(count, _)| **count > 0);
    parts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// How much of the catalogue this run says nothing about.
fn left_out(record: &Record) -> Option<String> {
    let counts = record.counts();
    let parts = [(Standing::NotRun, "not run"), (Standing::Untested, "without a test")]
        .map(|(standing, words)| (counts.of(standing), words))
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| format!("{} {words}", figures::thousands(number)))
        .collect::<Vec<_>>();
    let all = figures::count(counts.total(), "requirement");
    (!parts.is_empty()).then(|| format!("of {all}: {}", parts.join(", ")))
}
