//! The connections to IoT Hub: one session for each identity the hub acts for, its own among them.
//!
//! - `session`: the operations of one identity; [`job`]: what it is asked to do.
//! - `line`: its way to IoT Hub, over `mqtt` or `amqp`; `open`: what is under way on it.
//! - `event`: a message as IoT Hub gets it.
//! - [`registry`]: modules of the devices behind this one, over HTTPS.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use crate::core::{Input, ReportOutcome, SendOutcome};
use crate::dial::Dialler;
use crate::engine::{Engine, ToUpstream};
use crate::identity::ClientId;
use crate::scope::client::Scope;
use crate::settings::{Identity, Settings};
use crate::workload::Workload;

pub mod amqp;
mod event;
pub mod job;
mod line;
mod mqtt;
mod open;
pub mod registry;
mod session;

use job::{Asker, Job, Notice};
use session::Session;

/// What every session needs.
pub struct Context {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Signs for the hub itself.
    pub workload: Workload,
    /// Keys of everybody else.
    pub scope: Arc<Scope>,
    /// Opens connections.
    pub dialler: Dialler,
    /// The one connection of all sessions over AMQP.
    pub amqp: amqp::Pool,
}

/// A connection, of whatever kind.
pub trait Duplex: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin> Duplex for S {}

impl Context {
    /// A connection to this port, or a WebSocket for this sub-protocol.
    async fn dial(&self, port: u16, sub_protocol: &'static str) -> io::Result<Box<dyn Duplex>> {
        let host = self.settings.identity.upstream_host();
        if self.settings.upstream_protocol.is_in_web_sockets() {
            Ok(Box::new(self.dialler.dial_websocket(host, sub_protocol).await?))
        } else {
            Ok(Box::new(self.dialler.dial(host, port).await?))
        }
    }
}

/// All sessions.
#[derive(Clone)]
pub struct Upstream {
    context: Arc<Context>,
    own: ClientId,
    sessions: Arc<Mutex<HashMap<ClientId, mpsc::UnboundedSender<Job>>>>,
}

impl Upstream {
    /// No session yet.
    pub fn new(context: Context) -> Upstream {
        let identity = &context.settings.identity;
        Upstream {
            own: ClientId::module(identity.device_id.clone(), identity.module_id.clone()),
            context: Arc::new(context),
            sessions: Arc::default(),
        }
    }

    /// Keeps the hub's own session, and does what the engine says, for ever.
    pub async fn run(self, engine: Engine, mut inbox: mpsc::UnboundedReceiver<ToUpstream>) {
        let (notices, mut noticed) = mpsc::unbounded_channel();
        let session = Session::new(self.context.clone(), self.own.clone(), engine.clone(), Some(notices));
        self.lock().insert(self.own.clone(), session.start());
        let began = Instant::now();
        let patience = self.context.settings.cloud_operation_timeout;
        let mut heard = false;
        loop {
            tokio::select! {
                told = inbox.recv() => match told {
                    Some(told) => self.do_as_told(&engine, told),
                    None => return,
                },
                Some(notice) = noticed.recv() => match notice {
                    Notice::Connected => {
                        if heard {
                            // Who knows what has changed meanwhile.
                            self.context.scope.refresh_soon();
                        }
                        heard = true;
                        engine.tell(Input::UpstreamConnected);
                        self.fetch_twin(&engine);
                    }
                    Notice::Lost => engine.tell(Input::UpstreamLost),
                    Notice::Desired(patch) => engine.tell(Input::DesiredPatch(patch)),
                },
                () = tokio::time::sleep(patience.saturating_sub(began.elapsed())), if !heard => {
                    heard = true;
                    engine.tell(Input::TwinUnobtainable(String::from("no connection to IoT Hub")));
                }
            }
        }
    }

