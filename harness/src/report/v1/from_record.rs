//! How a record becomes a report.

use std::path::Path;
use std::time::SystemTime;

use super::{Clause, Report, Requirement, SCHEMA, Summary, Test, TestOutcome, Violation, Waited};
use crate::event::TestResult;
use crate::outcome::{self, Outcome};
use crate::report::figures;
use crate::report::record::{Entry, Record, Row};
use crate::report::standing::Standing;
use crate::report::verdict;
use crate::requirement::{self, Catalogue};

impl From<&Record> for Report {
    fn from(record: &Record) -> Self {
        let counts = record.counts();
        Self {
            schema: SCHEMA.to_owned(),
            subject: record.subject().to_owned(),
            verdict: record.verdict(),
            verdict_line: verdict::line(record),
            seed: figures::seed(record.seed()),
            started_at: rfc3339(record.started_at()),
            duration_s: seconds(record.duration().as_secs_f64()),
            cases: record.cases(),
            repeat: record.repeat().to_owned(),
            planted: record.planted().map(str::to_owned),
            interrupted: record.interrupted(),
            summary: Summary {
                conforms: counts.of(Standing::Conforms),
                violated: counts.of(Standing::Violated),
                inconclusive: counts.of(Standing::Inconclusive),
                not_applicable: counts.of(Standing::NotApplicable),
                not_run: counts.of(Standing::NotRun),
                untested: counts.of(Standing::Untested),
            },
            clauses: record.clauses().into_iter().map(Clause::from).collect(),
            requirements: record
                .matrix()
                .iter()
                .flat_map(|area| &area.rows)
                .map(|row| requirement(record, row))
                .collect(),
            tests: record.entries().iter().map(Test::from).collect(),
            violations: record
                .violations()
                .map(|(result, found)| Violation::of(result, found, record.catalogue()))
                .collect(),
            notes: record.notes().to_vec(),
        }
    }
}

impl Report {
    /// The same report with evidence named relative to the folder the report goes to, where it lies below that, so
    /// that the folder can be moved and published as a whole; elsewhere it is named in full.
    pub fn relative_to(mut self, folder: &Path) -> Self {
        let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = full(folder);
        let shorten = |evidence: &mut Option<String>| {
            if let Some(path) = evidence {
                let whole = full(Path::new(path.as_str()));
                let named = whole.strip_prefix(&folder).unwrap_or(&whole);
                *path = named.display().to_string();
            }
        };
        self.tests.iter_mut().for_each(|test| shorten(&mut test.evidence));
        self.violations.iter_mut().for_each(|violation| shorten(&mut violation.evidence));
        self
    }
}

fn requirement(record: &Record, row: &Row<'_>) -> Requirement {
    let found = row.requirement;
    Requirement {
        id: found.id.clone(),
        level: found.level,
        outcome: row.standing,
        transports: row.transports.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect(),
        tests: record
            .entries()
            .iter()
            .filter(|entry| entry.test.requirements.contains(&found.id))
            .map(|entry| entry.test.name.clone())
            .collect(),
        provenance: found.provenance,
        claim: found.claim.clone(),
        source: found.source.clone(),
        quirk: found.quirk,
        disposition: found.disposition.clone(),
    }
}

impl From<(&requirement::Clause, Standing)> for Clause {
    fn from((clause, outcome): (&requirement::Clause, Standing)) -> Self {
        Self {
            name: clause.name.clone(),
            promise: clause.promise.clone(),
            source: clause.source.clone(),
            outcome,
            requirements: clause.requirements.clone(),
        }
    }
}

impl From<&Entry> for Test {
    fn from(entry: &Entry) -> Self {
        let result = entry.result.as_ref();
        let reason = match entry.outcome() {
            Some(Outcome::Inconclusive { reason } | Outcome::NotApplicable { reason }) => Some(reason.clone()),
            _ => None,
        };
        Self {
            name: entry.test.name.clone(),
            suite: entry.test.suite.clone(),
            transport: entry.test.transport.clone(),
            outcome: match entry.outcome() {
                None => TestOutcome::Unfinished,
                Some(Outcome::Conforms) => TestOutcome::Conforms,
                Some(Outcome::Violated(_)) => TestOutcome::Violated,
                Some(Outcome::Inconclusive { .. }) => TestOutcome::Inconclusive,
                Some(Outcome::NotApplicable { .. }) => TestOutcome::NotApplicable,
            },
            reason,
            cases: entry.cases,
            duration_s: result.map_or(0.0, |result| seconds(result.duration.as_secs_f64())),
            requirements: entry.test.requirements.clone(),
            repeat: result.map(|result| result.repeat.clone()),
            evidence: result.and_then(evidence),
        }
    }
}

impl Violation {
    /// A violation together with its claim, and the test that found it.
    pub fn of(result: &TestResult, found: &outcome::Violation, catalogue: &Catalogue) -> Self {
        let requirement = catalogue.get(&found.requirement);
        let told = |field: fn(&crate::requirement::Requirement) -> &String| {
            requirement.map_or_else(|| "not in the catalogue".to_owned(), |known| field(known).clone())
        };
        Self {
            requirement: found.requirement.clone(),
            level: requirement.map(|known| known.level),
            claim: told(|known| &known.claim),
            source: told(|known| &known.source),
            test: result.test.name.clone(),
            transport: result.test.transport.clone(),
            expected: found.expected.clone(),
            observed: found.observed.clone(),
            smallest_case: found.smallest_case.clone(),
            timeline: found.timeline.clone(),
            waited: found.waited.as_ref().map(|waited| Waited {
                deadline: waited.deadline.to_owned(),
                limit_s: seconds(waited.limit.as_secs_f64()),
                elapsed_s: seconds(waited.elapsed.as_secs_f64()),
            }),
            repeat: result.repeat.clone(),
            evidence: evidence(result),
        }
    }
}

fn evidence(result: &TestResult) -> Option<String> {
    result.evidence.as_ref().map(|path| path.display().to_string())
}

/// Seconds to the millisecond: reports promise no more.
fn seconds(exact: f64) -> f64 {
    (exact * 1_000.0).round() / 1_000.0
}

fn rfc3339(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}
