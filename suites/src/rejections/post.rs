//! What tests of messages to leaf devices are told in: the cloud sends, devices come, get, acknowledge and go. Each step
//! is written down as it is taken, and the first that does not go as it must ends the course.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use harness::client::iot_hub::{CloudMessage, DeliveryLimits, MessageState, ServiceError};
use harness::deadline::{self, Deadline, Expired};
use harness::environment::{Blueprint, Credential};
use harness::outcome::{Outcome, Violation};
use harness::runner::Worker;
use harness::stage::{Stage, StageError};

use super::cloud;
use super::mailbox::{Mail, Mailbox};
use crate::course::broken;
use crate::mqtt_head::guest::device;

/// A leaf device.
pub const ANNA: &str = "anna";
/// Another.
pub const BERT: &str = "bert";

/// Two leaf devices that tests connect as they need them, and a hub that does not wait long for its cloud.
pub fn blueprint() -> Blueprint {
    let guests = [ANNA, BERT].map(|id| (device(id), Credential::Keys)).to_vec();
    let settings = vec![("CloudOperationTimeoutSecs".to_owned(), "3".to_owned())];
    Blueprint { guests, settings, ..Blueprint::new("gw7", &["probe"], &[], &[]) }
}

/// How long a message stays with a device that does not acknowledge it, in tests that wait for it to come again.
pub const SHORT_LOCK: Duration = Duration::from_millis(400);
/// The same in tests that must not see it again.
pub const LONG_LOCK: Duration = Duration::from_secs(60);

/// A course under way.
pub struct Post<'s> {
    /// The stage.
    pub stage: &'s mut Stage,
    /// The requirement that a failure would break.
    pub about: &'static str,
    /// What was done.
    pub steps: Vec<String>,
    /// What devices took. At QoS 0 the cloud may know it as completed before it is read, and a lock that ended brings
    /// it once more.
    pub taken: Vec<CloudMessage>,
}

/// Why a course ends early.
pub enum Stop {
    /// A promise was broken.
    Broken(Box<Violation>),
    /// Nothing can be said.
    Unsaid(StageError),
}

/// A course, told on a stage of [`blueprint`].
pub type Told = for<'p, 's> fn(&'p mut Post<'s>) -> BoxFuture<'p, Result<(), Stop>>;

/// Plays a course on the worker's stage, with empty queues and this lock.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn play(worker: &mut Worker, about: &'static str, lock: Duration, told: Told) -> Result<Outcome, StageError> {
    worker.set_stage(blueprint());
    let stage = worker.stage().await?;
    begin(stage, lock).await?;
    let mut post = Post { stage, about, steps: Vec::new(), taken: Vec::new() };
    match told(&mut post).await {
        Ok(()) => Ok(Outcome::Conforms),
        Err(Stop::Broken(violation)) => Ok(Outcome::Violated(violation)),
        Err(Stop::Unsaid(error)) => Err(error),
    }
}

/// Empties both queues, forgets both sessions, and sets the lock.
///
/// # Errors
/// [`StageError`] when a device is not let in, or the cloud refuses.
pub async fn begin(stage: &Stage, lock: Duration) -> Result<(), StageError> {
    let iot_hub = stage.environment().iot_hub();
    let limits = DeliveryLimits { lock_ms: Some(lock.as_millis() as u64), ..DeliveryLimits::default() };
    iot_hub.limit_deliveries(&limits).await?;
    for id in [ANNA, BERT] {
        // A clean session ends the one that was kept.
        let mailbox = Mailbox::open(stage.environment(), id, false).await?;
        let _ = mailbox.leave().await;
        iot_hub.purge_queue(id).await?;
    }
    Ok(())
}

