//! The operations of one identity upstream: events in order, twin requests, and changes of desired properties.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::connection::Connection;
use super::{Context, PING_PERIOD, event};
use crate::core::{Envelope, Input, SendId, SendOutcome};
use crate::engine::{Engine, now};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::wire::{self, Packet};

const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";
const RESPONSES: &str = "$iothub/twin/res/";

/// Pause before the hub's own connection is tried again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Something to do for the identity.
pub enum Job {
    /// Send events, and tell [`Input::Sent`].
    Telemetry {
        /// Names the attempt.
        send: SendId,
        /// What, in order.
        messages: Vec<Arc<Envelope>>,
    },
    /// Read the twin.
    TwinGet {
        /// Status and document; dropped when there is no answer.
        answer: oneshot::Sender<(u16, Bytes)>,
    },
    /// Update reported properties.
    TwinPatch {
        /// A JSON object.
        patch: Bytes,
        /// Status; dropped when there is no answer.
        answer: oneshot::Sender<(u16, Bytes)>,
    },
}

/// What the hub's own session has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The connection stands (again).
    Connected,
    /// Desired properties changed.
    Desired(String),
}

/// A session, to be started.
pub struct Session {
    context: Arc<Context>,
    client: ClientId,
    engine: Engine,
    notices: Option<mpsc::UnboundedSender<Notice>>,
}

struct Sending {
    send: SendId,
    ids: VecDeque<u16>,
    accepted: usize,
    deadline: Instant,
}

struct Request {
    answer: oneshot::Sender<(u16, Bytes)>,
    deadline: Instant,
}

/// A connection and what is under way on it.
struct Open {
    connection: Connection,
    sendings: VecDeque<Sending>,
    requests: HashMap<String, Request>,
    asked: u64,
    listens: bool,
    ping_at: Instant,
}

impl Session {
    /// A session for a client; `notices` for the hub's own, which is kept open.
    pub fn new(
        context: Arc<Context>,
        client: ClientId,
        engine: Engine,
        notices: Option<mpsc::UnboundedSender<Notice>>,
    ) -> Session {
        Session { context, client, engine, notices }
    }

