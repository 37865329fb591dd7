//! Where a requirement stands after a run.

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// What a run says about one requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A test of it ended with a violation, or a violation names it.
    Violated,
    /// A test of it could not tell, or never ended although others did.
    Inconclusive,
    /// All its tests that concern the subject conform, and there is at least one.
    Conforms,
    /// None of its tests concerns the subject.
    NotApplicable,
    /// It has tests, and none of them ended in this run.
    NotRun,
    /// It has no test; the catalogue says why.
    Untested,
}

impl Standing {
    /// Every standing, in the order reports show them.
    pub const ALL: [Standing; 6] = [
        Standing::Violated,
        Standing::Inconclusive,
        Standing::Conforms,
        Standing::NotApplicable,
        Standing::NotRun,
        Standing::Untested,
    ];

    /// The word as `report.json` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Violated => "violated",
            Standing::Inconclusive => "inconclusive",
            Standing::Conforms => "conforms",
            Standing::NotApplicable => "not_applicable",
            Standing::NotRun => "not_run",
            Standing::Untested => "untested",
        }
    }

    /// The word as people read it.
    pub fn in_words(self) -> &'static str {
        match self {
            Standing::NotApplicable => "not applicable",
            Standing::NotRun => "not run",
            other => other.as_str(),
        }
    }

    /// Where a requirement stands of whose planned tests these are the ends; `None` is a test that never ended.
    pub fn of<'a>(ends: impl IntoIterator<Item = Option<&'a Outcome>>) -> Standing {
        let (mut unfinished, mut ended) = (false, false);
        let mut worst = Standing::NotApplicable;
        for end in ends {
            let Some(outcome) = end else {
                unfinished = true;
                continue;
            };
            ended = true;
            worst = worst.min(match outcome {
                Outcome::Violated(_) => Standing::Violated,
                Outcome::Inconclusive { .. } => Standing::Inconclusive,
                Outcome::Conforms => Standing::Conforms,
                Outcome::NotApplicable { .. } => Standing::NotApplicable,
            });
        }
        match (ended, unfinished) {
            (false, _) => Standing::NotRun,
            (true, true) => worst.min(Standing::Inconclusive),
            (true, false) => worst,
        }
    }

    /// Where a clause stands that rests on requirements which stand there. What has no test, or does not concern the
    /// subject, says nothing about it; what was not run leaves it open.
    pub fn together(standings: impl IntoIterator<Item = Standing>) -> Standing {
        let worst = standings.into_iter().fold((Standing::Untested, false), |(worst, open), standing| match standing {
            Standing::NotRun => (worst, true),
            told => (worst.min(told), open),
        });
        match worst {
            (Standing::NotApplicable | Standing::Untested, true) => Standing::NotRun,
            (worst, true) => worst.min(Standing::Inconclusive),
            (worst, false) => worst,
        }
    }
}
