//! A stage: a running hub in its world, with clients connected and endpoints standing, on which one case after
//! another is played.
//!
//! Endpoints stand: each input of the blueprint has an *anchor* route that stays in every configuration. The product
//! closes an endpoint no route uses any more, and takes up to 10 s for each. Anchors also carry *markers*: where
//! order is promised, a marker that arrives proves that nothing sent before it is still to come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::client::amqp::message::Message;
use crate::client::hub_client::{HubClient, Input, Pending};
use crate::client::iot_hub::{ServiceError, Telemetry, TelemetryFeed};
use crate::client::mqtt::{ConnectError, MqttClient, Unanswered, messages};
use crate::client::property_bag::Properties;
use crate::client::raw::RawError;
use crate::client::raw_amqp::peer::PeerError;
use crate::deadline::{self, Deadline, Expired};
use crate::environment::{Environment, StartError};
use crate::observe::history::{Delivered, History, Identity, MARK, Place, Sent};
use crate::observe::metrics;

/// Module whose messages are markers.
pub const MARKER: &str = "marker";
/// Module that shows which configuration is in force.
pub const CANARY: &str = "canary";
/// Marks of the harness's own messages begin with this; they are no part of any case.
const OWN: &str = "~";

/// How long canaries are tried before the hub's report is read as well.
const ASK_AFTER: Duration = Duration::from_millis(300);
/// How long after the report of a version its routes may still be without effect. A change between standing
/// endpoints is promised within 1 s.
const EFFECT_AFTER_REPORT: Duration = Duration::from_millis(1_500);

/// A message to send.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outgoing {
    /// Output name, for modules.
    pub output: Option<String>,
    /// Application properties, without the mark.
    pub properties: Properties,
    /// System properties, named as route conditions name them.
    pub system: Properties,
    /// Body.
    pub body: Bytes,
}

/// How long a marker may take before another is sent.
const ANOTHER_MARKER: Duration = Duration::from_secs(2);

/// A message that shows that nothing sent before it is still under way.
struct Marker {
    place: Place,
    sender: Identity,
    output: String,
    marks: Vec<String>,
}

impl Marker {
    fn shown(&self) -> String {
        match self.place {
            Place::Upstream => format!("{} (from {})", self.place, self.sender),
            Place::Input { .. } => self.place.to_string(),
        }
    }
}

/// A hub with clients, ready for the next case.
pub struct Stage {
    environment: Environment,
    clients: BTreeMap<Identity, HubClient>,
    arrivals: mpsc::UnboundedReceiver<Delivered>,
    arrivals_to: mpsc::UnboundedSender<Delivered>,
    routes: BTreeMap<String, Value>,
    canaries: u64,
    marks: u64,
    /// Arrivals that came while the stage waited for something else, when somebody wants them.
    kept: Option<Vec<Delivered>>,
    /// Version of the desired properties last sent.
    pub desired_version: u64,
}

impl Stage {
    /// Connects every client of the blueprint to a ready hub.
    ///
    /// # Errors
    /// [`StageError`] when a client is refused or the hub does not take the first configuration.
    pub async fn open(environment: Environment) -> Result<Self, StageError> {
        let (arrivals_to, arrivals) = mpsc::unbounded_channel();
        let mut stage = Self {
            environment,
            clients: BTreeMap::new(),
            arrivals,
            arrivals_to,
            routes: BTreeMap::new(),
            canaries: 0,
            marks: 0,
            kept: None,
            desired_version: 0,
        };
        stage.watch_upstream();
        stage.connect_all().await?;
        if stage.environment.is_attached() {
            // It may have routes of an earlier run.
            stage.restore().await?;
        } else {
            stage.configure_patiently(BTreeMap::new()).await?;
        }
        Ok(stage)
    }

    /// Ends clients, hub and world.
    pub async fn close(self) {
        drop(self.clients);
        self.environment.stop().await;
    }

