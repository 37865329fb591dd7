//! The one thread that runs the core and owns the store: tells the core what happened, and does what it says.
//!
//! Everything that arrived together is stored with one commit; what is said to clients and upstream is said behind it.
//! So no acknowledgement precedes its message, and no message follows another whose settlement could be forgotten.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::core::methods::request::MethodRequest;
use crate::core::{
    AppendId, CallerId, CloudMessage, CloudMessageId, ConnectionId, Core, DeliveryId, Envelope, Event, Feedback, Input,
    Listening, MethodOutcome, Output, Remembered, SendId, Timestamp, TwinRequestId, Verdict,
};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::store::Store;

/// Commands taken in before a commit.
const BATCH: usize = 256;

const SEEN: &str = "twin/seen";
const APPLIED: &str = "twin/applied";

/// What the names of the twins of clients begin with.
const TWINS: &str = "client twin/";

/// What the engine tells a connection.
#[derive(Clone, Debug)]
pub enum ToClient {
    /// A PUBLISH has been dealt with.
    Answer {
        /// Its number.
        number: u64,
        /// How.
        verdict: Verdict,
    },
    /// What there is to say to a twin request, before its PUBLISH is answered.
    TwinResponse {
        /// Number of the PUBLISH.
        number: u64,
        /// As HTTP has it.
        status: u16,
        /// The twin, or nothing.
        document: Bytes,
    },
    /// Desired properties changed.
    Desired {
        /// Version of the document.
        version: Option<i64>,
        /// A JSON object.
        patch: Bytes,
    },
    /// Deliver an input message, and tell [`Input::Settled`].
    Deliver {
        /// Names the attempt.
        delivery: DeliveryId,
        /// Input of the module.
        input: String,
        /// What.
        envelope: Arc<Envelope>,
    },
    /// Call a method, and tell [`Input::MethodAnswered`].
    CallMethod {
        /// Names the call.
        rid: String,
        /// Method.
        name: String,
        /// Argument.
        payload: Bytes,
    },
    /// Deliver a message of the cloud, and tell [`Input::Settled`] when the client has it.
    DeliverFromCloud {
        /// Names the attempt.
        delivery: DeliveryId,
        /// Whom IoT Hub sent it to.
        to: ClientId,
        /// What.
        message: Arc<CloudMessage>,
    },
    /// Close without a word.
    Close,
}

/// What the engine tells the upstream side.
#[derive(Clone, Debug)]
pub enum ToUpstream {
    /// Send on the sender's own connection, and tell [`Input::Sent`].
    Send {
        /// Names the attempt.
        send: SendId,
        /// On whose behalf.
        sender: ClientId,
        /// What, in order.
        messages: Vec<Arc<Envelope>>,
    },
    /// Update the hub's own reported properties, and tell [`Input::Reported`].
    Report {
        /// A JSON object.
        patch: String,
    },
    /// Read the hub's own twin, and tell [`Input::Twin`].
    FetchTwin,
    /// Read the twin of a client, and tell [`Input::TwinAnswered`].
    ReadTwin {
        /// Whose.
        client: ClientId,
        /// Names the request.
        request: TwinRequestId,
    },
    /// Update reported properties of a client, and tell [`Input::TwinAnswered`].
    PatchTwin {
        /// Whose.
        client: ClientId,
        /// Names the request.
        request: TwinRequestId,
        /// A JSON object.
        patch: Bytes,
    },
    /// Say something on the hub's own connection that is answered, and tell [`Input::Probed`].
    Probe,
    /// Listen for this on a client's connection, and tell what comes.
    Listen {
        /// Whose.
        client: ClientId,
        /// For what; nothing else.
        listening: Listening,
    },
    /// Read identities again, and tell [`Input::IdentitiesRefreshed`].
    RefreshIdentities {
        /// For which call.
        rid: String,
        /// Whose.
        clients: Vec<ClientId>,
    },
    /// A client that listened is gone: close its connection.
    Leave {
        /// Whose.
        client: ClientId,
    },
    /// Answer [`Input::CloudMethod`].
    MethodResponse {
        /// Who was called.
        client: ClientId,
        /// The cloud's id of the call.
        rid: String,
        /// The client's status.
        status: i32,
        /// The client's answer.
        payload: Bytes,
    },
    /// Say what became of [`Input::CloudMessage`].
    Settle {
        /// Whose.
        client: ClientId,
        /// Which.
        message: CloudMessageId,
        /// What.
        feedback: Feedback,
    },
}

