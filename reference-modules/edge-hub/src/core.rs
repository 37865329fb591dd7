//! The deciding core: `(Input, now) -> Outputs`. No clock, socket, task or storage call in here; its tests run in
//! virtual time.
//!
//! - [`Core`]: all state of the hub that decides something.
//! - [`Input`], [`Output`]: everything that goes in and comes out.
//! - `ingress`: from a PUBLISH to copies in queues. An acknowledgement is put out only after the store confirmed every
//!   copy.
//! - `queue`, `endpoint`, `pump`: what waits for whom; `deliver` and `upstream` are the two kinds of receivers.
//! - `cloud_to_device`: messages of the cloud, which are in no queue.
//! - [`methods`]: calls that wait for a client, and for its answer.
//! - `desired`, `configuration`, `reported`: the hub's own twin.
//! - `twins`: the twins of everybody else.
//! - [`routing`]: which message goes where.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

mod clients;
mod cloud_to_device;
mod configuration;
pub mod date;
mod deliver;
mod desired;
mod endpoint;
mod envelope;
mod events;
mod ingress;
mod input;
pub(crate) mod lenient_json;
pub mod methods;
mod output;
mod pump;
mod queue;
mod reported;
mod retry;
pub mod routing;
pub mod system;
mod time;
mod timers;
pub(crate) mod twins;
mod upstream;

#[cfg(test)]
mod tests;

pub use cloud_to_device::CloudMessage;
pub use envelope::{Envelope, Telemetry, TwinChange};
pub use events::Event;
pub use ingress::MAX_MESSAGE_BYTES;
pub use input::{
    AppendId, CloudMessageId, ConnectionId, DeliveryId, DeliveryOutcome, Entry, Input, Listening, PublishId, QueueId,
    ReportOutcome, SendId, SendOutcome, TwinRequestId,
};
pub use methods::{CallerId, MethodFailure, MethodOutcome};
pub use output::{Copy, Feedback, Output, Remembered, Verdict};
pub use time::Timestamp;

use crate::faults::planted;
use crate::identity::ClientId;
use clients::{Arrival, Client, Clients};
use cloud_to_device::CloudToDevice;
use deliver::Delivery;
use desired::Desired;
use endpoint::Endpoint;
use ingress::Appending;
use methods::{Caller, Calls};
use reported::Reported;
use retry::Spread;
use routing::{RoutingTable, Sink};
use timers::Timers;
use twins::Twins;

/// What the core needs to know of the settings.
#[derive(Clone, Debug)]
pub struct CoreSettings {
    /// The edge device.
    pub edge_device_id: String,
    /// The hub's own module id.
    pub hub_module_id: String,
    /// Identities served at a time, the hub's own not counted.
    pub max_connected_clients: usize,
    /// How long a module may take to acknowledge.
    pub message_ack_timeout: Duration,
    /// Senders served upstream at a time.
    pub upstream_fan_out: usize,
    /// Messages of one sender sent upstream at a time.
    pub max_upstream_batch: usize,
    /// Period of the removal of settled and expired entries.
    pub cleanup_interval: Duration,
    /// Whether that looks at every entry.
    pub check_entire_queue: bool,
    /// Period at which refused updates of reported properties are repeated.
    pub reported_sync: Duration,
    /// How long a client's twin that was read is good enough after an outage.
    pub min_twin_sync: Duration,
    /// Period at which IoT Hub is looked for though nothing is amiss.
    pub connectivity_check: Duration,
    /// Show clients what they reported even if IoT Hub has not taken it yet.
    pub strong_twin_reads: bool,
    /// Take an update of reported properties that is no object for one without members, as the product does.
    pub any_reported_root: bool,
    /// Period at which the whole twin is read again.
    pub config_refresh: Option<Duration>,
    /// Try at once when a module subscribes, and fail a delivery when its connection ends, instead of waiting as long
    /// as the product does.
    pub prompt_redelivery: bool,
    /// A desired document that takes the place of the twin.
    pub local_configuration: Option<String>,
    /// Spreads retries.
    pub seed: u64,
}

/// What is to happen later.
#[derive(Debug)]
enum Timer {
    AckTimeout { endpoint: u32, delivery: DeliveryId },
    Retry { endpoint: u32 },
    Clean,
    ReportAgain,
    RefreshConfiguration,
    ApplyLate,
    AppendLate { append: AppendId },
    MethodUnreachable { target: ClientId, rid: String },
    MethodTimeout { rid: String },
    MethodAnswerHeld { rid: String },
    HandOverMethods { target: ClientId },
    ReportRound,
    Probe,
}

