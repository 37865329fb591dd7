//! Progress as whole lines, for pipes and log files.

use std::time::{Duration, Instant};

use super::progress;
use crate::event::Event;
use crate::report::figures;
use crate::report::record::{Entry, Record};

/// How long nothing is said while a run goes on.
const SILENCE: Duration = Duration::from_secs(5);

/// When the run began, and when something was said last.
pub(super) struct Pace {
    began: Instant,
    spoke: Instant,
}

impl Pace {
    pub(super) fn start(now: Instant) -> Self {
        Self { began: now, spoke: now }
    }

    /// The line that is due after an event: that a suite ended, or how far the run is and how long it will take.
    pub(super) fn line(&mut self, event: &Event, record: &Record, now: Instant) -> Option<String> {
        let line = match ended_suite(event, record) {
            Some(line) => line,
            None if now.duration_since(self.spoke) < SILENCE => return None,
            None => self.progress(record, now),
        };
        self.spoke = now;
        Some(format!("  {line}\n"))
    }

    fn progress(&self, record: &Record, now: Instant) -> String {
        let mut line = progress::in_words(record);
        let (done, total) = (progress::done(record), progress::total(record));
        if let Some(left) = progress::left(done, total, now.duration_since(self.began)) {
            line.push_str(&format!(", {left}"));
        }
        line
    }
}

/// Says that a suite ended, when the event is the end of its last test.
fn ended_suite(event: &Event, record: &Record) -> Option<String> {
    let Event::TestFinished(result) = event else {
        return None;
    };
    let suite = &result.test.suite;
    let entries: Vec<&Entry> = record.entries().iter().filter(|entry| entry.test.suite == *suite).collect();
    if entries.iter().any(|entry| entry.result.is_none()) {
        return None;
    }
    let cases = entries.iter().map(|entry| entry.cases).sum();
    Some(format!("{suite} ended: {}, {}", figures::count(entries.len() as u64, "test"), figures::count(cases, "case"),))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::event::PlannedTest;
    use crate::requirement::Catalogue;

    fn judged(done: u64) -> Event {
        Event::CasesJudged { test: "routing::fan_out".to_owned(), transport: "mqtt".to_owned(), done }
    }

    #[test]
    fn a_pipe_is_told_now_and_then_how_far_the_run_is_and_how_long_it_will_take() {
        let test = PlannedTest {
            name: "routing::fan_out".to_owned(),
            suite: "routing".to_owned(),
            transport: "mqtt".to_owned(),
            requirements: Vec::new(),
            cases: 400,
        };
        let mut record = Record::new(Catalogue::default());
        record.observe(&Event::RunStarted {
            subject: "an edgeHub".to_owned(),
            seed: 1,
            repeat: String::new(),
            planted: None,
            at: SystemTime::UNIX_EPOCH,
            tests: vec![test],
        });
        let began = Instant::now();
        let mut pace = Pace::start(began);
        let mut after = |seconds, event: Event| {
            record.observe(&event);
            pace.line(&event, &record, began + Duration::from_secs(seconds))
        };
        assert_eq!(after(4, judged(50)), None);
        assert_eq!(after(20, judged(100)).as_deref(), Some("  0 of 1 test, 100 of 400 cases, 1 min 00 s left\n"));
        assert_eq!(after(24, judged(120)), None);
        assert_eq!(after(25, judged(400)).as_deref(), Some("  0 of 1 test, 400 of 400 cases\n"));
    }
}
