//! The reference edgeHub conforms: every test of the suites, as a test of `cargo test`.
//!
//! One run plays the tests, several hubs side by side; each trial waits for its own result.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use harness::engine::run_folder::RunFolder;
use harness::event::Event;
use harness::outcome::Outcome;
use harness::runner::{self, Plan, Profile};
use harness::subject::{Launch, Subject};
use harness::transport::Transport;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::sync::{mpsc, watch};

/// Generated cases of each test that generates, for each unit of its weight.
const CASES_FOR_EACH_WEIGHT: u64 = 4;
/// The same input every time: what other input finds is for `edgecert test`.
const SEED: u64 = 0xedce;

/// What is known of the run so far.
#[derive(Default)]
struct Known {
    by_name: HashMap<String, Result<(), String>>,
    ended: Option<String>,
}

/// Results that trials wait for.
#[derive(Default)]
struct Results {
    known: Mutex<Known>,
    changed: Condvar,
}

impl Results {
    fn put(&self, name: String, result: Result<(), String>) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).by_name.insert(name, result);
        self.changed.notify_all();
    }

    fn end(&self, how: String) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).ended = Some(how);
        self.changed.notify_all();
    }

    fn wait(&self, name: &str) -> Result<(), Failed> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = known.by_name.remove(name) {
                return result.map_err(Failed::from);
            }
            if let Some(how) = &known.ended {
                return Err(Failed::from(format!("the run ended before this test did: {how}")));
            }
            known = self.changed.wait(known).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let results = Arc::new(Results::default());
    let asked = |name: &str| arguments.filter.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let tests: Vec<_> =
        suites::tests().into_iter().filter(|test| test.profile == Profile::Quick && asked(&test.name)).collect();
    let trials = tests
        .iter()
        .map(|test| {
            let (name, results) = (test.name.clone(), results.clone());
            Trial::test(test.name.clone(), move || results.wait(&name))
        })
        .collect();
    if !arguments.list {
        std::thread::spawn(move || {
            let ended = play(tests, &results);
            results.end(ended.map_or_else(|error| error, |()| String::from("without a word about it")));
        });
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn play(tests: Vec<runner::Test>, results: &Results) -> Result<(), String> {
    let folder = RunFolder::create(false).map_err(|error| error.to_string())?;
    let tests = tests
        .into_iter()
        .map(|test| {
            let cases = u64::from(test.weight) * CASES_FOR_EACH_WEIGHT;
            (test.on_one_transport(None), cases)
        })
        .collect();
    let plan = Plan {
        launch: Launch {
            edgecert: PathBuf::from(env!("CARGO_BIN_EXE_edgecert")),
            subject: Subject::Embedded,
            plant: None,
            world_address: None,
            hub_address: None,
            iot_hub_host: String::from("edgecert.azure-devices.net"),
            hub_settings: Vec::new(),
            run_folder: folder.path().to_owned(),
        },
        blueprint: suites::blueprint(),
        tests,
        transports: Transport::ALL.to_vec(),
        seed: SEED,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        repeat: String::from("cargo test --test conformance"),
        repeat_test: format!("edgecert test --seed {SEED:x}"),
        evidence: None,
    };
    let runtime = runner::runtime().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (events, mut told) = mpsc::unbounded_channel();
        // Nobody stops this run; the sender has to live as long as it.
        let (_running, stop) = watch::channel(false);
        let run = tokio::spawn(runner::run(plan, events, stop));
        while let Some(event) = told.recv().await {
            if let Event::TestFinished(result) = event {
                results.put(result.test.name, ended(result.outcome));
            }
        }
        match run.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
}

fn ended(outcome: Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Conforms | Outcome::NotApplicable { .. } => Ok(()),
        Outcome::Violated(violation) => Err(format!("{violation:#?}")),
        Outcome::Inconclusive { reason } => Err(format!("inconclusive: {reason}")),
    }
}