    fn do_as_told(&self, engine: &Engine, told: ToUpstream) {
        match told {
            ToUpstream::Send { send, sender, messages } => {
                let job = Job::Telemetry { send, messages };
                if self.give(engine, &sender, job).is_err() {
                    let outcome = SendOutcome::Failed;
                    engine.tell(Input::Sent { send, accepted: 0, outcome });
                }
            }
            ToUpstream::Report { patch } => {
                let (this, engine) = (self.clone(), engine.clone());
                tokio::spawn(async move {
                    let answer = this.report(&engine, Bytes::from(patch)).await;
                    let outcome = match answer {
                        Ok((..300, _)) => ReportOutcome::Accepted,
                        Ok((400 | 413, _)) => ReportOutcome::Refused,
                        _ => ReportOutcome::Failed,
                    };
                    engine.tell(Input::Reported { outcome });
                });
            }
            ToUpstream::FetchTwin => self.fetch_twin(engine),
            ToUpstream::RefreshIdentities { rid, clients } => {
                let (scope, engine) = (self.context.scope.clone(), engine.clone());
                tokio::spawn(async move {
                    let error = scope.refresh_now(&clients).await.err().map(|error| error.to_string());
                    engine.tell(Input::IdentitiesRefreshed { rid, error });
                });
            }
            ToUpstream::ReadTwin { client, request } => {
                self.attend(engine, &client, Job::TwinGet { asker: Asker::Core(request) });
            }
            ToUpstream::PatchTwin { client, request, patch } => {
                self.attend(engine, &client, Job::TwinPatch { patch, asker: Asker::Core(request) });
            }
            ToUpstream::Probe => {
                let (this, engine) = (self.clone(), engine.clone());
                tokio::spawn(async move {
                    if let Err(error) = this.report(&engine, Bytes::from_static(b"{}")).await {
                        tracing::info!("IoT Hub does not answer: {error}");
                    }
                    engine.tell(Input::Probed);
                });
            }
            ToUpstream::Listen { client, listening } => self.attend(engine, &client, Job::Listen(listening)),
            ToUpstream::Leave { client } => self.attend(engine, &client, Job::Leave),
            ToUpstream::MethodResponse { client, rid, status, payload } => {
                self.attend(engine, &client, Job::MethodResponse { rid, status, payload });
            }
            ToUpstream::Settle { client, message, feedback } => {
                self.attend(engine, &client, Job::Settle(message, feedback));
            }
        }
    }

    /// Gives a job that nobody waits for: sessions last as long as the hub.
    fn attend(&self, engine: &Engine, client: &ClientId, job: Job) {
        if let Err(error) = self.give(engine, client, job) {
            tracing::warn!("{client} upstream: {error}");
        }
    }

    fn fetch_twin(&self, engine: &Engine) {
        let (this, engine) = (self.clone(), engine.clone());
        tokio::spawn(async move {
            match this.ask(&engine, |asker| Job::TwinGet { asker }).await {
                Ok((200, document)) => match serde_json::from_slice::<Value>(&document) {
                    Ok(document) => engine.tell(Input::Twin(document["desired"].to_string())),
                    Err(error) => engine.tell(Input::TwinUnobtainable(error.to_string())),
                },
                Ok((status, _)) => engine.tell(Input::TwinUnobtainable(format!("status {status}"))),
                Err(error) => engine.tell(Input::TwinUnobtainable(error.to_string())),
            }
        });
    }

    async fn report(&self, engine: &Engine, patch: Bytes) -> io::Result<(u16, Bytes)> {
        self.ask(engine, |asker| Job::TwinPatch { patch, asker }).await
    }

    /// Asks something about the hub's own twin.
    async fn ask(&self, engine: &Engine, job: impl FnOnce(Asker) -> Job) -> io::Result<(u16, Bytes)> {
        let (answer, answered) = oneshot::channel();
        self.give(engine, &self.own, job(Asker::Hub(answer)))?;
        answered.await.map_err(|_| io::Error::other("the connection to IoT Hub broke"))
    }

    fn give(&self, engine: &Engine, client: &ClientId, job: Job) -> io::Result<()> {
        let mut sessions = self.lock();
        let inbox = sessions
            .entry(client.clone())
            .or_insert_with(|| Session::new(self.context.clone(), client.clone(), engine.clone(), None).start());
        inbox.send(job).map_err(|_| io::Error::other("the session has ended"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClientId, mpsc::UnboundedSender<Job>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the hub calls itself.
const PRODUCT: &str = concat!("edgecert EdgeHub/", env!("CARGO_PKG_VERSION"));

/// From an identity up to the edge device, on whose word IoT Hub lets it in.
fn auth_chain(hub: &Identity, client: &ClientId) -> String {
    if client.device == hub.device_id && client.module.is_none() {
        client.to_string()
    } else {
        format!("{client};{}", hub.device_id)
    }
}
