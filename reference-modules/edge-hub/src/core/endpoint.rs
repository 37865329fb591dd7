//! An endpoint: its queues, and what its pump is doing.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::input::{DeliveryId, Entry, SendId};
use super::queue::Queue;
use super::routing::Sink;
use super::time::Timestamp;
use super::timers::TimerKey;
use crate::identity::ClientId;

/// Priority of a route that sets none; ranks behind 9.
pub const DEFAULT_PRIORITY: u32 = 2_000_000_000;

/// What one endpoint is doing. One batch of one priority at a time; nothing else is sent before it is settled.
#[derive(Debug)]
pub enum Pump {
    /// Looking for entries.
    Idle,
    /// Delivering to a module, one by one.
    Delivering {
        /// Queue they came from.
        priority: u32,
        /// What is left; the first is on its way.
        entries: VecDeque<Entry>,
        /// The attempt, or `None` while another input of the module is being served.
        delivery: Option<DeliveryId>,
    },
    /// Sending upstream, several senders at a time.
    Sending {
        /// Queue they came from.
        priority: u32,
        /// Senders whose turn has not come.
        waiting: VecDeque<(ClientId, VecDeque<Entry>)>,
        /// Attempts on their way.
        active: HashMap<SendId, Attempt>,
        /// To be tried again.
        failed: Vec<Entry>,
    },
    /// Waiting to try the same batch again.
    BackingOff {
        /// Queue they came from.
        priority: u32,
        /// The batch.
        entries: VecDeque<Entry>,
        /// When.
        timer: TimerKey,
    },
}

/// One sender's share of a batch for upstream.
#[derive(Debug)]
pub struct Attempt {
    /// On whose behalf.
    pub sender: ClientId,
    /// On their way.
    pub sent: VecDeque<Entry>,
    /// To follow.
    pub rest: VecDeque<Entry>,
}

/// IoT Hub, or one input of one module.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it leads.
    pub sink: Sink,
    /// The product's endpoint id; first part of the names of its queues.
    pub name: String,
    /// Most urgent first.
    pub queues: BTreeMap<u32, Queue>,
    /// What it is doing.
    pub pump: Pump,
    /// How often the batch failed.
    pub attempt: u32,
    /// A batch that failed and is passed by the next: only a planted fault puts one there.
    pub aside: Option<(u32, VecDeque<Entry>)>,
    /// How often it was looked for entries: only a planted fault has queues take turns.
    pub turn: u64,
    /// Before this it takes nothing: only a planted fault sets it.
    pub usable_from: Timestamp,
}

impl Endpoint {
    /// Idle, without queues.
    pub fn new(edge_device_id: &str, sink: Sink) -> Endpoint {
        Endpoint {
            name: endpoint_id(edge_device_id, &sink),
            sink,
            queues: BTreeMap::new(),
            pump: Pump::Idle,
            attempt: 0,
            aside: None,
            turn: 0,
            usable_from: Timestamp::default(),
        }
    }

    /// Name of a queue in the store.
    pub fn queue_name(&self, priority: u32) -> String {
        if priority == DEFAULT_PRIORITY { self.name.clone() } else { format!("{}_Pri{priority}", self.name) }
    }
}

/// The product's name for a sink: `iothub`, or `<device>/<module>/<input>`.
pub fn endpoint_id(edge_device_id: &str, sink: &Sink) -> String {
    match sink {
        Sink::Upstream => String::from("iothub"),
        Sink::Input { module, input } => format!("{edge_device_id}/{module}/{input}"),
    }
}
