//! The compiled routes of one configuration.

use super::condition::Condition;
use super::config::{Config, RouteSpec};
use super::evaluate::Evaluation;
use super::index::Index;
use super::message::Message;
use super::sink::Sink;
use super::source::{self, Source};
use crate::faults::planted;

/// Where a message goes, and how urgently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The endpoint.
    pub sink: Sink,
    /// Smallest of the matching routes to this sink.
    pub priority: u32,
    /// Of the route with that priority; 0 = inherit.
    pub time_to_live_secs: u32,
}

/// A condition that cannot be compiled; the configuration must not take effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route {route}: {cause}")]
pub struct CompileError {
    route: String,
    cause: String,
}

#[derive(Debug)]
struct CompiledRoute {
    source: Source,
    condition: Condition,
    destination: Destination,
}

/// Compiled routes.
#[derive(Debug)]
pub struct RoutingTable {
    routes: Vec<CompiledRoute>,
    index: Index,
    sinks: Vec<(Sink, u32)>,
}

impl RoutingTable {
    /// Compiles every condition: the compile stage.
    ///
    /// # Errors
    /// [`CompileError`] for the first route whose condition does not compile.
    pub fn compile(config: &Config) -> Result<RoutingTable, CompileError> {
        let mut sinks: Vec<_> = config.routes.iter().map(|route| (route.sink.clone(), route.priority)).collect();
        sinks.sort();
        sinks.dedup();
        let routes = config.routes.iter().map(compiled).collect::<Result<Vec<_>, _>>()?;
        let mut index = Index::default();
        for (number, route) in routes.iter().enumerate() {
            index.add(number, &route.source, &route.condition);
        }
        Ok(RoutingTable { routes, index, sinks })
    }

    /// Where this message goes: one destination for each distinct sink, none when no route matches.
    pub fn destinations(&self, message: &Message) -> Vec<Destination> {
        let path = source::compared(&message.source);
        self.destinations_among(self.index.candidates(&path, message), &path, message)
    }

    /// What the index has to agree with.
    #[cfg(test)]
    pub(super) fn destinations_asking_all(&self, message: &Message) -> Vec<Destination> {
        self.destinations_among(0..self.routes.len(), &source::compared(&message.source), message)
    }

    fn destinations_among(
        &self,
        candidates: impl IntoIterator<Item = usize>,
        path: &str,
        message: &Message,
    ) -> Vec<Destination> {
        let evaluation = Evaluation::of(message);
        let mut destinations: Vec<Destination> = Vec::new();
        for route in candidates.into_iter().map(|number| &self.routes[number]) {
            if !route.source.takes(&message.source, path) || !route.condition.routes(&evaluation) {
                continue;
            }
            match destinations.iter_mut().find(|known| same_endpoint(&known.sink, &route.destination.sink)) {
                Some(known) if more_urgent(&route.destination, known) => *known = route.destination.clone(),
                Some(known) => {
                    if planted("FAN02-time-to-live-of-the-last-route") {
                        known.time_to_live_secs = route.destination.time_to_live_secs;
                    }
                }
                None => destinations.push(route.destination.clone()),
            }
            if planted("FAN03-first-matching-route-only") {
                break;
            }
        }
        destinations
    }

    /// Every sink with each priority its routes use.
    pub fn sinks(&self) -> impl Iterator<Item = (Sink, u32)> {
        self.sinks.iter().cloned()
    }
}

fn compiled(route: &RouteSpec) -> Result<CompiledRoute, CompileError> {
    let condition = Condition::compile(&route.condition)
        .map_err(|cause| CompileError { route: route.name.clone(), cause: cause.to_string() })?;
    Ok(CompiledRoute {
        source: Source::new(&route.source),
        condition,
        destination: Destination {
            sink: route.sink.clone(),
            priority: route.priority,
            time_to_live_secs: route.time_to_live_secs,
        },
    })
}

fn same_endpoint(one: &Sink, other: &Sink) -> bool {
    match (one, other) {
        _ if planted("R03-routes-to-one-sink-have-two-endpoints") => false,
        (Sink::Input { module: one, .. }, Sink::Input { module: other, .. })
            if planted("FAN03-one-copy-for-a-module") =>
        {
            one == other
        }
        _ => one == other,
    }
}

fn more_urgent(candidate: &Destination, known: &Destination) -> bool {
    if planted("FAN02-largest-priority-number-wins") {
        return candidate.priority > known.priority;
    }
    candidate.priority < known.priority
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageSource;
    use super::*;

    fn table(routes: &[(&str, u32, u32)]) -> RoutingTable {
        let routes: serde_json::Map<String, serde_json::Value> = routes
            .iter()
            .enumerate()
            .map(|(at, (route, priority, time_to_live_secs))| {
                let spec = serde_json::json!({
                    "route": route, "priority": priority, "timeToLiveSecs": time_to_live_secs,
                });
                (format!("r{at}"), spec)
            })
            .collect();
        let document = serde_json::json!({
            "schemaVersion": "1.1", "routes": routes, "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
        });
        RoutingTable::compile(&Config::parse("edge1", &document.to_string()).unwrap()).unwrap()
    }

    fn message() -> Message {
        Message {
            source: MessageSource::Device,
            properties: vec![(String::from("line"), Some(String::from("press")))],
            system: Vec::new(),
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_sink_gets_one_copy_with_the_smallest_priority_and_its_time_to_live() {
        let table = table(&[
            ("FROM /* INTO $upstream", 5, 50),
            ("FROM /messages WHERE line = 'press' INTO $upstream", 2, 20),
            ("FROM /messages WHERE line = 'weld' INTO $upstream", 0, 10),
            ("FROM /messages INTO $upstream", 7, 70),
        ]);
        assert_eq!(
            table.destinations(&message()),
            [Destination { sink: Sink::Upstream, priority: 2, time_to_live_secs: 20 }]
        );
        assert_eq!(table.sinks().count(), 4);
    }

    #[test]
    fn two_inputs_of_one_module_get_a_copy_each() {
        let table = table(&[
            ("FROM /* INTO BrokeredEndpoint('/modules/m/inputs/a')", 0, 0),
            ("FROM /* INTO BrokeredEndpoint('/modules/m/inputs/A')", 0, 0),
        ]);
        assert_eq!(table.destinations(&message()).len(), 2);
    }
}
