//! The operations of one identity upstream: events in order, twin requests, and what comes unasked.
//!
//! A session connects when there is something to do, and stays connected while its client listens for something.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Context;
use super::job::{Job, Notice};
use super::line::{self, Heard, Line, TwinOperation};
use super::open::{Open, Request, Sending};
use crate::core::{CloudMessageId, Input, Listening, SendOutcome};
use crate::engine::{Engine, now};
use crate::faults::planted;
use crate::identity::ClientId;

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
                    if self.notices.is_none() && line::is_refusal(&error) {
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
            Job::MethodResponse { .. } | Job::Settle(..) => {}
            job => return Some(job),
        }
        None
    }

    async fn open(&mut self) -> io::Result<Open> {
        // Nothing may come unasked for a client that is gone.
        let clean = self.notices.is_none() && !self.listening.is_any();
        let opened = Line::open(&self.context, &self.client, clean, now());
        let line = tokio::time::timeout(self.limit(), opened).await??;
        self.opened += 1;
        let mut open = Open::new(line, self.opened);
        tokio::time::timeout(self.limit(), open.line.listen(self.listening)).await??;
        if let Some(notices) = &self.notices {
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
            tokio::select! {
                job = inbox.recv(), if !open.leaving => match job {
                    Some(job) => self.begin(open, job).await?,
                    None => return Ok(End::Deserted),
                },
                came = open.line.wait() => {
                    if let Some(heard) = open.line.take_in(came?).await? {
                        self.heard(open, heard);
                    }
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
        Ok(End::Left)
    }

    /// Begins with a job. What a line does not take in time has failed, and the line with it.
    async fn begin(&mut self, open: &mut Open, job: Job) -> io::Result<()> {
        let limit = self.limit();
        let deadline = Instant::now() + limit;
        let (asker, operation) = match job {
            Job::Telemetry { send, messages } => {
                let tickets = open.line.send(&messages).await;
                let failed = tickets.as_ref().err().map(io::Error::kind);
                // It is under way in any case: a line that ends gives it up.
                open.sendings.push_back(Sending { send, tickets: tickets.unwrap_or_default(), accepted: 0, deadline });
                return failed.map_or(Ok(()), |kind| Err(kind.into()));
            }
            Job::TwinGet { asker } => (asker, TwinOperation::Get),
            Job::TwinPatch { asker, patch } => (asker, TwinOperation::Patch(patch)),
            Job::Listen(listening) => {
                self.listening = listening;
                return tokio::time::timeout(limit, open.line.listen(listening)).await?;
            }
            Job::Leave => {
                self.listening = Listening::default();
                open.leaving = true;
                return tokio::time::timeout(limit, open.line.listen(self.listening)).await?;
            }
            Job::MethodResponse { rid, status, payload } => {
                return tokio::time::timeout(limit, open.line.answer(&rid, status, &payload)).await?;
            }
            Job::Settle(CloudMessageId { connection, packet }, feedback) if connection == open.number => {
                return open.line.settle(packet, feedback).await;
            }
            Job::Settle(..) => return Ok(()),
        };
        match tokio::time::timeout(limit, open.line.ask(operation)).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(rid) => {
                open.requests.insert(rid, Request { asker, deadline });
                Ok(())
            }
            Err(error) => {
                asker.answer(&self.engine, None);
                Err(error)
            }
        }
    }

    fn heard(&self, open: &mut Open, heard: Heard) {
        match heard {
            Heard::Taken(number) => {
                let is_next =
                    |sending: &&mut Sending| sending.tickets.front().is_some_and(|next| next.number == number);
                let Some(sending) = open.sendings.iter_mut().find(is_next) else { return };
                sending.accepted += sending.tickets.pop_front().map_or(0, |ticket| ticket.messages);
                while open.sendings.front().is_some_and(|sending| sending.tickets.is_empty()) {
                    if let Some(done) = open.sendings.pop_front() {
                        self.sent(&done, SendOutcome::Accepted);
                    }
                }
            }
            Heard::Refused(number) => {
                let named = |sending: &Sending| sending.tickets.iter().any(|ticket| ticket.number == number);
                if let Some(refused) = open.sendings.iter().position(named).and_then(|at| open.sendings.remove(at)) {
                    self.sent(&refused, SendOutcome::Failed);
                }
            }
            Heard::TwinAnswer { rid, status, document } => {
                if let Some(request) = open.requests.remove(&rid) {
                    request.asker.answer(&self.engine, Some((status, document)));
                }
            }
            Heard::Desired { patch, version } => self.desired_changed(patch, version),
            Heard::Method { rid, name, payload } => {
                self.engine.tell(Input::CloudMethod { client: self.client.clone(), rid, name, payload });
            }
            Heard::CloudMessage { number, message } => {
                let id = number.map(|packet| CloudMessageId { connection: open.number, packet });
                self.engine.tell(Input::CloudMessage { client: self.client.clone(), id, message });
            }
        }
    }

    fn desired_changed(&self, patch: Bytes, version: Option<i64>) {
        if let Some(notices) = &self.notices {
            let patch = String::from_utf8_lossy(&patch).into_owned();
            let _ = notices.send(Notice::Desired(patch));
            return;
        }
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
