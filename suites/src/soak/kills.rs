//! The hub dies by SIGKILL again and again, while senders send and receivers take what comes, a share of them over each
//! transport.
//!
//! Senders behave as both standards ask: what is not acknowledged when the connection breaks is sent again, in order, on
//! the next. Each sender feeds two streams: one to an input of a module, one to the cloud.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::client::amqp::message::Message;
use harness::client::hub_client::{HubClient, Pending};
use harness::deadline;
use harness::environment::{Blueprint, Environment};
use harness::observe::history::Identity;
use harness::stage::StageError;
use harness::subject::Launch;
use harness::transport::Transport;
use proptest::prelude::RngCore as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::ledger::{Arrival, Ledger, Stream, Sums, UPSTREAM};

/// What a soak of kills shall do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often the hub is killed.
    pub kills: u32,
    /// How many modules send.
    pub senders: u16,
    /// Where the moments of the kills come from.
    pub seed: u64,
}

/// How it goes.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Kills so far.
    pub kills: u32,
    /// Sums so far.
    pub sums: Sums,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Kills done.
    pub kills: u32,
    /// Sums.
    pub sums: Sums,
    /// What broke the promise; empty when nothing did.
    pub breaches: Vec<String>,
}

const EDGE_DEVICE: &str = "gw7";
/// Modules that receive; each serves the streams of a share of the senders.
const RECEIVERS: u16 = 4;
/// Messages a sender has under way.
const WINDOW: usize = 10;
/// Messages between senders and receivers, beyond which senders wait: a hub that drains slower than it takes in would
/// only gather a backlog.
const UNDER_WAY: u64 = 2_000;
/// Least and most time between readiness and the next kill.
const LIFE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1_400));
/// Entries the cloud keeps: far more than a reader can be behind.
const KEEP_RECORDS: usize = 100_000;

struct World {
    ledger: Mutex<Ledger>,
    life: AtomicU32,
    sent: AtomicU64,
    arrived: AtomicU64,
    finishing: AtomicBool,
    room: Notify,
}

impl World {
    fn ledger<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note_arrival(&self, place: &str, body: &[u8], life: u32) -> Result<(), String> {
        let (stream, number) = read(body)
            .ok_or_else(|| format!("a message arrived at {place} that nobody sent: {}", body.escape_ascii()))?;
        if self.ledger(|ledger| ledger.arrived(place, Arrival { stream, number, life })) {
            self.arrived.fetch_add(1, Ordering::Relaxed);
        }
        self.room.notify_waiters();
        Ok(())
    }

    fn is_crowded(&self) -> bool {
        self.sent.load(Ordering::Relaxed) > self.arrived.load(Ordering::Relaxed) + UNDER_WAY
    }
}

