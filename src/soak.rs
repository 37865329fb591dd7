//! `edgecert soak`: long runs of one kind of trouble.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::engine::run_folder::RunFolder;
use harness::subject::{Launch, Subject};
use suites::soak::kills;
use tokio::sync::watch;

use crate::BROKEN;
use crate::test::{fresh_seed, hexadecimal, setting, stop_on_signals};

#[derive(clap::Subcommand)]
pub enum Kind {
    /// Kill the hub by SIGKILL again and again while senders and receivers go on; judge loss, order and repetitions.
    Kills(Kills),
}

#[derive(clap::Args)]
pub struct Kills {
    /// How often the hub is killed.
    #[arg(long, value_name = "N", default_value_t = 200)]
    times: u32,
    /// How many modules send, at QoS 1.
    #[arg(long, value_name = "N", default_value_t = 20)]
    senders: u16,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
struct Common {
    /// What to judge: `embedded`, or `command:PROGRAM ARGUMENT...`.
    #[arg(long, value_name = "HUB", default_value = "embedded")]
    hub: Subject,
    /// Where chance comes from.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal)]
    seed: Option<u64>,
    /// Plant a fault in the embedded hub, to see it caught.
    #[arg(long, value_name = "FAULT")]
    plant: Option<String>,
    /// An environment variable for the hub; `{run}` in the value is the folder of its environment.
    #[arg(long = "hub-setting", value_name = "K=V", value_parser = setting)]
    hub_settings: Vec<(String, String)>,
}

pub fn run(kind: Kind) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let stop = stop_on_signals()?;
        match kind {
            Kind::Kills(arguments) => kill(arguments, stop).await,
        }
    })
}

impl Common {
    fn launch(&self, folder: &RunFolder) -> anyhow::Result<Launch> {
        if let Subject::Attach(_) = self.hub {
            anyhow::bail!("--hub attach: a soak starts and kills its hub itself; use `embedded` or `command:`");
        }
        if let Some(fault) = self.plant.as_ref().filter(|fault| !edge_hub::faults::all().any(|known| known == *fault)) {
            anyhow::bail!("--plant {fault}: there is no such fault; `edgecert list faults` names them all");
        }
        Ok(Launch {
            edgecert: std::env::current_exe().context("finding this program's own file")?,
            subject: self.hub.clone(),
            plant: self.plant.clone(),
            world_address: None,
            hub_address: None,
            iot_hub_host: "edgecert.azure-devices.net".to_owned(),
            hub_settings: self.hub_settings.clone(),
            run_folder: folder.path().to_owned(),
        })
    }
}

async fn kill(arguments: Kills, stop: watch::Receiver<bool>) -> anyhow::Result<ExitCode> {
    let mut folder = RunFolder::create(false).context("making the run's folder")?;
    let launch = arguments.common.launch(&folder)?;
    let seed = arguments.common.seed.unwrap_or_else(fresh_seed);
    let plan = kills::Plan { kills: arguments.times, senders: arguments.senders, seed };
    crate::say(&format!(
        "edgecert kills {} {} times under {} senders  (seed {seed:x})\n",
        launch.subject, plan.kills, plan.senders
    ));
    let began = Instant::now();
    let mut told = Told::every(Duration::from_secs(5));
    let told = std::cell::RefCell::new(&mut told);
    let tell = |progress: kills::Progress| {
        told.borrow_mut().say(|| format!("  {} of {} kills, {}\n", progress.kills, plan.kills, sums(&progress.sums)));
    };
    let stopped = stop.clone();
    let verdict = kills::play(&launch, &plan, tell, stop).await;
    if verdict.as_ref().is_ok_and(|verdict| !verdict.breaches.is_empty()) || verdict.is_err() {
        folder.keep().context("keeping the run's folder")?;
        crate::say(&format!("  logs: {}\n", folder.path().display()));
    }
    let verdict = verdict?;
    let line = format!("{} kills, {}, {} s", verdict.kills, sums(&verdict.sums), began.elapsed().as_secs());
    for breach in verdict.breaches.iter().take(SHOWN) {
        crate::say(&format!("  {breach}\n"));
    }
    if verdict.breaches.len() > SHOWN {
        crate::say(&format!("  ... and {} more\n", verdict.breaches.len() - SHOWN));
    }
    Ok(if !verdict.breaches.is_empty() {
        crate::say(&format!("VIOLATED  {line}  (again: edgecert soak kills --times {} --seed {seed:x})\n", plan.kills));
        ExitCode::from(1)
    } else if *stopped.borrow() {
        crate::say(&format!("INTERRUPTED  {line}\n"));
        ExitCode::from(BROKEN)
    } else {
        crate::say(&format!("CONFORMS  nothing acknowledged was lost: {line}\n"));
        ExitCode::SUCCESS
    })
}

/// Breaches told one by one.
const SHOWN: usize = 10;

fn sums(sums: &suites::soak::ledger::Sums) -> String {
    let suites::soak::ledger::Sums { sent, acknowledged, arrived, repeated } = sums;
    format!("{sent} messages sent, {acknowledged} acknowledged, {arrived} arrived, {repeated} repeated")
}

/// Says how it goes, not too often.
struct Told {
    pause: Duration,
    last: Instant,
}

impl Told {
    fn every(pause: Duration) -> Self {
        Self { pause, last: Instant::now() }
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if self.last.elapsed() >= self.pause {
            self.last = Instant::now();
            crate::say(&line());
        }
    }
}
