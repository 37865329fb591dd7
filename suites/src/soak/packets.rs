//! A server takes a million broken packets: it must not panic, must not grow, and its healthy clients must not notice.
//!
//! Several connections pour packets of the grammar ([`mqtt_packet`], or frames of [`crate::generate::amqp_frame`]) side
//! by side, each on behalf of a module of its own; when the server closes one, the next is opened. A healthy client
//! publishes all the while and never loses its connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use harness::client::raw_mqtt::{Connect, RawMqtt, packet};
use harness::deadline;
use harness::environment::{Blueprint, Environment};
use harness::observe::history::Identity;
use harness::observe::wire_log::WireLog;
use harness::stage::StageError;
use harness::subject::Launch;
use harness::transport::Transport;
use rustls_pki_types::ServerName;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::generate::mqtt_packet::{self, Speaker};

mod frames;

/// Who takes the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The head of the edgeHub.
    EdgeHub,
    /// The endpoint of the simulated IoT Hub.
    IotHub,
}

/// What the packets are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Packets of MQTT.
    Mqtt,
    /// Frames of AMQP.
    Amqp,
}

/// What a soak of packets shall do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What they are of.
    pub protocol: Protocol,
    /// Who takes them.
    pub target: Target,
    /// How many packets.
    pub packets: u64,
    /// Where they come from.
    pub seed: u64,
}

/// How it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Packets written.
    pub packets: u64,
    /// Connections opened for them.
    pub connections: u64,
    /// PUBLISHes of the healthy client that were acknowledged.
    pub healthy: u64,
    /// Memory of the server, in KiB.
    pub memory_kib: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// How it went.
    pub done: Progress,
    /// Growth of the server's memory since it was warm, in KiB.
    pub growth_kib: u64,
    /// What broke the promise; empty when nothing did.
    pub breaches: Vec<String>,
}

/// Growth a server may show, in KiB.
pub const GROWTH_KIB: u64 = 20 * 1024;
/// Connections that pour side by side.
const POURING: u64 = 6;
/// PINGREQs behind each packet: as many answers show that it was dealt with and the connection stands.
const PINGS: usize = 8;
/// Share of the packets after which the server counts as warm: caches and pools have their size by then.
const WARM: u64 = 20;
/// Entries the cloud keeps of its records, which are no part of what is measured.
const KEEP_RECORDS: usize = 1_000;
/// Time between two PUBLISHes of the healthy client.
const HEALTHY: Duration = Duration::from_millis(100);

struct Shared {
    address: SocketAddr,
    server: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
    packets: u64,
    seed: u64,
    next: AtomicU64,
    connections: AtomicU64,
    healthy: AtomicU64,
    over: AtomicBool,
}