/// Plays the soak; `tell` hears how it goes. It ends early, with a verdict on what was, when `stop` becomes true.
///
/// # Errors
/// [`StageError`] when the world or the hub does not start, or the cloud's service side fails.
pub async fn play(
    launch: &Launch,
    plan: &Plan,
    tell: impl Fn(Progress),
    stop: watch::Receiver<bool>,
) -> Result<Verdict, StageError> {
    let blueprint = blueprint(plan.senders);
    let mut environment = Environment::world(launch, &blueprint, Transport::Mqtt, "kills").await?;
    environment.start_hub().await?;
    environment.ready().await?;
    let world = Arc::new(World {
        ledger: Mutex::new(Ledger::default()),
        life: AtomicU32::new(0),
        sent: AtomicU64::new(0),
        arrived: AtomicU64::new(0),
        finishing: AtomicBool::new(false),
        room: Notify::new(),
    });
    let strange: Arc<Mutex<Vec<String>>> = Arc::default();
    let environment = Arc::new(tokio::sync::RwLock::new(environment));
    let (pages_to, pages) = watch::channel(0);
    let (ready_to, ready) = watch::channel(0);
    let (awake_to, awake) = watch::channel(0);
    let mut tasks = Tasks(Vec::new());
    tasks.0.push(tokio::spawn(read_cloud(world.clone(), environment.clone(), strange.clone(), pages_to)));
    for number in 0..RECEIVERS {
        let hub = Hub { environment: environment.clone(), ready: ready.clone() };
        tasks.0.push(tokio::spawn(receive(world.clone(), hub, strange.clone(), number, awake_to.clone())));
    }
    for number in 0..plan.senders {
        let hub = Hub { environment: environment.clone(), ready: ready.clone() };
        tasks.0.push(tokio::spawn(send(world.clone(), hub, number)));
    }
    let killing = Killing { world: &world, environment: &environment, pages, ready: ready_to, awake };
    let kills = killing.kill_all(plan, &tell, stop).await?;
    world.finishing.store(true, Ordering::Relaxed);
    world.room.notify_waiters();
    drained(&world).await;
    drop(tasks);
    let mut breaches = std::mem::take(&mut *strange.lock().unwrap_or_else(PoisonError::into_inner));
    breaches.extend(world.ledger(|ledger| ledger.breaches()));
    let sums = world.ledger(|ledger| ledger.sums());
    if let Some(environment) = Arc::into_inner(environment) {
        environment.into_inner().stop().await;
    }
    Ok(Verdict { kills, sums, breaches })
}

/// Tasks that end with the soak.
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

fn sender(number: u16) -> Identity {
    Identity::Module(format!("s{number}"))
}

fn receiver(number: u16) -> String {
    format!("r{number}")
}

fn blueprint(senders: u16) -> Blueprint {
    let names: Vec<String> =
        (0..senders).map(|number| format!("s{number}")).chain((0..RECEIVERS).map(receiver)).collect();
    let modules: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut blueprint = Blueprint::new(EDGE_DEVICE, &modules, &[], &[]);
    let mut routes = BTreeMap::new();
    for number in 0..senders {
        let (from, to) = (format!("/messages/modules/s{number}/outputs"), receiver(number % RECEIVERS));
        routes.insert(
            format!("in{number}"),
            format!("FROM {from}/in INTO BrokeredEndpoint(\"/modules/{to}/inputs/in\")"),
        );
        routes.insert(format!("up{number}"), format!("FROM {from}/up INTO $upstream"));
    }
    blueprint.desired = Some(json!({
        "schemaVersion": "1.1",
        "routes": routes,
        "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
    }));
    // Senders of one receiver speak the same: a share of the streams is of one protocol from end to end.
    let number = |name: &str| name[1..].parse::<usize>().unwrap_or_default();
    let speakers = names.iter().map(|name| (name, Transport::ALL[number(name) % Transport::ALL.len()]));
    blueprint.speakers = speakers.map(|(name, transport)| (Identity::Module(name.clone()), transport)).collect();
    blueprint.settings = vec![("MaxConnectedClients".to_owned(), "200".to_owned())];
    blueprint.keep_records = Some(KEEP_RECORDS);
    blueprint
}

/// The body of a message says which it is, and is long enough to show that it came whole.
fn body((sender, output): Stream, number: u32) -> Bytes {
    let filler = "x".repeat(number as usize % 200);
    format!("{sender} {output} {number} {filler}").into()
}

fn read(bytes: &[u8]) -> Option<(Stream, u32)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts = text.split(' ');
    let stream = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let number = parts.next()?.parse().ok()?;
    (body(stream, number) == bytes).then_some((stream, number))
}

/// How a client comes to the hub of the current life.
#[derive(Clone)]
struct Hub {
    environment: Arc<tokio::sync::RwLock<Environment>>,
    /// Counts the lives in which the hub became ready.
    ready: watch::Receiver<u32>,
}

