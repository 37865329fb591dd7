//! What a run says about its subject, and the exit code that says it to a shell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::figures;
use super::record::Record;
use super::standing::Standing;

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every selected test ended, none was violated, and at least one could be applied.
    Conforms,
    /// At least one requirement is violated, whatever else is open.
    Violated,
    /// Nothing was violated, and not everything could be shown: a test was inconclusive, the run was stopped, or
    /// nothing could be applied.
    Inconclusive,
}

impl Verdict {
    /// The word as `report.json` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Conforms => "conforms",
            Verdict::Violated => "violated",
            Verdict::Inconclusive => "inconclusive",
        }
    }

    /// 0 conforms, 1 violated, 2 inconclusive.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Conforms => 0,
            Verdict::Violated => 1,
            Verdict::Inconclusive => 2,
        }
    }
}

/// How many there are of each standing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Standing, u64>);

impl Counts {
    /// How many have this standing.
    pub fn of(&self, standing: Standing) -> u64 {
        self.0.get(&standing).copied().unwrap_or_default()
    }

    /// How many were judged: all but those not run and those without a test.
    pub fn judged(&self) -> u64 {
        self.total() - self.of(Standing::NotRun) - self.of(Standing::Untested)
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl FromIterator<Standing> for Counts {
    fn from_iter<I: IntoIterator<Item = Standing>>(standings: I) -> Self {
        let mut counts = BTreeMap::new();
        for standing in standings {
            *counts.entry(standing).or_default() += 1;
        }
        Self(counts)
    }
}

/// The verdict in one line of words: `CONFORMS  74 requirements held, 2,412 cases, 31 s  (seed 5eed)`.
pub fn line(record: &Record) -> String {
    format!(
        "{}  {}, {}  (seed {})",
        record.verdict().as_str().to_uppercase(),
        reasons(record).join(", "),
        figures::duration(record.duration()),
        figures::seed(record.seed()),
    )
}

/// What the verdict rests on.
fn reasons(record: &Record) -> Vec<String> {
    let counts = record.counts();
    let planned = record.entries().len();
    let ended = record.entries().iter().filter(|entry| entry.result.is_some()).count();
    let judged = counts.judged() - counts.of(Standing::NotApplicable);
    let of_judged = |standing, what: &str| {
        let all = figures::count(judged, "requirement");
        format!("{} of {all} {what}", figures::thousands(counts.of(standing)))
    };
    let held = format!("{} held", figures::count(counts.of(Standing::Conforms), "requirement"));
    let mut reasons = Vec::new();
    match record.verdict() {
        Verdict::Violated => reasons.push(of_judged(Standing::Violated, "violated")),
        Verdict::Conforms => {
            reasons.push(held);
            if counts.of(Standing::Violated) > 0 {
                reasons.push(format!("{} optional did not", counts.of(Standing::Violated)));
            }
        }
        Verdict::Inconclusive if planned == 0 => reasons.push("no test was selected".to_owned()),
        Verdict::Inconclusive if ended < planned => {}
        Verdict::Inconclusive if judged == 0 => {
            reasons.push("no test applies to this subject".to_owned());
        }
        Verdict::Inconclusive => reasons.push(of_judged(Standing::Inconclusive, "undecided")),
    }
    if ended < planned {
        let verb = if record.interrupted() { "stopped after" } else { "broke off after" };
        reasons.push(format!("{verb} {ended} of {}", figures::count(planned as u64, "test")));
    } else {
        reasons.push(figures::count(record.cases(), "case"));
    }
    reasons
}
