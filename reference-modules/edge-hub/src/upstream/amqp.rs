//! Upstream over AMQP: one connection for everybody, and on it a session for each identity.
//!
//! - `pool`: the connection; `alive`: whether it stands; `cbs`: its tokens, all of them the hub's own; `links`: what is attached for an identity.
//! - `event`: a message as IoT Hub gets it; `requests`: about twins and methods; `cloud_message`: as IoT Hub sends it.
//!
//! Each link that something may come over has a task that listens on it. Whatever ends one of them ends the line.
//!
//! Source: azure-iot-sdk-csharp, `iothub/device/src/Transport/Amqp` and `AmqpIot`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::link::delivery::DeliveryInfo;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::ReceiverSettleMode;
use fe2o3_amqp::types::messaging::Outcome;
use fe2o3_amqp::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use super::Context;
use super::line::{Heard, Ticket, TwinOperation};
use crate::core::{Envelope, Feedback, Listening};
use crate::identity::ClientId;

mod alive;
mod cbs;
mod cloud_message;
mod event;
mod links;
mod pool;
mod requests;

use alive::Alive;
use links::Links;
pub use pool::Pool;

/// How long before its token expires an identity gets a new one, of the hour that tokens last.
const RENEWAL: Duration = Duration::from_secs(51 * 60);

/// What a listening task tells the line.
type News = mpsc::UnboundedSender<io::Result<Heard>>;

/// The line of one identity.
pub struct Line {
    links: Links,
    alive: Alive,
    news: News,
    heard: mpsc::UnboundedReceiver<io::Result<Heard>>,
    /// Events, to the task that sends them.
    events: mpsc::UnboundedSender<(u64, event::Sendable)>,
    /// Events so far.
    sent: u64,
    twin: Option<Sender>,
    methods: Option<Sender>,
    cloud_to_device: Option<Mailbox>,
    listening: Listening,
    /// Ends with the line.
    tasks: JoinSet<()>,
    /// Listens for calls of methods.
    calls: Option<AbortHandle>,
    /// Last, so that links are closed before it.
    session: SessionHandle<()>,
}

/// Where messages of the cloud come.
struct Mailbox {
    /// What became of the message of a number, to the task that listens.
    settle: mpsc::UnboundedSender<(u32, Feedback)>,
    task: AbortHandle,
}

impl Line {
    /// Opens a session for an identity; see [`super::line::Line::open`].
    pub async fn open(context: &Arc<Context>, client: &ClientId) -> io::Result<Line> {
        let (mut session, alive) = context.amqp.enter(context, client).await?;
        let links = Links::new(&context.settings.identity, client);
        let telemetry = alive.during(links.telemetry(&mut session)).await?;
        let (news, heard) = mpsc::unbounded_channel();
        let (events, inbox) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(send_events(telemetry, alive.clone(), inbox, news.clone()));
        tasks.spawn(renew(context.clone(), client.clone(), news.clone()));
        Ok(Line {
            links,
            alive,
            news,
            heard,
            events,
            sent: 0,
            twin: None,
            methods: None,
            cloud_to_device: None,
            listening: Listening::default(),
            tasks,
            calls: None,
            session,
        })
    }

    /// See [`super::line::Line::wait`].
    pub async fn wait(&mut self) -> io::Result<Heard> {
        let ended = || Err(io::ErrorKind::UnexpectedEof.into());
        self.alive.during(async { self.heard.recv().await.unwrap_or_else(ended) }).await
    }

    /// See [`super::line::Line::send`]. All of them go as one: a batch, unless it is a single one.
    pub fn send(&mut self, messages: &[Arc<Envelope>]) -> io::Result<VecDeque<Ticket>> {
        self.sent += 1;
        let ticket = Ticket { number: self.sent, messages: messages.len() };
        let sendable = event::sendable(messages)?;
        self.events.send((self.sent, sendable)).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(VecDeque::from([ticket]))
    }

    /// See [`super::line::Line::ask`].
    pub async fn ask(&mut self, operation: TwinOperation) -> io::Result<String> {
        let (prefix, request) = match operation {
            TwinOperation::Get => ("Get", requests::Twin::Get),
            TwinOperation::Patch(patch) => ("Patch", requests::Twin::Patch(patch)),
        };
        let rid = format!("{prefix}{}", Uuid::new_v4());
        self.alive.clone().during(self.twin_request(&rid, request)).await?;
        Ok(rid)
    }

    /// Attaches what is to be listened for, and detaches what is not.
    pub async fn listen(&mut self, listening: Listening) -> io::Result<()> {
        self.alive.clone().during(self.attach(listening)).await
    }

