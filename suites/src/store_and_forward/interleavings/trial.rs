//! An ordeal under way: takes the steps, and keeps the record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::client::iot_hub::Concerns;
use harness::deadline;
use harness::observe::history::{History, Identity, MARK, Place, Sent};
use harness::stage::{CANARY, MARKER, Outgoing, Stage, StageError};
use tokio::task::JoinHandle;

use super::super::ground;
use super::super::judgement::{Arrival, Cause, Interruption, Publication, Story};
use super::super::receiver::{Receiver, Withheld};
use super::step::{Fate, LANES, Step, Whom, routes, sender};

/// How long a halted hub stands still.
const HALT: Duration = Duration::from_millis(60);
/// A gap in the harness's own beat that may have delayed acknowledgements.
const STALL: Duration = Duration::from_millis(200);
/// What ran late here may have run late in the hub, so much before or after.
const AROUND: Duration = Duration::from_secs(1);
/// How often a sender publishes a message before the ordeal gives up.
const ATTEMPTS: usize = 6;

/// Every place of the ordeal.
fn places() -> [Place; 4] {
    let input = |module: &str, input: &str| Place::Input { module: module.to_owned(), input: input.to_owned() };
    [input("sink", "i0"), input("sink", "i1"), input("other", "in"), Place::Upstream]
}

/// How the end went.
pub enum Drained {
    /// Everything that waited has arrived.
    All,
    /// A message of the harness itself is lost.
    Lost(String),
    /// Nothing more arrives at a place.
    Stuck { place: String, elapsed: Duration },
}

/// A publish by its index in the history, and its acknowledgement.
type Outstanding = (usize, JoinHandle<Option<Instant>>);

/// An ordeal on a stage.
pub struct Trial<'s> {
    stage: &'s mut Stage,
    history: History,
    /// By index in the history: how often it was published, and where it must arrive.
    fates: Vec<(usize, Vec<(Place, u32)>)>,
    /// Publishes whose acknowledgement has not been awaited, in order.
    outstanding: BTreeMap<Identity, Vec<Outstanding>>,
    receivers: BTreeMap<&'static str, Receiver>,
    withheld: Withheld,
    cuts: Vec<(u64, usize)>,
    interruptions: Vec<Interruption>,
    gate_open: bool,
    stalls: Arc<Mutex<Vec<Interruption>>>,
    beat: JoinHandle<()>,
}