impl Hub {
    /// Connects, as soon as the hub can be reached.
    async fn connect(&mut self, identity: &Identity) -> HubClient {
        loop {
            self.ready.mark_unchanged();
            let connected = self.environment.read().await.connect(identity).await;
            match connected {
                Ok(client) => return client,
                // It has been killed: the next life begins with a word.
                Err(_) => {
                    let _ = self.ready.changed().await;
                }
            }
        }
    }
}

/// One message under way.
type UnderWay = (u8, u32, Pending);

async fn send(world: Arc<World>, mut hub: Hub, number: u16) {
    let identity = sender(number);
    let mut unacknowledged: VecDeque<(u8, u32)> = VecDeque::new();
    loop {
        let client = hub.connect(&identity).await;
        let mut under_way: VecDeque<UnderWay> = VecDeque::new();
        for (output, message) in std::mem::take(&mut unacknowledged) {
            under_way.push_back(publish(&world, &client, number, output, message).await);
        }
        let mut output = 0;
        loop {
            while under_way.len() < WINDOW && !world.is_crowded() && !world.finishing.load(Ordering::Relaxed) {
                let message = world.ledger(|ledger| ledger.next((number, output)));
                under_way.push_back(publish(&world, &client, number, output, message).await);
                output = 1 - output;
            }
            let Some((output, message, pending)) = under_way.pop_front() else {
                if world.finishing.load(Ordering::Relaxed) {
                    return;
                }
                // Arrivals make room; the hub may also die meanwhile, which the next message shows.
                let room = world.room.notified();
                let _ = tokio::time::timeout(deadline::GLANCE.limit, room).await;
                continue;
            };
            if pending.acknowledged().await.is_err() {
                unacknowledged = std::iter::once((output, message))
                    .chain(under_way.drain(..).map(|(output, message, _)| (output, message)))
                    .collect();
                break;
            }
            world.ledger(|ledger| ledger.acknowledged((number, output), message));
        }
    }
}

async fn publish(world: &World, client: &HubClient, number: u16, output: u8, message: u32) -> UnderWay {
    let stream = (number, output);
    if world.ledger(|ledger| ledger.sent(stream, message)) {
        world.sent.fetch_add(1, Ordering::Relaxed);
    }
    let name = if output == 0 { "in" } else { "up" };
    let system = vec![("outputName".to_owned(), Some(name.to_owned()))];
    let carrier = Message { system, body: body(stream, message), ..Message::default() };
    (output, message, client.send(&carrier).await)
}

async fn receive(
    world: Arc<World>,
    mut hub: Hub,
    strange: Arc<Mutex<Vec<String>>>,
    number: u16,
    awake: watch::Sender<u64>,
) {
    let module = receiver(number);
    let place = format!("{module}/in");
    let identity = Identity::Module(module.clone());
    loop {
        let mut client = hub.connect(&identity).await;
        let life = world.life.load(Ordering::SeqCst);
        let Ok(mut received) = client.inputs().await else { continue };
        awake.send_modify(|count| *count += 1);
        while let Some(input) = received.recv().await {
            if let Err(what) = world.note_arrival(&place, &input.message.body, life) {
                strange.lock().unwrap_or_else(PoisonError::into_inner).push(what);
            }
        }
    }
}

/// Reads the cloud's telemetry, page by page, and counts the pages.
async fn read_cloud(
    world: Arc<World>,
    environment: Arc<tokio::sync::RwLock<Environment>>,
    strange: Arc<Mutex<Vec<String>>>,
    pages: watch::Sender<u64>,
) {
    let mut from = 1;
    loop {
        let life = world.life.load(Ordering::SeqCst);
        let page = environment.read().await.iot_hub().telemetry_from(from, Duration::from_millis(50)).await;
        let found = match page {
            Ok((page, next)) => {
                from = next;
                page.iter().find_map(|telemetry| world.note_arrival(UPSTREAM, &telemetry.body, life).err())
            }
            Err(error) => Some(error.to_string()),
        };
        strange.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        pages.send_modify(|count| *count += 1);
    }
}

