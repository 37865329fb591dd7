//! `edgecert serve`: one part of the world, until it is told to stop. The process engine starts these; each also runs
//! by hand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

#[derive(Subcommand)]
pub enum Part {
    /// The reference edgeHub. Its settings are the product's environment variables.
    EdgeHub(EdgeHub),
    /// A simulated IoT Hub: device side over MQTT and HTTPS, service side over REST.
    IotHub(IotHub),
    /// A simulated workload API: one unix socket for each module, and HTTP when asked for.
    WorkloadApi(WorkloadApi),
}

#[derive(Args)]
pub struct EdgeHub {
    /// Address to listen on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    listen: IpAddr,
    /// Dial another address for a host and port, as in HOST:PORT=IP:PORT.
    #[arg(long = "connect-to", value_name = "HOST:PORT=IP:PORT")]
    connect_to: Vec<edge_hub::ConnectTo>,
    /// Plant a fault (`edgecert list faults`).
    #[arg(long, value_name = "FAULT")]
    plant: Option<String>,
}

#[derive(Args)]
pub struct IotHub {
    /// The identities of this world, as JSON.
    #[arg(long, value_name = "FILE", required_unless_present = "new_world")]
    registry: Option<PathBuf>,
    /// Folder with the root certificate and key of this world.
    #[arg(long, value_name = "DIR", required_unless_present = "new_world")]
    pki: Option<PathBuf>,
    /// Make a world first: write registry.json with an edge device and nothing else, ca.pem and ca.key to a folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["registry", "pki"])]
    new_world: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Port for HTTPS, device and service side.
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    https_port: u16,
    /// Port for MQTT over TLS.
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    mqtt_port: u16,
    /// Port for AMQP over TLS.
    #[arg(long, value_name = "PORT", default_value_t = 5671)]
    amqp_port: u16,
    /// Keep only the latest entries of the telemetry feed and of the record of calls.
    #[arg(long, value_name = "N")]
    keep_records: Option<usize>,
}

#[derive(Args)]
pub struct WorkloadApi {
    /// The identities of this world, as JSON.
    #[arg(long, value_name = "FILE")]
    registry: PathBuf,
    /// Folder with the root certificate and key of this world.
    #[arg(long, value_name = "DIR")]
    pki: PathBuf,
    /// Folder for the sockets, one for each module.
    #[arg(long, value_name = "DIR")]
    sockets: Option<PathBuf>,
    /// Serve HTTP on an address and port too.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
}

pub fn run(part: Part) -> anyhow::Result<ExitCode> {
    // Many of these run side by side, and threads of one's own for each would mostly wake each other up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        match part {
            Part::EdgeHub(arguments) => edge_hub(arguments).await,
            Part::IotHub(arguments) => iot_hub(arguments).await,
            Part::WorkloadApi(arguments) => workload_api(arguments).await,
        }
    })
}

async fn edge_hub(arguments: EdgeHub) -> anyhow::Result<ExitCode> {
    if let Some(fault) = &arguments.plant {
        edge_hub::faults::plant(fault)?;
    }
    log();
    let options = edge_hub::Options { listen: arguments.listen, connect_to: arguments.connect_to };
    let environment = std::env::vars().collect();
    Ok(edge_hub::run(options, environment, told_to_stop()?).await)
}

/// Log lines go to standard output, as the product's do; `RuntimeLogLevel` names the least that is written.
fn log() {
    let level = std::env::var("RuntimeLogLevel").unwrap_or_default().to_lowercase();
    let level = match level.split(',').next().unwrap_or_default() {
        "fatal" | "error" => tracing_subscriber::filter::LevelFilter::ERROR,
        "warning" => tracing_subscriber::filter::LevelFilter::WARN,
        "debug" | "verbose" => tracing_subscriber::filter::LevelFilter::DEBUG,
        _ => tracing_subscriber::filter::LevelFilter::INFO,
    };
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).init();
}

async fn iot_hub(arguments: IotHub) -> anyhow::Result<ExitCode> {
    let (ready, announced) = oneshot::channel();
    tokio::spawn(announce(announced));
    let (registry, pki) = match (arguments.new_world, arguments.registry, arguments.pki) {
        (Some(folder), ..) => (new_world(&folder)?, folder),
        (None, Some(registry), Some(pki)) => (registry, pki),
        _ => anyhow::bail!("say --registry and --pki, or --new-world"),
    };
    let options = sim_iot_hub::Options {
        registry,
        pki,
        listen: arguments.listen,
        https_port: arguments.https_port,
        mqtt_port: arguments.mqtt_port,
        amqp_port: arguments.amqp_port,
        keep_records: arguments.keep_records,
    };
    sim_iot_hub::serve(options, ready, told_to_stop()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a root certificate and a registry with an edge device and its own modules; gives the registry's file.
fn new_world(folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    pki::Authority::create()?.save(folder)?;
    let file = folder.join("registry.json");
    registry::Registry::builder("edgecert.azure-devices.net", "edge1", "localhost").build().save(&file)?;
    Ok(file)
}

async fn workload_api(arguments: WorkloadApi) -> anyhow::Result<ExitCode> {
    let (ready, announced) = oneshot::channel();
    tokio::spawn(announce(announced));
    let options = sim_workload_api::Options {
        registry: arguments.registry,
        pki: arguments.pki,
        sockets: arguments.sockets,
        listen: arguments.listen,
    };
    sim_workload_api::serve(options, ready, told_to_stop()?).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints where the part listens, as one line `ready {JSON}`.
async fn announce(ready: oneshot::Receiver<impl serde::Serialize>) {
    if let Ok(ready) = ready.await {
        let addresses = serde_json::to_string(&ready).expect("addresses are plain data");
        println!("ready {addresses}");
    }
}

/// Completes on SIGTERM or Ctrl-C.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
