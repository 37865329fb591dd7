//! Runs tests: a few workers side by side, each with a stage of its own, and tells what happens as events.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, mpsc, watch};

use crate::environment::{Blueprint, Environment, StartError};
use crate::event::{Event, PlannedTest, TestResult};
use crate::observe::evidence::Evidence;
use crate::observe::wire_log::WireLog;
use crate::outcome::Outcome;
use crate::stage::{Stage, StageError};
use crate::subject::{Ability, Launch};
use crate::transport::Transport;

/// The body of a test. It acts through its worker and judges what it saw.
pub type Body = Arc<dyn for<'a> Fn(&'a mut Worker) -> BoxFuture<'a, Result<Outcome, StageError>> + Send + Sync>;

/// A test: a claim, the requirements it covers, and how to find out.
#[derive(Clone)]
pub struct Test {
    /// `suite::section::claim`.
    pub name: String,
    /// The suite.
    pub suite: &'static str,
    /// Ids of the requirements it covers, the one it is mainly about first.
    pub requirements: Vec<String>,
    /// Abilities the subject must have.
    pub needs: Vec<Ability>,
    /// Share of the generated cases this test gets; 0 for tests without generated input.
    pub weight: u32,
    /// The least profile that runs it.
    pub profile: Profile,
    /// What its clients may speak: it runs once for each of them that a run is about.
    pub transports: &'static [Transport],
    /// How to find out.
    pub body: Body,
}

impl Test {
    /// The same, on one of its transports alone: this one if it has it, else its first.
    #[must_use]
    pub fn on_one_transport(self, wanted: Option<Transport>) -> Self {
        let at = self.transports.iter().position(|has| Some(*has) == wanted).unwrap_or_default();
        Self { transports: &self.transports[at..=at], ..self }
    }
}

/// How thorough a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// What can be seen in a few minutes, with times of the subject shortened by its settings.
    Quick,
    /// Also what takes real minutes.
    Full,
}

/// What a run is told.
pub struct Plan {
    /// How subjects are started.
    pub launch: Launch,
    /// What each stage has.
    pub blueprint: Blueprint,
    /// The tests, each with the number of generated cases it shall judge on each of its transports.
    pub tests: Vec<(Test, u64)>,
    /// What clients speak, one after another.
    pub transports: Vec<Transport>,
    /// Where generated input comes from.
    pub seed: u64,
    /// How many workers.
    pub jobs: usize,
    /// Command line that repeats the whole run.
    pub repeat: String,
    /// Command line that repeats one test, up to the test's name.
    pub repeat_test: String,
    /// Where evidence of violations goes.
    pub evidence: Option<PathBuf>,
}

/// What a test body works with.
pub struct Worker {
    shared: Arc<Shared>,
    stage: Option<Stage>,
    /// What the stage of the current test has.
    blueprint: Blueprint,
    test: Arc<str>,
    transport: Transport,
    cases: u64,
    number: usize,
    started: usize,
    /// Where the latest environment has its logs, and what went over its wire.
    traces: Option<(PathBuf, WireLog)>,
    kept: Option<Evidence>,
}

struct Shared {
    launch: Launch,
    blueprint: Blueprint,
    seed: u64,
    events: mpsc::UnboundedSender<Event>,
}

impl Worker {
    /// The stage all tests of this worker share: a running hub, its world, and connected clients. What is noted of
    /// the wire begins anew.
    ///
    /// # Errors
    /// [`StageError`] when it has to be started and cannot be.
    pub async fn stage(&mut self) -> Result<&mut Stage, StageError> {
        let fits = |environment: &Environment| {
            *environment.blueprint() == self.blueprint && environment.transport() == self.transport
        };
        if self.stage.as_ref().is_some_and(|stage| !fits(stage.environment())) {
            self.discard_stage().await;
        }
        if self.stage.is_none() {
            let environment = self.environment(&self.blueprint.clone()).await?;
            self.stage = Some(Stage::open(environment).await?);
        }
        let stage = self.stage.as_mut().expect("opened above");
        let environment = stage.environment();
        environment.wire().begin_case();
        self.traces = Some((environment.folder().to_owned(), environment.wire().clone()));
        Ok(stage)
    }

