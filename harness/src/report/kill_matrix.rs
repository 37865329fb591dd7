//! The report of the self-test: each planted fault, and which requirements noticed it.
//!
//! A suite that lets a planted fault live would let the same defect of a product live.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::figures;
use super::files::{WriteError, write_file};
use super::paragraph;

/// What stands in [`KillMatrix::schema`].
pub const SCHEMA: &str = "edgecert-kill-matrix/1";

/// What `kill-matrix.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KillMatrix {
    /// [`SCHEMA`].
    pub schema: String,
    /// Faults planted.
    pub planted: u64,
    /// Faults that a test noticed.
    pub killed: u64,
    /// How long all of it took, in seconds; faults are tried side by side.
    pub duration_s: f64,
    /// Ids of the faults that no test noticed.
    pub survived: Vec<String>,
    /// Every fault, in the order they were planted.
    pub faults: Vec<Fault>,
}

/// A planted fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name on the command line.
    pub id: String,
    /// What it does, in one sentence.
    pub what: String,
    /// Ids of the requirements it violates.
    pub violates: Vec<String>,
    /// Ids of the requirements that caught it.
    pub killed_by: Vec<String>,
    /// Names of the tests that noticed it.
    pub tests: Vec<String>,
    /// How long its run took, in seconds.
    pub duration_s: f64,
    /// How its run ended.
    pub outcome: FaultOutcome,
    /// How often it strikes, for those that strike now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strikes: Option<String>,
    /// Runs with it, the least thorough first, up to the one that noticed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// Why, when the run could not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One run with a planted fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// How thorough: `quick` or `full`.
    pub profile: String,
    /// Whether a test noticed the fault.
    pub noticed: bool,
    /// How long the run was until then, or at its end: messages and cases judged.
    pub judged: u64,
}

/// How the run with a planted fault ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultOutcome {
    /// A test noticed it.
    Killed,
    /// No test noticed it.
    Survived,
    /// The run could not tell.
    Broken,
}

impl KillMatrix {
    /// Counts faults, which took `duration_s` seconds together.
    pub fn new(faults: Vec<Fault>, duration_s: f64) -> Self {
        let with = |outcome| faults.iter().filter(move |fault| fault.outcome == outcome);
        Self {
            schema: SCHEMA.to_owned(),
            planted: faults.len() as u64,
            killed: with(FaultOutcome::Killed).count() as u64,
            duration_s,
            survived: with(FaultOutcome::Survived).map(|fault| fault.id.clone()).collect(),
            faults,
        }
    }

    /// Faults whose run could not tell.
    pub fn broken(&self) -> u64 {
        self.planted - self.killed - self.survived.len() as u64
    }

    /// 0 when every fault was killed, 1 when one survived, 2 when a run could not tell or nothing was planted.
    pub fn exit_code(&self) -> u8 {
        match (self.survived.is_empty(), self.broken(), self.planted) {
            (false, ..) => 1,
            (true, 0, 1..) => 0,
            _ => 2,
        }
    }

    /// Writes `kill-matrix.json` into a folder, which is made if it does not exist.
    ///
    /// # Errors
    /// [`WriteError`] names the file and what to do.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, WriteError> {
        let mut text = serde_json::to_string_pretty(self).expect("a kill matrix holds only strings, numbers and lists");
        text.push('\n');
        write_file(folder, "kill-matrix.json", text.as_bytes())
    }

    /// The matrix as text for lines of `width` columns: a row for each fault, and the verdict in the last line.
    pub fn table(&self, width: usize) -> String {
        let id = self.faults.iter().map(|fault| paragraph::columns(&fault.id)).max();
        let id = id.unwrap_or_default().clamp(5, width / 3);
        let mut text = format!("  {:<id$}  {:<8}  {:>9}  caught by\n", "fault", "outcome", "time");
        for fault in &self.faults {
            text.push_str(&fault.row(id, width));
        }
        text.push_str(&format!("\n{}\n", self.line()));
        text
    }

    /// What it takes to find what strikes now and then: a row for each such fault. Empty when there is none.
    pub fn rates(&self) -> String {
        let struck: Vec<&Fault> = self.faults.iter().filter(|fault| fault.strikes.is_some()).collect();
        if struck.is_empty() {
            return String::new();
        }
        let id = struck.iter().map(|fault| paragraph::columns(&fault.id)).max().unwrap_or_default().max(5);
        let mut text = format!("  {:<id$}  {:<12}  {:<24}  full run\n", "fault", "strikes", "quick run");
        for fault in struck {
            let told = |profile: &str| match fault.runs.iter().find(|run| run.profile == profile) {
                Some(run) if run.noticed => format!("finds it by {}", figures::thousands(run.judged)),
                Some(run) => format!("does not, of {}", figures::thousands(run.judged)),
                None => "not needed".to_owned(),
            };
            let strikes = fault.strikes.as_deref().unwrap_or_default();
            text.push_str(&format!("  {:<id$}  {strikes:<12}  {:<24}  {}\n", fault.id, told("quick"), told("full")));
        }
        text
    }

    /// The verdict in one line: `KILLED  41 of 41 planted faults were noticed, 3 min 12 s`.
    pub fn line(&self) -> String {
        let planted = figures::count(self.planted, "planted fault");
        let time = figures::seconds(self.duration_s);
        let survived = self.survived.len();
        match (self.exit_code(), self.broken()) {
            (0, _) => format!("KILLED  {} of {planted} noticed, {time}", self.killed),
            (1, 0) => format!("SURVIVED  {survived} of {planted} not noticed, {time}"),
            (1, broken) => {
                format!("SURVIVED  {survived} of {planted} not noticed, {broken} untold, {time}")
            }
            (_, broken) => format!("BROKEN  {broken} of {planted} could not be told, {time}"),
        }
    }
}

impl Fault {
    /// One row; what does not fit goes on below, and a fault that lives is explained.
    fn row(&self, id: usize, width: usize) -> String {
        let outcome = match self.outcome {
            FaultOutcome::Killed => "killed",
            FaultOutcome::Survived => "SURVIVED",
            FaultOutcome::Broken => "broken",
        };
        let time = figures::seconds(self.duration_s);
        let indent = id + 25;
        let room = width.saturating_sub(indent).max(16);
        let remarks = self.remarks().into_iter();
        let mut lines = remarks.flat_map(|remark| paragraph::wrap(&paragraph::one_line(&remark), room));
        let first = lines.next().unwrap_or_default();
        let name = paragraph::one_line(&self.id);
        let mut row = format!("  {name:<id$}  {outcome:<8}  {time:>9}  {first}\n");
        for line in lines {
            row.push_str(&format!("{:indent$}{line}\n", ""));
        }
        row
    }

    fn remarks(&self) -> Vec<String> {
        let reason = self.reason.clone().unwrap_or_default();
        let violates = format!("violates {}", self.violates.join(", "));
        match self.outcome {
            FaultOutcome::Killed => vec![self.killed_by.join(", ")],
            FaultOutcome::Survived => vec![violates, self.what.clone(), reason],
            FaultOutcome::Broken => vec![reason],
        }
        .into_iter()
        .filter(|remark| !remark.is_empty())
        .collect()
    }
}
