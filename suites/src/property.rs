//! Generated cases: draw, play, judge; and when one fails, look for the smallest that does.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use harness::outcome::{Outcome, Violation};
use harness::runner::Worker;
use harness::stage::{Stage, StageError};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::sync::oneshot;

pub use steps::steps;

mod steps;

/// Plays one case on a stage and judges it: `None` when the claim held.
pub type Play<T> = for<'a> fn(&'a mut Stage, &'a T) -> BoxFuture<'a, Result<Option<Violation>, StageError>>;

/// Makes the smallest case found smaller still, in a way that only the kind of case knows.
pub type Polish<T> = for<'a> fn(&'a mut Stage, &'a T, Violation) -> BoxFuture<'a, Result<Violation, StageError>>;

/// Leaves a case as it was found.
pub fn as_found<'a, T>(
    _stage: &'a mut Stage,
    _case: &'a T,
    found: Violation,
) -> BoxFuture<'a, Result<Violation, StageError>> {
    Box::pin(std::future::ready(Ok(found)))
}

/// How long the search for a smaller case may go on.
const SHRINKING: Duration = Duration::from_secs(12);
/// The same, when each attempt gets a fresh stage.
const SHRINKING_AFRESH: Duration = Duration::from_secs(120);

/// What a case leaves behind when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A stage that can be used further.
    Harmless,
    /// A hub that may have lost its way: the next attempt gets a fresh stage.
    Lasting,
}
/// How often the smallest case is played again, on a fresh stage, before it is reported.
const CONFIRMATIONS: usize = 2;

/// Judges as many cases as the worker is told to; the first that fails is shrunk, played again and reported.
///
/// # Errors
/// [`StageError`] when the harness fails.
pub async fn check<S>(
    worker: &mut Worker,
    strategy: fn() -> S,
    play: Play<S::Value>,
    polish: Polish<S::Value>,
    failure: Failure,
) -> Result<Outcome, StageError>
where
    S: Strategy + 'static,
    S::Value: Clone + Send + Sync + 'static,
{
    let mut draws = Draws::start(strategy, worker.seed());
    for case in 0..worker.cases() {
        let value = draws.step(Step::Fresh).await.expect("strategies here reject nothing, so they always draw a case");
        if let Some(found) = play(worker.stage().await?, &value).await? {
            // What is seen only once leaves this as its evidence.
            worker.keep_evidence().await;
            let smallest = shrink(worker, &mut draws, play, failure, Failing { case: value, violation: found }).await?;
            return confirm(worker, smallest, play, polish).await;
        }
        if case % 8 == 7 {
            worker.judged(case + 1);
        }
    }
    worker.judged(worker.cases());
    Ok(Outcome::Conforms)
}

struct Failing<T> {
    case: T,
    violation: Violation,
}

async fn shrink<V>(
    worker: &mut Worker,
    draws: &mut Draws<V>,
    play: Play<V>,
    failure: Failure,
    found: Failing<V>,
) -> Result<Failing<V>, StageError>
where
    V: Clone + Send + Sync + 'static,
{
    let began = Instant::now();
    let patience = if failure == Failure::Lasting { SHRINKING_AFRESH } else { SHRINKING };
    let mut smallest = found;
    let mut tried = 0;
    let mut next = draws.step(Step::Simplify).await;
    let mut spoilt = failure == Failure::Lasting;
    while let Some(case) = next {
        if began.elapsed() > patience {
            break;
        }
        if spoilt {
            worker.discard_stage().await;
        }
        tried += 1;
        worker.shrinking(tried);
        next = match play(worker.stage().await?, &case).await {
            Ok(Some(violation)) => {
                spoilt = failure == Failure::Lasting;
                smallest = Failing { case, violation };
                draws.step(Step::Simplify).await
            }
            Ok(None) => {
                spoilt = false;
                draws.step(Step::Complicate).await
            }
            Err(error) if error.is_harness_failure() => return Err(error),
            // A smaller case that wedges the hub says nothing about this claim.
            Err(_) => {
                worker.discard_stage().await;
                draws.step(Step::Complicate).await
            }
        };
    }
    Ok(smallest)
}

/// What to draw next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another case.
    Fresh,
    /// A simpler form of the last one.
    Simplify,
    /// A less simple form: the last one held.
    Complicate,
}

type Asked<T> = (Step, oneshot::Sender<Option<T>>);

/// A thread that draws cases: strategies and their trees are not made to move between threads.
struct Draws<T> {
    ask: mpsc::Sender<Asked<T>>,
}

impl<T: Send + 'static> Draws<T> {
    fn start<S: Strategy<Value = T> + 'static>(strategy: fn() -> S, seed: [u8; 32]) -> Self {
        let (ask, asked) = mpsc::channel::<Asked<T>>();
        std::thread::spawn(move || {
            let strategy = strategy();
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let mut tree: Option<S::Tree> = None;
            while let Ok((step, answer)) = asked.recv() {
                let moved = match (step, &mut tree) {
                    (Step::Fresh, tree) => {
                        *tree = strategy.new_tree(&mut runner).ok();
                        tree.is_some()
                    }
                    (Step::Simplify, Some(tree)) => tree.simplify(),
                    (Step::Complicate, Some(tree)) => tree.complicate(),
                    (_, None) => false,
                };
                let drawn = tree.as_ref().filter(|_| moved).map(ValueTree::current);
                // Whoever asked may have been told to stop.
                let _ = answer.send(drawn);
            }
        });
        Self { ask }
    }

    async fn step(&mut self, step: Step) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.ask.send((step, answer)).ok()?;
        answered.await.ok().flatten()
    }
}

/// A violation is believed as it was seen; that it can be seen again is worth saying, and so is that it cannot.
async fn confirm<V>(
    worker: &mut Worker,
    smallest: Failing<V>,
    play: Play<V>,
    polish: Polish<V>,
) -> Result<Outcome, StageError>
where
    V: Clone + Send + Sync,
{
    for _ in 0..CONFIRMATIONS {
        worker.discard_stage().await;
        match play(worker.stage().await?, &smallest.case).await {
            Ok(Some(violation)) => {
                worker.keep_evidence().await;
                let violation = polish(worker.stage().await?, &smallest.case, violation).await?;
                return Ok(Outcome::Violated(Box::new(violation)));
            }
            Ok(None) => {}
            Err(error) if error.is_harness_failure() => return Err(error),
            Err(_) => {}
        }
    }
    let mut violation = smallest.violation;
    violation.observed.push_str(&format!(
        " (seen once; {CONFIRMATIONS} more plays of the smallest case on a fresh hub did not show it again)"
    ));
    Ok(Outcome::Violated(Box::new(violation)))
}
