//! From a desired document to routes in force, in two stages: what fails to parse is refused as a whole and reported;
//! what fails to compile is reported as accepted, and changes nothing (the product's behaviour).

use std::collections::BTreeMap;
use std::time::Duration;

use super::desired::Patched;
use super::endpoint::{DEFAULT_PRIORITY, Endpoint, Pump};
use super::input::QueueId;
use super::output::{Output, Remembered};
use super::queue::Queue;
use super::routing::{Config, RouteSpec, RoutingTable, Sink};
use super::{Core, Timer};
use crate::faults::planted;

impl Core {
    /// The process has started: a local configuration applies at once, and so does a remembered one. A remembered
    /// document that does not compile gives way to the one that was applied last.
    pub(super) fn started(&mut self, cached: Option<&str>, applied: Option<&str>) {
        self.timers.set(self.now + self.settings.cleanup_interval, Timer::Clean);
        if let Some(local) = self.settings.local_configuration.clone() {
            match self.take_effect(&local) {
                Ok(()) => self.ready(),
                Err(reason) => self.out.push(Output::CannotStart { reason }),
            }
            return;
        }
        self.reported.start(&self.hub);
        self.timers.set(self.now + self.settings.reported_sync, Timer::ReportAgain);
        if let Some(period) = self.settings.config_refresh {
            self.timers.set(self.now + period, Timer::RefreshConfiguration);
        }
        if planted("R24-heads-open-before-routes") || planted("CFG18-serves-without-configuration") {
            self.ready();
        }
        if planted("CFG19-cached-twin-is-ignored") {
            return;
        }
        for candidate in [cached, applied].iter().flatten() {
            if self.take_effect(candidate).is_ok() {
                self.ready();
                break;
            }
        }
        if let Some(cached) = cached {
            self.desired.replace(cached);
        }
    }

    /// The whole document came from IoT Hub.
    pub(super) fn whole_twin(&mut self, document: &str) {
        if self.desired.replace(document) {
            self.process();
        } else if !self.in_force {
            self.cannot_start("EdgeHub cannot start without basic configuration stored in twin");
        }
    }

    /// A change came from IoT Hub.
    pub(super) fn desired_patch(&mut self, patch: &str) {
        match self.desired.patch(patch) {
            Patched::Process => self.process(),
            Patched::Incomplete => self.out.push(Output::FetchTwin),
            Patched::Stale => {}
        }
    }

    /// No twin could be had.
    pub(super) fn twin_unobtainable(&mut self, why: &str) {
        if !self.in_force {
            self.cannot_start(why);
        }
    }

    /// Applies what a planted fault held back.
    pub(super) fn apply_late(&mut self) {
        let Some(document) = self.held_back.take() else { return };
        if self.take_effect(&document).is_ok() {
            self.ready();
        }
    }

    fn process(&mut self) {
        let Some(document) = self.desired.text() else { return };
        let late =
            (planted("CFG21-routes-late-after-status") && self.in_force) || planted("R24-heads-open-before-routes");
        let before = self.last_applied.clone();
        let (code, description) = match Config::parse(&self.settings.edge_device_id, &document) {
            Err(cause) => {
                if planted("CFG06-refused-document-clears-the-routes") {
                    self.clear_routes();
                }
                (400, format!("Error while parsing desired properties - {cause}"))
            }
            Ok(_) if late => {
                self.held_back = Some(document.clone());
                self.timers.set(self.now + Duration::from_secs(3), Timer::ApplyLate);
                (200, String::new())
            }
            Ok(_) => match self.take_effect(&document) {
                Ok(()) => (200, String::new()),
                Err(cause) => {
                    self.out.push(Output::Warn(format!("Error updating edge hub configuration: {cause}")));
                    if planted("CFG09-time-to-live-of-an-uncompilable-document-applies") {
                        if let Ok(config) = Config::parse(&self.settings.edge_device_id, &document) {
                            self.time_to_live_secs = config.time_to_live_secs;
                        }
                    }
                    if planted("CFG08-uncompilable-clears-the-routes") {
                        self.clear_routes();
                    }
                    let code = if planted("CFG08-uncompilable-reports-400") { 400 } else { 200 };
                    (code, String::new())
                }
            },
        };
        let version = match before.as_deref() {
            Some(before) if code == 400 && planted("CFG10-refused-version-is-not-reported") => version_in(before),
            _ => self.desired.version(),
        };
        self.reported.processed(version, code, &description);
        if planted("CFG15-reported-schema-version-follows-desired") {
            self.reported.schema_version("1.1");
        }
        if code == 400 && planted("CFG11-refused-patch-is-forgotten") {
            self.desired.forget_refused(before.as_deref());
        }
        self.out.push(Output::Remember { as_what: Remembered::Seen, document });
        self.flush_reported();
        if self.in_force {
            self.ready();
        } else {
            self.out.push(Output::Warn(String::from("Error initializing edge hub configuration")));
            self.cannot_start("the configuration cannot be applied");
        }
    }

    /// Both stages; nothing changes unless both succeed.
    fn take_effect(&mut self, document: &str) -> Result<(), String> {
        let mut config = Config::parse(&self.settings.edge_device_id, document).map_err(|error| error.to_string())?;
        if planted("R02-priority-of-an-unchanged-route-stays") {
            self.keep_priorities(&mut config);
        }
        if planted("R01-retrying-endpoint-holds-up-the-change") && self.drops_a_retrying_endpoint(&config) {
            self.held_back = Some(document.to_owned());
            self.timers.set(self.now + Duration::from_secs(1), Timer::ApplyLate);
            return Ok(());
        }
        let table = RoutingTable::compile(&config).map_err(|error| error.to_string())?;
        self.replace_routes(&config, table);
        self.in_force = true;
        self.last_applied = Some(document.to_owned());
        self.out.push(Output::Remember { as_what: Remembered::Applied, document: document.to_owned() });
        Ok(())
    }