    /// From now on the stage of the current test has this, and not what the others have. Tests that follow one another
    /// with the same wish share it.
    pub fn set_stage(&mut self, blueprint: Blueprint) {
        self.blueprint = blueprint;
    }

    /// Keeps what went over the wire and into the logs until now as evidence, whatever is played after it.
    pub async fn keep_evidence(&mut self) {
        if let Some((logs, wire)) = &self.traces {
            self.kept = Some(Evidence::gather(logs, wire).await);
        }
    }

    /// Gives up the stage, so that the next use starts a fresh one.
    pub async fn discard_stage(&mut self) {
        if let Some(stage) = self.stage.take() {
            stage.close().await;
        }
    }

    /// An environment of the test's own, started and ready.
    ///
    /// # Errors
    /// [`StartError`] when something does not start.
    pub async fn environment(&mut self, blueprint: &Blueprint) -> Result<Environment, StartError> {
        let mut environment = self.world(blueprint).await?;
        environment.start_hub().await?;
        environment.ready().await?;
        Ok(environment)
    }

    /// A world without a hub: the test starts that itself.
    ///
    /// # Errors
    /// As [`Worker::environment`].
    pub async fn world(&mut self, blueprint: &Blueprint) -> Result<Environment, StartError> {
        // Subjects that cannot run side by side make room first.
        if !self.shared.launch.can(Ability::SideBySide) {
            self.discard_stage().await;
        }
        self.started += 1;
        let name = format!("{}-{}", self.number, self.started);
        let environment = Environment::world(&self.shared.launch, blueprint, self.transport, &name).await?;
        self.traces = Some((environment.folder().to_owned(), environment.wire().clone()));
        Ok(environment)
    }

    /// What each stage has.
    pub fn blueprint(&self) -> &Blueprint {
        &self.shared.blueprint
    }

    /// How many generated cases this test shall judge.
    pub fn cases(&self) -> u64 {
        self.cases
    }

    /// What the clients of this test speak.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// 32 bytes from which this test's generated input comes: the run's seed, and the test's name. On each transport it
    /// judges the same cases.
    pub fn seed(&self) -> [u8; 32] {
        let digest =
            ring::digest::digest(&ring::digest::SHA256, format!("{:x}/{}", self.shared.seed, self.test).as_bytes());
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Says how many cases have been judged.
    pub fn judged(&self, done: u64) {
        let (test, transport) = (self.test.to_string(), self.transport.to_string());
        let _ = self.shared.events.send(Event::CasesJudged { test, transport, done });
    }

    /// Says that smaller cases are being tried.
    pub fn shrinking(&self, tried: u64) {
        let (test, transport) = (self.test.to_string(), self.transport.to_string());
        let _ = self.shared.events.send(Event::Shrinking { test, transport, tried });
    }
}

/// A runtime for [`run`]. Stories of many steps over AMQP lie deeper on the stack than threads have by default.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()
}

