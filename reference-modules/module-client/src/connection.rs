//! The connection to the edgeHub: it stands for as long as the module needs it, whatever happens to the hub.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::environment::{Environment, Error};
use crate::message::{Input, Message};
use crate::methods::Methods;
use crate::outbox::{Outbox, Outgoing};
use crate::session::{End, Flow, PORT, Session, Wants};
use crate::token::Unsigned;
use crate::topic::Topics;
use crate::trust::{self, Distrust};
use crate::twin::Twin;
use crate::workload::{self, WorkloadError};

/// How long a password is good for, and when to come back with a new one: the hub closes on an old one.
const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);
const TOKEN_RENEWAL: Duration = Duration::from_secs(51 * 60);

/// Pauses between attempts to connect: doubled from the first up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A module's connection to its edgeHub.
pub struct Connection {
    environment: Environment,
    port: u16,
    outbox: Outbox,
    outgoing: mpsc::Receiver<Outgoing>,
    outgoing_to: mpsc::Sender<Outgoing>,
    wants: Wants,
}

impl Connection {
    /// A connection for the module that `environment` describes. It is made by [`Connection::until`], not before.
    pub fn new(environment: Environment) -> Self {
        Self::to_port(environment, PORT)
    }

    pub(crate) fn to_port(environment: Environment, port: u16) -> Self {
        // What is sent waits in the outbox; the channel only hands it over.
        let (outgoing_to, outgoing) = mpsc::channel(1);
        Self { environment, port, outbox: Outbox::default(), outgoing, outgoing_to, wants: Wants::default() }
    }

    /// Where to send messages. Any number of these can be had.
    pub fn outputs(&self) -> Outputs {
        Outputs { topics: Topics::of(&self.environment.device, &self.environment.module), post: self.post() }
    }

    /// Where to receive messages: a module that asks for this subscribes to all its inputs. The last one asked for gets
    /// them.
    pub fn inputs(&mut self) -> Inputs {
        let (inputs_to, arrived) = mpsc::unbounded_channel();
        self.wants.inputs = Some(inputs_to);
        Inputs { arrived }
    }

    /// Where the module is called: a module that asks for this subscribes to direct methods. The last one asked for gets
    /// them.
    pub fn methods(&mut self) -> Methods {
        let (requested_to, requested) = mpsc::unbounded_channel();
        self.wants.calls = Some(requested_to);
        Methods { requested, post: self.post() }
    }

    /// The module's twin: a module that asks for this subscribes to changes of desired properties. The last one asked for
    /// gets them.
    pub fn twin(&mut self) -> Twin {
        let (from_to, from) = mpsc::unbounded_channel();
        self.wants.twin = Some(from_to);
        Twin { from, post: self.post(), kept: VecDeque::new(), requests: 0 }
    }

    /// What calls direct methods of other modules, at a port of the hub: [`HTTPS_PORT`](crate::HTTPS_PORT), as a rule.
    pub fn caller(&self, port: u16) -> Caller {
        Caller { environment: self.environment.clone(), port }
    }

    fn post(&self) -> Post {
        Post { outgoing_to: self.outgoing_to.clone() }
    }

    /// Keeps the connection up until `work` is done, then leaves in good order.
    ///
    /// A hub or a workload API that cannot be reached, refuses or goes away is logged and tried again. What was sent and
    /// not acknowledged by then is sent again, so the hub may get a message twice.
    ///
    /// # Errors
    /// Only what `work` ends with.
    pub async fn until<T>(mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let (stopping, stop) = watch::channel(false);
        let mut standing = pin!(self.stand(Stop(stop)));
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = &mut standing => return Err(Error::Closed),
        };
        stopping.send_replace(true);
        standing.await;
        outcome
    }

    /// One session after the other, until told to stop.
    async fn stand(&mut self, mut stop: Stop) {
        let mut pause = FIRST_PAUSE;
        loop {
            let opened = tokio::select! {
                opened = open(&self.environment, self.port) => opened,
                () = stop.asked() => return,
            };
            match opened {
                Ok(session) => {
                    pause = FIRST_PAUSE;
                    tracing::info!(host = self.environment.gateway_host, "connected");
                    let flow = Flow { outgoing: &mut self.outgoing, outbox: &mut self.outbox, wants: &self.wants };
                    match session.run(flow, &mut stop, Instant::now() + TOKEN_RENEWAL).await {
                        Ok(End::Left) => return,
                        Ok(End::Expired) => continue,
                        Err(lost) => tracing::warn!(%lost, "lost the hub, coming back"),
                    }
                }
                Err(reason) => tracing::warn!(%reason, "not connected yet, trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.asked() => return,
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// All it takes to be let in: whom to trust, what to show, and a CONNECT.
async fn open(environment: &Environment, port: u16) -> Result<Session, NotOpen> {
    let (tls, password) = credentials(environment).await?;
    Ok(Session::open(environment, port, password, tls).await?)
}

/// Whom to trust, and a token to show.
pub(crate) async fn credentials(environment: &Environment) -> Result<(Arc<rustls::ClientConfig>, String), NotOpen> {
    let bundle = workload::trust_bundle(environment).await?;
    let tls = trust::in_bundle(&bundle)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let token = Unsigned::until((now + TOKEN_LIFE).as_secs(), environment);
    let signature = workload::sign(environment, &token.text()).await?;
    Ok((tls, token.signed(&signature)))
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOpen {
    #[error("the workload API {0}")]
    Workload(#[from] WorkloadError),
    #[error("the trust bundle is of no use: {0}")]
    Trust(#[from] Distrust),
    #[error("the hub: {0}")]
    Hub(#[from] rumqttc::ConnectionError),
}

/// The wish to leave, for whoever has to heed it.
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns once it is time to leave.
    pub(crate) async fn asked(&mut self) {
        // Nobody left who could ask is as good as being asked.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

/// Where a module sends messages.
#[derive(Debug, Clone)]
pub struct Outputs {
    topics: Topics,
    post: Post,
}

/// Hands messages over to the connection.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    outgoing_to: mpsc::Sender<Outgoing>,
}

impl Post {
    /// Publishes, and returns when the hub has acknowledged it, however long that takes.
    pub(crate) async fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), Error> {
        let (acknowledged, told) = oneshot::channel();
        self.outgoing_to.send(Outgoing { topic, payload, acknowledged }).await.map_err(|_| Error::Closed)?;
        told.await.map_err(|_| Error::Closed)
    }
}

impl Outputs {
    /// Sends a message by an output, and returns when the hub has acknowledged it, however long that takes.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is not run any more.
    pub async fn send(&self, output: &str, message: &Message) -> Result<(), Error> {
        self.post.publish(self.topics.output(output, message), message.body.clone()).await
    }
}

/// Where a module receives messages.
#[derive(Debug)]
pub struct Inputs {
    arrived: mpsc::UnboundedReceiver<Input>,
}

impl Inputs {
    /// The next message; nothing once the connection is not run any more.
    pub async fn next(&mut self) -> Option<Input> {
        self.arrived.recv().await
    }
}

#[cfg(test)]
mod tests;
