//! What can happen in a story of calls. Every step can be taken in every state: who is away cannot leave, and then
//! nothing happens.

use std::fmt;

use harness::observe::history::Identity;
use serde_json::Value;

use super::super::ground::{CLERK, METER, OPERATOR, PUMP, VALVE, device, module};

/// Clients that are called, by number.
pub const CALLEES: [&str; 3] = [PUMP, VALVE, METER];
/// Modules that call, by number.
pub const CALLERS: [&str; 2] = [OPERATOR, CLERK];

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A callee connects, in the place of its earlier connection if there is one, and subscribes.
    Arrive(usize),
    /// The same, and it does not subscribe.
    Connect(usize),
    /// A callee subscribes to methods.
    Subscribe(usize),
    /// It takes the subscription back.
    Unsubscribe(usize),
    /// It leaves.
    Leave { who: usize, how: Departure },
    /// Callers in turn, beginning with one of them, call a method side by side.
    Call { by: usize, to: usize, count: usize, name: String, argument: Value },
    /// An open call is answered, perhaps with its id in capital letters.
    Answer { call: usize, shouted: bool, status: i32, payload: Option<Value> },
    /// Somebody answers what is not theirs to answer.
    Deceive { call: usize, fraud: Fraud },
}

/// How a callee leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// With DISCONNECT.
    Goodbye,
    /// Without.
    Silence,
}

/// An answer that must change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fraud {
    /// Another callee answers an open call.
    ByAnother,
    /// A callee answers a call that nobody made.
    UnknownId,
    /// A callee answers without an id.
    NoId,
    /// A callee answers a call that is over, on the connection it has now.
    Late,
}

/// What the harness does behind the last step.
pub const END: &str = "every call that is open is answered; whoever is there subscribes and gets one call more";

/// A callee by number.
pub fn callee(number: usize) -> Identity {
    match CALLEES[number] {
        METER => device(METER),
        id => module(id),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Arrive(who) => write!(f, "{} connects and subscribes to methods", callee(*who)),
            Step::Connect(who) => write!(f, "{} connects", callee(*who)),
            Step::Subscribe(who) => write!(f, "{} subscribes to methods", callee(*who)),
            Step::Unsubscribe(who) => write!(f, "{} unsubscribes from methods", callee(*who)),
            Step::Leave { who, how: Departure::Goodbye } => write!(f, "{} disconnects", callee(*who)),
            Step::Leave { who, how: Departure::Silence } => write!(f, "{} breaks its connection", callee(*who)),
            Step::Call { by, to, count, name, argument } => {
                let (caller, callee) = (CALLERS[*by], callee(*to));
                let times = if *count == 1 { String::new() } else { format!(", {count} times side by side") };
                write!(f, "module {caller} calls method {name:?} of {callee} with {argument}{times}")
            }
            Step::Answer { call, shouted, status, payload } => {
                let payload = payload.as_ref().map_or("no payload".to_owned(), ToString::to_string);
                let id = if *shouted { ", its id in capital letters" } else { "" };
                write!(f, "open call {call} (of those there are) is answered with {status} and {payload}{id}")
            }
            Step::Deceive { call, fraud } => match fraud {
                Fraud::ByAnother => write!(f, "another callee answers open call {call}"),
                Fraud::UnknownId => f.write_str("a callee answers a call that nobody made"),
                Fraud::NoId => f.write_str("a callee answers without an id"),
                Fraud::Late => write!(f, "ended call {call} is answered again, on its callee's present connection"),
            },
        }
    }
}
