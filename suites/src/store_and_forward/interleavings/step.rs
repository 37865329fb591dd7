//! What can happen in an ordeal, told as a story. Every step can be taken in every state: who is away cannot leave, and
//! then nothing happens.

use std::collections::BTreeMap;
use std::fmt;

use harness::observe::history::{Identity, Place};
use serde_json::{Value, json};

use super::super::judgement::DEFAULT_PRIORITY;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Messages are published and acknowledged.
    Send { by: usize, lane: usize, count: usize },
    /// Messages are published, and something befalls the hub before their acknowledgements were awaited.
    Race { by: usize, lane: usize, count: usize, fate: Fate },
    /// Something befalls the hub.
    Befall(Fate),
    /// A receiver breaks its connection.
    Leave(&'static str),
    /// It connects, or connects anew, and acknowledges what it gets.
    Return(&'static str),
    /// It acknowledges nothing more.
    FallSilent(&'static str),
    /// The link upstream is cut.
    Cut { whom: Whom, how: &'static str },
    /// All cuts are mended.
    Mend,
    /// The condition of one route changes.
    Switch,
}

/// What befalls the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// SIGKILL, and a new start.
    Killed,
    /// SIGTERM, and a new start.
    Stopped,
    /// It stands still for a moment.
    Halted,
}

/// Whose link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The hub is cut off from the cloud.
    Everybody,
    /// Only the connection of one sender.
    Sender(usize),
}

/// What the harness does behind the last step.
pub const END: &str = "everything is restored; who was not acknowledged publishes again; what waited is delivered";

/// Where messages of a kind go.
pub struct Lane {
    /// Value of the property `lane`.
    pub name: &'static str,
    /// Module and input, or upstream.
    to: &'static [Option<(&'static str, &'static str)>],
    /// Priority of its routes.
    priority: Option<u32>,
    /// Whether its route has the condition that changes.
    pub gated: bool,
}

const I0: Option<(&str, &str)> = Some(("sink", "i0"));
const I1: Option<(&str, &str)> = Some(("sink", "i1"));
const IN: Option<(&str, &str)> = Some(("other", "in"));

/// Every kind of message, the simplest first.
pub const LANES: [Lane; 7] = [
    Lane { name: "plain", to: &[I0], priority: None, gated: false },
    Lane { name: "cloud", to: &[None], priority: None, gated: false },
    Lane { name: "urgent", to: &[I0], priority: Some(0), gated: false },
    Lane { name: "calm", to: &[I0], priority: Some(7), gated: false },
    Lane { name: "both", to: &[IN, None], priority: None, gated: false },
    Lane { name: "gated", to: &[I1], priority: None, gated: true },
    Lane { name: "cloud-urgent", to: &[None], priority: Some(2), gated: false },
];

/// Senders by number.
pub fn sender(number: usize) -> Identity {
    match number {
        0 => Identity::Module("probe".to_owned()),
        1 => Identity::Module("m1".to_owned()),
        _ => Identity::LeafDevice("leaf1".to_owned()),
    }
}

impl Lane {
    /// Where a message of this kind must arrive, under which priority.
    pub fn copies(&self, open: bool) -> Vec<(Place, u32)> {
        if self.gated && !open {
            return Vec::new();
        }
        let priority = self.priority.unwrap_or(DEFAULT_PRIORITY);
        self.to.iter().map(|to| (place(to), priority)).collect()
    }
}

fn place(to: &Option<(&str, &str)>) -> Place {
    to.map_or(Place::Upstream, |(module, input)| Place::Input { module: module.to_owned(), input: input.to_owned() })
}

/// The routes, with the gate open or shut.
pub fn routes(open: bool) -> BTreeMap<String, Value> {
    let mut routes = BTreeMap::new();
    for lane in &LANES {
        for (number, to) in lane.to.iter().enumerate() {
            let sink = to.map_or("$upstream".to_owned(), |(module, input)| {
                format!("BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")")
            });
            let gate = match (lane.gated, open) {
                (false, _) => "",
                (true, true) => " AND gate = 'open'",
                (true, false) => " AND gate = 'shut'",
            };
            let text = format!("FROM /messages/* WHERE lane = '{}'{gate} INTO {sink}", lane.name);
            let route = match lane.priority {
                Some(priority) => json!({"route": text, "priority": priority}),
                None => json!(text),
            };
            routes.insert(format!("{}-{number}", lane.name), route);
        }
    }
    routes
}

/// The routes as reports show them.
pub fn shown_routes() -> Vec<String> {
    let shown = |(name, route): (&String, &Value)| match route.as_str() {
        Some(text) => format!("{name}: {text}"),
        None => format!("{name}: {route}"),
    };
    routes(true).iter().map(shown).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = |count: &usize| if *count == 1 { "a message".to_owned() } else { format!("{count} messages") };
        match self {
            Step::Send { by, lane, count } => {
                write!(f, "{} sends {} of lane {}", sender(*by), messages(count), LANES[*lane].name)
            }
            Step::Race { by, lane, count, fate } => {
                let (sender, lane) = (sender(*by), LANES[*lane].name);
                write!(f, "{sender} sends {} of lane {lane}, and meanwhile {fate}", messages(count))
            }
            Step::Befall(fate) => write!(f, "{fate}"),
            Step::Leave(module) => write!(f, "module {module} breaks its connection"),
            Step::Return(module) => write!(f, "module {module} connects"),
            Step::FallSilent(module) => write!(f, "module {module} stops acknowledging"),
            Step::Cut { whom, how } => {
                let whom = match whom {
                    Whom::Everybody => "the hub".to_owned(),
                    Whom::Sender(number) => sender(*number).to_string(),
                };
                match *how {
                    "outage" => write!(f, "the cloud is out of reach for {whom}"),
                    "refuse" => write!(f, "the cloud refuses new connections of {whom} as unavailable"),
                    _ => write!(f, "the cloud closes and refuses connections of {whom} as not authorized"),
                }
            }
            Step::Mend => f.write_str("the cloud is within everybody's reach again"),
            Step::Switch => f.write_str("the gate of lane gated is shut, or opened again"),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Killed => "the hub is killed and started again",
            Fate::Stopped => "the hub is stopped and started again",
            Fate::Halted => "the hub stands still for a moment",
        })
    }
}
