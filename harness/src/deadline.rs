//! Every wait has a name and a limit. Waits end early, when what was waited for is seen.

use std::fmt;
use std::future::Future;
use std::time::Duration;

/// How long the harness waits for one kind of thing before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The name reports use.
    pub name: &'static str,
    /// The limit.
    pub limit: Duration,
}

/// A simulator or a reference module says that it is ready.
pub const START: Deadline = Deadline::new("START", 20);
/// A hub answers on its metrics port and accepts a module. The product takes 2 s, or 62 s when its first scope
/// request fails.
pub const READY: Deadline = Deadline::new("READY", 75);
/// One look at something that is looked at again and again.
pub const GLANCE: Deadline = Deadline { name: "GLANCE", limit: Duration::from_millis(20) };
/// A process ends after it was asked to.
pub const STOP: Deadline = Deadline::new("STOP", 10);
/// A change of desired properties is pushed to a client that has just subscribed. One that comes before the
/// subscription stands in the cloud may not be: then there is another.
pub const PUSHED: Deadline = Deadline { name: "PUSHED", limit: Duration::from_millis(500) };
/// A client gets its CONNACK, or an answer to a request over HTTP.
pub const CONNECT: Deadline = Deadline::new("CONNECT", 20);
/// A PUBLISH gets its PUBACK, a SUBSCRIBE its SUBACK.
pub const ACKNOWLEDGEMENT: Deadline = Deadline::new("ACKNOWLEDGEMENT", 10);
/// The cloud hears what became of a message to a device.
pub const OUTCOME: Deadline = Deadline::new("OUTCOME", 5);
/// A twin request is answered, also when the cloud does not answer the hub. The product gives the cloud 20 s, twice;
/// the settings of tests give it less.
pub const TWIN: Deadline = Deadline::new("TWIN", 12);
/// A message that waited while its module was away for a moment arrives: the first waits are 1, 2 and 4 s.
pub const RETRY_AFTER_ABSENCE: Deadline = Deadline::new("RETRY_AFTER_ABSENCE", 15);
/// The hub ends a connection that is over.
pub const CLOSED: Deadline = Deadline::new("CLOSED", 10);
/// A limit of time that the hub keeps has passed: those of tests are set to a few seconds.
pub const TIME_LIMIT: Deadline = Deadline::new("TIME_LIMIT", 15);
/// The hub looks at the credentials of connected clients again. The product does so every five minutes.
pub const REAUTHENTICATION: Deadline = Deadline::new("REAUTHENTICATION", 330);
/// The hub ends an AMQP connection on which nothing comes. The product does so after 240 s.
pub const SILENCE: Deadline = Deadline::new("SILENCE", 260);
/// A message reaches the sinks its routes name.
pub const ROUTING: Deadline = Deadline::new("ROUTING", 10);
/// A method call is answered, at the latest with a 504 at the end of a response timeout of 5 s.
pub const METHOD: Deadline = Deadline::new("METHOD", 10);
/// A method call is answered whose response timeout is the one of the product's choice, 30 s.
pub const PATIENT_METHOD: Deadline = Deadline::new("PATIENT_METHOD", 40);
/// A changed configuration is seen to be in force.
pub const CONFIGURATION: Deadline = Deadline::new("CONFIGURATION", 15);
/// A reported property of the hub reaches the cloud. The product sends them every 5 s.
pub const REPORTED: Deadline = Deadline::new("REPORTED", 15);
/// Everything that waited arrives, once nothing is in the way any more and the hub was told to try again: time for an
/// attempt that nobody will acknowledge, and for a pause behind it.
pub const DRAIN: Deadline = Deadline::new("DRAIN", 20);
/// One of several looks whether everything that waited has arrived.
pub const DRAIN_ONCE: Deadline = Deadline { name: "DRAIN_ONCE", limit: Duration::from_millis(500) };
/// A metric shows what was counted.
pub const COUNTED: Deadline = Deadline::new("COUNTED", 2);
/// A queue is tried again after its endpoint came back: up to 60 s of back-off.
pub const RETRY: Deadline = Deadline::new("RETRY", 65);

impl Deadline {
    const fn new(name: &'static str, seconds: u64) -> Self {
        Self { name, limit: Duration::from_secs(seconds) }
    }

    /// Waits for `what`, at most until the limit.
    ///
    /// # Errors
    /// [`Expired`] when the limit passed first.
    pub async fn wait<T>(self, what: impl fmt::Display, future: impl Future<Output = T>) -> Result<T, Expired> {
        tokio::time::timeout(self.limit, future).await.map_err(|_| Expired { deadline: self, what: what.to_string() })
    }
}

/// Something did not happen in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("waited {} s ({}) for {what}", .deadline.limit.as_secs(), .deadline.name)]
pub struct Expired {
    /// The limit that passed.
    pub deadline: Deadline,
    /// What was waited for.
    pub what: String,
}