/// Runs a plan and tells it as events; ends early, with everything cleaned up, when `stop` becomes true.
///
/// # Errors
/// The first failure of the harness itself, which is never a verdict about the subject.
pub async fn run(
    plan: Plan,
    events: mpsc::UnboundedSender<Event>,
    stop: watch::Receiver<bool>,
) -> Result<(), StageError> {
    let began = Instant::now();
    let turns: Vec<Turn> = turns(plan.tests, &plan.transports).collect();
    let jobs = if plan.launch.can(Ability::SideBySide) { plan.jobs.max(1) } else { 1 };
    // A worker alone keeps nobody waiting.
    let queue = if jobs > 1 { in_order(turns) } else { turns.into() };
    let planned = queue.iter().map(Turn::planned).collect();
    let _ = events.send(Event::RunStarted {
        subject: plan.launch.subject.to_string(),
        seed: plan.seed,
        repeat: plan.repeat,
        planted: plan.launch.plant.clone(),
        at: SystemTime::now(),
        tests: planned,
    });
    let shared =
        Arc::new(Shared { launch: plan.launch, blueprint: plan.blueprint, seed: plan.seed, events: events.clone() });
    let queue = Arc::new(Mutex::new(queue));
    let telling = Arc::new(Telling { repeat_test: plan.repeat_test, evidence: plan.evidence });
    let workers: Vec<_> = (0..jobs)
        .map(|number| {
            let worker = Worker {
                shared: shared.clone(),
                stage: None,
                blueprint: shared.blueprint.clone(),
                test: "".into(),
                transport: Transport::Mqtt,
                cases: 0,
                number,
                started: 0,
                traces: None,
                kept: None,
            };
            tokio::spawn(work(worker, queue.clone(), telling.clone(), stop.clone()))
        })
        .collect();
    let mut failure = None;
    for worker in workers {
        if let Err(error) = worker.await.expect("workers do not panic") {
            failure.get_or_insert(error);
        }
    }
    if *stop.borrow() {
        let _ = events.send(Event::Interrupted);
    }
    let _ = events.send(Event::RunFinished { duration: began.elapsed() });
    failure.map_or(Ok(()), Err)
}

/// How far apart two tests that take long start at most. They mostly wait, and others use the processors meanwhile.
const APART: usize = 30;

/// As planned, but what takes long comes in the first half, or one worker would be at it when the others are done. It does
/// not come at once, so that the share of cases judged tells from the beginning how far the run is.
fn in_order(turns: Vec<Turn>) -> VecDeque<Turn> {
    let (long, others): (Vec<_>, Vec<_>) =
        turns.into_iter().partition(|turn| turn.cases > 0 && turn.test.needs.contains(&Ability::Restart));
    let apart = (others.len() / (2 * long.len()).max(1)).clamp(1, APART);
    let mut queue = VecDeque::from(others);
    for (number, turn) in long.into_iter().enumerate() {
        queue.insert(number * apart, turn);
    }
    queue
}

struct Telling {
    repeat_test: String,
    evidence: Option<PathBuf>,
}

async fn work(
    mut worker: Worker,
    queue: Arc<Mutex<VecDeque<Turn>>>,
    telling: Arc<Telling>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), StageError> {
    let result = loop {
        let next = queue.lock().await.pop_front();
        let Some(turn) = next else { break Ok(()) };
        let done = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break Ok(()),
            done = one(&mut worker, &turn, &telling) => done,
        };
        if let Err(error) = done {
            // Nothing more can be learned when the harness itself fails: the others stop after their current test.
            queue.lock().await.clear();
            break Err(error);
        }
    };
    worker.discard_stage().await;
    result
}

async fn one(worker: &mut Worker, turn: &Turn, telling: &Telling) -> Result<(), StageError> {
    let Turn { test, transport, cases } = turn;
    worker.test = test.name.as_str().into();
    worker.transport = *transport;
    worker.cases = *cases;
    worker.kept = None;
    worker.blueprint = worker.shared.blueprint.clone();
    let events = worker.shared.events.clone();
    let _ = events.send(Event::TestStarted { test: test.name.clone(), transport: transport.to_string() });
    let began = Instant::now();
    let missing = test.needs.iter().find(|need| !worker.shared.launch.can(**need));
    let outcome = match missing {
        Some(need) => {
            Ok(Outcome::NotApplicable { reason: format!("the subject lacks the ability `{}`", need.as_str()) })
        }
        None => (test.body)(worker).await,
    };
    // A hub that ended by itself, or an answer that never came, says something about the hub: the harness did its
    // part. What the harness could not do itself is its own failure.
    let outcome = match outcome {
        Err(error) if !error.is_harness_failure() => Outcome::Inconclusive { reason: error.to_string() },
        other => other?,
    };
    let settled = matches!(outcome, Outcome::Conforms | Outcome::NotApplicable { .. });
    let evidence = match (&telling.evidence, settled) {
        (Some(folder), false) => worker.save_evidence(folder, &format!("{}.{transport}", test.name)).await,
        _ => None,
    };
    if !settled {
        worker.discard_stage().await;
    }
    let _ = events.send(Event::TestFinished(TestResult {
        test: turn.planned(),
        outcome,
        cases: *cases,
        duration: began.elapsed(),
        repeat: format!("{} --transport {transport} --filter '{}'", telling.repeat_test, test.name),
        evidence,
    }));
    Ok(())
}

