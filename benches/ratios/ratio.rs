//! Two costs, one run.

use std::time::{Duration, Instant};

/// Whether what was promised holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Kept,
    /// It does not.
    Broken,
}

impl Verdict {
    pub fn and(self, other: Verdict) -> Verdict {
        if self == Verdict::Kept { other } else { self }
    }
}

/// How to measure a pair.
pub struct Plan {
    /// Each gives one ratio.
    pub blocks: usize,
    /// Turns of each side in a block.
    pub turns: usize,
    /// What one turn does, as a number of what `unit` names.
    pub units: u32,
    /// One of them.
    pub unit: &'static str,
}

/// Lets both sides take turns, prints `large / small`, and holds it against the bar, if there is one.
///
/// The ratio of a block is that of the time both sides took for all their turns in it, rare long ones included. What
/// counts is the median over the blocks; the smallest and the largest block are printed beside it. A side does one turn
/// and tells the time of what counts in it.
pub fn compare(
    name: &str,
    plan: &Plan,
    bar: Option<f64>,
    mut small: impl FnMut() -> Duration,
    mut large: impl FnMut() -> Duration,
) -> Verdict {
    small();
    large();
    let mut ratios = Vec::with_capacity(plan.blocks);
    let (mut small_total, mut large_total) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..plan.blocks {
        let (mut small_spent, mut large_spent) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..plan.turns {
            // The first of a turn finds the caches of the other; so each is first as often.
            if turn % 2 == 0 {
                small_spent += small();
                large_spent += large();
            } else {
                large_spent += large();
                small_spent += small();
            }
        }
        ratios.push(large_spent.as_secs_f64() / small_spent.as_secs_f64());
        small_total += small_spent;
        large_total += large_spent;
    }
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    let verdict = match bar {
        Some(bar) if median > bar => Verdict::Broken,
        _ => Verdict::Kept,
    };
    let judged = match (bar, verdict) {
        (None, _) => String::from("no bar"),
        (Some(bar), Verdict::Kept) => format!("kept: at most {bar}"),
        (Some(bar), Verdict::Broken) => format!("BROKEN: at most {bar}"),
    };
    let each = |total: Duration| {
        let count = plan.blocks as f64 * plan.turns as f64 * f64::from(plan.units);
        duration(total.as_secs_f64() / count)
    };
    println!(
        "{name:<58} {median:>6.2}  ({least:.2} to {most:.2})  {judged}\n    {} against {} for each {}",
        each(large_total),
        each(small_total),
        plan.unit,
    );
    verdict
}

/// Runs it once, and prints the time it took for each of its units.
pub fn once<T>(name: &str, units: u32, unit: &str, what: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = what();
    let spent = start.elapsed();
    println!(
        "{name:<58} {} = {} for each {unit}",
        duration(spent.as_secs_f64()),
        duration(spent.as_secs_f64() / f64::from(units))
    );
    result
}

/// The time something takes.
pub fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1e-6 => format!("{:.0} ns", seconds * 1e9),
        seconds if seconds < 1e-3 => format!("{:.2} us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}