/// What the engine tells the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// A configuration is in force.
    Ready,
    /// There will be none.
    CannotStart(String),
}

enum Command {
    Tell(Input),
    Attach(ConnectionId, ClientId, mpsc::UnboundedSender<ToClient>),
    Detach(ConnectionId),
    Document(String, oneshot::Sender<Option<Vec<u8>>>),
    Remember(String, Option<Vec<u8>>, oneshot::Sender<()>),
    Heard(oneshot::Sender<()>),
    Serves(ConnectionId, oneshot::Sender<bool>),
    Call(ClientId, MethodRequest, oneshot::Sender<MethodOutcome>),
    Stop(oneshot::Sender<()>),
}

/// A handle to the engine.
#[derive(Clone, Debug)]
pub struct Engine {
    commands: Sender<Command>,
    connections: Arc<AtomicU64>,
}

impl Engine {
    /// Starts the thread; the core hears [`Input::Started`] first.
    pub fn start(
        core: Core,
        store: Store,
        upstream: mpsc::UnboundedSender<ToUpstream>,
        milestones: mpsc::UnboundedSender<Milestone>,
        observer: Box<dyn Fn(&Event) + Send>,
    ) -> io::Result<Engine> {
        let (commands, inbox) = channel();
        let worker = Worker {
            core,
            store,
            clients: HashMap::new(),
            callers: HashMap::new(),
            called: 0,
            appended: Vec::new(),
            unsaid: Vec::new(),
            upstream,
            milestones,
            observer,
        };
        std::thread::Builder::new().name(String::from("engine")).spawn(move || worker.run(&inbox))?;
        Ok(Engine { commands, connections: Arc::default() })
    }

    /// Tells the core something. After the engine has stopped nobody listens, and nothing happens.
    pub fn tell(&self, input: Input) {
        self.command(Command::Tell(input));
    }

    /// Names a connection. A later one of the same identity is newer, whatever else is done first, and whichever
    /// protocol it speaks.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A client was accepted on a connection.
    pub fn attach(&self, connection: ConnectionId, client: ClientId, outbox: mpsc::UnboundedSender<ToClient>) {
        self.command(Command::Attach(connection, client, outbox));
    }

    /// A connection ended.
    pub fn detach(&self, connection: ConnectionId) {
        self.command(Command::Detach(connection));
    }