/// The hub's decisions.
#[derive(Debug)]
pub struct Core {
    settings: CoreSettings,
    hub: ClientId,
    now: Timestamp,
    out: Vec<Output>,
    timers: Timers<Timer>,
    spread: Spread,
    /// Source of all ids handed out.
    ids: u64,
    clients: Clients,
    cloud_to_device: CloudToDevice,
    deliveries: HashMap<DeliveryId, Delivery>,
    sends: HashMap<SendId, u32>,
    appends: HashMap<AppendId, Appending>,
    calls: Calls,
    /// Who called the hub's own method, by request id.
    refreshing: HashMap<String, Caller>,
    routed: u64,
    taken: u64,
    swap_due: bool,
    last_message_id: Option<String>,
    /// Whose message a module got last: only a planted fault keeps this.
    heard_last: HashMap<ClientId, ClientId>,
    endpoints: BTreeMap<u32, Endpoint>,
    by_sink: BTreeMap<Sink, u32>,
    endpoints_created: u32,
    table: RoutingTable,
    time_to_live_secs: i32,
    desired: Desired,
    last_applied: Option<String>,
    held_back: Option<String>,
    in_force: bool,
    announced: bool,
    reported: Reported,
    twins: Twins,
}

impl Core {
    /// A core without configuration; tell it [`Input::Started`] next.
    pub fn new(settings: CoreSettings) -> Core {
        Core {
            hub: ClientId::module(settings.edge_device_id.clone(), settings.hub_module_id.clone()),
            now: Timestamp::default(),
            out: Vec::new(),
            timers: Timers::new(),
            spread: Spread::new(settings.seed),
            ids: 0,
            clients: Clients::new(settings.max_connected_clients),
            cloud_to_device: CloudToDevice::default(),
            deliveries: HashMap::new(),
            sends: HashMap::new(),
            appends: HashMap::new(),
            calls: Calls::default(),
            refreshing: HashMap::new(),
            routed: 0,
            taken: 0,
            swap_due: false,
            last_message_id: None,
            heard_last: HashMap::new(),
            endpoints: BTreeMap::new(),
            by_sink: BTreeMap::new(),
            endpoints_created: 0,
            table: configuration::no_routes().1,
            time_to_live_secs: -1,
            desired: Desired::default(),
            last_applied: None,
            held_back: None,
            in_force: false,
            announced: false,
            reported: Reported::default(),
            twins: Twins::default(),
            settings,
        }
    }

