//! What the product promises about routing, as a definition rather than a program: slow, plain, and independent of
//! any hub. A message and a table of routes go in, the places that must get a copy come out.
//!
//! - `token`: characters to tokens, longest match first.
//! - `route`: the route string, its source and its sink.
//! - `accept`: which texts are conditions at all, and which are refused in which stage.
//! - `syntax`: a condition as a tree. `typing`: which trees compile.
//! - `value` and `evaluate`: what a condition yields for a message; `function` the built-in functions.
//! - `body`: `$body` paths. `json`: the lenient JSON reader behind them, `date`: texts it takes for dates. `number`:
//!   numbers written as text.
//! - `size`: how large a message is.
//! - `document`: the desired properties of `$edgeHub` as a whole.
//! - `table`: from a configuration to deliveries.
//! - [`mqtt`]: the texts of the MQTT head, as pure functions.
//! - [`method`]: direct methods over HTTPS: who may call, what is read, what the caller gets.
//! - [`mqtt_stream`]: what a client's packets ask for, before any of that.
//! - [`twin`]: what becomes of a reported patch, and how documents are merged and compared.
//!
//! Source throughout: Azure/iotedge 55353a64, `Microsoft.Azure.Devices.Routing.Core`, as observed by running it.

mod accept;
mod body;
mod broker;
mod date;
mod document;
mod evaluate;
mod function;
mod json;
pub mod method;
pub mod mqtt;
pub mod mqtt_stream;
mod number;
mod route;
mod size;
mod syntax;
mod table;
mod token;
pub mod twin;
mod typing;
mod value;

pub use broker::Broker;
pub use document::{Document, DocumentRoute, Refused, document};
pub use evaluate::Truth;
pub use route::{Route, RouteRefusal, Sink, normalised, own_path, route, source_matches};
pub use size::{LARGEST, size};
pub use table::{BadRoute, Config, DEFAULT_PRIORITY, Delivery, Table, compile, config};

/// A message as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where it comes from.
    pub source: Source,
    /// Application properties; one without a value is `None`.
    pub properties: Vec<(String, Option<String>)>,
    /// System properties.
    pub system: Vec<(String, Option<String>)>,
    /// Body.
    pub body: Vec<u8>,
}

/// Where a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A device downstream of the edge device.
    LeafDevice,
    /// A module, and the output it named, if any.
    Module {
        /// The module's id.
        module: String,
        /// The output.
        output: Option<String>,
    },
    /// An update of reported properties.
    TwinChange,
}

/// Where a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// While the configuration is read: the hub reports 400.
    Parse,
    /// While it is applied: the hub reports 200 and keeps the routes it has.
    Compile,
}

/// A condition that compiles.
#[derive(Debug, Clone)]
pub struct Condition {
    tree: syntax::Tree,
}

/// Reads the text of a condition, as it stands between `WHERE` and `INTO`.
///
/// # Errors
/// The [`Stage`] that refuses it.
pub fn condition(text: &str) -> Result<Condition, Stage> {
    let route = route(&format!("FROM /messages WHERE {text} INTO $upstream")).map_err(|_| Stage::Parse)?;
    route.compiled()
}

impl Condition {
    /// What the condition yields for a message.
    pub fn evaluate(&self, message: &Message) -> Truth {
        evaluate::truth(&self.tree, message)
    }
}
