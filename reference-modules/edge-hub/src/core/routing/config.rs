//! The desired properties of `$edgeHub`, read as one document: the parse stage. Source: `routing.md` 1.1 to 1.4.

mod binding;
mod broker;
mod routes;
mod store_and_forward;
mod version;

use super::sink::Sink;
use crate::core::lenient_json::{self, Json};
use binding::{Members, Unbound};
use version::SchemaVersion;

/// A configuration that passed the parse stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// As written.
    pub schema_version: String,
    /// In the order of the document.
    pub routes: Vec<RouteSpec>,
    /// Time to live of messages whose route sets none; negative is infinite, 0 expires at once.
    pub time_to_live_secs: i32,
    /// Limit of the in-memory store.
    pub max_size_bytes: Option<i64>,
    /// The `mqttBroker` section, which is validated and then has no effect.
    pub broker: Option<BrokerCounts>,
    /// Whether an `integrity` section is present.
    pub integrity: bool,
}

/// One route, taken apart; the condition is still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// As carried in error texts.
    pub name: String,
    /// Normalised; ends in `/`.
    pub source: String,
    /// Text between `WHERE` and `INTO`; `true` without `WHERE`.
    pub condition: String,
    /// Where matching messages go.
    pub sink: Sink,
    /// 0 (most urgent) to 9, or 2 000 000 000 when not set.
    pub priority: u32,
    /// 0 = inherit the configuration's.
    pub time_to_live_secs: u32,
}

/// How much a valid `mqttBroker` section declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerCounts {
    /// Bridges.
    pub bridges: usize,
    /// Authorization statements.
    pub statements: usize,
}

/// Why a document was refused at the parse stage; displays as the cause that is reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(cause: impl Into<String>) -> ConfigError {
        ConfigError(cause.into())
    }
}

impl From<Unbound> for ConfigError {
    fn from(unbound: Unbound) -> ConfigError {
        ConfigError(unbound.to_string())
    }
}

impl Config {
    /// Reads a whole desired document of `$edgeHub`.
    ///
    /// # Errors
    /// [`ConfigError`] when any part fails the parse stage; then nothing of the document takes effect.
    pub fn parse(edge_device_id: &str, document: &str) -> Result<Config, ConfigError> {
        let _ = edge_device_id;
        let Ok(Json::Object(members)) = lenient_json::read(document) else {
            return Err(ConfigError::new("the document is not a JSON object"));
        };
        let version = version::of(&members)?;
        let members = Members::of(&members);
        let schema_version = members.get("schemaVersion").and_then(binding::text).unwrap_or_default();
        let has_broker = version >= SchemaVersion::V1_2;
        let broker = members.get("mqttBroker").filter(|_| has_broker).map(broker::read).transpose()?.flatten();
        let integrity = version >= SchemaVersion::V1_3 && integrity(&members)?;
        let (time_to_live_secs, max_size_bytes) = store_and_forward::read(&members)?;
        let routes = if version == SchemaVersion::V1_0 { routes::of_1_0(&members)? } else { routes::of_1_1(&members)? };
        Ok(Config { schema_version, routes, time_to_live_secs, max_size_bytes, broker, integrity })
    }
}

/// Whether a manifest is signed; the signature itself is not looked at.
fn integrity(members: &Members) -> Result<bool, Unbound> {
    match members.get("integrity") {
        None | Some(Json::Null) => Ok(false),
        Some(Json::Object(_)) => Ok(true),
        Some(_) => Err(Unbound::new("integrity")),
    }
}