    /// Starts it; it ends when nobody can give it jobs any more.
    pub fn start(self) -> mpsc::UnboundedSender<Job> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        tokio::spawn(self.run(inbox));
        jobs
    }

    async fn run(self, mut inbox: mpsc::UnboundedReceiver<Job>) {
        let mut first = None;
        let mut pause = AGAIN.0;
        loop {
            if self.notices.is_none() {
                match inbox.recv().await {
                    Some(job) => first = Some(job),
                    None => return,
                }
            }
            match self.open().await {
                Ok(mut open) => {
                    pause = AGAIN.0;
                    let ended = self.serve(&mut open, first.take(), &mut inbox).await;
                    self.give_up(open);
                    match ended {
                        Ok(()) => return,
                        Err(error) => tracing::info!("Connection upstream of {}: {error}", self.client),
                    }
                }
                Err(error) => {
                    tracing::warn!("Cannot connect {} upstream: {error}", self.client);
                    if let Some(job) = first.take() {
                        self.refuse(job);
                    }
                }
            }
            if self.notices.is_some() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AGAIN.1);
            }
        }
    }

    async fn open(&self) -> io::Result<Open> {
        let opened = Connection::open(&self.context, &self.client, now());
        let connection = tokio::time::timeout(self.limit(), opened).await??;
        let mut open = Open {
            connection,
            sendings: VecDeque::new(),
            requests: HashMap::new(),
            asked: 0,
            listens: false,
            ping_at: Instant::now() + PING_PERIOD,
        };
        if let Some(notices) = &self.notices {
            open.listen(&[concat!("$iothub/twin/PATCH/properties/desired/", "#"), "$iothub/twin/res/#"]).await?;
            let _ = notices.send(Notice::Connected);
        }
        Ok(open)
    }

    async fn serve(
        &self,
        open: &mut Open,
        first: Option<Job>,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> io::Result<()> {
        if let Some(job) = first {
            self.begin(open, job).await?;
        }
        loop {
            let deadline = open.deadline();
            let due = deadline.unwrap_or(open.ping_at).min(open.ping_at);
            tokio::select! {
                job = inbox.recv() => match job {
                    Some(job) => self.begin(open, job).await?,
                    None => return Ok(()),
                },
                packet = open.connection.next() => self.heard(open, packet?).await?,
                () = tokio::time::sleep_until(due) => {
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    open.ping_at = Instant::now() + PING_PERIOD;
                    open.connection.write(&wire::PINGREQ).await?;
                }
            }
        }
    }

    async fn begin(&self, open: &mut Open, job: Job) -> io::Result<()> {
        let deadline = Instant::now() + self.limit();
        match job {
            Job::Telemetry { send, messages } => {
                let mut bytes = Vec::new();
                let mut ids = VecDeque::with_capacity(messages.len());
                for envelope in &messages {
                    let id = open.connection.fresh_id();
                    let topic = event::topic(&self.client, envelope);
                    match wire::write_publish(&topic, Some(id), &envelope.message.body) {
                        Ok(publish) => bytes.extend(publish),
                        Err(error) => tracing::warn!("Cannot send a message of {} upstream: {error}", self.client),
                    }
                    ids.push_back(id);
                }
                open.sendings.push_back(Sending { send, ids, accepted: 0, deadline });
                open.connection.write(&bytes).await
            }
            Job::TwinGet { answer } => open.request("GET/", &[], Request { answer, deadline }).await,
            Job::TwinPatch { patch, answer } => {
                let request = Request { answer, deadline };
                open.request("PATCH/properties/reported/", &patch, request).await
            }
        }
    }

    async fn heard(&self, open: &mut Open, packet: Packet) -> io::Result<()> {
        match packet {
            Packet::Puback(id) => {
                let Some(sending) = open.sendings.iter_mut().find(|sending| sending.ids.front() == Some(&id)) else {
                    return Ok(());
                };
                sending.ids.pop_front();
                sending.accepted += 1;
                while open.sendings.front().is_some_and(|sending| sending.ids.is_empty()) {
                    if let Some(done) = open.sendings.pop_front() {
                        self.sent(&done, SendOutcome::Accepted);
                    }
                }
            }
            Packet::Publish(publish) => {
                if let Some(id) = publish.id {
                    open.connection.write(&wire::write_puback(id)).await?;
                }
                if let Some(response) = publish.topic.strip_prefix(RESPONSES) {
                    open.answered(response, publish.payload);
                } else if let (Some(notices), true) = (&self.notices, publish.topic.starts_with(DESIRED)) {
                    let patch = String::from_utf8_lossy(&publish.payload).into_owned();
                    let _ = notices.send(Notice::Desired(patch));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn give_up(&self, open: Open) {
        for sending in open.sendings {
            self.sent(&sending, SendOutcome::Failed);
        }
    }

    fn refuse(&self, job: Job) {
        if let Job::Telemetry { send, .. } = job {
            let outcome = match self.context.scope.identities.get(&self.client) {
                Some(identity) if identity.enabled => SendOutcome::Failed,
                None if !self.context.scope.is_known() => SendOutcome::Failed,
                _ => SendOutcome::SenderGone,
            };
            self.engine.tell(Input::Sent { send, accepted: 0, outcome });
        }
    }

    fn sent(&self, sending: &Sending, outcome: SendOutcome) {
        self.engine.tell(Input::Sent { send: sending.send, accepted: sending.accepted, outcome });
    }

    fn limit(&self) -> Duration {
        self.context.settings.cloud_operation_timeout
    }
}

impl Open {
    async fn listen(&mut self, filters: &[&str]) -> io::Result<()> {
        let id = self.connection.fresh_id();
        self.listens = true;
        self.connection.write(&wire::write_subscribe(id, filters).map_err(io::Error::other)?).await
    }

    async fn request(&mut self, operation: &str, payload: &[u8], request: Request) -> io::Result<()> {
        if !self.listens {
            self.listen(&["$iothub/twin/res/#"]).await?;
        }
        self.asked += 1;
        let rid = self.asked.to_string();
        let topic = format!("$iothub/twin/{operation}?$rid={rid}");
        self.requests.insert(rid, request);
        let publish = wire::write_publish(&topic, None, payload).map_err(io::Error::other)?;
        self.connection.write(&publish).await
    }

    fn answered(&mut self, response: &str, payload: Bytes) {
        let Some((status, query)) = response.split_once("/?") else { return };
        let rid = query.split('&').find_map(|pair| pair.strip_prefix("$rid="));
        if let (Ok(status), Some(request)) = (status.parse(), rid.and_then(|rid| self.requests.remove(rid))) {
            let _ = request.answer.send((status, payload));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let patient = planted("S22-upstream-answer-is-awaited-for-ever");
        let sendings = self.sendings.iter().map(|sending| sending.deadline).filter(|_| !patient);
        sendings.chain(self.requests.values().map(|request| request.deadline)).min()
    }
}