/// What the killing hand needs.
struct Killing<'a> {
    world: &'a World,
    environment: &'a tokio::sync::RwLock<Environment>,
    pages: watch::Receiver<u64>,
    ready: watch::Sender<u32>,
    awake: watch::Receiver<u64>,
}

impl Killing<'_> {
    async fn kill_all(
        mut self,
        plan: &Plan,
        tell: &impl Fn(Progress),
        mut stop: watch::Receiver<bool>,
    ) -> Result<u32, StageError> {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&plan.seed.to_be_bytes());
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        for kill in 0..plan.kills {
            let spread = LIFE.1 - LIFE.0;
            let life = LIFE.0 + spread.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX));
            // The moment is random on purpose: nothing is waited for here.
            if tokio::time::timeout(life, stop.wait_for(|stop| *stop)).await.is_ok() {
                return Ok(kill);
            }
            self.kill_once().await?;
            tell(Progress { kills: kill + 1, sums: self.world.ledger(|ledger| ledger.sums()) });
        }
        Ok(plan.kills)
    }

    async fn kill_once(&mut self) -> Result<(), StageError> {
        self.environment.write().await.kill_hub().await;
        self.cloud_has_seen_the_end().await?;
        // Two pages later, everything the dead hub sent has been read.
        let read = *self.pages.borrow();
        let _ = self.pages.wait_for(|pages| *pages >= read + 2).await;
        let life = self.world.life.fetch_add(1, Ordering::SeqCst) + 1;
        let awake = *self.awake.borrow();
        {
            let mut environment = self.environment.write().await;
            environment.start_hub().await?;
            environment.ready().await?;
        }
        self.ready.send_replace(life);
        let back = self.awake.wait_for(|count| *count >= awake + u64::from(RECEIVERS));
        let _ = deadline::CONNECT.wait("the receivers to be back", back).await?;
        self.touch(life).await
    }

    /// All upstream connections of the dead hub have ended, and all they carried is in the record.
    async fn cloud_has_seen_the_end(&self) -> Result<(), StageError> {
        let began = Instant::now();
        loop {
            let calls = self.environment.read().await.iot_hub().calls(1).await?;
            if open(&calls).is_empty() || began.elapsed() > deadline::STOP.limit {
                return Ok(());
            }
            // The record of calls has no way to wait for an absence.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Any change of the configuration has queues in a back-off try again at once (ROUTE-SF-24).
    async fn touch(&self, life: u32) -> Result<(), StageError> {
        let route = format!("FROM /messages/modules/nobody/outputs/life{life} INTO $upstream");
        let environment = self.environment.read().await;
        environment.iot_hub().patch_desired(EDGE_DEVICE, Some("$edgeHub"), json!({"routes": {"touch": route}})).await?;
        Ok(())
    }
}

/// Client ids whose connection to the cloud stands, by the record of calls.
fn open(calls: &[Value]) -> BTreeSet<&str> {
    let mut open = BTreeSet::new();
    for call in calls {
        let client = call["client_id"].as_str().unwrap_or_default();
        match call["call"].as_str() {
            Some("connect") if call["accepted"] == true => {
                open.insert(client);
            }
            Some("disconnect") => {
                open.remove(client);
            }
            _ => {}
        }
    }
    open
}

/// Waits until everything acknowledged has arrived, or nothing has arrived for as long as a queue may pause.
async fn drained(world: &World) {
    let mut before = 0;
    let mut moved = Instant::now();
    while moved.elapsed() < deadline::RETRY.limit {
        if world.ledger(|ledger| ledger.sums().acknowledged == ledger.sums().sent && ledger.missing().is_empty()) {
            return;
        }
        let arrived = world.arrived.load(Ordering::Relaxed);
        if arrived != before {
            (before, moved) = (arrived, Instant::now());
        }
        // Arrivals end the pause early; so many of them may come that each is not worth a look at the books.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
