//! From a configuration to deliveries: one copy for each place, under the most urgent priority of its routes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::route::{Route, RouteRefusal, Sink, route, source_matches};
use super::{Condition, Message, Stage, Truth};

/// Priority of a route that names none.
pub const DEFAULT_PRIORITY: u32 = 2_000_000_000;

/// A configuration's routes, parsed.
#[derive(Debug, Clone)]
pub struct Config {
    routes: Vec<(String, Route, u32)>,
}

/// A configuration's routes, compiled.
#[derive(Debug, Clone)]
pub struct Table {
    routes: Vec<(Route, Condition, u32)>,
}

/// A copy for one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// Where to.
    pub sink: Sink,
    /// Under which priority; 0 is the most urgent.
    pub priority: u32,
}

/// A route that makes a configuration unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRoute {
    /// Its name.
    pub name: String,
    /// Where it is refused.
    pub stage: Stage,
}

/// Reads the routes of a document of schema version 1.1.
///
/// # Errors
/// [`BadRoute`] for the first one that is none.
pub fn config(document: &Value) -> Result<Config, BadRoute> {
    let routes = document["routes"].as_object().into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().or_else(|| value["route"].as_str()).unwrap_or_default();
        let priority =
            value["priority"].as_u64().and_then(|priority| u32::try_from(priority).ok()).unwrap_or(DEFAULT_PRIORITY);
        let parsed = route(text).map_err(|_: RouteRefusal| BadRoute { name: name.clone(), stage: Stage::Parse })?;
        Ok((name.clone(), parsed, priority))
    });
    Ok(Config { routes: routes.collect::<Result<_, _>>()? })
}

/// Compiles the conditions.
///
/// # Errors
/// [`BadRoute`] for the first one that does not compile.
pub fn compile(config: &Config) -> Result<Table, BadRoute> {
    let routes = config.routes.iter().map(|(name, route, priority)| {
        let condition = route.compiled().map_err(|stage| BadRoute { name: name.clone(), stage })?;
        Ok((route.clone(), condition, *priority))
    });
    Ok(Table { routes: routes.collect::<Result<_, _>>()? })
}

impl Table {
    /// The copies a message must yield.
    pub fn deliveries(&self, message: &Message) -> Vec<Delivery> {
        let mut urgent: BTreeMap<Sink, u32> = BTreeMap::new();
        for (route, condition, priority) in &self.routes {
            if source_matches(&route.source, &message.source) && condition.evaluate(message) == Truth::True {
                let known = urgent.entry(route.sink.clone()).or_insert(*priority);
                *known = (*known).min(*priority);
            }
        }
        urgent.into_iter().map(|(sink, priority)| Delivery { sink, priority }).collect()
    }
}
