//! How a course is told: its steps, when what was seen, and the promise that was broken.

use std::time::Instant;

use harness::client::iot_hub::ServiceError;
use harness::client::mqtt::Unanswered;
use harness::outcome::{Moment, Outcome, SmallestCase, Violation};
use harness::stage::StageError;

/// A course under way.
pub struct Tale {
    began: Instant,
    steps: Vec<String>,
    moments: Vec<Moment>,
    /// What the course is mainly about.
    about: &'static str,
    /// What is broken when a read is refused.
    reads: &'static str,
}

/// Why a course ended before its end.
pub enum End {
    /// A promise was broken.
    Broken(Box<Violation>),
    /// Nothing can be said.
    Stage(StageError),
}

/// A part of a course.
pub type Told<T = ()> = Result<T, End>;

impl Tale {
    /// The beginning of a course about this requirement.
    pub fn about(requirement: &'static str) -> Self {
        Self { began: Instant::now(), steps: Vec::new(), moments: Vec::new(), about: requirement, reads: requirement }
    }

    /// The same, with another requirement for reads that are refused.
    #[must_use]
    pub fn with_reads(self, reads: &'static str) -> Self {
        Self { reads, ..self }
    }

    /// Something is done.
    pub fn step(&mut self, what: impl Into<String>) {
        self.steps.push(what.into());
    }

    /// Something was seen.
    pub fn saw(&mut self, who: impl ToString, what: impl Into<String>) {
        let at_s = self.began.elapsed().as_secs_f64();
        self.moments.push(Moment { at_s, who: who.to_string(), what: what.into(), unexpected: false });
    }

    /// The end: this is a promise broken, and what was seen last shows it.
    pub fn broken(&self, requirement: &str, expected: impl Into<String>, observed: impl Into<String>) -> End {
        let mut timeline = self.moments.clone();
        timeline.iter_mut().rev().take(1).for_each(|last| last.unexpected = true);
        End::Broken(Box::new(Violation {
            requirement: requirement.to_owned(),
            expected: expected.into(),
            observed: observed.into(),
            smallest_case: SmallestCase { steps: self.steps.clone(), ..SmallestCase::default() },
            timeline,
            waited: None,
        }))
    }

    /// The end, when the hub did not answer what it must.
    pub fn unanswered(&self, expected: &str, why: &Unanswered) -> End {
        self.broken(self.about, expected, why.to_string())
    }

    /// Goes on if a read has this status.
    ///
    /// # Errors
    /// The end, if it has another.
    pub fn read(&self, status: u16) -> Told {
        self.hold(status == 200, self.reads, "a GET is answered with status 200", status.to_string())
    }

    /// Goes on if this holds.
    ///
    /// # Errors
    /// The end, if it does not.
    pub fn hold(
        &self,
        holds: bool,
        requirement: &str,
        expected: impl Into<String>,
        observed: impl Into<String>,
    ) -> Told {
        if holds { Ok(()) } else { Err(self.broken(requirement, expected, observed)) }
    }
}

/// What a course comes to.
///
/// # Errors
/// When nothing can be said.
pub fn outcome(told: Told) -> Result<Outcome, StageError> {
    Ok(match found(told)? {
        Some(violation) => Outcome::Violated(Box::new(violation)),
        None => Outcome::Conforms,
    })
}

/// The promise that was broken, if one was.
///
/// # Errors
/// When nothing can be said.
pub fn found(told: Told) -> Result<Option<Violation>, StageError> {
    match told {
        Ok(()) => Ok(None),
        Err(End::Broken(violation)) => Ok(Some(*violation)),
        Err(End::Stage(error)) => Err(error),
    }
}

impl From<StageError> for End {
    fn from(error: StageError) -> Self {
        End::Stage(error)
    }
}

impl From<ServiceError> for End {
    fn from(error: ServiceError) -> Self {
        End::Stage(error.into())
    }
}
