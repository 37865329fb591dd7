//! `edgecert self-test`: plants one fault at a time in the reference hub, and sees whether the suites notice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use harness::engine::run_folder::RunFolder;
use harness::event::Event;
use harness::outcome::Outcome;
use harness::report::kill_matrix::{self, FaultOutcome, KillMatrix};
use harness::runner::{self, Plan, Profile};
use harness::subject::{Launch, Subject};
use harness::transport::Transport;
use suites::faults::{Fault, Thoroughness};
use tokio::sync::{Mutex, mpsc, watch};

use crate::BROKEN;
use crate::selection::{self, CASES};
use crate::test::{fresh_seed, stop_on_signals};

#[derive(clap::Args)]
pub struct Arguments {
    /// Let one suite look for the faults only.
    #[arg(long = "suite", value_name = "NAME")]
    suites: Vec<String>,
    /// Plant one fault only; may be given several times.
    #[arg(long = "fault", value_name = "ID")]
    faults: Vec<String>,
    /// Write kill-matrix.json there.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Where generated input comes from.
    #[arg(long, value_name = "HEX")]
    seed: Option<String>,
    /// How many faults are tried side by side.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = runner::runtime().context("starting the runtime")?;
    runtime.block_on(plant_all(arguments))
}

async fn plant_all(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let all = suites::faults::all().map_err(anyhow::Error::msg)?;
    for id in &arguments.faults {
        if !all.iter().any(|fault| fault.id == *id) {
            anyhow::bail!("--fault {id}: there is no such fault; `edgecert list faults` names them all");
        }
    }
    let chosen: VecDeque<(usize, Fault)> = all
        .into_iter()
        .filter(|fault| arguments.faults.is_empty() || arguments.faults.contains(&fault.id))
        .enumerate()
        .collect();
    let total = chosen.len();
    let seed = match &arguments.seed {
        Some(text) => u64::from_str_radix(text, 16).context("--seed: a seed is a hexadecimal number")?,
        None => fresh_seed(),
    };
    let folder = RunFolder::create(false).context("making the run's folder")?;
    let stop = stop_on_signals()?;
    let shared = Arc::new(Shared {
        suites: arguments.suites,
        edgecert: std::env::current_exe().context("finding this program's own file")?,
        folder: folder.path().to_owned(),
        seed,
        queue: Mutex::new(chosen),
        done: Mutex::new(Vec::new()),
        total,
    });
    let began = Instant::now();
    crate::say(&format!("{total} faults to plant, seed {seed:x}\n"));
    let jobs = arguments.jobs.unwrap_or_else(three_for_each_core).max(1);
    let workers: Vec<_> = (0..jobs).map(|_| tokio::spawn(work(shared.clone(), stop.clone()))).collect();
    for worker in workers {
        worker.await.context("a worker panicked")?;
    }
    let mut done = std::mem::take(&mut *shared.done.lock().await);
    done.sort_by_key(|(number, _)| *number);
    let faults = done.into_iter().map(|(_, fault)| fault).collect();
    let matrix = KillMatrix::new(faults, began.elapsed().as_secs_f64());
    let rates = matrix.rates();
    if !rates.is_empty() {
        crate::say(&format!("\n{rates}\n"));
    }
    crate::say(&format!("{}\n", matrix.line()));
    if let Some(report) = &arguments.report {
        let written = matrix.write(report)?;
        crate::say(&format!("kill matrix: {}\n", written.display()));
    }
    if *stop.borrow() {
        return Ok(ExitCode::from(BROKEN));
    }
    Ok(ExitCode::from(matrix.exit_code()))
}

struct Shared {
    suites: Vec<String>,
    edgecert: PathBuf,
    folder: PathBuf,
    seed: u64,
    queue: Mutex<VecDeque<(usize, Fault)>>,
    done: Mutex<Vec<(usize, kill_matrix::Fault)>>,
    total: usize,
}

async fn work(shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let next = shared.queue.lock().await.pop_front();
        let Some((number, fault)) = next else { return };
        let judged = shared.judge(number, &fault, stop.clone()).await;
        let mut done = shared.done.lock().await;
        let (outcome, by) = match judged.outcome {
            FaultOutcome::Killed => ("killed  ", judged.killed_by.join(" ")),
            FaultOutcome::Survived => ("SURVIVED", judged.reason.clone().unwrap_or_default()),
            FaultOutcome::Broken => ("broken  ", judged.reason.clone().unwrap_or_default()),
        };
        crate::say(&format!(
            "[{:>3}/{}] {outcome} {} ({by}, {:.1} s)\n",
            done.len() + 1,
            shared.total,
            fault.id,
            judged.duration_s
        ));
        done.push((number, judged));
    }
}

