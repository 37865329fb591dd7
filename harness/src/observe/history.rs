//! The record of one case: what was sent, what was acknowledged, what arrived where and when.
//!
//! Clients append, models judge; nobody does both.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use crate::client::property_bag::Properties;
use crate::outcome::Moment;

/// The application property that carries a message's mark. It is part of the message for the hub and for every model.
pub const MARK: &str = "mark";

/// Somebody who sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// A module of the edge device.
    Module(String),
    /// A device downstream of the edge device.
    LeafDevice(String),
}

/// Somewhere messages arrive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// An input of a module.
    Input {
        /// The module.
        module: String,
        /// The input.
        input: String,
    },
    /// The cloud.
    Upstream,
}

/// A message somebody sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Who sent it.
    pub by: Identity,
    /// When it was handed to the connection.
    pub at: Instant,
    /// Its mark, unique in the environment.
    pub mark: String,
    /// Output name, for modules that set one.
    pub output: Option<String>,
    /// Application properties, the mark among them.
    pub properties: Properties,
    /// System properties the sender set, named as route conditions name them.
    pub system: Properties,
    /// Body.
    pub body: Bytes,
    /// When the hub acknowledged it, if it did.
    pub acknowledged: Option<Instant>,
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Where.
    pub at: Place,
    /// When.
    pub when: Instant,
    /// For upstream, whose connection it came over: device and module.
    pub connection: Option<(String, Option<String>)>,
    /// Application properties.
    pub properties: Properties,
    /// System properties.
    pub system: Properties,
    /// Body.
    pub body: Bytes,
    /// Topic, as it was on the wire.
    pub topic: String,
}

/// One case.
#[derive(Debug, Clone)]
pub struct History {
    /// When the case began.
    pub began: Instant,
    /// What was sent, in order.
    pub sent: Vec<Sent>,
    /// What arrived, in order of arrival.
    pub delivered: Vec<Delivered>,
}

impl History {
    /// An empty record that begins now.
    pub fn begin() -> Self {
        Self { began: Instant::now(), sent: Vec::new(), delivered: Vec::new() }
    }

    /// How often each place got the message of this mark, as a list of places.
    pub fn places_of(&self, mark: &str) -> Vec<&Place> {
        self.delivered
            .iter()
            .filter(|delivered| delivered.mark() == Some(mark))
            .map(|delivered| &delivered.at)
            .collect()
    }

    /// The case as a reader of the report sees it. `unexpected` says which deliveries the model did not foresee.
    pub fn timeline(&self, unexpected: impl Fn(&Delivered) -> bool) -> Vec<Moment> {
        let since = |instant: Instant| instant.saturating_duration_since(self.began).as_secs_f64();
        let sent = self.sent.iter().flat_map(|sent| {
            let acknowledged = sent.acknowledged.map(|at| Moment {
                at_s: since(at),
                who: sent.by.to_string(),
                what: format!("{} acknowledged", sent.mark),
                unexpected: false,
            });
            let publish = Moment {
                at_s: since(sent.at),
                who: sent.by.to_string(),
                what: format!(
                    "{} published{}",
                    sent.mark,
                    sent.output.as_ref().map(|output| format!(" on output {output}")).unwrap_or_default()
                ),
                unexpected: false,
            };
            std::iter::once(publish).chain(acknowledged)
        });
        let delivered = self.delivered.iter().map(|delivered| Moment {
            at_s: since(delivered.when),
            who: delivered.at.to_string(),
            what: format!("{} delivered", delivered.mark().unwrap_or("a message without a mark")),
            unexpected: unexpected(delivered),
        });
        let mut moments: Vec<Moment> = sent.chain(delivered).collect();
        moments.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        moments
    }
}

impl Delivered {
    /// The mark the message carries.
    pub fn mark(&self) -> Option<&str> {
        value_of(&self.properties, MARK)
    }
}

/// The value of a property, looked up by its exact name.
pub fn value_of<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
    properties.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Module(id) => write!(f, "module {id}"),
            Identity::LeafDevice(id) => write!(f, "leaf device {id}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Input { module, input } => write!(f, "{module}/{input}"),
            Place::Upstream => f.write_str("$upstream"),
        }
    }
}
