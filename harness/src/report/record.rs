//! The record of a run: every event so far, folded. Whatever a view shows, it asks here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::standing::Standing;
use super::verdict::{Counts, Verdict};
use crate::event::{Event, PlannedTest, TestResult};
use crate::outcome::{Outcome, Violation};
use crate::requirement::{Catalogue, Clause, Level, Requirement};

/// What is known of a run.
#[derive(Debug, Clone)]
pub struct Record {
    catalogue: Catalogue,
    subject: String,
    seed: u64,
    repeat: String,
    planted: Option<String>,
    started_at: SystemTime,
    entries: Vec<Entry>,
    notes: Vec<String>,
    interrupted: bool,
    duration: Option<Duration>,
}

/// A planned test, and how far it got.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The test.
    pub test: PlannedTest,
    /// Generated cases judged so far.
    pub cases: u64,
    /// Smaller cases tried since one failed, while that goes on.
    pub shrinking: Option<u64>,
    /// How it ended.
    pub result: Option<TestResult>,
}

/// Requirements whose ids share all but their number, for instance `ROUTE-SRC`.
#[derive(Debug, Clone)]
pub struct Area<'a> {
    /// What the ids share.
    pub name: &'a str,
    /// Its requirements, ordered by id.
    pub rows: Vec<Row<'a>>,
}

/// A requirement in the matrix of requirements and transports.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// The requirement.
    pub requirement: &'a Requirement,
    /// Where it stands over all transports.
    pub standing: Standing,
    /// Where it stands on each transport that one of its tests uses.
    pub transports: BTreeMap<&'a str, Standing>,
}

impl Record {
    /// The record of a run that has not begun.
    pub fn new(catalogue: Catalogue) -> Self {
        Self {
            catalogue,
            subject: String::new(),
            seed: 0,
            repeat: String::new(),
            planted: None,
            started_at: SystemTime::UNIX_EPOCH,
            entries: Vec::new(),
            notes: Vec::new(),
            interrupted: false,
            duration: None,
        }
    }

