//! `edgecert soak`: long runs of one kind of trouble.

use std::cell::Cell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use harness::engine::run_folder::RunFolder;
use harness::stage::StageError;
use harness::subject::{Launch, Subject};
use suites::soak::{kills, packets};
use tokio::sync::watch;

use crate::test::{fresh_seed, hexadecimal, setting, stop_on_signals};
use crate::{BROKEN, repeat};

#[derive(clap::Subcommand)]
pub enum Kind {
    /// Kill the hub by SIGKILL again and again while senders and receivers go on; judge loss, order and repetitions.
    Kills(Kills),
    /// Pour broken packets of MQTT or frames of AMQP on a server; judge its memory, its answers to a healthy client, and that it lives.
    Packets(Packets),
}

#[derive(clap::Args)]
pub struct Packets {
    /// How many packets.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    count: u64,
    /// What they are of.
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t = Protocol::Mqtt)]
    protocol: Protocol,
    /// Who takes them.
    #[arg(long, value_enum, value_name = "SERVER", default_value_t = Against::EdgeHub)]
    against: Against,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Protocol {
    /// Packets of MQTT.
    Mqtt,
    /// Frames of AMQP.
    Amqp,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Against {
    /// The head of the edgeHub.
    EdgeHub,
    /// The simulated IoT Hub.
    IotHub,
}

#[derive(clap::Args)]
pub struct Kills {
    /// How often the hub is killed.
    #[arg(long, value_name = "N", default_value_t = 200)]
    times: u32,
    /// How many modules send; a share of them over each transport.
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
            Kind::Packets(arguments) => pour(arguments, stop).await,
        }
    })
}

impl Common {
    /// The command line that plays this soak again.
    fn again(&self, soak: &str) -> String {
        let subject = repeat::of_subject(&self.hub, self.plant.as_deref(), &self.hub_settings);
        std::iter::once(format!("edgecert {soak}")).chain(subject).collect::<Vec<_>>().join(" ")
    }

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
    let folder = RunFolder::create(false).context("making the run's folder")?;
    let launch = arguments.common.launch(&folder)?;
    let seed = arguments.common.seed.unwrap_or_else(fresh_seed);
    let plan = kills::Plan { kills: arguments.times, senders: arguments.senders, seed };
    let (kills, senders) = (plan.kills, plan.senders);
    crate::say(&format!("edgecert kills {} {kills} times under {senders} senders  (seed {seed:x})\n", launch.subject));
    let told = Told::now();
    let tell = |progress: kills::Progress| {
        told.say(|| format!("{} of {kills} kills, {}", progress.kills, sums(&progress.sums)));
    };
    let verdict = kills::play(&launch, &plan, tell, stop.clone()).await;
    let ended = verdict.map(|verdict| {
        let line = format!("nothing acknowledged was lost: {} kills, {}", verdict.kills, sums(&verdict.sums));
        (line, verdict.breaches)
    });
    let again = arguments.common.again(&format!("soak kills --times {kills} --senders {senders} --seed {seed:x}"));
    told.end(ended, folder, &again, *stop.borrow())
}

async fn pour(arguments: Packets, stop: watch::Receiver<bool>) -> anyhow::Result<ExitCode> {
    let folder = RunFolder::create(false).context("making the run's folder")?;
    let launch = arguments.common.launch(&folder)?;
    let seed = arguments.common.seed.unwrap_or_else(fresh_seed);
    let (target, name) = match arguments.against {
        Against::EdgeHub => (packets::Target::EdgeHub, "edge-hub"),
        Against::IotHub => (packets::Target::IotHub, "iot-hub"),
    };
    let (protocol, word) = match arguments.protocol {
        Protocol::Mqtt => (packets::Protocol::Mqtt, "mqtt"),
        Protocol::Amqp => (packets::Protocol::Amqp, "amqp"),
    };
    let plan = packets::Plan { protocol, target, packets: arguments.count, seed };
    crate::say(&format!("edgecert pours {} broken packets of {word} on the {name}  (seed {seed:x})\n", plan.packets));
    let told = Told::now();
    let tell = |progress: packets::Progress| {
        told.say(|| {
            let packets::Progress { packets, connections, healthy, memory_kib } = progress;
            let all = plan.packets;
            format!(
                "{packets} of {all} packets, {connections} connections, {memory_kib} KiB, {healthy} healthy PUBLISHes"
            )
        });
    };
    let verdict = packets::play(&launch, &plan, tell, stop.clone()).await;
    let ended = verdict.map(|packets::Verdict { done, growth_kib, breaches }| {
        let packets::Progress { packets, connections, healthy, .. } = done;
        let line = format!(
            "no panic, no closed bystander: {packets} packets on {connections} connections, memory grew by {growth_kib} KiB, {healthy} healthy PUBLISHes acknowledged"
        );
        (line, breaches)
    });
    let count = plan.packets;
    let again = arguments
        .common
        .again(&format!("soak packets --protocol {word} --against {name} --count {count} --seed {seed:x}"));
    told.end(ended, folder, &again, *stop.borrow())
}

/// Breaches told one by one.
const SHOWN: usize = 10;

fn sums(sums: &suites::soak::ledger::Sums) -> String {
    let suites::soak::ledger::Sums { sent, acknowledged, arrived, repeated } = sums;
    format!("{sent} messages sent, {acknowledged} acknowledged, {arrived} arrived, {repeated} repeated")
}

/// Says how it goes, not too often, and how it ended.
struct Told {
    began: Instant,
    last: Cell<Instant>,
}

/// Time between two lines.
const PAUSE: Duration = Duration::from_secs(5);

impl Told {
    fn now() -> Self {
        Self { began: Instant::now(), last: Cell::new(Instant::now()) }
    }

    fn say(&self, line: impl FnOnce() -> String) {
        if self.last.get().elapsed() >= PAUSE {
            self.last.set(Instant::now());
            crate::say(&format!("  {}\n", line()));
        }
    }

    /// The last lines: breaches and how to see them again, or what was held. Logs stay when there is something to read.
    fn end(
        &self,
        ended: Result<(String, Vec<String>), StageError>,
        mut folder: RunFolder,
        again: &str,
        interrupted: bool,
    ) -> anyhow::Result<ExitCode> {
        if ended.as_ref().map_or(true, |(_, breaches)| !breaches.is_empty()) {
            folder.keep().context("keeping the run's folder")?;
        }
        let (held, breaches) = ended?;
        let seconds = self.began.elapsed().as_secs();
        if breaches.is_empty() {
            let word = if interrupted { "INTERRUPTED" } else { "CONFORMS" };
            crate::say(&format!("{word}  {held}, {seconds} s\n"));
            return Ok(if interrupted { ExitCode::from(BROKEN) } else { ExitCode::SUCCESS });
        }
        for breach in breaches.iter().take(SHOWN) {
            crate::say(&format!("  {breach}\n"));
        }
        if breaches.len() > SHOWN {
            crate::say(&format!("  ... and {} more\n", breaches.len() - SHOWN));
        }
        crate::say(&format!("  logs   {}\n  again  {again}\n", folder.path().display()));
        crate::say(&format!("VIOLATED  {} breaches, {seconds} s\n", breaches.len()));
        Ok(ExitCode::from(1))
    }
}
