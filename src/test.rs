//! `edgecert test`: judges an edgeHub.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use harness::engine::run_folder::RunFolder;
use harness::report::console::{Console, Style};
use harness::report::{self, Record};
use harness::runner::{self, Plan};
use harness::subject::{Launch, Subject};
use harness::transport::{Transport, UnknownTransport};
use suites::deployment::Deployment;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::selection::{CASES, Selection, Thoroughness};
use crate::{BROKEN, repeat};

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Check what a deployment manifest promises, with the reference modules in the places of its images.
    #[arg(long, value_name = "FILE")]
    deployment: Option<PathBuf>,
    /// What to judge: `embedded`, `command:PROGRAM ARGUMENT...`, or `attach:FILE`.
    #[arg(long, value_name = "HUB", default_value = "embedded")]
    hub: Subject,
    /// Have clients speak this only: `mqtt`, `mqtt-ws`, `amqp` or `amqp-ws`; may be given several times.
    #[arg(long = "transport", value_name = "NAME", value_parser = spoken)]
    transports: Vec<Transport>,
    /// Generated cases of the whole run over all transports, shared among the tests.
    #[arg(long, value_name = "N", default_value_t = CASES)]
    cases: u64,
    /// Where generated input comes from; a run with the same seed has the same input.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    seed: Option<u64>,
    /// How many hubs are judged side by side, where the subject allows it.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Keep the run's folder with logs and storage.
    #[arg(long)]
    keep: bool,
    /// Write report.json, junit.xml and report.html there.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Plant a fault in the embedded hub, to see it caught.
    #[arg(long, value_name = "FAULT")]
    plant: Option<String>,
    /// Address for the simulators to listen on.
    #[arg(long, value_name = "IP")]
    world_address: Option<IpAddr>,
    /// Address at which the hub is reached.
    #[arg(long, value_name = "IP")]
    hub_address: Option<IpAddr>,
    /// Name of the simulated IoT Hub; it needs a dot.
    #[arg(long, value_name = "NAME", default_value = "edgecert.azure-devices.net", value_parser = dotted)]
    iot_hub_host: String,
    /// An environment variable for the hub; `{run}` in the value is the folder of its environment.
    #[arg(long = "hub-setting", value_name = "K=V", value_parser = setting)]
    hub_settings: Vec<(String, String)>,
}

pub fn hexadecimal(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map_err(|_| "a seed is a hexadecimal number of at most 16 digits".to_owned())
}

fn spoken(text: &str) -> Result<Transport, String> {
    text.parse().map_err(|error: UnknownTransport| error.to_string())
}

fn dotted(text: &str) -> Result<String, String> {
    let legal = text.contains('.') && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    legal
        .then(|| text.to_owned())
        .ok_or_else(|| "the product takes letters, digits, `_`, `-` and at least one dot".to_owned())
}

pub fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a setting is written NAME=VALUE".to_owned()),
    }
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = runner::runtime().context("starting the runtime")?;
    runtime.block_on(judge(arguments))
}

async fn judge(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let catalogue = suites::catalogue()?;
    arguments.selection.check(&catalogue)?;
    if let Some(fault) = &arguments.plant {
        if arguments.hub != Subject::Embedded {
            anyhow::bail!("--plant {fault}: faults are planted in the embedded hub only");
        }
        if !edge_hub::faults::all().any(|known| known == fault) {
            anyhow::bail!("--plant {fault}: there is no such fault; `edgecert list faults` names them all");
        }
    }
    let (tests, blueprint) = match &arguments.deployment {
        Some(file) => {
            let manifest = manifests::Manifest::read(file)?;
            let deployment = Deployment::new(manifest).with_context(|| file.display().to_string())?;
            let blueprint = deployment.blueprint();
            (deployment.tests().into_iter().map(|test| (test, 0)).collect(), blueprint)
        }
        None => (arguments.selection.tests(arguments.cases)?, suites::blueprint()),
    };
    let transports = arguments.transports();
    let (tests, others): (Vec<_>, Vec<_>) = tests.into_iter().partition(|(test, _): &(runner::Test, u64)| {
        test.transports.iter().any(|transport| transports.contains(transport))
    });
    if let (true, Some((test, _))) = (tests.is_empty(), others.first()) {
        anyhow::bail!("no test is left to run; {} runs with --transport {}", test.name, test.transports[0]);
    }
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    let mut folder = RunFolder::create(arguments.keep).context("making the run's folder")?;
    if arguments.keep {
        folder.keep().context("keeping the run's folder")?;
    }
    let repeat = arguments.repeat(seed);
    let plan = Plan {
        launch: arguments.launch(folder.path().to_owned())?,
        blueprint,
        tests,
        transports,
        seed,
        jobs: arguments.jobs.unwrap_or_else(six_for_each_core),
        repeat_test: arguments.repeat_one(seed),
        repeat,
        evidence: arguments.report.as_ref().map(|report| report.join("evidence")),
    };
    let told = told(plan, Record::new(catalogue), arguments.report.as_deref()).await;
    if told.is_err() {
        // The error names logs in it.
        folder.keep().context("keeping the run's folder")?;
    }
    let record = told?;
    if arguments.keep {
        println!("kept: {}", folder.path().display());
    }
    drop(folder);
    Ok(ExitCode::from(record.exit_code()))
}

