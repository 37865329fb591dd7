//! The operations of one identity upstream: events in order, twin requests, and what comes unasked.
//!
//! A session connects when there is something to do, and stays connected while its client listens for something.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::{self, Connection};
use super::job::{Job, Notice};
use super::open::{DESIRED, DEVICEBOUND, METHODS, Open, RESPONSES, Request, Sending};
use super::{Context, PING_PERIOD, cloud_message, event};
use crate::core::{CloudMessageId, Input, Listening, SendOutcome};
use crate::engine::{Engine, now};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::wire::{self, Incoming, Packet};

/// Pause before a connection that is to stay is tried again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A session, to be started.
pub struct Session {
    context: Arc<Context>,
    client: ClientId,
    engine: Engine,
    notices: Option<mpsc::UnboundedSender<Notice>>,
    listening: Listening,
    /// Connections so far.
    opened: u64,
    /// Whether a connection was lost while the client listened.
    lost: bool,
}

/// Why a connection ended without an error.
enum End {
    /// Its client left.
    Left,
    /// Nobody can give jobs any more.
    Deserted,
}

impl Session {
    /// A session for a client; `notices` for the hub's own, which is kept open.
    pub fn new(
        context: Arc<Context>,
        client: ClientId,
        engine: Engine,
        notices: Option<mpsc::UnboundedSender<Notice>>,
    ) -> Session {
        let own = notices.is_some();
        let listening = Listening { desired: own, methods: own, cloud_to_device: false };
        Session { context, client, engine, notices, listening, opened: 0, lost: false }
    }