    /// Takes in what happened. Events about tests that are not in the plan are ignored.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::RunStarted { subject, seed, repeat, planted, at, tests } => {
                self.subject.clone_from(subject);
                self.seed = *seed;
                self.repeat.clone_from(repeat);
                self.planted.clone_from(planted);
                self.started_at = *at;
                self.entries = tests.iter().cloned().map(Entry::planned).collect();
            }
            Event::CasesJudged { test, transport, done } => {
                if let Some(entry) = self.running(test, transport) {
                    entry.cases = *done;
                }
            }
            Event::Shrinking { test, transport, tried } => {
                if let Some(entry) = self.running(test, transport) {
                    entry.shrinking = Some(*tried);
                }
            }
            Event::TestFinished(result) => {
                let same =
                    |test: &PlannedTest| test.name == result.test.name && test.transport == result.test.transport;
                if let Some(entry) = self.entries.iter_mut().find(|entry| same(&entry.test)) {
                    // What does not apply was planned, and judged nothing.
                    entry.cases = match result.outcome {
                        Outcome::NotApplicable { .. } => 0,
                        _ => result.cases,
                    };
                    entry.shrinking = None;
                    entry.result = Some(result.clone());
                }
            }
            Event::TestStarted { .. } => {}
            Event::Note { text } => self.notes.push(text.clone()),
            Event::Interrupted => self.interrupted = true,
            Event::RunFinished { duration } => self.duration = Some(*duration),
        }
    }

    fn running(&mut self, name: &str, transport: &str) -> Option<&mut Entry> {
        let same = |test: &PlannedTest| test.name == name && test.transport == transport;
        self.entries.iter_mut().find(|entry| same(&entry.test) && entry.result.is_none())
    }

    /// The requirements the run is about.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What is judged, in words.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The seed all generated cases come from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The command that repeats the whole run.
    pub fn repeat(&self) -> &str {
        &self.repeat
    }

    /// The fault planted on purpose, if any.
    pub fn planted(&self) -> Option<&str> {
        self.planted.as_deref()
    }

    /// When the run began.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// How long the run took; zero until it ended.
    pub fn duration(&self) -> Duration {
        self.duration.unwrap_or_default()
    }

    /// Whether the run was stopped from outside.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// What the reader should know that concerns no single test.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The planned tests, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Generated cases judged so far.
    pub fn cases(&self) -> u64 {
        self.entries.iter().map(|entry| entry.cases).sum()
    }

    /// Suites of the plan, in its order, each with its tests.
    pub fn suites(&self) -> Vec<(&str, Vec<&Entry>)> {
        let mut suites: Vec<(&str, Vec<&Entry>)> = Vec::new();
        for entry in &self.entries {
            match suites.iter_mut().find(|(name, _)| *name == entry.test.suite) {
                Some((_, entries)) => entries.push(entry),
                None => suites.push((&entry.test.suite, vec![entry])),
            }
        }
        suites
    }

    /// Tests that ended with a violation, in the order of the plan.
    pub fn violations(&self) -> impl Iterator<Item = (&TestResult, &Violation)> {
        self.entries.iter().filter_map(|entry| Some((entry.result.as_ref()?, entry.violation()?)))
    }

    /// Where a requirement stands. An id the catalogue does not know stands at [`Standing::NotRun`] until a test or
    /// a violation names it.
    pub fn standing(&self, id: &str) -> Standing {
        self.standing_among(id, |_| true)
    }

    /// Where a requirement stands on one transport.
    pub fn standing_on(&self, id: &str, transport: &str) -> Standing {
        self.standing_among(id, |test| test.transport == transport)
    }

    fn standing_among(&self, id: &str, among: impl Fn(&PlannedTest) -> bool) -> Standing {
        let ends = self.covering(id).filter(|entry| among(&entry.test)).map(Entry::outcome);
        let undisposed = Standing::of(ends);
        let disposed = self.catalogue.get(id).is_some_and(|found| found.disposition.is_some());
        if undisposed == Standing::NotRun && disposed { Standing::Untested } else { undisposed }
    }

    /// Planned tests of a requirement, and any other test whose violation names it.
    fn covering<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.concerns(id))
    }

    /// Every requirement of the catalogue, by area and transport.
    pub fn matrix(&self) -> Vec<Area<'_>> {
        let mut areas: Vec<Area<'_>> = Vec::new();
        for requirement in self.catalogue.iter() {
            let row = self.row(requirement);
            let name = area_of(&requirement.id);
            match areas.iter_mut().find(|area| area.name == name) {
                Some(area) => area.rows.push(row),
                None => areas.push(Area { name, rows: vec![row] }),
            }
        }
        areas
    }

    fn row<'a>(&'a self, requirement: &'a Requirement) -> Row<'a> {
        let id = &requirement.id;
        let used: BTreeSet<&str> = self.covering(id).map(|entry| entry.test.transport.as_str()).collect();
        Row {
            requirement,
            standing: self.standing(id),
            transports: used.into_iter().map(|name| (name, self.standing_on(id, name))).collect(),
        }
    }

    /// The clauses of the catalogue, and where each stands.
    pub fn clauses(&self) -> Vec<(&Clause, Standing)> {
        let standing = |clause: &Clause| Standing::together(clause.requirements.iter().map(|id| self.standing(id)));
        self.catalogue.clauses().iter().map(|clause| (clause, standing(clause))).collect()
    }

    /// How many requirements of the catalogue stand where.
    pub fn counts(&self) -> Counts {
        self.catalogue.iter().map(|requirement| self.standing(&requirement.id)).collect()
    }

    /// What the run says about the subject so far.
    pub fn verdict(&self) -> Verdict {
        if self.entries.iter().any(|entry| self.fails(entry)) {
            return Verdict::Violated;
        }
        let open = |entry: &Entry| matches!(entry.outcome(), None | Some(Outcome::Inconclusive { .. }));
        let applied = |entry: &Entry| !matches!(entry.outcome(), None | Some(Outcome::NotApplicable { .. }));
        let complete = !self.interrupted && !self.entries.iter().any(open);
        if complete && self.entries.iter().any(applied) { Verdict::Conforms } else { Verdict::Inconclusive }
    }

    /// Whether a test is a reason not to call the subject conforming. Requirements of level `may` are none.
    fn fails(&self, entry: &Entry) -> bool {
        let Some(violation) = entry.violation() else {
            return false;
        };
        let mut broken = entry.test.requirements.iter().chain([&violation.requirement]);
        broken.any(|id| self.catalogue.get(id).is_none_or(|found| found.level != Level::May))
    }

    /// What the process should end with: 0 conforms, 1 violated, 2 anything else.
    pub fn exit_code(&self) -> u8 {
        self.verdict().exit_code()
    }
}

impl Entry {
    fn planned(test: PlannedTest) -> Self {
        Self { test, cases: 0, shrinking: None, result: None }
    }

    /// How it ended, if it did.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.result.as_ref().map(|result| &result.outcome)
    }

    /// What it found broken, if it did.
    pub fn violation(&self) -> Option<&Violation> {
        match self.outcome() {
            Some(Outcome::Violated(violation)) => Some(violation),
            _ => None,
        }
    }

    fn concerns(&self, id: &str) -> bool {
        self.test.requirements.iter().any(|covered| covered == id)
            || self.violation().is_some_and(|violation| violation.requirement == id)
    }
}

/// What an id shares with its neighbours: all before the last hyphen.
pub(super) fn area_of(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(area, _)| area)
}
