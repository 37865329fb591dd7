//! Sequences of steps, drawn so that one that fails becomes short before its steps become simple.
//!
//! A play that fails often waits for something until a deadline, so each counts: steps are left out in halves first,
//! then in smaller parts, at last one by one until none can be spared, and nothing that failed is played twice.

use std::ops::RangeInclusive;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// Draws as many steps as `count` allows. Each must be possible wherever in a sequence it comes to stand.
pub fn steps<S: Strategy>(step: S, count: RangeInclusive<usize>) -> Steps<S> {
    Steps { step, count }
}

/// What [`steps`] gives.
#[derive(Debug)]
pub struct Steps<S> {
    step: S,
    count: RangeInclusive<usize>,
}

impl<S: Strategy> Strategy for Steps<S> {
    type Tree = Sequence<S::Tree>;
    type Value = Vec<S::Value>;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let count = self.count.new_tree(runner)?.current();
        let steps = (0..count).map(|_| self.step.new_tree(runner)).collect::<Result<Vec<_>, _>>()?;
        Ok(Sequence { kept: (0..count).collect(), steps, part: count, end: count, shortened: false, attempt: None })
    }
}

/// A sequence, and how far the search for a smaller one has come.
#[derive(Debug)]
pub struct Sequence<T> {
    /// All steps drawn.
    steps: Vec<T>,
    /// Which of them are in the sequence, ascending.
    kept: Vec<usize>,
    /// How many are left out at a time; none when it cannot become shorter.
    part: usize,
    /// Where in `kept` the next part to leave out ends.
    end: usize,
    /// Whether the pass that is under way has made the sequence shorter.
    shortened: bool,
    attempt: Option<Attempt>,
}

/// What was tried last.
#[derive(Debug)]
enum Attempt {
    /// Part of the sequence was left out; this was all of it.
    Shorter(Vec<usize>),
    /// The step at this place of `kept` was made simpler.
    Simpler(usize),
}

impl<T: ValueTree> Sequence<T> {
    fn leave_out(&mut self) -> bool {
        loop {
            self.part = self.part.min(self.kept.len());
            if self.part == 0 {
                return self.make_simpler(0);
            }
            if self.end > 0 {
                let start = self.end.saturating_sub(self.part);
                self.attempt = Some(Attempt::Shorter(self.kept.clone()));
                self.kept.drain(start..self.end);
                self.end = start;
                return true;
            }
            self.end = self.kept.len();
            match self.part {
                // Without what was left out, others may have come to be dispensable.
                1 if self.shortened => self.shortened = false,
                1 => self.part = 0,
                _ => {
                    self.part = self.part.div_ceil(2);
                    self.shortened = false;
                }
            }
        }
    }

    fn make_simpler(&mut self, from: usize) -> bool {
        let simpler = (from..self.kept.len()).find(|at| self.steps[self.kept[*at]].simplify());
        self.attempt = simpler.map(Attempt::Simpler);
        simpler.is_some()
    }
}

impl<T: ValueTree> ValueTree for Sequence<T> {
    type Value = Vec<T::Value>;

    fn current(&self) -> Self::Value {
        self.kept.iter().map(|step| self.steps[*step].current()).collect()
    }

    fn simplify(&mut self) -> bool {
        match self.attempt.take() {
            None => self.leave_out(),
            Some(Attempt::Shorter(_)) => {
                self.shortened = true;
                self.leave_out()
            }
            Some(Attempt::Simpler(at)) => self.make_simpler(at),
        }
    }

    /// Takes the last attempt back and goes on to the next one at once: that what was there before fails is known.
    fn complicate(&mut self) -> bool {
        match self.attempt.take() {
            None => false,
            Some(Attempt::Shorter(before)) => {
                self.kept = before;
                self.leave_out()
            }
            Some(Attempt::Simpler(at)) => {
                if self.steps[self.kept[at]].complicate() {
                    self.attempt = Some(Attempt::Simpler(at));
                    return true;
                }
                self.make_simpler(at + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest sequence for which `fails` still holds, and how many that fail were played on the way.
    fn shrunk(fails: impl Fn(&[u8]) -> bool) -> (Vec<u8>, usize) {
        let mut runner = TestRunner::deterministic();
        let strategy = steps(0..=9_u8, 12..=12);
        let mut tree = std::iter::repeat_with(|| strategy.new_tree(&mut runner).expect("nothing is rejected"))
            .find(|tree| fails(&tree.current()))
            .expect("one fails some time");
        let (mut smallest, mut failed) = (tree.current(), 0);
        let mut moved = tree.simplify();
        while moved {
            let candidate = tree.current();
            moved = if fails(&candidate) {
                (smallest, failed) = (candidate, failed + 1);
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        assert_eq!(tree.current(), smallest, "the tree ends on what failed last");
        (smallest, failed)
    }

    #[test]
    fn what_does_not_matter_is_left_out_and_what_does_becomes_simple() {
        let (smallest, _) = shrunk(|steps| {
            let first = steps.iter().position(|step| *step >= 7);
            first.is_some_and(|first| steps[first..].iter().any(|step| (2..5).contains(step)))
        });
        assert_eq!(smallest, [7, 2]);
    }

    #[test]
    fn one_pass_more_is_made_when_a_step_became_dispensable() {
        // A zero is needed for every three that is there.
        let count = |steps: &[u8], of: u8| steps.iter().filter(|step| **step == of).count();
        let (smallest, _) =
            shrunk(|steps| count(steps, 9) >= 1 && count(steps, 3) >= 1 && count(steps, 0) >= count(steps, 3));
        assert_eq!(smallest.len(), 3);
    }

    #[test]
    fn a_failure_without_steps_is_found_at_once() {
        assert_eq!(shrunk(|_| true), (Vec::new(), 1));
    }

    #[test]
    fn few_plays_that_fail_are_needed() {
        let (smallest, failed) = shrunk(|steps| steps.contains(&4));
        assert_eq!(smallest, [4]);
        assert!(failed <= 5, "{failed} plays failed on the way");
    }

    #[test]
    fn as_many_steps_are_drawn_as_wanted() {
        let mut runner = TestRunner::deterministic();
        let mut draw = || steps(0..=9_u8, 3..=5).new_tree(&mut runner).expect("nothing is rejected").current().len();
        let mut counts: Vec<usize> = std::iter::repeat_with(&mut draw).take(100).collect();
        counts.sort_unstable();
        counts.dedup();
        assert_eq!(counts, [3, 4, 5]);
    }
}
