//! What a test can end with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The end of one test. A harness that could not do its work is an error, never one of these.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The claim held in every case tried.
    Conforms,
    /// The claim was broken, here is how.
    Violated(Box<Violation>),
    /// Neither could be shown.
    Inconclusive {
        /// What stood in the way.
        reason: String,
    },
    /// The claim does not concern this subject.
    NotApplicable {
        /// Why not.
        reason: String,
    },
}

impl Outcome {
    /// The word as reports spell it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Conforms => "conforms",
            Outcome::Violated(_) => "violated",
            Outcome::Inconclusive { .. } => "inconclusive",
            Outcome::NotApplicable { .. } => "not_applicable",
        }
    }
}

/// A claim that was broken: everything a reader needs to believe it and to see it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Id of the requirement that was broken.
    pub requirement: String,
    /// What the requirement promises for the smallest case.
    pub expected: String,
    /// What happened instead.
    pub observed: String,
    /// The smallest case found that shows it.
    pub smallest_case: SmallestCase,
    /// What happened when, in the smallest case, from its start.
    pub timeline: Vec<Moment>,
    /// How long the harness waited, and for what, before it judged.
    pub waited: Option<Waited>,
}

/// The least that is needed to show a violation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallestCase {
    /// Routes in force, as `name: route string`; those the harness keeps for itself are left out.
    pub routes: Vec<String>,
    /// Messages sent, one line each.
    pub messages: Vec<String>,
    /// What else was done, in order, for cases that are not routes and messages.
    pub steps: Vec<String>,
}

/// One event of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since the case began.
    pub at_s: f64,
    /// Who saw it: a client id, `$upstream`, `iot_hub` or `harness`.
    pub who: String,
    /// What was seen.
    pub what: String,
    /// Whether this is what the model did not expect.
    #[serde(default)]
    pub unexpected: bool,
}

/// A wait under a named deadline.
#[derive(Debug, Clone, PartialEq)]
pub struct Waited {
    /// Name of the deadline, for instance `ROUTING`.
    pub deadline: &'static str,
    /// How long the deadline allows.
    pub limit: Duration,
    /// How long was waited.
    pub elapsed: Duration,
}