    /// Takes in what happened, and everything that is due by now; returns what is to be done, in order.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Output> {
        self.now = now;
        self.dispatch(input);
        while let Some(timer) = self.timers.take_due(now) {
            self.due(timer);
        }
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Elapsed`] must be told at the latest.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next_due()
    }

    /// Whether a connection is known here, and so can be sent to.
    pub fn serves(&self, connection: ConnectionId) -> bool {
        self.clients.identity(connection).is_some()
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Started { cached, applied } => {
                self.started(cached.as_deref(), applied.as_deref());
                self.flush_reported();
            }
            Input::TwinsRemembered(twins) => self.twins_remembered(twins),
            Input::Connected { connection, client } => self.connected(connection, client),
            Input::Subscribed { connection, inputs, listening } => self.subscribed(connection, inputs, listening),
            Input::Disconnected { connection } => self.disconnected(connection),
            Input::Published { publish, telemetry } => self.published(publish, telemetry),
            Input::TwinChanged { publish, change } => self.twin_patch(publish, change),
            Input::TwinGet { publish, client } => self.twin_get(publish, client),
            Input::QueueOpened { queue, checkpoint, tail, length } => {
                self.queue_opened(queue, checkpoint, tail, length)
            }
            Input::Stored { append, offsets } => self.stored(append, offsets.as_deref()),
            Input::Read { queue, entries, next } => self.entries_read(queue, entries, next),
            Input::Cleaned { queue, expired, remaining } => self.cleaned(queue, expired, remaining),
            Input::Settled { delivery, outcome } => {
                if !self.cloud_message_settled(delivery, outcome) {
                    self.delivery_settled(delivery, outcome);
                }
            }
            Input::Sent { send, accepted, outcome } => self.sent(send, accepted, outcome),
            Input::Twin(document) => self.whole_twin(&document),
            Input::DesiredPatch(patch) => self.desired_patch(&patch),
            Input::TwinUnobtainable(why) => self.twin_unobtainable(&why),
            Input::Reported { outcome } => {
                self.reported.answered(outcome);
                if outcome != ReportOutcome::Failed {
                    self.flush_reported();
                }
            }
            Input::TwinAnswered { request, answer } => self.twin_answered(request, answer),
            Input::Probed => self.probed(),
            Input::UpstreamConnected => {
                self.flush_reported();
                self.upstream_is_back();
            }
            Input::UpstreamLost => self.upstream_is_gone(),
            Input::ListensAgain { client } => {
                self.synchronise(&client);
                self.cloud_messages_come_again(&client);
            }
            Input::DesiredChanged { client, patch, version } => self.desired_changed(&client, patch, version),
            Input::MethodCalled { caller, target, request } => {
                self.method_called(Caller::Local(caller), target, request);
            }
            Input::CloudMethod { client, rid, name, payload } => self.cloud_method(client, rid, name, payload),
            Input::MethodAnswered { connection, rid, status, payload } => {
                self.method_answered(connection, &rid, &status, payload);
            }
            Input::IdentitiesRefreshed { rid, error } => self.identities_refreshed(&rid, error),
            Input::CloudMessage { client, id, message } => self.cloud_message(client, id, message),
            Input::Elapsed => {}
        }
    }

    fn due(&mut self, timer: Timer) {
        match timer {
            Timer::AckTimeout { endpoint, delivery } => self.delivery_timed_out(endpoint, delivery),
            Timer::Retry { endpoint } => self.retry(endpoint),
            Timer::Clean => {
                self.clean();
                self.timers.set(self.now + self.settings.cleanup_interval, Timer::Clean);
            }
            Timer::ReportAgain => {
                self.flush_reported();
                self.timers.set(self.now + self.settings.reported_sync, Timer::ReportAgain);
            }
            Timer::RefreshConfiguration => {
                self.out.push(Output::FetchTwin);
                if let Some(period) = self.settings.config_refresh {
                    self.timers.set(self.now + period, Timer::RefreshConfiguration);
                }
            }
            Timer::ApplyLate => self.apply_late(),
            Timer::AppendLate { append } => self.append_late(append),
            Timer::MethodUnreachable { target, rid } => self.method_unreachable(&target, &rid),
            Timer::MethodTimeout { rid } => self.method_timed_out(&rid),
            Timer::MethodAnswerHeld { rid } => self.held_answer_counts(&rid),
            Timer::HandOverMethods { target } => self.hand_over_methods(&target),
            Timer::ReportRound => self.report_round_due(),
            Timer::Probe => self.probe_now_and_then(),
        }
    }

    fn connected(&mut self, connection: ConnectionId, client: ClientId) {
        match self.clients.connect(connection, client.clone(), self.now) {
            Arrival::OverLimit => return,
            Arrival::Superseded => return self.out.push(Output::Close { connection }),
            Arrival::New => {}
            Arrival::TakesOver(older) => {
                if !planted("CONN16-older-connection-stays") {
                    self.out.push(Output::Close { connection: older.connection });
                }
                self.hand_on_upstream(&client, &older);
                self.callee_displaced(older.connection);
                self.receiver_gone(older, true);
            }
        }
        let connected = self.clients.len();
        self.out.push(Output::Event(Event::ClientConnected { id: client.to_string(), connected }));
        if client.module.is_none() && planted("C2D09-every-device-is-listened-for") {
            let listening = Listening { cloud_to_device: true, ..Listening::default() };
            self.out.push(Output::Listen { client: client.clone(), listening });
        }
        self.reported.connected(&client, &self.now.to_text());
        self.flush_reported();
    }

    fn subscribed(&mut self, connection: ConnectionId, inputs: bool, listening: Listening) {
        let Some(identity) = self.clients.identity(connection).cloned() else { return };
        if planted("CONN02-subscriptions-outlive-their-connection") {
            self.clients.remember(&identity, inputs, listening);
        }
        let listening = self.entitled(&identity, listening);
        let Some(client) = self.clients.by_connection(connection) else { return };
        client.inputs = inputs;
        let kept = client.listening.methods && planted("INV25-unsubscribing-from-methods-is-not-noticed");
        let listening = Listening { methods: listening.methods || kept, ..listening };
        let before = std::mem::replace(&mut client.listening, listening);
        let stays = before.methods && !listening.methods && planted("CLD03-subscription-upstream-outlives-the-clients");
        if before != listening && !stays {
            client.upstream = listening.is_any();
            self.out.push(Output::Listen { client: identity.clone(), listening });
        }
        if listening.methods && !before.methods {
            self.takes_methods(&identity);
        }
        if listening.desired && !before.desired {
            self.desired_subscribed(&identity);
        }
        if listening.cloud_to_device {
            self.cloud_messages_wanted(connection);
        }
        if !inputs || !self.settings.prompt_redelivery {
            return;
        }
        if let Some(client) = self.clients.identity(connection).cloned() {
            self.receiver_ready(&client);
        }
    }

    fn disconnected(&mut self, connection: ConnectionId) {
        let Some((client, state)) = self.clients.disconnect(connection) else { return };
        self.callee_left(connection);
        self.listens_no_more(&client, &state);
        let connected = self.clients.len();
        self.out.push(Output::Event(Event::ClientDisconnected { id: client.to_string(), connected }));
        self.receiver_gone(state, self.settings.prompt_redelivery);
        self.reported.disconnected(&client, &self.now.to_text());
        self.flush_reported();
    }

    /// A connection upstream outlives a takeover: what IoT Hub sends at that moment is for the newcomer. Only where messages
    /// of the cloud are open does it end, since with it they are IoT Hub's again.
    ///
    /// Source: Azure/iotedge, `Hub.Core/ConnectionManager.cs`.
    fn hand_on_upstream(&mut self, client: &ClientId, older: &Client) {
        let open = older.listening.cloud_to_device || self.cloud_to_device.has_open(older.connection);
        if open || planted("CLD01-takeover-ends-the-subscription-upstream") {
            return self.listens_no_more(client, older);
        }
        if let Some(newcomer) = self.clients.get(client) {
            newcomer.upstream = older.upstream;
        }
    }

    fn listens_no_more(&mut self, client: &ClientId, state: &Client) {
        // A message left unsettled is free for others once its connection upstream is closed.
        let open = self.cloud_to_device.has_open(state.connection);
        self.cloud_to_device.forget(state.connection);
        if (state.upstream || open) && !planted("O03-session-of-an-absent-device-stays") {
            self.out.push(Output::Leave { client: client.clone() });
        }
    }

    fn queue_opened(&mut self, queue: QueueId, checkpoint: u64, tail: u64, length: u64) {
        let thrown_away = planted("S17-start-throws-the-backlog-away");
        let (checkpoint, length) = if thrown_away { (tail, 0) } else { (checkpoint, length) };
        let QueueId { endpoint: id, priority } = queue;
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Some(queue) = endpoint.queues.get_mut(&priority) else { return };
        queue.opened(checkpoint, tail, length);
        self.out.push(Output::Event(Event::QueueLength { endpoint: endpoint.name.clone(), priority, length }));
        self.wake(id);
    }

    fn entries_read(&mut self, queue: QueueId, entries: Vec<Entry>, next: u64) {
        let QueueId { endpoint: id, priority } = queue;
        let global = u64::try_from(self.time_to_live_secs).ok().map(|secs| secs * 1000);
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if let Some(queue) = endpoint.queues.get_mut(&priority) {
            let mut entries = entries;
            if planted("SF11-time-to-live-of-now-applies") {
                entries.iter_mut().for_each(|entry| entry.time_to_live_millis = global);
            }
            queue.read(entries, next);
            self.wake(id);
        }
    }

    fn clean(&mut self) {
        for (&id, endpoint) in &mut self.endpoints {
            for (&priority, queue) in &mut endpoint.queues {
                self.out.push(Output::Clean {
                    queue: QueueId { endpoint: id, priority },
                    checkpoint: queue.checkpoint(),
                    skipped: queue.drain_skipped(),
                    entire: self.settings.check_entire_queue,
                });
            }
        }
    }

    fn cleaned(&mut self, queue: QueueId, expired: Vec<(String, String)>, remaining: u64) {
        for (from, output) in expired {
            let reason = "ttl_expiry";
            self.out.push(Output::Event(Event::Dropped { reason, from, output }));
        }
        let QueueId { endpoint: id, priority } = queue;
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        let Some(queue) = endpoint.queues.get_mut(&priority) else { return };
        queue.cleaned(remaining);
        self.out.push(Output::Event(Event::QueueLength {
            endpoint: endpoint.name.clone(),
            priority,
            length: queue.length(),
        }));
    }

    fn flush_reported(&mut self) {
        if self.settings.local_configuration.is_some() {
            return;
        }
        if let Some(patch) = self.reported.next() {
            if planted("EVT04-own-reports-are-routed") {
                self.notify_of_itself(patch.clone());
            }
            self.out.push(Output::Event(Event::ReportedUpdate));
            self.out.push(Output::Report { patch });
        }
    }
}