    /// Starts it; it ends when nobody can give it jobs any more.
    pub fn start(self) -> mpsc::UnboundedSender<Job> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        tokio::spawn(self.run(inbox));
        jobs
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Job>) {
        let mut pause = Duration::ZERO;
        while let Some(first) = self.reason(&mut inbox, pause).await {
            match self.open().await {
                Ok(mut open) => {
                    pause = AGAIN.0;
                    let ended = self.serve(&mut open, first, &mut inbox).await;
                    self.give_up(open);
                    match ended {
                        Ok(End::Left) => {}
                        Ok(End::Deserted) => return,
                        Err(error) => tracing::info!("Connection upstream of {}: {error}", self.client),
                    }
                }
                Err(error) => {
                    tracing::warn!("Cannot connect {} upstream: {error}", self.client);
                    if self.notices.is_none() && connection::is_refusal(&error) {
                        // The identity may be gone, disabled, or have another key.
                        self.context.scope.refresh_one(&self.client).await;
                    }
                    pause = (pause * 2).clamp(AGAIN.0, AGAIN.1);
                    self.refuse(first, &mut inbox);
                }
            }
        }
    }

    /// Waits for a reason to connect: a job, or that the client listens. `None` when there will be none any more.
    async fn reason(&mut self, inbox: &mut mpsc::UnboundedReceiver<Job>, pause: Duration) -> Option<Option<Job>> {
        if self.notices.is_some() {
            tokio::time::sleep(pause).await;
            return Some(None);
        }
        loop {
            let comes_back = !self.lost || !planted("Q09-lost-listener-waits-for-something-to-send");
            let job = tokio::select! {
                job = inbox.recv() => job?,
                () = tokio::time::sleep(pause), if self.listening.is_any() && comes_back => return Some(None),
            };
            if let Some(job) = self.needs_connection(job) {
                return Some(Some(job));
            }
        }
    }

    /// Does what can be done without a connection; hands back the rest.
    fn needs_connection(&mut self, job: Job) -> Option<Job> {
        match job {
            Job::Listen(listening) => self.listening = listening,
            Job::Leave => self.listening = Listening::default(),
            // Both belong to a connection that is gone.
            Job::MethodResponse { .. } | Job::Complete(_) => {}
            job => return Some(job),
        }
        None
    }

    async fn open(&mut self) -> io::Result<Open> {
        // Nothing may come unasked for a client that is gone.
        let clean = self.notices.is_none() && !self.listening.is_any();
        let opened = Connection::open(&self.context, &self.client, clean, now());
        let connection = tokio::time::timeout(self.limit(), opened).await??;
        self.opened += 1;
        let mut open = Open::new(connection, self.opened, self.client.clone());
        open.listen(self.listening).await?;
        if let Some(notices) = &self.notices {
            open.hear_responses().await?;
            let _ = notices.send(Notice::Connected);
        } else if std::mem::take(&mut self.lost) && self.listening.is_any() {
            self.engine.tell(Input::ListensAgain { client: self.client.clone() });
        }
        Ok(open)
    }

    async fn serve(
        &mut self,
        open: &mut Open,
        first: Option<Job>,
        inbox: &mut mpsc::UnboundedReceiver<Job>,
    ) -> io::Result<End> {
        if let Some(job) = first {
            self.begin(open, job).await?;
        }
        while !open.is_done() {
            let deadline = open.deadline();
            let due = deadline.unwrap_or(open.ping_at).min(open.ping_at);
            tokio::select! {
                job = inbox.recv(), if !open.leaving => match job {
                    Some(job) => self.begin(open, job).await?,
                    None => return Ok(End::Deserted),
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
        Ok(End::Left)
    }

    async fn begin(&mut self, open: &mut Open, job: Job) -> io::Result<()> {
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
            Job::TwinGet { asker } => open.request("GET/", &[], Request { asker, deadline }).await,
            Job::TwinPatch { patch, asker } => {
                let request = Request { asker, deadline };
                open.request("PATCH/properties/reported/", &patch, request).await
            }
            Job::Listen(listening) => {
                self.listening = listening;
                open.listen(listening).await
            }
            Job::Leave => {
                self.listening = Listening::default();
                open.leaving = true;
                open.listen(self.listening).await
            }
            Job::MethodResponse { rid, status, payload } => {
                let topic = format!("$iothub/methods/res/{status}/?$rid={rid}");
                open.write(wire::write_publish(&topic, None, &payload)).await
            }
            Job::Complete(CloudMessageId { connection, packet }) if connection == open.number => {
                open.connection.write(&wire::write_puback(packet)).await
            }
            Job::Complete(_) => Ok(()),
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
            Packet::Publish(publish) => self.published(open, publish).await?,
            _ => {}
        }
        Ok(())
    }

    async fn published(&self, open: &mut Open, publish: Incoming) -> io::Result<()> {
        let Incoming { topic, id, payload, .. } = publish;
        // A message for the device is acknowledged when the device has it.
        if let Some((_, bag)) = topic.split_once(DEVICEBOUND).filter(|_| topic.starts_with("devices/")) {
            let id = id.map(|packet| CloudMessageId { connection: open.number, packet });
            let message = cloud_message::read(bag.trim_matches('/'), payload);
            self.engine.tell(Input::CloudMessage { client: self.client.clone(), id, message });
            return Ok(());
        }
        if let Some(id) = id {
            open.connection.write(&wire::write_puback(id)).await?;
        }
        if let Some(response) = topic.strip_prefix(RESPONSES) {
            if let Some((status, asker)) = open.answered(response) {
                asker.answer(&self.engine, Some((status, payload)));
            }
        } else if topic.starts_with(DESIRED) {
            self.desired_changed(&topic, payload);
        } else if let Some((name, rid)) = topic.strip_prefix(METHODS).and_then(|call| call.rsplit_once("/?$rid=")) {
            self.engine.tell(Input::CloudMethod {
                client: self.client.clone(),
                rid: rid.to_owned(),
                name: name.to_owned(),
                payload,
            });
        }
        Ok(())
    }

    fn desired_changed(&self, topic: &str, patch: Bytes) {
        if let Some(notices) = &self.notices {
            let patch = String::from_utf8_lossy(&patch).into_owned();
            let _ = notices.send(Notice::Desired(patch));
            return;
        }
        let version = topic.rsplit_once("$version=").and_then(|(_, version)| version.parse().ok());
        self.engine.tell(Input::DesiredChanged { client: self.client.clone(), patch, version });
    }

    /// What was under way on a connection that ended.
    fn give_up(&mut self, open: Open) {
        for sending in open.sendings {
            self.sent(&sending, SendOutcome::Failed);
        }
        for request in open.requests.into_values() {
            request.asker.answer(&self.engine, None);
        }
        self.lost = self.listening.is_any() && !open.leaving;
        if let Some(notices) = &self.notices {
            let _ = notices.send(Notice::Lost);
        }
    }

    /// No connection was to be had: what waits for one has failed, except for the hub's own session, which tries on.
    fn refuse(&mut self, first: Option<Job>, inbox: &mut mpsc::UnboundedReceiver<Job>) {
        let mut next = first;
        while let Some(job) = next {
            match self.needs_connection(job) {
                Some(Job::Telemetry { send, .. }) => {
                    let outcome = self.outcome_without_connection();
                    self.engine.tell(Input::Sent { send, accepted: 0, outcome });
                }
                Some(Job::TwinGet { asker } | Job::TwinPatch { asker, .. }) => asker.answer(&self.engine, None),
                _ => {}
            }
            next = inbox.try_recv().ok().filter(|_| self.notices.is_none());
        }
    }

    fn outcome_without_connection(&self) -> SendOutcome {
        match self.context.scope.identities.get(&self.client) {
            Some(identity) if identity.enabled => SendOutcome::Failed,
            None if !self.context.scope.is_known() => SendOutcome::Failed,
            Some(_) if planted("S23-disabled-sender-blocks-the-queue") => SendOutcome::Failed,
            None if planted("U20-sender-out-of-scope-blocks-the-queue") => SendOutcome::Failed,
            _ => SendOutcome::SenderGone,
        }
    }

    fn sent(&self, sending: &Sending, outcome: SendOutcome) {
        self.engine.tell(Input::Sent { send: sending.send, accepted: sending.accepted, outcome });
    }

    fn limit(&self) -> Duration {
        self.context.settings.cloud_operation_timeout
    }
}