impl Worker {
    /// Writes beside the report what was kept, or else what there is.
    async fn save_evidence(&self, folder: &std::path::Path, test: &str) -> Option<PathBuf> {
        let (logs, wire) = self.traces.as_ref()?;
        let folder = folder.join(test.replace("::", "."));
        let written = match &self.kept {
            Some(kept) => kept.write(&folder).await,
            None => Evidence::gather(logs, wire).await.write(&folder).await,
        };
        written.then_some(folder)
    }
}

/// A test on one of its transports.
struct Turn {
    test: Test,
    transport: Transport,
    cases: u64,
}

impl Turn {
    fn planned(&self) -> PlannedTest {
        PlannedTest {
            name: self.test.name.clone(),
            suite: self.test.suite.to_owned(),
            transport: self.transport.to_string(),
            requirements: self.test.requirements.clone(),
            cases: self.cases,
        }
    }
}

/// All tests on one transport, then all on the next: a stage serves as many of them as it can.
fn turns(tests: Vec<(Test, u64)>, transports: &[Transport]) -> impl Iterator<Item = Turn> {
    transports.iter().flat_map(move |transport| {
        let speaking = tests.iter().filter(|(test, _)| test.transports.contains(transport));
        let turn = |(test, cases): &(Test, u64)| Turn { test: test.clone(), transport: *transport, cases: *cases };
        speaking.map(turn).collect::<Vec<_>>()
    })
}

/// How long a run may take at most to clean up after it was told to stop.
pub const CLEAN_UP: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(name: &str, needs: Vec<Ability>, cases: u64) -> Turn {
        let body: Body = Arc::new(|_| Box::pin(std::future::ready(Ok(Outcome::Conforms))));
        let test = Test {
            name: name.to_owned(),
            suite: "any",
            requirements: Vec::new(),
            needs,
            weight: 1,
            profile: Profile::Quick,
            transports: &[Transport::Mqtt],
            body,
        };
        Turn { test, transport: Transport::Mqtt, cases }
    }

    #[test]
    fn what_takes_long_comes_early_and_nothing_else_moves() {
        const QUICK: usize = 4 * APART;
        let quick = (0..QUICK).map(|number| turn(&format!("quick {number}"), Vec::new(), 100));
        let long = ["kills", "outages"].map(|name| turn(name, vec![Ability::Restart], 44));
        let restart = turn("one restart", vec![Ability::Restart], 0);
        let planned = quick.chain([restart]).chain(long).collect();
        let names: Vec<String> = in_order(planned).into_iter().map(|turn| turn.test.name).collect();
        let at = |name: &str| names.iter().position(|known| known == name);
        assert_eq!((at("kills"), at("outages"), names.len()), (Some(0), Some(APART), QUICK + 3));
        let others: Vec<&String> = names.iter().filter(|name| !["kills", "outages"].contains(&name.as_str())).collect();
        let mut expected: Vec<String> = (0..QUICK).map(|number| format!("quick {number}")).collect();
        expected.push("one restart".to_owned());
        assert!(others.into_iter().eq(&expected));
    }

    #[test]
    fn what_takes_long_comes_in_the_first_half_of_a_short_run_too() {
        for (quick, expected) in [(20, [0, 5]), (1, [0, 1]), (0, [0, 1])] {
            let quick = (0..quick).map(|_| turn("quick", Vec::new(), 100));
            let long = ["kills", "outages"].map(|name| turn(name, vec![Ability::Restart], 44));
            let order = in_order(quick.chain(long).collect());
            let at = ["kills", "outages"].map(|name| order.iter().position(|turn| turn.test.name == name));
            assert_eq!(at, expected.map(Some));
        }
    }
}