    /// Swaps routes, endpoints, time to live and store limit in one step.
    fn replace_routes(&mut self, config: &Config, table: RoutingTable) {
        self.table = table;
        if !(planted("S13-time-to-live-is-read-once") && self.in_force) {
            self.time_to_live_secs = config.time_to_live_secs;
        }
        let limit = config.max_size_bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0));
        self.out.push(Output::LimitStore(limit));
        self.reconcile_endpoints();
        self.out.push(Output::Log(format!("Set the following {} route(s) in edge hub", config.routes.len())));
        for route in &config.routes {
            self.out.push(Output::Log(format!(
                "{}: FROM {} WHERE {} INTO {:?}",
                route.name, route.source, route.condition, route.sink
            )));
        }
    }

    fn clear_routes(&mut self) {
        let (config, table) = no_routes();
        self.replace_routes(&config, table);
    }

    /// Creates endpoints that are new, removes those no route uses, and lets the others try again at once.
    fn reconcile_endpoints(&mut self) {
        let mut wanted: BTreeMap<Sink, Vec<u32>> = BTreeMap::new();
        for (sink, priority) in self.table.sinks() {
            wanted.entry(sink).or_default().push(priority);
        }
        let dropped: Vec<Sink> = self.by_sink.keys().filter(|sink| !wanted.contains_key(sink)).cloned().collect();
        let closing = u32::try_from(dropped.len()).unwrap_or(u32::MAX);
        for sink in dropped {
            self.remove_endpoint(&sink);
        }
        let standing: Vec<u32> = self.by_sink.values().copied().collect();
        for (sink, priorities) in wanted {
            let id = match self.by_sink.get(&sink) {
                Some(id) => *id,
                None => {
                    self.endpoints_created += 1;
                    let id = self.endpoints_created;
                    let mut endpoint = Endpoint::new(&self.settings.edge_device_id, sink.clone());
                    if planted("CFG20-new-endpoints-wait-for-old-ones") && self.in_force {
                        endpoint.usable_from = self.now + Duration::from_secs(10) * closing;
                    }
                    self.by_sink.insert(sink, id);
                    self.endpoints.insert(id, endpoint);
                    id
                }
            };
            for priority in priorities {
                self.open_queue(id, priority);
            }
        }
        if planted("SF24-touching-does-not-retry") {
            return;
        }
        for id in standing {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.attempt = 0;
            }
            self.retry(id);
        }
    }

    fn open_queue(&mut self, id: u32, priority: u32) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if endpoint.queues.contains_key(&priority) {
            return;
        }
        endpoint.queues.insert(priority, Queue::default());
        self.out
            .push(Output::OpenQueue { queue: QueueId { endpoint: id, priority }, name: endpoint.queue_name(priority) });
    }

    /// Of the queues only the default one is erased; those with an explicit priority keep their entries.
    fn remove_endpoint(&mut self, sink: &Sink) {
        let Some(id) = self.by_sink.remove(sink) else { return };
        let Some(endpoint) = self.endpoints.remove(&id) else { return };
        if let Pump::BackingOff { timer, .. } = endpoint.pump {
            self.timers.cancel(timer);
        }
        for &priority in endpoint.queues.keys() {
            let queue = QueueId { endpoint: id, priority };
            let erase = priority == DEFAULT_PRIORITY && !planted("R26-removed-endpoint-keeps-its-backlog");
            self.out.push(if erase || planted("R26-explicit-priority-backlog-is-erased") {
                Output::DeleteQueue { queue }
            } else {
                Output::CloseQueue { queue }
            });
        }
    }

    /// Overlooks changes of nothing but a priority: only a planted fault does that.
    fn keep_priorities(&self, config: &mut Config) {
        let before =
            self.last_applied.as_deref().map(|document| Config::parse(&self.settings.edge_device_id, document));
        let Some(Ok(before)) = before else { return };
        for route in &mut config.routes {
            let same = |known: &&RouteSpec| {
                (&known.name, &known.source, &known.condition) == (&route.name, &route.source, &route.condition)
            };
            if let Some(known) = before.routes.iter().find(same) {
                route.priority = known.priority;
            }
        }
    }

    fn drops_a_retrying_endpoint(&self, config: &Config) -> bool {
        self.endpoints.values().any(|endpoint| {
            matches!(endpoint.pump, Pump::BackingOff { .. })
                && !config.routes.iter().any(|route| route.sink == endpoint.sink)
        })
    }

    fn ready(&mut self) {
        if !self.announced {
            self.announced = true;
            self.out.push(Output::Ready);
        }
    }

    fn cannot_start(&mut self, reason: &str) {
        if !planted("CFG18-serves-without-configuration") {
            self.out.push(Output::CannotStart { reason: reason.to_owned() });
        }
    }
}

/// What is in force before the first configuration.
pub(super) fn no_routes() -> (Config, RoutingTable) {
    let config = Config {
        schema_version: String::from("1.1"),
        routes: Vec::new(),
        time_to_live_secs: -1,
        max_size_bytes: None,
        broker: None,
        integrity: false,
    };
    let table = RoutingTable::compile(&config).expect("no routes compile");
    (config, table)
}

fn version_in(document: &str) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(document).ok()?.get("$version")?.as_i64()
}
