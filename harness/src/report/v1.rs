//! The published form of a report, version 1: what `report.json` holds.
//!
//! The schema is `harness/report.schema.json`. Within version 1 fields are added, never removed, renamed or given
//! another meaning; whoever reads a report ignores fields they do not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod from_record;

pub use super::standing::Standing;
pub use super::verdict::Verdict;
pub use crate::outcome::{Moment, SmallestCase};
pub use crate::requirement::{Level, Provenance};

/// What stands in [`Report::schema`].
pub const SCHEMA: &str = "edgecert-report/1";

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was judged, in words.
    pub subject: String,
    /// What the run says about the subject.
    pub verdict: Verdict,
    /// The verdict in one line, as the console ends with it.
    pub verdict_line: String,
    /// The seed all generated cases come from, in hexadecimal.
    pub seed: String,
    /// When the run began, as RFC 3339 has it.
    pub started_at: String,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// Generated cases judged.
    pub cases: u64,
    /// The command that repeats the whole run.
    pub repeat: String,
    /// The fault planted on purpose, if any.
    pub planted: Option<String>,
    /// Whether the run was stopped from outside.
    pub interrupted: bool,
    /// Requirements counted by where they stand.
    pub summary: Summary,
    /// Sentences that rest on several requirements, and where they stand.
    #[serde(default)]
    pub clauses: Vec<Clause>,
    /// Every requirement of the catalogue, ordered by id.
    pub requirements: Vec<Requirement>,
    /// Every test of the plan, in its order.
    pub tests: Vec<Test>,
    /// What was violated, in the order of the tests.
    pub violations: Vec<Violation>,
    /// What the reader should know that concerns no single test.
    pub notes: Vec<String>,
}

/// Requirements counted by where they stand; the six add up to the catalogue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Shown to hold in every case tried.
    pub conforms: u64,
    /// Shown to be broken.
    pub violated: u64,
    /// Neither.
    pub inconclusive: u64,
    /// Of no concern to this subject.
    pub not_applicable: u64,
    /// Not part of this run.
    pub not_run: u64,
    /// Without a test.
    pub untested: u64,
}

/// A sentence somebody relies on, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// Stable name, for instance `direct-methods`.
    pub name: String,
    /// The sentence.
    pub promise: String,
    /// Where it is written.
    pub source: String,
    /// Where it stands: the worst of its requirements that were judged, and inconclusive while some were not run.
    pub outcome: Standing,
    /// Ids of what has to hold for it.
    pub requirements: Vec<String>,
}

/// A claim, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// Stable name, for instance `ROUTE-SRC-08`.
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// Where it stands.
    pub outcome: Standing,
    /// Where it stands on each transport it was tested on.
    pub transports: BTreeMap<String, Standing>,
    /// Names of its tests in this run.
    pub tests: Vec<String>,
    /// How the claim came to be known.
    pub provenance: Provenance,
    /// The claim, in one sentence.
    pub claim: String,
    /// Where the claim is written.
    pub source: String,
    /// Whether a reader of the public documentation would be surprised.
    pub quirk: bool,
    /// Why it has no test, when it has none.
    pub disposition: Option<String>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// The claim was broken.
    Violated,
    /// Neither could be shown.
    Inconclusive,
    /// The claim held in every case tried.
    Conforms,
    /// The claim does not concern this subject.
    NotApplicable,
    /// The run ended before the test did.
    Unfinished,
}

/// A test of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// `suite::section::claim`.
    pub name: String,
    /// The suite.
    pub suite: String,
    /// Transport the clients spoke.
    pub transport: String,
    /// How it ended.
    pub outcome: TestOutcome,
    /// Why, when it is inconclusive or not applicable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Generated cases judged.
    pub cases: u64,
    /// How long it ran, in seconds.
    pub duration_s: f64,
    /// Ids of the requirements it covers.
    pub requirements: Vec<String>,
    /// The command that runs it again with the same input; absent when it never ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
    /// Folder with what was recorded, when it was kept; relative to the report where possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// A claim that was broken: everything a reader needs to believe it and to see it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// Id of the requirement that was broken.
    pub requirement: String,
    /// How binding it is; absent when the catalogue does not know the requirement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The claim, in one sentence.
    pub claim: String,
    /// Where the claim is written.
    pub source: String,
    /// The test that found it.
    pub test: String,
    /// Transport the test's clients spoke.
    pub transport: String,
    /// What the requirement promises for the smallest case.
    pub expected: String,
    /// What happened instead.
    pub observed: String,
    /// The smallest case found that shows it.
    pub smallest_case: SmallestCase,
    /// What happened when, in the smallest case, from its start.
    pub timeline: Vec<Moment>,
    /// How long the harness waited, and for what, before it judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
    /// The command that shows it again.
    pub repeat: String,
    /// Folder with what was recorded, when it was kept; relative to the report where possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// A wait under a named deadline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    /// Name of the deadline, for instance `ROUTING`.
    pub deadline: String,
    /// How long the deadline allows, in seconds.
    pub limit_s: f64,
    /// How long was waited, in seconds.
    pub elapsed_s: f64,
}
