//! What is under way on a line.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::job::Asker;
use super::line::{Line, Ticket};
use crate::core::SendId;
use crate::faults::planted;

/// Messages whose acknowledgements are awaited.
pub struct Sending {
    /// Names the attempt.
    pub send: SendId,
    /// What is not yet acknowledged.
    pub tickets: VecDeque<Ticket>,
    /// Messages acknowledged.
    pub accepted: usize,
    /// When patience ends.
    pub deadline: Instant,
}

/// A twin request whose answer is awaited.
pub struct Request {
    /// Who wants it.
    pub asker: Asker,
    /// When patience ends.
    pub deadline: Instant,
}

/// A line that stands.
pub struct Open {
    /// To IoT Hub.
    pub line: Line,
    /// Tells this line from those before it.
    pub number: u64,
    /// Telemetry.
    pub sendings: VecDeque<Sending>,
    /// Twin requests by their ids.
    pub requests: HashMap<String, Request>,
    /// Whether it is to be closed once nothing is under way.
    pub leaving: bool,
}

impl Open {
    /// A line on which nothing is under way.
    pub fn new(line: Line, number: u64) -> Open {
        Open { line, number, sendings: VecDeque::new(), requests: HashMap::new(), leaving: false }
    }

    /// When patience with something under way ends.
    pub fn deadline(&self) -> Option<Instant> {
        let patient = planted("S22-upstream-answer-is-awaited-for-ever");
        let sendings = self.sendings.iter().map(|sending| sending.deadline).filter(|_| !patient);
        sendings.chain(self.requests.values().map(|request| request.deadline)).min()
    }

    /// Whether it may be closed because its client left.
    pub fn is_done(&self) -> bool {
        self.leaving && self.sendings.is_empty() && self.requests.is_empty()
    }
}