impl<'s> Trial<'s> {
    /// Puts the routes in force, and lets every receiver connect.
    pub async fn begin(stage: &'s mut Stage) -> Result<Trial<'s>, StageError> {
        for module in [MARKER, CANARY] {
            ground::stand_up(stage, Identity::Module(module.to_owned())).await?;
        }
        for number in 0..3 {
            ground::stand_up(stage, sender(number)).await?;
        }
        stage.configure(routes(true)).await?;
        stage.keep_arrivals();
        let history = History::begin();
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let beat = tokio::spawn(beat(history.began, stalls.clone()));
        let mut trial = Trial {
            stage,
            history,
            fates: Vec::new(),
            outstanding: BTreeMap::new(),
            receivers: BTreeMap::new(),
            withheld: Withheld::default(),
            cuts: Vec::new(),
            interruptions: Vec::new(),
            gate_open: true,
            stalls,
            beat,
        };
        for module in ["sink", "other"] {
            trial.come(module).await?;
        }
        Ok(trial)
    }

    /// Id of the edge device.
    pub fn edge_device(&self) -> String {
        self.stage.environment().blueprint().edge_device.clone()
    }

    /// Takes one step.
    pub async fn take(&mut self, step: &Step) -> Result<(), StageError> {
        match step {
            Step::Send { by, lane, count } => {
                let by = sender(*by);
                self.publish(&by, *lane, *count).await?;
                self.catch_up(&by).await
            }
            Step::Race { by, lane, count, fate } => {
                self.publish(&sender(*by), *lane, *count).await?;
                self.befall(*fate).await
            }
            Step::Befall(fate) => self.befall(*fate).await,
            Step::Leave(module) => {
                if self.receivers.remove(module).is_some() {
                    self.interrupted(Cause::ReceiverGone((*module).to_owned()));
                }
                Ok(())
            }
            Step::Return(module) => self.come(module).await,
            Step::FallSilent(module) => {
                self.receivers.get(module).iter().for_each(|receiver| receiver.mute(true));
                Ok(())
            }
            Step::Cut { whom, how } => self.cut(*whom, how).await,
            Step::Mend => self.mend().await,
            Step::Switch => self.switch().await,
        }
    }

    /// Ends every interruption, and has every sender repeat what was not acknowledged.
    pub async fn restore(&mut self) -> Result<(), StageError> {
        self.mend().await?;
        for module in ["sink", "other"] {
            self.come(module).await?;
        }
        for number in 0..3 {
            self.catch_up(&sender(number)).await?;
        }
        Ok(())
    }

    /// Has the hub try again at once whatever waits, and looks whether everything arrives.
    pub async fn drain(&mut self) -> Result<Drained, StageError> {
        let began = Instant::now();
        loop {
            ground::touch(self.stage).await?;
            match self.stage.settle(&mut self.history, &places(), deadline::DRAIN_ONCE).await {
                Ok(()) => return Ok(Drained::All),
                Err(lost @ StageError::MarkerLost { .. }) => return Ok(Drained::Lost(lost.to_string())),
                Err(StageError::Unsettled { .. }) if began.elapsed() < deadline::DRAIN.limit => {}
                Err(StageError::Unsettled { places, .. }) => {
                    return Ok(Drained::Stuck { place: places, elapsed: began.elapsed() });
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// What there is to judge.
    pub async fn end(mut self) -> (History, Story) {
        self.beat.abort();
        let mut history = self.history;
        history.delivered.extend(self.stage.kept_arrivals());
        history.delivered.sort_by_key(|delivered| delivered.when);
        let since = |at: Instant| at.saturating_duration_since(history.began);
        let sent = history.sent.iter().zip(&self.fates).map(|(sent, (publishes, copies))| Publication {
            mark: sent.mark.clone(),
            by: sent.by.clone(),
            acknowledged: sent.acknowledged.map(since),
            publishes: *publishes,
            copies: copies.clone(),
        });
        let arrived = history.delivered.iter().map(|delivered| Arrival {
            mark: delivered.mark().unwrap_or_default().to_owned(),
            place: delivered.at.clone(),
            at: since(delivered.when),
            acknowledged: !self.withheld.contains(delivered),
        });
        self.interruptions.append(&mut self.stalls.lock().unwrap_or_else(PoisonError::into_inner));
        let story = Story { sent: sent.collect(), arrived: arrived.collect(), interruptions: self.interruptions };
        (history, story)
    }

    fn interrupted(&mut self, what: Cause) -> usize {
        self.interruptions.push(Interruption { what, from: self.history.began.elapsed(), until: Duration::MAX });
        self.interruptions.len() - 1
    }

    fn resumed(&mut self, interruption: usize) {
        self.interruptions[interruption].until = self.history.began.elapsed();
    }

    async fn publish(&mut self, by: &Identity, lane: usize, count: usize) -> Result<(), StageError> {
        self.catch_up(by).await?;
        let lane = &LANES[lane];
        for _ in 0..count {
            let mark = self.stage.mark();
            let text = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
            let properties =
                vec![text(MARK, &mark), text("lane", lane.name), text("gate", "open"), text("odd", "ü & = %")];
            let length = 40 * (self.history.sent.len() % 7);
            self.history.sent.push(Sent {
                by: by.clone(),
                at: Instant::now(),
                body: mark.bytes().cycle().take(length).collect(),
                mark,
                output: None,
                properties,
                system: Vec::new(),
                acknowledged: None,
            });
            self.fates.push((0, lane.copies(self.gate_open)));
            self.hand_over(self.history.sent.len() - 1).await?;
        }
        Ok(())
    }

    /// Gives a message to its sender's connection, for the first time or again.
    async fn hand_over(&mut self, index: usize) -> Result<(), StageError> {
        let sent = &self.history.sent[index];
        let message = Outgoing {
            output: None,
            properties: sent.properties.clone(),
            system: sent.system.clone(),
            body: sent.body.clone(),
        };
        let pending = self.stage.hand_over(&sent.by, &message).await?;
        let acknowledged = tokio::spawn(async move { pending.acknowledged().await.ok().map(|()| Instant::now()) });
        self.fates[index].0 += 1;
        self.outstanding.entry(sent.by.clone()).or_default().push((index, acknowledged));
        Ok(())
    }

    /// Awaits a sender's acknowledgements. What gets none is published again, in order, on a new connection.
    async fn catch_up(&mut self, by: &Identity) -> Result<(), StageError> {
        for _ in 0..ATTEMPTS {
            let mut again = Vec::new();
            for (index, acknowledged) in self.outstanding.remove(by).unwrap_or_default() {
                match acknowledged.await.ok().flatten() {
                    Some(at) => self.history.sent[index].acknowledged = Some(at),
                    None => again.push(index),
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            self.stage.connect(by.clone()).await?;
            for index in again {
                self.hand_over(index).await?;
            }
        }
        Err(StageError::Absent(format!("acknowledgement for {by}, in {ATTEMPTS} attempts")))
    }

    async fn befall(&mut self, fate: Fate) -> Result<(), StageError> {
        let gone = match fate {
            Fate::Halted => {
                let halted = self.interrupted(Cause::HubHalted);
                self.stage.environment().pause_hub();
                // The halt itself is what happens.
                tokio::time::sleep(HALT).await;
                self.stage.environment().resume_hub();
                self.resumed(halted);
                return Ok(());
            }
            Fate::Killed => {
                let gone = self.interrupted(Cause::HubKilled);
                self.stage.environment_mut().kill_hub().await;
                gone
            }
            Fate::Stopped => {
                let gone = self.interrupted(Cause::HubStopped);
                self.stage.environment_mut().stop_hub().await;
                gone
            }
        };
        let present: Vec<&'static str> = std::mem::take(&mut self.receivers).into_keys().collect();
        ground::start_again(self.stage).await?;
        self.resumed(gone);
        for module in present {
            self.come(module).await?;
        }
        Ok(())
    }

    async fn come(&mut self, module: &'static str) -> Result<(), StageError> {
        if self.receivers.remove(module).is_some() {
            self.interrupted(Cause::ReceiverGone(module.to_owned()));
        }
        let receiver = Receiver::connect(self.stage, module, &self.withheld).await?;
        self.receivers.insert(module, receiver);
        let now = self.history.began.elapsed();
        for gone in &mut self.interruptions {
            if gone.until == Duration::MAX && gone.what == Cause::ReceiverGone(module.to_owned()) {
                gone.until = now;
            }
        }
        Ok(())
    }

    async fn cut(&mut self, whom: Whom, how: &str) -> Result<(), StageError> {
        let whose = match whom {
            Whom::Everybody => None,
            Whom::Sender(number) => Some(sender(number)),
        };
        let device = self.edge_device();
        let concerns = match &whose {
            None => Concerns::Everyone,
            Some(Identity::Module(module)) => Concerns::Identity(&device, Some(module)),
            Some(Identity::LeafDevice(leaf)) => Concerns::Identity(leaf, None),
        };
        let condition = self.stage.environment().iot_hub().impose(how, concerns, Duration::ZERO).await?;
        let cut = self.interrupted(Cause::LinkCut(whose));
        self.cuts.push((condition, cut));
        Ok(())
    }

    async fn mend(&mut self) -> Result<(), StageError> {
        for (condition, cut) in std::mem::take(&mut self.cuts) {
            self.stage.environment().iot_hub().lift(condition).await?;
            self.resumed(cut);
        }
        Ok(())
    }

    /// A hub without its cloud cannot hear of a change.
    async fn switch(&mut self) -> Result<(), StageError> {
        if self.cuts.iter().any(|(_, cut)| self.interruptions[*cut].what == Cause::LinkCut(None)) {
            return Ok(());
        }
        self.gate_open = !self.gate_open;
        for number in 0..3 {
            self.catch_up(&sender(number)).await?;
        }
        self.stage.configure(routes(self.gate_open)).await
    }
}

/// Notes when the harness itself did not run.
async fn beat(began: Instant, stalls: Arc<Mutex<Vec<Interruption>>>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(STALL / 8).await;
        let now = Instant::now();
        if now - last > STALL {
            let since = |at: Instant| at.saturating_duration_since(began);
            let from = since(last).saturating_sub(AROUND);
            let stall = Interruption { what: Cause::HarnessStalled, from, until: since(now) + AROUND };
            stalls.lock().unwrap_or_else(PoisonError::into_inner).push(stall);
        }
        last = now;
    }
}