impl Post<'_> {
    /// Connects a device.
    pub async fn connects(&mut self, id: &str, kept: bool) -> Result<Mailbox, Stop> {
        let session = if kept { "with a session that is kept" } else { "with a clean session" };
        self.steps.push(format!("leaf device {id} connects {session}"));
        Ok(Mailbox::open(self.stage.environment(), id, kept).await?)
    }

    /// Subscribes a device to its messages.
    pub async fn subscribes(&mut self, mailbox: &mut Mailbox, qos: u8) -> Result<(), Stop> {
        self.steps.push(format!("{mailbox} subscribes to its messages at QoS {qos}"));
        let subscribed = mailbox.subscribe(qos).await;
        subscribed.map_err(|observed| self.stop("SUBACK", observed))
    }

    /// Takes that subscription back.
    pub async fn unsubscribes(&mut self, mailbox: &mut Mailbox) -> Result<(), Stop> {
        self.steps.push(format!("{mailbox} unsubscribes"));
        let unsubscribed = mailbox.unsubscribe().await;
        unsubscribed.map_err(|observed| self.stop("UNSUBACK", observed))
    }

    /// The cloud sends messages to a device.
    pub async fn sends(&mut self, id: &str, count: usize) -> Result<Vec<CloudMessage>, Stop> {
        let messages: Vec<CloudMessage> = (0..count).map(|_| cloud::message(&self.stage.mark())).collect();
        for message in &messages {
            self.stage.environment().iot_hub().send_to_device(id, None, message).await?;
        }
        let named: Vec<&str> = messages.iter().map(|message| message.message_id.as_str()).collect();
        self.steps.push(format!("the cloud sends {} to leaf device {id}", named.join(", ")));
        Ok(messages)
    }

    /// A device must get these messages, in this order; gives them as they came.
    pub async fn gets(&mut self, mailbox: &mut Mailbox, messages: &[CloudMessage]) -> Result<Vec<Mail>, Stop> {
        self.gets_within(deadline::ROUTING, mailbox, messages).await
    }

    /// As [`Post::gets`], for messages that may take their time.
    pub async fn gets_within(
        &mut self,
        limit: Deadline,
        mailbox: &mut Mailbox,
        messages: &[CloudMessage],
    ) -> Result<Vec<Mail>, Stop> {
        let mut all = Vec::new();
        for message in messages {
            let expected = format!("{mailbox} gets {} as it was sent", message.message_id);
            match mailbox.next(limit).await {
                Ok(mail) if mail.is(mailbox.device(), message) => all.push(mail),
                Ok(mail) => return Err(self.stop(&expected, format!("it gets {mail}"))),
                Err(observed) => return Err(self.stop(&expected, observed)),
            }
        }
        let named: Vec<&str> = messages.iter().map(|message| message.message_id.as_str()).collect();
        self.steps.push(format!("{mailbox} gets {}", named.join(", ")));
        Ok(all)
    }

    /// A device must have got nothing more: a later answer from the cloud comes, and nothing before it.
    pub async fn gets_nothing(&mut self, mailbox: &mut Mailbox) -> Result<(), Stop> {
        self.steps.push(format!("{mailbox} reads its twin from the cloud"));
        let expected = "the answer comes, and no message before it";
        match mailbox.look().await {
            Ok(more) if more.is_empty() => Ok(()),
            Ok(more) => Err(self.stop(expected, format!("{}", more[0]))),
            Err(observed) => Err(self.stop(expected, observed)),
        }
    }

    /// A device acknowledges messages.
    pub async fn acknowledges(&mut self, mailbox: &mut Mailbox, all: &[Mail]) {
        let named: Vec<&str> = all.iter().map(Mail::id).collect();
        self.steps.push(format!("{mailbox} acknowledges {}", named.join(", ")));
        for mail in all {
            mailbox.acknowledge(mail).await;
        }
    }

    /// A device acknowledges whatever comes, until the cloud knows all of these messages as completed.
    pub async fn takes(&mut self, mailbox: &mut Mailbox, messages: &[CloudMessage]) -> Result<(), Stop> {
        self.steps.push(format!("{mailbox} acknowledges whatever comes"));
        let began = Instant::now();
        loop {
            let mut open = Vec::new();
            for message in messages {
                let fate =
                    cloud::fate(self.stage.environment().iot_hub(), mailbox.device(), &message.message_id).await?;
                open.extend(fate.filter(|fate| fate.state != MessageState::Completed));
            }
            let Some(first) = open.first() else {
                self.taken.extend_from_slice(messages);
                return Ok(());
            };
            let expected = format!("it gets and completes {}", first.message_id);
            if began.elapsed() > deadline::DRAIN.limit {
                let expired = Expired { deadline: deadline::DRAIN, what: format!("the end of {}", first.message_id) };
                return Err(self.stop(&expected, format!("in the cloud it is {:?}; {expired}", first.state)));
            }
            while let Some(mail) = mailbox.glance().await.map_err(|observed| self.stop(&expected, observed))? {
                let known = messages.iter().chain(&self.taken).any(|message| mail.is(mailbox.device(), message));
                if !known {
                    return Err(self.stop(&expected, format!("it gets {mail}")));
                }
                mailbox.acknowledge(&mail).await;
            }
        }
    }

    /// In the cloud these messages must come to be in this state.
    pub async fn are(&mut self, id: &str, messages: &[CloudMessage], state: MessageState) -> Result<(), Stop> {
        let wanted: Vec<_> = messages.iter().map(|message| (message.message_id.clone(), state)).collect();
        let settled = cloud::settle(self.stage.environment().iot_hub(), id, &wanted).await?;
        let expected = format!("in the cloud they are {}", format!("{state:?}").to_lowercase());
        settled.map_err(|observed| self.stop(&expected, observed))
    }

    /// In the cloud these messages must never have been handed out.
    pub async fn were_not_pulled(&mut self, id: &str, messages: &[CloudMessage]) -> Result<(), Stop> {
        for message in messages {
            let fate = cloud::fate(self.stage.environment().iot_hub(), id, &message.message_id).await?;
            let pulled = fate.filter(|fate| fate.delivery_count > 0 || fate.state != MessageState::Enqueued);
            if let Some(fate) = pulled {
                let observed =
                    format!("{} is {:?}, handed out {} times", fate.message_id, fate.state, fate.delivery_count);
                return Err(self.stop("the message waits in the cloud, never handed out", observed));
            }
        }
        Ok(())
    }

    /// A device leaves, and the cloud must come to see its connection end too.
    pub async fn leaves(&mut self, mailbox: Mailbox, farewell: bool) -> Result<Vec<Mail>, Stop> {
        let from = self.stage.environment().iot_hub().next_call().await?;
        let id = mailbox.device().to_owned();
        self.steps.push(format!("{mailbox} {}", if farewell { "leaves" } else { "breaks off its connection" }));
        let left = if farewell { mailbox.leave().await } else { mailbox.break_off().await };
        let left = left.map_err(|observed| self.stop("the hub ends its side too", observed))?;
        self.gone(from, &id).await?;
        Ok(left)
    }

    /// The cloud must come to see the end of a device's connection, since call number `from`.
    pub async fn gone(&mut self, from: u64, id: &str) -> Result<(), Stop> {
        let iot_hub = self.stage.environment().iot_hub();
        let what = format!("the end of {id}'s connection to the cloud");
        let ended = |call: &serde_json::Value| call["call"] == "disconnect" && call["client_id"] == id;
        match iot_hub.call_that(from, deadline::OUTCOME, &what, ended).await {
            Ok(_) => Ok(()),
            Err(ServiceError::Expired(expired)) => Err(self.stop(&what, expired.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// The hub is stopped and started again.
    pub async fn restarts(&mut self) -> Result<(), Stop> {
        self.steps.push("the hub is stopped and started again".to_owned());
        let environment = self.stage.environment_mut();
        environment.stop_hub().await;
        environment.start_hub().await.map_err(StageError::from)?;
        environment.ready().await.map_err(StageError::from)?;
        Ok(())
    }

    /// The end of a course at its last step.
    pub fn stop(&self, expected: &str, observed: String) -> Stop {
        Stop::Broken(Box::new(broken(self.about, expected, observed, &self.steps)))
    }
}

impl From<StageError> for Stop {
    fn from(error: StageError) -> Self {
        Stop::Unsaid(error)
    }
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Self {
        Stop::Unsaid(error.into())
    }
}