    /// The environment underneath.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The environment underneath, to kill and restart its hub.
    pub fn environment_mut(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// The client of an identity.
    ///
    /// # Errors
    /// [`StageError::Absent`] when the blueprint does not have it.
    pub fn client(&self, identity: &Identity) -> Result<&HubClient, StageError> {
        self.clients.get(identity).ok_or_else(|| StageError::Absent(identity.to_string()))
    }

    /// As [`Stage::client`], for what only MQTT has.
    ///
    /// # Errors
    /// [`StageError::NotMqtt`] when it speaks something else.
    pub fn mqtt(&self, identity: &Identity) -> Result<&MqttClient, StageError> {
        self.client(identity)?.mqtt().ok_or_else(|| StageError::NotMqtt(identity.to_string()))
    }

    /// Connects, or connects again, all clients of the blueprint.
    ///
    /// # Errors
    /// [`StageError::Connect`] names the client.
    pub async fn connect_all(&mut self) -> Result<(), StageError> {
        let blueprint = self.environment.blueprint().clone();
        for module in &blueprint.modules {
            self.connect(Identity::Module(module.clone())).await?;
        }
        for leaf in &blueprint.leaf_devices {
            self.connect(Identity::LeafDevice(leaf.clone())).await?;
        }
        Ok(())
    }

    /// Connects one client; a module that has inputs subscribes to them.
    ///
    /// # Errors
    /// [`StageError::Connect`] names the client.
    pub async fn connect(&mut self, identity: Identity) -> Result<(), StageError> {
        let mut client = self
            .environment
            .connect(&identity)
            .await
            .map_err(|source| StageError::Connect { who: identity.to_string(), source })?;
        if let Identity::Module(module) = &identity {
            if self.environment.blueprint().inputs.iter().any(|(owner, _)| owner == module) {
                tokio::spawn(forward(client.inputs().await?, self.arrivals_to.clone()));
            }
        }
        self.clients.insert(identity, client);
        Ok(())
    }

    /// Where receivers that a test made itself hand in what they get, beside the stage's own.
    pub fn arrivals(&self) -> mpsc::UnboundedSender<Delivered> {
        self.arrivals_to.clone()
    }

    /// From now on arrivals are kept that come while a configuration is put in force; else they are dropped.
    pub fn keep_arrivals(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What was kept since [`Stage::keep_arrivals`], and no more is kept.
    pub fn kept_arrivals(&mut self) -> Vec<Delivered> {
        self.kept.take().unwrap_or_default()
    }

    /// Forgets a client, whose connection ends without DISCONNECT, and waits for nothing.
    pub fn forget_client(&mut self, identity: &Identity) {
        self.clients.remove(identity);
    }

    /// Breaks a client's connection, without DISCONNECT, and waits until the hub has counted that: a delivery to a
    /// connection that is gone would have to run out its time first.
    ///
    /// # Errors
    /// [`StageError::Metrics`] when the hub's counters cannot be read.
    pub async fn drop_client(&mut self, identity: &Identity) -> Result<(), StageError> {
        const LEFT: &str = "edgehub_client_disconnect_total";
        let id = match identity {
            Identity::Module(module) => format!("{}/{module}", self.environment.blueprint().edge_device),
            Identity::LeafDevice(leaf) => leaf.clone(),
        };
        let labels = [("id", id.as_str())];
        let before = self.metric(LEFT, &labels, 0.0).await?;
        if self.clients.remove(identity).is_some() {
            self.metric(LEFT, &labels, before + 1.0).await?;
        }
        Ok(())
    }

    fn watch_upstream(&self) {
        let mut feed: TelemetryFeed = self.environment.iot_hub().telemetry();
        let to = self.arrivals_to.clone();
        tokio::spawn(async move {
            while let Some(telemetry) = feed.next().await {
                if to.send(telemetry.into()).is_err() {
                    return;
                }
            }
        });
    }

    /// Puts routes in force, beside the anchors, and waits until a message through a route of the new configuration
    /// has arrived. Values are route strings, or objects with priority and time to live.
    ///
    /// # Errors
    /// [`StageError::NotInForce`] when that message does not arrive in time.
    pub async fn configure(&mut self, routes: BTreeMap<String, Value>) -> Result<(), StageError> {
        self.put_in_force(routes, EFFECT_AFTER_REPORT).await
    }

    /// As [`Stage::configure`], for a hub that may take its time between the report and the effect.
    ///
    /// # Errors
    /// As [`Stage::configure`].
    pub async fn configure_patiently(&mut self, routes: BTreeMap<String, Value>) -> Result<(), StageError> {
        self.put_in_force(routes, deadline::CONFIGURATION.limit).await
    }

    async fn put_in_force(
        &mut self,
        routes: BTreeMap<String, Value>,
        after_report: Duration,
    ) -> Result<(), StageError> {
        self.canaries += 1;
        let canary = format!("v{}", self.canaries);
        let mut wanted = self.environment.anchors();
        wanted.extend(routes);
        wanted.insert("canary".into(), json!(format!("FROM /messages/modules/{CANARY}/outputs/{canary} WHERE true INTO BrokeredEndpoint(\"/modules/{CANARY}/inputs/c\")")));
        let mut patch = Map::new();
        for (name, route) in &wanted {
            if self.routes.get(name) != Some(route) {
                patch.insert(name.clone(), route.clone());
            }
        }
        for name in self.routes.keys().filter(|name| !wanted.contains_key(*name)) {
            patch.insert(name.clone(), Value::Null);
        }
        let version = self.patch(json!({ "routes": patch })).await?;
        self.routes = wanted;
        self.in_force(&canary, version, after_report).await
    }

    /// Proposes a change of single routes (null removes one) and waits for nothing: the hub may well refuse it. The
    /// next [`Stage::configure`] takes the proposed routes out again.
    ///
    /// # Errors
    /// As [`Stage::patch`].
    pub async fn propose(&mut self, routes: BTreeMap<String, Value>) -> Result<u64, StageError> {
        let version = self.patch(json!({ "routes": routes })).await?;
        self.routes.extend(routes);
        Ok(version)
    }

    /// Changes the hub's desired properties and waits for nothing. The caller knows what that does to the routes.
    ///
    /// # Errors
    /// [`StageError::Service`] when the cloud refuses.
    pub async fn patch(&mut self, desired: Value) -> Result<u64, StageError> {
        let device = self.environment.blueprint().edge_device.clone();
        let version = self.environment.iot_hub().patch_desired(&device, Some("$edgeHub"), desired).await?;
        self.desired_version = version;
        Ok(version)
    }

    /// Replaces the whole desired document of the hub; afterwards the stage knows of no routes.
    ///
    /// # Errors
    /// As [`Stage::patch`].
    pub async fn replace_desired(&mut self, desired: Value) -> Result<u64, StageError> {
        let device = self.environment.blueprint().edge_device.clone();
        let version = self.environment.iot_hub().replace_desired(&device, Some("$edgeHub"), desired).await?;
        self.desired_version = version;
        Ok(version)
    }

    /// Puts the stage's standing configuration back, whatever was done to the hub's desired properties.
    ///
    /// # Errors
    /// As [`Stage::configure`].
    pub async fn restore(&mut self) -> Result<(), StageError> {
        self.canaries += 1;
        let canary = format!("v{}", self.canaries);
        let mut routes = self.environment.anchors();
        routes.insert("canary".into(), json!(format!("FROM /messages/modules/{CANARY}/outputs/{canary} WHERE true INTO BrokeredEndpoint(\"/modules/{CANARY}/inputs/c\")")));
        let version = self.replace_desired(self.environment.desired(&routes)).await?;
        self.routes = routes;
        self.in_force(&canary, version, deadline::CONFIGURATION.limit).await
    }

    /// Waits until canary messages on this output arrive. Gives up when the hub has reported the version and canaries
    /// still do not arrive a while later.
    async fn in_force(&mut self, output: &str, version: u64, after_report: Duration) -> Result<(), StageError> {
        let began = Instant::now();
        let mut processed: Option<(Instant, Value)> = None;
        let canary = Identity::Module(CANARY.into());
        // Routes of the configuration before may take canaries to other places.
        let shown = Place::Input { module: CANARY.into(), input: "c".into() };
        let mut pause = Duration::from_millis(2);
        let mut marks = BTreeSet::new();
        loop {
            let mark = self.own_mark();
            let properties = vec![(MARK.into(), Some(mark.clone()))];
            marks.insert(mark);
            // Its arrival is what counts. A hub that does not acknowledge what no route wants yet shall be found by the
            // test that is about that.
            drop(self.send_own(&canary, Some(output), properties).await?);
            // A canary that was published before the change took effect never arrives: after a moment, another one
            // is sent. The moment grows, so a slow hub is not flooded.
            match tokio::time::timeout(
                pause,
                self.until(|delivered| {
                    delivered.at == shown && delivered.mark().is_some_and(|mark| marks.contains(mark))
                }),
            )
            .await
            {
                Ok(()) => return Ok(()),
                Err(_) => pause = (pause * 2).min(Duration::from_millis(200)),
            }
            if processed.is_none() && began.elapsed() > ASK_AFTER {
                let status = self.reported_now().await?;
                if status["lastDesiredVersion"].as_u64() == Some(version) {
                    processed = Some((Instant::now(), status["lastDesiredStatus"].clone()));
                }
            }
            let given_up = processed.as_ref().is_some_and(|(at, _)| at.elapsed() > after_report);
            if given_up || began.elapsed() > deadline::CONFIGURATION.limit {
                return Err(StageError::NotInForce {
                    after: began.elapsed(),
                    status: processed.map(|(_, status)| status).unwrap_or_default(),
                });
            }
        }
    }

    async fn reported_now(&self) -> Result<Value, StageError> {
        let device = &self.environment.blueprint().edge_device;
        let twin = self.environment.iot_hub().twin(device, Some("$edgeHub")).await?;
        Ok(twin["properties"]["reported"].clone())
    }

    /// Drops arrivals until one is the one wanted.
    async fn until(&mut self, wanted: impl Fn(&Delivered) -> bool) {
        while let Some(delivered) = self.arrivals.recv().await {
            if wanted(&delivered) {
                return;
            }
            if let Some(kept) =
                self.kept.as_mut().filter(|_| !delivered.mark().is_some_and(|mark| mark.starts_with(OWN)))
            {
                kept.push(delivered);
            }
        }
        // The sender side lives in this stage, so the stream cannot end first.
        std::future::pending::<()>().await;
    }

    fn own_mark(&mut self) -> String {
        self.marks += 1;
        format!("{OWN}{}", self.marks)
    }

    /// A mark no other message of this stage has.
    pub fn mark(&mut self) -> String {
        self.marks += 1;
        format!("m{}", self.marks)
    }

    /// The topic a message of this identity goes to over MQTT.
    pub fn topic(&self, by: &Identity, output: Option<&str>, properties: &Properties, system: &Properties) -> String {
        messages::topic(&self.environment.client_id(by), &message(output, properties, system))
    }

    /// Hands a message to the connection of its sender, without a mark or a note of it.
    ///
    /// # Errors
    /// [`StageError::Absent`] when there is no such client.
    pub async fn hand_over(&self, by: &Identity, outgoing: &Outgoing) -> Result<Pending, StageError> {
        let mut message = message(outgoing.output.as_deref(), &outgoing.properties, &outgoing.system);
        message.body = outgoing.body.clone();
        Ok(self.client(by)?.send(&message).await)
    }

    /// Sends a message of the harness's own.
    async fn send_own(
        &self,
        by: &Identity,
        output: Option<&str>,
        properties: Properties,
    ) -> Result<Pending, StageError> {
        let message = Message { properties, ..Message::default() };
        Ok(self.client(by)?.send_plainly(output, &message).await)
    }

    /// Sends a message under a mark, waits for its acknowledgement, and notes both. A message the hub does not
    /// acknowledge is noted too.
    ///
    /// # Errors
    /// [`StageError::Absent`] when there is no such client.
    pub async fn send(
        &mut self,
        history: &mut History,
        by: &Identity,
        message: &Outgoing,
    ) -> Result<String, StageError> {
        let mark = self.mark();
        let mut properties = message.properties.clone();
        properties.insert(0, (MARK.into(), Some(mark.clone())));
        let at = Instant::now();
        let pending = self.hand_over(by, &Outgoing { properties: properties.clone(), ..message.clone() }).await?;
        let acknowledged = pending.acknowledged().await.ok().map(|()| Instant::now());
        history.sent.push(Sent {
            by: by.clone(),
            at,
            mark: mark.clone(),
            output: message.output.clone(),
            properties,
            system: message.system.clone(),
            body: message.body.clone(),
            acknowledged,
        });
        Ok(mark)
    }

    /// Collects what arrives until each place has shown a marker sent after everything in the history: then nothing
    /// of the history is still under way there.
    ///
    /// A marker that stays away is followed by others. When one of those arrives, the first is lost.
    ///
    /// Markers must be as little urgent as anything else in the history. So no route in force may take them with a
    /// priority of its own; whoever has such routes takes them out first.
    ///
    /// # Errors
    /// [`StageError::Unsettled`] when no marker arrives within `deadline`, [`StageError::MarkerLost`] when a later one
    /// did; what came is in the history.
    pub async fn settle(
        &mut self,
        history: &mut History,
        places: &[Place],
        deadline: Deadline,
    ) -> Result<(), StageError> {
        let mut awaited = self.markers(history, places)?;
        let mut lost = Vec::new();
        let began = Instant::now();
        loop {
            for marker in &mut awaited {
                marker.marks.push(self.send_marker(&marker.sender, &marker.output).await?);
            }
            let left = deadline.limit.saturating_sub(began.elapsed()).min(ANOTHER_MARKER);
            let collected = tokio::time::timeout(left, self.collect_markers(history, &mut awaited, &mut lost)).await;
            match collected {
                Ok(()) if lost.is_empty() => return Ok(()),
                Ok(()) => return Err(StageError::MarkerLost { places: lost.join(", ") }),
                Err(_) if began.elapsed() < deadline.limit => {}
                Err(_) => {
                    return Err(StageError::Unsettled {
                        places: awaited.iter().map(Marker::shown).collect::<Vec<_>>().join(", "),
                        expired: Expired { deadline, what: "markers".to_owned() },
                    });
                }
            }
        }
    }

    /// What has to be sent where, to know that nothing is under way to these places.
    fn markers(&self, history: &History, places: &[Place]) -> Result<Vec<Marker>, StageError> {
        let mut markers = Vec::new();
        for place in places {
            let mut marker = |sender: Identity, output: String| {
                markers.push(Marker { place: place.clone(), sender, output, marks: Vec::new() });
            };
            match place {
                Place::Input { module, input } => {
                    let output = self
                        .environment
                        .anchor_output(module, input)
                        .ok_or_else(|| StageError::Absent(place.to_string()))?;
                    marker(Identity::Module(MARKER.into()), output);
                }
                // Order towards the cloud holds per sender, so each sender sends its own marker.
                Place::Upstream => {
                    let senders: BTreeSet<&Identity> = history.sent.iter().map(|sent| &sent.by).collect();
                    senders.into_iter().for_each(|sender| marker(sender.clone(), "up".to_owned()));
                }
            }
        }
        Ok(markers)
    }

    async fn collect_markers(&mut self, history: &mut History, awaited: &mut Vec<Marker>, lost: &mut Vec<String>) {
        while !awaited.is_empty() {
            let Some(delivered) = self.arrivals.recv().await else { return };
            let Some(mark) = delivered.mark().filter(|mark| mark.starts_with(OWN)) else {
                history.delivered.push(delivered);
                continue;
            };
            let known =
                |marker: &Marker| marker.place == delivered.at && marker.marks.iter().any(|known| known == mark);
            if let Some(at) = awaited.iter().position(known) {
                let marker = awaited.remove(at);
                if marker.marks[0] != mark {
                    lost.push(marker.shown());
                }
            }
        }
    }

    async fn send_marker(&mut self, by: &Identity, output: &str) -> Result<String, StageError> {
        let mark = self.own_mark();
        let properties = vec![(MARK.to_owned(), Some(mark.clone())), ("own".to_owned(), Some("marker".to_owned()))];
        let output = Some(output).filter(|_| matches!(by, Identity::Module(_)));
        self.send_own(by, output, properties).await?.acknowledged().await?;
        Ok(mark)
    }

    /// Collects arrivals until `enough` says so.
    ///
    /// # Errors
    /// [`Expired`] when that does not happen in time; what came is in the history.
    pub async fn collect(
        &mut self,
        history: &mut History,
        deadline: Deadline,
        what: &str,
        enough: impl Fn(&History) -> bool,
    ) -> Result<(), Expired> {
        deadline
            .wait(what, async {
                while !enough(history) {
                    let Some(delivered) = self.arrivals.recv().await else { return };
                    if !delivered.mark().is_some_and(|mark| mark.starts_with(OWN)) {
                        history.delivered.push(delivered);
                    }
                }
            })
            .await
    }

    /// Sum of the samples of a metric with these labels, once it is at least `enough`; what it is by the deadline
    /// otherwise. A counter may follow what it counts by a moment.
    ///
    /// # Errors
    /// [`StageError::Metrics`] when the page cannot be read.
    pub async fn metric(&self, series: &str, labels: &[(&str, &str)], enough: f64) -> Result<f64, StageError> {
        let mut pause = Duration::from_millis(1);
        let began = Instant::now();
        loop {
            let sum = metrics::sum(&self.environment.metrics().await?, series, labels);
            if sum >= enough || began.elapsed() > deadline::COUNTED.limit {
                return Ok(sum);
            }
            // The page has no way to be waited for, so it is read again, less often each time.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// What the hub reports of its configuration, once it has processed desired version `version`.
    ///
    /// # Errors
    /// [`StageError::Expired`] when it does not report that version in time.
    pub async fn reported(&self, version: u64) -> Result<Value, StageError> {
        let mut pause = Duration::from_millis(1);
        let began = Instant::now();
        loop {
            let reported = self.reported_now().await?;
            if reported["lastDesiredVersion"].as_u64() == Some(version) {
                return Ok(reported);
            }
            if began.elapsed() > deadline::REPORTED.limit {
                return Err(StageError::Expired(Expired {
                    deadline: deadline::REPORTED,
                    what: format!("lastDesiredVersion {version}; the hub reports {}", reported["lastDesiredVersion"]),
                }));
            }
            // The service side offers no way to wait for a twin, so it is asked again, less often each time.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

/// A message in words that no protocol owns.
fn message(output: Option<&str>, properties: &Properties, system: &Properties) -> Message {
    let mut system = system.clone();
    if let Some(output) = output {
        system.insert(0, ("outputName".into(), Some(output.to_owned())));
    }
    Message { properties: properties.clone(), system, body: Bytes::new() }
}

async fn forward(mut inputs: mpsc::UnboundedReceiver<Input>, to: mpsc::UnboundedSender<Delivered>) {
    while let Some(input) = inputs.recv().await {
        if to.send(Delivered::from(input)).is_err() {
            return;
        }
    }
}

impl From<Input> for Delivered {
    fn from(came: Input) -> Self {
        let Input { at, module, input, message, topic } = came;
        let Message { properties, system, body } = message;
        Self { at: Place::Input { module, input }, when: at, connection: None, properties, system, body, topic }
    }
}

impl From<Telemetry> for Delivered {
    fn from(telemetry: Telemetry) -> Self {
        Self {
            at: Place::Upstream,
            when: telemetry.at,
            connection: Some((telemetry.device, telemetry.module)),
            properties: telemetry.properties,
            system: telemetry.system,
            body: telemetry.body,
            topic: telemetry.topic,
        }
    }
}

/// Something on the stage did not go as a case needs it.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The environment did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The cloud's service side failed.
    #[error("simulated IoT Hub: {0}")]
    Service(#[from] ServiceError),
    /// A client was refused.
    #[error("{who} cannot connect to the hub: {source}")]
    Connect {
        /// Who.
        who: String,
        /// Cause.
        source: ConnectError,
    },
    /// A raw connection could not be opened.
    #[error("no connection to the hub: {0}")]
    Raw(#[from] RawError),
    /// A conversation over AMQP did not come as far as a case needs it.
    #[error("over AMQP: {0}")]
    Amqp(#[from] PeerError),
    /// The hub did not answer a request.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// A test asks for somebody who is not there.
    #[error("the blueprint has no {0}")]
    Absent(String),
    /// A test asks for MQTT of somebody who speaks something else.
    #[error("{0} does not speak MQTT, which the test is about")]
    NotMqtt(String),
    /// A configuration did not take effect.
    #[error("the configuration was not in force after {:.1} s: messages through its canary route do not arrive; the hub reports {status}", .after.as_secs_f64())]
    NotInForce {
        /// How long was waited.
        after: Duration,
        /// `lastDesiredStatus` of that version, or null when the hub never reported it.
        status: Value,
    },
    /// Markers are missing.
    #[error("markers did not arrive at {places}: {expired}")]
    Unsettled {
        /// Where.
        places: String,
        /// The wait.
        expired: Expired,
    },
    /// A marker did not arrive although a later one did.
    #[error("an acknowledged message on a standing route did not arrive at {places}, although a later one did")]
    MarkerLost {
        /// Where.
        places: String,
    },
    /// The metrics page cannot be read.
    #[error("the hub's metrics page: {0}")]
    Metrics(#[from] crate::client::http::HttpError),
    /// A wait expired.
    #[error(transparent)]
    Expired(#[from] Expired),
}

impl StageError {
    /// Whether the harness itself failed, so that nothing can be said about any subject. Everything else is the
    /// behaviour of the hub, seen from outside, and makes a test inconclusive.
    pub fn is_harness_failure(&self) -> bool {
        match self {
            StageError::Start(error) => error.is_harness_failure(),
            StageError::Service(_) | StageError::Absent(_) | StageError::NotMqtt(_) => true,
            _ => false,
        }
    }
}