/// Runs a plan, shows it on the console, and writes the report.
async fn told(plan: Plan, mut record: Record, report: Option<&std::path::Path>) -> anyhow::Result<Record> {
    let (events, mut told) = mpsc::unbounded_channel();
    let stop = stop_on_signals()?;
    let running = tokio::spawn(runner::run(plan, events, stop));
    let stream = std::io::stdout();
    let style = Style::of(&stream);
    let mut console = Console::new(stream, style);
    while let Some(event) = told.recv().await {
        record.observe(&event);
        // A console that is gone (a pipe whose reader left) is no reason to stop judging.
        let _ = console.observe(&event, &record);
    }
    let ended = running.await.context("the runner panicked")?;
    let written = match report {
        Some(folder) => Some(report::write(&record, folder)?),
        None => None,
    };
    let _ = console.finish(&record, written.as_ref());
    ended?;
    Ok(record)
}

/// Becomes true on SIGINT or SIGTERM. A second one ends the process at once; its children die with it.
pub fn stop_on_signals() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if again {
                std::process::exit(BROKEN.into());
            }
            if std::io::stderr().is_terminal() {
                eprintln!("\nstopping; press Ctrl-C again to stop at once");
            }
            let _ = stop.send(true);
        }
    });
    Ok(stopped)
}

/// Six hubs side by side for each core: a test mostly waits for messages.
fn six_for_each_core() -> usize {
    6 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// A seed nobody chose.
pub fn fresh_seed() -> u64 {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    clock.as_nanos() as u64 ^ u64::from(std::process::id()) << 32
}

impl Arguments {
    fn launch(&self, run_folder: PathBuf) -> anyhow::Result<Launch> {
        Ok(Launch {
            edgecert: std::env::current_exe().context("finding this program's own file")?,
            subject: self.hub.clone(),
            plant: self.plant.clone(),
            world_address: self.world_address,
            hub_address: self.hub_address,
            iot_hub_host: self.iot_hub_host.clone(),
            hub_settings: self.hub_settings.clone(),
            run_folder,
        })
    }

    /// Each transport asked for, once; all of them when none is.
    fn transports(&self) -> Vec<Transport> {
        if self.transports.is_empty() {
            return Transport::ALL.to_vec();
        }
        let mut transports = Vec::new();
        for transport in &self.transports {
            if !transports.contains(transport) {
                transports.push(*transport);
            }
        }
        transports
    }

    /// The command line that has the same input, selection of tests and transports aside.
    fn repeat_one(&self, seed: u64) -> String {
        let mut line = vec!["edgecert test".to_owned(), format!("--seed {seed:x}"), format!("--cases {}", self.cases)];
        line.extend(
            self.deployment
                .iter()
                .map(|file| format!("--deployment '{}'", repeat::quoted(&file.display().to_string()))),
        );
        if self.selection.profile == Thoroughness::Full {
            line.push("--profile full".to_owned());
        }
        line.extend(repeat::of_subject(&self.hub, self.plant.as_deref(), &self.hub_settings));
        line.extend(self.world_address.iter().map(|address| format!("--world-address {address}")));
        line.extend(self.hub_address.iter().map(|address| format!("--hub-address {address}")));
        line.join(" ")
    }

    fn repeat(&self, seed: u64) -> String {
        let mut line = self.repeat_one(seed);
        for transport in self.transports().iter().filter(|_| !self.transports.is_empty()) {
            line.push_str(&format!(" --transport {transport}"));
        }
        for suite in &self.selection.suites {
            line.push_str(&format!(" --suite {suite}"));
        }
        for id in &self.selection.requirements {
            line.push_str(&format!(" --requirement {id}"));
        }
        if let Some(text) = &self.selection.filter {
            line.push_str(&format!(" --filter '{}'", repeat::quoted(text)));
        }
        line
    }
}
