//! What a run says of itself while it goes on. Console, JSON, JUnit and HTML only subscribe.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::outcome::Outcome;

/// One thing that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The plan is made and the first environment is about to start.
    RunStarted {
        /// What is judged, in words: `embedded reference edgeHub`, `command: dotnet ...`.
        subject: String,
        /// The seed all generated cases come from.
        seed: u64,
        /// The command that repeats the whole run.
        repeat: String,
        /// The fault planted on purpose, if any.
        planted: Option<String>,
        /// When.
        at: SystemTime,
        /// The tests that will run, in order.
        tests: Vec<PlannedTest>,
    },
    /// A test began.
    TestStarted {
        /// Its name.
        test: String,
        /// What its clients speak.
        transport: String,
    },
    /// A test has judged more generated cases.
    CasesJudged {
        /// Its name.
        test: String,
        /// What its clients speak.
        transport: String,
        /// How many so far.
        done: u64,
    },
    /// A case failed and smaller ones are being tried.
    Shrinking {
        /// The test's name.
        test: String,
        /// What its clients speak.
        transport: String,
        /// How many smaller cases were tried so far.
        tried: u64,
    },
    /// A test ended.
    TestFinished(TestResult),
    /// Something the reader should know that concerns no single test.
    Note {
        /// One sentence.
        text: String,
    },
    /// The run was stopped from outside.
    Interrupted,
    /// All tests ended.
    RunFinished {
        /// How long it took.
        duration: Duration,
    },
}

/// A test as planned.
#[derive(Debug, Clone)]
pub struct PlannedTest {
    /// `suite::section::claim`.
    pub name: String,
    /// The suite, for instance `routing`.
    pub suite: String,
    /// Transport the clients speak, for instance `mqtt`.
    pub transport: String,
    /// Ids of the requirements it covers.
    pub requirements: Vec<String>,
    /// Generated cases it will judge; a test without generated input has 0.
    pub cases: u64,
}

/// A test as it ended.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// Which test.
    pub test: PlannedTest,
    /// How it ended.
    pub outcome: Outcome,
    /// Generated cases it judged.
    pub cases: u64,
    /// How long it ran.
    pub duration: Duration,
    /// The command that runs this test again with the same input.
    pub repeat: String,
    /// Folder with history, logs and wire records, when one was kept.
    pub evidence: Option<PathBuf>,
}
