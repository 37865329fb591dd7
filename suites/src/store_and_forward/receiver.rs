//! A module that receives over a raw connection, so that it can keep an acknowledgement to itself. It speaks MQTT,
//! whatever the others on its stage speak.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use harness::client::hub_client::Input;
use harness::client::mqtt::{ConnectError, Received};
use harness::client::raw_mqtt::{Connect, Packet, RawMqtt, packet};
use harness::deadline;
use harness::observe::history::{Delivered, Identity, Place};
use harness::stage::{Stage, StageError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Arrivals of which nobody knows that the hub has their acknowledgement; clones are handles of the same list.
#[derive(Debug, Clone, Default)]
pub struct Withheld(Arc<Mutex<BTreeSet<(String, Instant)>>>);

impl Withheld {
    /// Whether this arrival was not acknowledged, for all the hub can know.
    pub fn contains(&self, delivered: &Delivered) -> bool {
        let mark = delivered.mark().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(mark, delivered.when))
    }

    fn insert(&self, delivered: &Delivered) {
        let mark = delivered.mark().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((mark, delivered.when));
    }
}

/// A connected and subscribed module. Its connection ends, without DISCONNECT, when it is dropped.
pub struct Receiver {
    mute: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Connects in the place of whoever has this identity, and subscribes to all inputs. What arrives is handed to
    /// the stage.
    ///
    /// # Errors
    /// [`StageError::Connect`] when the hub refuses or does not answer.
    pub async fn connect(stage: &Stage, module: &str, withheld: &Withheld) -> Result<Receiver, StageError> {
        Self::open(stage, module, withheld)
            .await
            .map_err(|source| StageError::Connect { who: Identity::Module(module.to_owned()).to_string(), source })
    }

    async fn open(stage: &Stage, module: &str, withheld: &Withheld) -> Result<Receiver, ConnectError> {
        let environment = stage.environment();
        let closed = |why: String| ConnectError::Closed(why);
        let mut raw = environment.raw(module).await.map_err(|error| closed(error.to_string()))?;
        let login = environment.login(&Identity::Module(module.to_owned()));
        match raw.connect(&Connect::from(&login)).await? {
            Some(0) => {}
            Some(code) => return Err(ConnectError::Refused(code)),
            None => return Err(closed("the hub closed the connection".to_owned())),
        }
        let filter = format!("devices/{}/modules/{module}/inputs/#", environment.blueprint().edge_device);
        raw.write(&packet::subscribe(1, &[(&filter, 1)])).await;
        let (mute, muted) = watch::channel(false);
        let mut ear = Ear {
            raw,
            mute: muted,
            owed: Vec::new(),
            latest: BTreeMap::new(),
            withheld: withheld.clone(),
            to: stage.arrivals(),
        };
        deadline::ACKNOWLEDGEMENT
            .wait(format!("SUBACK for {filter}"), async {
                while let Some(packet) = ear.raw.next().await {
                    if packet.suback().is_some() {
                        return Ok(());
                    }
                    ear.hear(&packet).await;
                }
                Err(closed("the hub closed the connection before SUBACK".to_owned()))
            })
            .await??;
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    packet = ear.raw.next() => match packet {
                        Some(packet) => ear.hear(&packet).await,
                        None => return ear.ended(),
                    },
                    Ok(()) = ear.mute.changed() => ear.make_up().await,
                }
            }
        });
        Ok(Self { mute, task })
    }

    /// Stops acknowledging, or starts again and makes up for what was not acknowledged.
    pub fn mute(&self, mute: bool) {
        self.mute.send_replace(mute);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Ear {
    raw: RawMqtt,
    mute: watch::Receiver<bool>,
    /// Ids not acknowledged yet.
    owed: Vec<u16>,
    /// Acknowledged last at each place. What arrives behind it shows that the hub knows.
    latest: BTreeMap<Place, Delivered>,
    withheld: Withheld,
    to: mpsc::UnboundedSender<Delivered>,
}

impl Ear {
    async fn hear(&mut self, packet: &Packet) {
        let Some(published) = packet.publish() else { return };
        let delivered = Delivered::from(Input::from(Received {
            at: Instant::now(),
            topic: published.topic,
            payload: published.payload,
            qos: published.qos,
            retain: published.retain,
            dup: published.dup,
        }));
        let withheld = *self.mute.borrow();
        if withheld {
            self.withheld.insert(&delivered);
            self.owed.extend(published.id);
        }
        // A stage that is gone does not want it any more.
        let _ = self.to.send(delivered.clone());
        if let (false, Some(id)) = (withheld, published.id) {
            self.raw.write(&packet::puback(id)).await;
            self.latest.insert(delivered.at.clone(), delivered);
        }
    }

    /// The hub has ended the connection, in the place of which another may stand already: what was acknowledged last may
    /// have come too late.
    fn ended(self) {
        self.latest.values().for_each(|delivered| self.withheld.insert(delivered));
    }

    async fn make_up(&mut self) {
        if !*self.mute.borrow_and_update() {
            for id in std::mem::take(&mut self.owed) {
                self.raw.write(&packet::puback(id)).await;
            }
        }
    }
}
