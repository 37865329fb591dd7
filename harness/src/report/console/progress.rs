//! How far a run is, and how long it will take.

use std::time::Duration;

use crate::report::figures;
use crate::report::record::{Entry, Record};

/// What a test without generated cases counts as: it takes about as long as this many.
const EXAMPLE: u64 = 10;

/// How much there is to do, in cases.
pub(super) fn total(record: &Record) -> u64 {
    record.entries().iter().map(weight).sum()
}

/// How much of [`total`] is done.
pub(super) fn done(record: &Record) -> u64 {
    let done = |entry: &Entry| match entry.result {
        Some(_) => weight(entry),
        None => entry.cases.min(entry.test.cases),
    };
    record.entries().iter().map(done).sum()
}

fn weight(entry: &Entry) -> u64 {
    match entry.test.cases {
        0 => EXAMPLE,
        cases => cases,
    }
}

/// How long the rest takes when it goes on as it went so far, in words. Unknown at the beginning, and nothing to say
/// at the end.
pub(super) fn left(done: u64, total: u64, elapsed: Duration) -> Option<String> {
    let rest = total.saturating_sub(done);
    if done == 0 || rest == 0 {
        return None;
    }
    let left = elapsed.mul_f64(rest as f64 / done as f64);
    Some(match left.as_secs().max(1) {
        seconds @ ..60 => format!("{seconds} s left"),
        seconds => format!("{} left", figures::duration(Duration::from_secs(seconds))),
    })
}

/// How far a run is: its tests, and its cases or, after one of them failed, how often it was made smaller.
pub(super) fn in_words(record: &Record) -> String {
    let entries = record.entries();
    let ended = entries.iter().filter(|entry| entry.result.is_some());
    let tests = figures::count(entries.len() as u64, "test");
    let tests = format!("{} of {tests}", ended.count());
    let planned: u64 = entries.iter().map(|entry| entry.test.cases).sum();
    match entries.iter().filter_map(|entry| entry.shrinking).max() {
        Some(tried) => {
            format!("{tests}; one failed: {} smaller tried", figures::thousands(tried))
        }
        None if planned == 0 => tests,
        None => {
            let judged = figures::thousands(record.cases());
            format!("{tests}, {judged} of {}", figures::count(planned, "case"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::event::{Event, PlannedTest};
    use crate::requirement::Catalogue;

    #[test]
    fn the_time_left_follows_from_the_time_taken() {
        let after = |done, seconds| left(done, 400, Duration::from_secs(seconds));
        assert_eq!(after(0, 20), None);
        assert_eq!(after(100, 5).as_deref(), Some("15 s left"));
        assert_eq!(after(100, 20).as_deref(), Some("1 min 00 s left"));
        assert_eq!(after(399, 20).as_deref(), Some("1 s left"));
        assert_eq!(after(400, 20), None);
    }

    #[test]
    fn a_test_without_generated_cases_is_work_too() {
        let test = PlannedTest {
            name: "routing::restart".to_owned(),
            suite: "routing".to_owned(),
            transport: "mqtt".to_owned(),
            requirements: Vec::new(),
            cases: 0,
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
        assert_eq!((done(&record), total(&record)), (0, EXAMPLE));
    }
}