impl Shared {
    /// Runs the tests of the requirements the fault violates, until one names such a requirement. A fault that strikes
    /// now and then gets a quick run first, to see whether that is long enough.
    async fn judge(&self, number: usize, fault: &Fault, stop_all: watch::Receiver<bool>) -> kill_matrix::Fault {
        let began = Instant::now();
        let quick = fault.strikes.is_some() || fault.found_with == Thoroughness::Quick;
        let full = fault.strikes.is_some() || fault.found_with == Thoroughness::Full;
        let mut judged = kill_matrix::Fault {
            id: fault.id.clone(),
            what: fault.what.clone(),
            violates: fault.violates.clone(),
            killed_by: Vec::new(),
            tests: Vec::new(),
            duration_s: 0.0,
            outcome: FaultOutcome::Survived,
            reason: None,
            strikes: fault.strikes.clone(),
            runs: Vec::new(),
        };
        for (profile, wanted) in [(Profile::Quick, quick), (Profile::Full, full)] {
            if wanted && judged.outcome == FaultOutcome::Survived && !*stop_all.borrow() {
                self.look(number, fault, profile, &mut judged, stop_all.clone()).await;
            }
        }
        let by_full_only = judged.runs.iter().any(|run| run.noticed && run.profile == "full");
        if judged.outcome == FaultOutcome::Killed && by_full_only && fault.found_with == Thoroughness::Quick {
            judged.outcome = FaultOutcome::Survived;
            judged.reason = Some("a quick run must notice it, and only a full run did".to_owned());
        }
        judged.reason = match judged.outcome {
            // What stood in the way of other tests did not matter.
            FaultOutcome::Killed => None,
            FaultOutcome::Survived if !by_full_only => {
                let nobody = format!("no test of {} noticed", fault.violates.join(" "));
                Some(judged.reason.take().map_or_else(|| nobody.clone(), |other| format!("{nobody}; {other}")))
            }
            _ => judged.reason.take(),
        };
        judged.killed_by.dedup();
        judged.duration_s = began.elapsed().as_secs_f64();
        judged
    }

    /// One run: the tests that this profile adds.
    async fn look(
        &self,
        number: usize,
        fault: &Fault,
        profile: Profile,
        judged: &mut kill_matrix::Fault,
        mut stop_all: watch::Receiver<bool>,
    ) {
        let violated: BTreeSet<&str> = fault.violates.iter().map(String::as_str).collect();
        let tests = match selection::tests_of(&violated, &self.suites, CASES, profile) {
            Ok(tests) if !tests.is_empty() => tests,
            _ => return,
        };
        let (events, mut told) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(runner::run(self.plan(number, fault, tests), events, stopped));
        let mut cases: BTreeMap<String, u64> = BTreeMap::new();
        loop {
            let event = tokio::select! {
                event = told.recv() => event,
                () = told_to_stop(&mut stop_all) => {
                    let _ = stop.send(true);
                    told.recv().await
                }
            };
            let Some(event) = event else { break };
            let result = match event {
                Event::CasesJudged { test, done, .. } => {
                    cases.insert(test, done);
                    continue;
                }
                Event::TestFinished(result) => result,
                _ => continue,
            };
            // A test that judges no generated cases is a case itself.
            cases.entry(result.test.name.clone()).or_insert(1);
            let violation = match result.outcome {
                Outcome::Violated(violation) => violation,
                Outcome::Inconclusive { reason } => {
                    judged.reason.get_or_insert(format!("{} was inconclusive: {reason}", result.test.name));
                    continue;
                }
                _ => continue,
            };
            if violated.contains(violation.requirement.as_str()) {
                judged.killed_by.push(violation.requirement);
                judged.tests.push(result.test.name);
                judged.outcome = FaultOutcome::Killed;
                // Killed once is killed; the rest of the tests would only repeat it.
                let _ = stop.send(true);
            }
        }
        let ended = running.await;
        judged.runs.push(kill_matrix::Run {
            profile: if profile == Profile::Quick { "quick" } else { "full" }.to_owned(),
            noticed: judged.outcome == FaultOutcome::Killed,
            judged: cases.values().sum(),
        });
        if judged.outcome == FaultOutcome::Survived {
            let failure = match ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = failure {
                judged.outcome = FaultOutcome::Broken;
                judged.reason = Some(reason);
            }
        }
    }

    fn plan(&self, number: usize, fault: &Fault, tests: Vec<(runner::Test, u64)>) -> Plan {
        Plan {
            launch: Launch {
                edgecert: self.edgecert.clone(),
                subject: Subject::Embedded,
                plant: Some(fault.id.clone()),
                world_address: None,
                hub_address: None,
                iot_hub_host: "edgecert.azure-devices.net".to_owned(),
                hub_settings: Vec::new(),
                run_folder: self.folder.join(number.to_string()),
            },
            blueprint: suites::blueprint(),
            // A fault is one on whatever transport it is noticed: one will do.
            tests: tests.into_iter().map(|(test, cases)| (test.on_one_transport(fault.over), cases)).collect(),
            transports: Transport::ALL.to_vec(),
            seed: self.seed,
            jobs: 1,
            repeat: format!("edgecert self-test --fault {} --seed {:x}", fault.id, self.seed),
            repeat_test: format!("edgecert test --seed {:x} --cases {CASES} --plant {}", self.seed, fault.id),
            evidence: None,
        }
    }
}

/// Completes when the whole self-test is to stop.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Three faulty hubs side by side for each core; how soon a fault is found depends on how busy the machine is.
fn three_for_each_core() -> usize {
    3 * std::thread::available_parallelism().map_or(1, usize::from)
}