/// Pours the packets; `tell` hears how it goes, now and then. Ends early when `stop` becomes true.
///
/// # Errors
/// [`StageError`] when the world or the hub does not start.
pub async fn play(
    launch: &Launch,
    plan: &Plan,
    tell: impl Fn(Progress),
    mut stop: watch::Receiver<bool>,
) -> Result<Verdict, StageError> {
    let mut environment = Environment::world(launch, &blueprint(), Transport::Mqtt, "packets").await?;
    environment.start_hub().await?;
    environment.ready().await?;
    let address = match (plan.target, plan.protocol) {
        (Target::EdgeHub, Protocol::Mqtt) => environment.mqtt_address(),
        (Target::EdgeHub, Protocol::Amqp) => environment.amqp_address(),
        (Target::IotHub, Protocol::Mqtt) => environment.iot_hub_mqtt().0,
        (Target::IotHub, Protocol::Amqp) => environment.iot_hub_amqp(),
    };
    let server = match plan.target {
        Target::EdgeHub => ServerName::IpAddress(environment.hub_address().into()),
        Target::IotHub => {
            let name = environment.iot_hub_host().to_owned();
            ServerName::try_from(name).expect("a host name was checked when it was given")
        }
    };
    let process = match plan.target {
        Target::EdgeHub => environment.hub_process(),
        Target::IotHub => environment.iot_hub_process(),
    };
    let process = process.expect("a soak starts what it judges");
    let shared = Arc::new(Shared {
        address,
        server,
        tls: environment.tls(),
        packets: plan.packets,
        seed: plan.seed,
        next: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        healthy: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let (healthy, pouring) = clients(&environment, plan.protocol, &shared);
    let mut all = std::pin::pin!(futures_util::future::join_all(pouring));
    let mut memory = Memory::default();
    let mut breaches = Vec::new();
    loop {
        let done = shared.progress(memory.look(process, shared.share()));
        tell(done);
        tokio::select! {
            ended = &mut all => {
                breaches.extend(ended.into_iter().filter_map(|ended| ended.expect("pouring does not panic").err()));
                break;
            }
            _ = stop.wait_for(|stop| *stop) => break,
            // Memory has no way to be waited for.
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    shared.over.store(true, Ordering::Relaxed);
    breaches.extend(healthy.await.expect("the healthy client does not panic").err());
    let done = shared.progress(memory.look(process, shared.share()));
    if memory.growth_kib() > GROWTH_KIB {
        breaches.push(format!(
            "its memory grew by {} KiB since it was warm, from {} to {} KiB",
            memory.growth_kib(),
            memory.warm_kib.unwrap_or_default(),
            memory.peak_kib
        ));
    }
    breaches.extend(panics(&environment, plan.target));
    environment.stop().await;
    Ok(Verdict { done, growth_kib: memory.growth_kib(), breaches })
}

/// A client under way; how it ended.
type Client = JoinHandle<Result<(), String>>;

/// The healthy client, and those that pour.
fn clients(environment: &Environment, protocol: Protocol, shared: &Arc<Shared>) -> (Client, Vec<Client>) {
    let pouring = (0..POURING).map(|number| format!("p{number}"));
    match protocol {
        Protocol::Mqtt => {
            let connect = |name: &str| Connect::from(&environment.login(&Identity::Module(name.to_owned())));
            let pour_as = |name: String| {
                let speaker = Speaker { connect: connect(&name), device: EDGE_DEVICE.to_owned(), module: Some(name) };
                tokio::spawn(pour(shared.clone(), speaker))
            };
            (tokio::spawn(stay_healthy(shared.clone(), connect("healthy"))), pouring.map(pour_as).collect())
        }
        Protocol::Amqp => {
            let login = |name: String| environment.amqp_login(&Identity::Module(name), environment.over_tls());
            let pour_as = |name: String| tokio::spawn(frames::pour(shared.clone(), login(name)));
            let healthy = frames::stay_healthy(shared.clone(), login("healthy".to_owned()));
            (tokio::spawn(healthy), pouring.map(pour_as).collect())
        }
    }
}

const EDGE_DEVICE: &str = "gw7";

fn blueprint() -> Blueprint {
    let names: Vec<String> = (0..POURING).map(|number| format!("p{number}")).chain(["healthy".to_owned()]).collect();
    let modules: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut blueprint = Blueprint::new(EDGE_DEVICE, &modules, &[], &[]);
    blueprint.keep_records = Some(KEEP_RECORDS);
    blueprint
}

impl Shared {
    async fn open(&self, name: &str) -> Result<RawMqtt, String> {
        let (server, tls) = (self.server.clone(), self.tls.clone());
        self.connections.fetch_add(1, Ordering::Relaxed);
        RawMqtt::open_as(name, self.address, server, tls, WireLog::new())
            .await
            .map_err(|error| format!("no connection can be opened any more: {error}"))
    }

    /// The seed of the next packet, until all are drawn or the soak is over.
    fn draw(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let more = number < self.packets && !self.over.load(Ordering::Relaxed);
        more.then(|| self.seed.wrapping_add(number))
    }

    /// Percent of the packets written.
    fn share(&self) -> u64 {
        self.next.load(Ordering::Relaxed).min(self.packets) * 100 / self.packets.max(1)
    }

    fn progress(&self, memory_kib: u64) -> Progress {
        Progress {
            packets: self.next.load(Ordering::Relaxed).min(self.packets),
            connections: self.connections.load(Ordering::Relaxed),
            healthy: self.healthy.load(Ordering::Relaxed),
            memory_kib,
        }
    }
}

/// Pours packets, connection after connection, until all are written.
async fn pour(shared: Arc<Shared>, speaker: Speaker) -> Result<(), String> {
    let name = speaker.module.clone().unwrap_or_default();
    loop {
        let mut connection = shared.open(&name).await?;
        // One connection in eight begins with a wrong CONNECT.
        let Some(seed) = shared.draw() else { return Ok(()) };
        let mut stands = if seed % 8 == 0 {
            stands_after(&mut connection, &mqtt_packet::opening(seed, &speaker).bytes()).await
        } else {
            connection.connect(&speaker.connect).await.map_err(|expired| expired.to_string())? == Some(0)
        };
        while stands {
            let Some(seed) = shared.draw() else { return Ok(()) };
            stands = stands_after(&mut connection, &mqtt_packet::packet(seed, &speaker).bytes()).await;
        }
    }
}

/// Writes a packet, and says whether the connection still answers. A packet that claims to be longer than it is
/// swallows PINGREQs behind it; such a connection is left without a word, as broken clients do.
async fn stands_after(connection: &mut RawMqtt, packet: &[u8]) -> bool {
    let asked = [packet, packet::PINGREQ.repeat(PINGS).as_slice()].concat();
    connection.write(&asked).await;
    let all = async {
        let mut answered = 0;
        while answered < PINGS {
            match connection.next().await {
                Some(packet) => answered += usize::from(packet.is_pingresp()),
                None => return false,
            }
        }
        true
    };
    deadline::GLANCE.wait("PINGRESPs", all).await.unwrap_or(false)
}

/// A client as it should be: it publishes, is acknowledged, and keeps its connection.
async fn stay_healthy(shared: Arc<Shared>, connect: Connect) -> Result<(), String> {
    let topic = format!("devices/{EDGE_DEVICE}/modules/healthy/messages/events/");
    let mut connection = shared.open("healthy").await?;
    if connection.connect(&connect).await.map_err(|expired| expired.to_string())? != Some(0) {
        return Err("the healthy client was not let in".to_owned());
    }
    let mut id = 0;
    while !shared.over.load(Ordering::Relaxed) {
        id = id % 60_000 + 1;
        connection.write(&packet::publish(id, &topic, b"healthy")).await;
        match connection.read(deadline::ACKNOWLEDGEMENT).await {
            Ok(Some(packet)) if packet.puback() == Some(id) => {}
            Ok(Some(packet)) => return Err(format!("the healthy client got {packet} instead of PUBACK {id}")),
            Ok(None) => return Err(format!("the healthy client lost its connection, waiting for PUBACK {id}")),
            Err(expired) => return Err(format!("the healthy client: {expired}")),
        }
        shared.healthy.fetch_add(1, Ordering::Relaxed);
        // Its pace: often enough to notice, too seldom to be a load.
        tokio::time::sleep(HEALTHY).await;
    }
    Ok(())
}

/// Resident memory of a process over the soak.
#[derive(Default)]
struct Memory {
    warm_kib: Option<u64>,
    peak_kib: u64,
}

impl Memory {
    /// Looks, and gives what it saw; `share` is how many percent of the soak are over.
    fn look(&mut self, process: u32, share: u64) -> u64 {
        let now = resident_kib(process).unwrap_or_default();
        if share >= WARM {
            self.warm_kib.get_or_insert(now);
            self.peak_kib = self.peak_kib.max(now);
        }
        now
    }

    fn growth_kib(&self) -> u64 {
        self.peak_kib.saturating_sub(self.warm_kib.unwrap_or(self.peak_kib))
    }
}

fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Panics in the log of the server.
fn panics(environment: &Environment, target: Target) -> Option<String> {
    let name = match target {
        Target::EdgeHub => "edge-hub-1.log",
        Target::IotHub => "iot-hub.log",
    };
    let log = std::fs::read_to_string(environment.folder().join(name)).unwrap_or_default();
    let line = log.lines().find(|line| line.contains("panicked at"))?;
    Some(format!("it panicked: {line}"))
}
