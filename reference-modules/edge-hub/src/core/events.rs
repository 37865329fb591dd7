//! What happened, for whoever counts.

use std::time::Duration;

/// One thing worth a figure on the metrics page.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A message was accepted.
    Received {
        /// Sender.
        id: String,
        /// Output it named, or empty.
        output: String,
        /// Size by the product's count.
        size: usize,
    },
    /// A message reached the transport of its receiver, or IoT Hub.
    Sent {
        /// Sender.
        from: String,
        /// Client id, or `upstream`.
        to: String,
        /// Output of the sender, or empty.
        output: String,
        /// Input of the receiver, or empty.
        input: String,
        /// Queue it waited in.
        priority: u32,
        /// Time since it was accepted.
        processed_in: Duration,
    },
    /// A message was given up.
    Dropped {
        /// `no_route` or `ttl_expiry`.
        reason: &'static str,
        /// Sender.
        from: String,
        /// Output of the sender, or empty.
        output: String,
    },
    /// A message could not be stored, and its sender was not acknowledged.
    Unacknowledged {
        /// Sender.
        from: String,
        /// Output of the sender, or empty.
        output: String,
    },
    /// A queue has this many unsettled messages.
    QueueLength {
        /// Endpoint id.
        endpoint: String,
        /// Priority of the queue.
        priority: u32,
        /// Messages.
        length: u64,
    },
    /// An endpoint tries again.
    Retry {
        /// Endpoint id.
        endpoint: String,
        /// The product's name of the operation, leading blank included.
        operation: &'static str,
    },
    /// A client connected.
    ClientConnected {
        /// Client id.
        id: String,
        /// Clients connected now.
        connected: usize,
    },
    /// A client left.
    ClientDisconnected {
        /// Client id.
        id: String,
        /// Clients connected now.
        connected: usize,
    },
    /// The hub updated its own reported properties.
    ReportedUpdate,
}