    async fn attach(&mut self, listening: Listening) -> io::Result<()> {
        let before = std::mem::replace(&mut self.listening, listening);
        match (before.desired, listening.desired) {
            (false, true) => self.twin_request(&format!("Put{}", Uuid::new_v4()), requests::Twin::Subscribe).await?,
            (true, false) => {
                self.twin_request(&format!("Delete{}", Uuid::new_v4()), requests::Twin::Unsubscribe).await?;
            }
            _ => {}
        }
        match (before.methods, listening.methods) {
            (false, true) => self.attach_methods().await?,
            (true, false) => {
                self.methods = None;
                if let Some(calls) = self.calls.take() {
                    calls.abort();
                }
            }
            _ => {}
        }
        match (before.cloud_to_device, listening.cloud_to_device) {
            (false, true) => self.attach_mailbox().await?,
            (true, false) => {
                if let Some(mailbox) = self.cloud_to_device.take() {
                    mailbox.task.abort();
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// See [`super::line::Line::answer`].
    pub async fn answer(&mut self, rid: &str, status: i32, payload: &[u8]) -> io::Result<()> {
        let Some(sender) = &mut self.methods else { return Ok(()) };
        let Some(answer) = requests::answer(rid, status, payload) else { return Ok(()) };
        self.alive.during(async { sender.send(answer).await.map(drop).map_err(io::Error::other) }).await
    }

    /// See [`super::line::Line::settle`].
    pub fn settle(&self, number: u32, feedback: Feedback) {
        if let Some(mailbox) = &self.cloud_to_device {
            // A task that has ended ends the line.
            let _ = mailbox.settle.send((number, feedback));
        }
    }

    /// Sends a request about the twin, over links that are attached with the first one.
    async fn twin_request(&mut self, rid: &str, request: requests::Twin) -> io::Result<()> {
        let mut sender = match self.twin.take() {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = self.links.twin(&mut self.session).await?;
                self.tasks.spawn(hear(receiver, self.news.clone(), requests::twin_news));
                sender
            }
        };
        let sent = sender.send(request.message(rid)).await;
        self.twin = Some(sender);
        sent.map(drop).map_err(io::Error::other)
    }

    async fn attach_methods(&mut self) -> io::Result<()> {
        let (sender, receiver) = self.links.methods(&mut self.session).await?;
        self.methods = Some(sender);
        self.calls = Some(self.tasks.spawn(hear(receiver, self.news.clone(), requests::call)));
        Ok(())
    }

    async fn attach_mailbox(&mut self) -> io::Result<()> {
        let receiver = self.links.cloud_to_device(&mut self.session).await?;
        let (settle, settled) = mpsc::unbounded_channel();
        let task = self.tasks.spawn(hear_cloud(receiver, self.news.clone(), settled));
        self.cloud_to_device = Some(Mailbox { settle, task });
        Ok(())
    }
}

/// Sends events one after another, and tells what became of each.
async fn send_events(
    mut sender: Sender,
    alive: Alive,
    mut inbox: mpsc::UnboundedReceiver<(u64, event::Sendable)>,
    news: News,
) {
    loop {
        tokio::select! {
            next = inbox.recv() => {
                let Some((number, sendable)) = next else { return };
                let sent = alive.during(async { sender.send(sendable).await.map_err(io::Error::other) }).await;
                let told = match sent {
                    Ok(Outcome::Accepted(_)) => Ok(Heard::Taken(number)),
                    Ok(outcome) => {
                        tracing::info!("IoT Hub does not take messages: {outcome:?}");
                        Ok(Heard::Refused(number))
                    }
                    Err(error) => Err(error),
                };
                if news.send(told).is_err() {
                    return;
                }
            }
            detached = sender.on_detach() => {
                let _ = news.send(Err(io::Error::other(detached)));
                return;
            }
        }
    }
}

/// Passes on what comes over a link on which everything is settled already.
async fn hear(mut receiver: Receiver, news: News, read: fn(links::Delivery) -> Option<Heard>) {
    let mut credit = links::PREFETCH;
    loop {
        let told = match receiver.recv().await {
            Ok(delivery) => read(delivery).map(Ok),
            Err(error) => Some(Err(io::Error::other(error))),
        };
        credit = credit.saturating_sub(1);
        if credit <= links::PREFETCH / 2 && receiver.set_credit(links::PREFETCH).await.is_ok() {
            credit = links::PREFETCH;
        }
        let ended = matches!(told, Some(Err(_)));
        if told.is_some_and(|told| news.send(told).is_err()) || ended {
            return;
        }
    }
}

/// Passes on messages of the cloud, each under a number by which it is settled.
async fn hear_cloud(mut receiver: Receiver, news: News, mut settled: mpsc::UnboundedReceiver<(u32, Feedback)>) {
    let mut number = 0;
    let mut open: HashMap<u32, DeliveryInfo> = HashMap::new();
    loop {
        let told = tokio::select! {
            came = receiver.recv() => came.map_err(io::Error::other).map(|delivery| {
                number += 1;
                let (message, info) = cloud_message::read(delivery);
                open.insert(number, info);
                Some(Heard::CloudMessage { number: Some(number), message })
            }),
            Some((number, feedback)) = settled.recv() => match open.remove(&number) {
                Some(delivery) => match feedback {
                    Feedback::Complete => receiver.accept(delivery).await,
                    Feedback::Reject => receiver.reject(delivery, None).await,
                    Feedback::Abandon => receiver.release(delivery).await,
                }.map(|()| None).map_err(io::Error::other),
                None => Ok(None),
            },
        };
        let ended = told.is_err();
        if told.transpose().is_some_and(|told| news.send(told).is_err()) || ended {
            return;
        }
    }
}

/// Puts a new token before the old one expires, for ever.
async fn renew(context: Arc<Context>, client: ClientId, news: News) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        if let Err(error) = context.amqp.renew(&context, &client).await {
            let _ = news.send(Err(error));
            return;
        }
    }
}

/// How receivers of IoT Hub's messages settle: after IoT Hub has been told.
const CLOUD_SETTLES: ReceiverSettleMode = ReceiverSettleMode::Second;