    /// Reads a document of the store.
    pub async fn document(&self, name: String) -> Option<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Document(name, answer));
        answered.await.ok().flatten()
    }

    /// Stores a document, or forgets it; returns when that is durable.
    pub async fn remember(&self, name: String, document: Option<Vec<u8>>) {
        let (done, stored) = oneshot::channel();
        self.command(Command::Remember(name, document, done));
        let _ = stored.await;
    }

    /// Returns when the core has heard everything told before.
    pub async fn heard(&self) {
        let (done, heard) = oneshot::channel();
        self.command(Command::Heard(done));
        let _ = heard.await;
    }

    /// Whether the core serves a connection, once it has heard everything told before.
    pub async fn serves(&self, connection: ConnectionId) -> bool {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Serves(connection, answer));
        answered.await.unwrap_or_default()
    }

    /// Calls a method, and waits for what becomes of it; `None` when the hub ends meanwhile.
    pub async fn call(&self, target: ClientId, request: MethodRequest) -> Option<MethodOutcome> {
        let (returned, outcome) = oneshot::channel();
        self.command(Command::Call(target, request, returned));
        outcome.await.ok()
    }

    /// Stops the thread once everything told so far is stored.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        self.command(Command::Stop(done));
        let _ = stopped.await;
    }

    fn command(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

struct Worker {
    core: Core,
    store: Store,
    clients: HashMap<ConnectionId, mpsc::UnboundedSender<ToClient>>,
    callers: HashMap<CallerId, oneshot::Sender<MethodOutcome>>,
    /// Callers so far.
    called: u64,
    appended: Vec<(AppendId, Option<Vec<u64>>)>,
    /// What is to be said behind the next commit.
    unsaid: Vec<Output>,
    upstream: mpsc::UnboundedSender<ToUpstream>,
    milestones: mpsc::UnboundedSender<Milestone>,
    observer: Box<dyn Fn(&Event) + Send>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Command>) {
        let document =
            |name: &str| self.store.document(name).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
        let started = Input::Started { cached: document(SEEN), applied: document(APPLIED) };
        self.tell(started);
        let twins = self.store.documents(TWINS).unwrap_or_else(|error| {
            tracing::error!("Cannot read the twins in the store: {error}");
            Vec::new()
        });
        let text = |(client, twin): (String, Vec<u8>)| Some((ClientId::parse(&client), String::from_utf8(twin).ok()?));
        self.tell(Input::TwinsRemembered(twins.into_iter().filter_map(text).collect()));
        self.commit();
        loop {
            let first = match self.wait() {
                Some(patience) => inbox.recv_timeout(patience),
                None => inbox.recv().map_err(RecvTimeoutError::from),
            };
            let mut waiting = Vec::new();
            let mut stopped = None;
            match first {
                Ok(command) => stopped = self.take(command, &mut waiting),
                Err(RecvTimeoutError::Timeout) => self.tell(Input::Elapsed),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for command in inbox.try_iter().take(BATCH) {
                if stopped.is_some() {
                    break;
                }
                stopped = self.take(command, &mut waiting);
            }
            self.commit();
            for stored in waiting {
                let _ = stored.send(());
            }
            if let Some(stopped) = stopped {
                let _ = stopped.send(());
                return;
            }
        }
    }

    fn wait(&self) -> Option<Duration> {
        self.core.next_due().map(|due| due.since(now()).max(Duration::from_millis(1)))
    }

    fn take(&mut self, command: Command, waiting: &mut Vec<oneshot::Sender<()>>) -> Option<oneshot::Sender<()>> {
        match command {
            Command::Tell(input) => self.tell(input),
            Command::Attach(connection, client, outbox) => {
                self.clients.insert(connection, outbox);
                self.tell(Input::Connected { connection, client });
            }
            Command::Detach(connection) => {
                self.clients.remove(&connection);
                self.tell(Input::Disconnected { connection });
            }
            Command::Document(name, answer) => {
                let _ = answer.send(self.store.document(&name).ok().flatten());
            }
            Command::Remember(name, document, done) => {
                match document {
                    Some(document) => self.store.put_document(&name, document),
                    None => self.store.remove_document(&name),
                }
                waiting.push(done);
            }
            Command::Heard(done) => {
                let _ = done.send(());
            }
            Command::Serves(connection, answer) => {
                let _ = answer.send(self.core.serves(connection));
            }
            Command::Call(target, request, returned) => {
                self.called += 1;
                let caller = CallerId(self.called);
                self.callers.insert(caller, returned);
                self.tell(Input::MethodCalled { caller, target, request });
            }
            Command::Stop(done) => {
                if planted("S02-stopped-batch-counts-as-sent") {
                    self.forget_what_is_under_way();
                }
                return Some(done);
            }
        }
        None
    }

    /// Notes the positions behind batches that are under way: only a planted fault does.
    fn forget_what_is_under_way(&mut self) {
        for (queue, offset) in self.core.behind_what_is_under_way() {
            self.store.checkpoint(queue, offset);
        }
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for output in self.core.handle(input, now()) {
                if let Some(answer) = self.perform(output) {
                    inputs.insert(0, answer);
                }
            }
        }
    }

    /// Commits, and lets the core know what is stored, until nothing new is to be stored.
    fn commit(&mut self) {
        loop {
            let committed = self.store.commit();
            if let Err(error) = &committed {
                tracing::error!("Cannot write to the store: {error}");
                self.unsaid.iter_mut().for_each(Output::withdraw);
            }
            let appended = std::mem::take(&mut self.appended);
            if appended.is_empty() {
                break;
            }
            for (append, offsets) in appended {
                let offsets = offsets.filter(|_| committed.is_ok());
                self.tell(Input::Stored { append, offsets });
            }
        }
        for output in std::mem::take(&mut self.unsaid) {
            self.pass_on(output);
        }
    }

    /// Does what the core wants; an answer that is known at once is returned.
    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::OpenQueue { queue, name } => match self.store.open_queue(queue, &name) {
                Ok(state) => {
                    return Some(Input::QueueOpened {
                        queue,
                        checkpoint: state.checkpoint,
                        tail: state.tail,
                        length: state.length,
                    });
                }
                Err(error) => tracing::error!("Cannot open queue {name}: {error}"),
            },
            Output::CloseQueue { queue } => self.store.close_queue(queue),
            Output::DeleteQueue { queue } => {
                if let Err(error) = self.store.delete_queue(queue) {
                    tracing::error!("Cannot erase a queue: {error}");
                }
            }
            Output::Append { append, envelope, enqueued, copies } => {
                let offsets = self.store.append(&envelope, enqueued, &copies);
                self.appended.push((append, offsets));
            }
            Output::Read { queue, from, limit } => match self.store.read(queue, from, limit) {
                Ok((entries, next)) => return Some(Input::Read { queue, entries, next }),
                Err(error) => tracing::error!("Cannot read a queue: {error}"),
            },
            Output::Checkpoint { queue, offset } => self.store.checkpoint(queue, offset),
            Output::Clean { queue, checkpoint, skipped, entire } => {
                match self.store.clean(queue, checkpoint, &skipped, entire, now()) {
                    Ok(cleaned) => {
                        return Some(Input::Cleaned { queue, expired: cleaned.expired, remaining: cleaned.remaining });
                    }
                    Err(error) => tracing::error!("Cannot clean a queue: {error}"),
                }
            }
            Output::Remember { as_what, document } => {
                let name = match as_what {
                    Remembered::Seen => SEEN,
                    Remembered::Applied => APPLIED,
                };
                self.store.put_document(name, document.into_bytes());
            }
            Output::RememberTwin { client, document } => {
                self.store.put_document(&format!("{TWINS}{client}"), document.into_bytes());
            }
            Output::LimitStore(bytes) => self.store.limit(bytes),
            said => self.unsaid.push(said),
        }
        None
    }

    fn pass_on(&mut self, output: Output) {
        match output {
            Output::Answer { publish, verdict } => {
                self.to_client(publish.connection, ToClient::Answer { number: publish.number, verdict })
            }
            Output::TwinResponse { publish, status, document } => {
                self.to_client(publish.connection, ToClient::TwinResponse { number: publish.number, status, document })
            }
            Output::DesiredPatch { connection, version, patch } => {
                self.to_client(connection, ToClient::Desired { version, patch });
            }
            Output::Deliver { connection, delivery, input, envelope } => {
                self.to_client(connection, ToClient::Deliver { delivery, input, envelope })
            }
            Output::CallMethod { connection, rid, name, payload } => {
                self.to_client(connection, ToClient::CallMethod { rid, name, payload });
            }
            Output::MethodReturned { caller, outcome } => {
                if let Some(returned) = self.callers.remove(&caller) {
                    // A caller that does not wait any more is told nothing.
                    let _ = returned.send(outcome);
                }
            }
            Output::RefreshIdentities { rid, clients } => {
                self.to_upstream(ToUpstream::RefreshIdentities { rid, clients });
            }
            Output::DeliverFromCloud { connection, delivery, to, message } => {
                self.to_client(connection, ToClient::DeliverFromCloud { delivery, to, message });
            }
            Output::Close { connection } => self.to_client(connection, ToClient::Close),
            Output::Send { send, sender, messages } => self.to_upstream(ToUpstream::Send { send, sender, messages }),
            Output::Report { patch } => self.to_upstream(ToUpstream::Report { patch }),
            Output::FetchTwin => self.to_upstream(ToUpstream::FetchTwin),
            Output::ReadTwin { client, request } => self.to_upstream(ToUpstream::ReadTwin { client, request }),
            Output::PatchTwin { client, request, patch } => {
                self.to_upstream(ToUpstream::PatchTwin { client, request, patch });
            }
            Output::Probe => self.to_upstream(ToUpstream::Probe),
            Output::Listen { client, listening } => self.to_upstream(ToUpstream::Listen { client, listening }),
            Output::Leave { client } => self.to_upstream(ToUpstream::Leave { client }),
            Output::AnswerCloudMethod { client, rid, status, payload } => {
                self.to_upstream(ToUpstream::MethodResponse { client, rid, status, payload });
            }
            Output::SettleCloudMessage { client, message, feedback } => {
                self.to_upstream(ToUpstream::Settle { client, message, feedback });
            }
            Output::Ready => self.reached(Milestone::Ready),
            Output::CannotStart { reason } => self.reached(Milestone::CannotStart(reason)),
            Output::Event(event) => (self.observer)(&event),
            Output::Log(text) => tracing::info!("{text}"),
            Output::Warn(text) => tracing::warn!("{text}"),
            stored => unreachable!("{stored:?} is the store's"),
        }
    }

    // A receiver that is gone has said so by another way, or the process ends.
    fn to_client(&self, connection: ConnectionId, what: ToClient) {
        if let Some(outbox) = self.clients.get(&connection) {
            let _ = outbox.send(what);
        }
    }

    fn to_upstream(&self, what: ToUpstream) {
        let _ = self.upstream.send(what);
    }

    fn reached(&self, milestone: Milestone) {
        let _ = self.milestones.send(milestone);
    }
}

/// Wall-clock time.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
