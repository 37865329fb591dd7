//! A sequence of events under way: takes the steps, and compares what is seen with the model after each.

use std::time::Duration;

use harness::client::iot_hub::{CloudMessage, Concerns, MessageState};
use harness::deadline;
use harness::outcome::Violation;
use harness::stage::{Stage, StageError};

use super::super::cloud;
use super::super::mailbox::{Mail, Mailbox};
use super::super::post::{self, ANNA, BERT, LONG_LOCK, Post, SHORT_LOCK, Stop};
use super::model::{Case, State, Step, World};

/// The devices, by number.
pub const DEVICES: [&str; 2] = [ANNA, BERT];

/// Plays a case: the first difference from the model is a violation.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn play(stage: &mut Stage, case: &Case) -> Result<Option<Violation>, StageError> {
    post::begin(stage, if case.short_lock { SHORT_LOCK } else { LONG_LOCK }).await?;
    let from = stage.environment().iot_hub().next_call().await?;
    let post = Post { stage, about: "C2D-05", steps: Vec::new(), taken: Vec::new() };
    let mut trial = Trial {
        post,
        short_lock: case.short_lock,
        world: World::default(),
        mailboxes: [None, None],
        sent: [Vec::new(), Vec::new()],
        held: [Vec::new(), Vec::new()],
        outage: None,
        from,
    };
    if case.short_lock {
        trial.post.steps.push(format!("the cloud's lock on a message ends after {} ms", SHORT_LOCK.as_millis()));
    }
    let ended = trial.run(&case.steps).await;
    if let Some(outage) = trial.outage {
        trial.post.stage.environment().iot_hub().lift(outage).await?;
    }
    match ended {
        Ok(()) => Ok(None),
        Err(Stop::Broken(violation)) => Ok(Some(*violation)),
        Err(Stop::Unsaid(error)) => Err(error),
    }
}

struct Trial<'s> {
    post: Post<'s>,
    short_lock: bool,
    world: World,
    mailboxes: [Option<Mailbox>; 2],
    /// What the cloud sent to each, by number.
    sent: [Vec<CloudMessage>; 2],
    /// What each got on its connection at QoS 1 and has not acknowledged, in order; copies too.
    held: [Vec<Mail>; 2],
    outage: Option<u64>,
    /// Number of the first call of the case.
    from: u64,
}

impl Trial<'_> {
    async fn run(&mut self, steps: &[Step]) -> Result<(), Stop> {
        for step in steps {
            if !self.world.can(*step) {
                continue;
            }
            self.act(*step).await?;
            self.world.take(*step);
            self.compare(*step).await?;
        }
        self.end().await
    }

    async fn act(&mut self, step: Step) -> Result<(), Stop> {
        self.post.about = "C2D-05";
        match step {
            Step::Send { to, count } => {
                let sent = self.post.sends(DEVICES[to], count).await?;
                self.sent[to].extend(sent);
                return Ok(());
            }
            Step::Acknowledge { who, count } => return self.acknowledge(who, count).await,
            Step::Restart => {
                self.post.restarts().await?;
                self.mailboxes = [None, None];
                self.held = [Vec::new(), Vec::new()];
                return Ok(());
            }
            _ => self.post.steps.push(step.to_string()),
        }
        match step {
            Step::Connect { who, kept } => {
                // An older connection is closed by the hub; it is read no more.
                self.held[who].clear();
                let older = self.mailboxes[who].take();
                self.mailboxes[who] = Some(Mailbox::open(self.post.stage.environment(), DEVICES[who], kept).await?);
                drop(older);
            }
            Step::Subscribe { who, qos } => {
                let subscribed = self.mailbox(who).subscribe(qos).await;
                subscribed.map_err(|observed| self.post.stop("SUBACK", observed))?;
            }
            Step::Unsubscribe { who } => {
                let unsubscribed = self.mailbox(who).unsubscribe().await;
                unsubscribed.map_err(|observed| self.post.stop("UNSUBACK", observed))?;
            }
            Step::Leave { who, farewell } => {
                self.held[who].clear();
                let mailbox = self.mailboxes[who].take().expect("only who is there can leave");
                let left = if farewell { mailbox.leave().await } else { mailbox.break_off().await };
                left.map_err(|observed| self.post.stop("the hub ends its side too", observed))?;
                if self.listens(who) {
                    // What is sent before that may go the way of the connection that ends.
                    let gone = cloud::gone(self.post.stage.environment().iot_hub(), self.from, DEVICES[who]).await?;
                    self.post.about = "C2D-09";
                    gone.map_err(|expired| {
                        self.post.stop("its connection to the cloud ends too", expired.to_string())
                    })?;
                }
            }
            Step::Cut => {
                let iot_hub = self.post.stage.environment().iot_hub();
                self.outage = Some(iot_hub.impose("outage", Concerns::Everyone, Duration::ZERO).await?);
            }
            Step::Mend => {
                let outage = self.outage.take().expect("only an outage can end");
                self.post.stage.environment().iot_hub().lift(outage).await?;
            }
            Step::Send { .. } | Step::Acknowledge { .. } | Step::Restart => unreachable!("taken above"),
        }
        Ok(())
    }

    fn mailbox(&mut self, who: usize) -> &mut Mailbox {
        self.mailboxes[who].as_mut().expect("the model says who is there")
    }

    /// Acknowledges every copy of the oldest messages held.
    async fn acknowledge(&mut self, who: usize, count: usize) -> Result<(), Stop> {
        let numbers: Vec<usize> = self.world.devices[who].held().into_iter().take(count).collect();
        let ids: Vec<String> = numbers.iter().map(|number| self.sent[who][*number].message_id.clone()).collect();
        // The hub takes acknowledgements in the order of its messages, whatever id they bear.
        let upto = self.held[who].iter().rposition(|mail| ids.iter().any(|id| id == mail.id())).map_or(0, |at| at + 1);
        let acknowledged: Vec<Mail> = self.held[who].drain(..upto).collect();
        let mailbox = self.mailboxes[who].as_mut().expect("the model says who is there");
        self.post.acknowledges(mailbox, &acknowledged).await;
        Ok(())
    }

    /// Lets come what must, and looks whether anything else does.
    async fn compare(&mut self, step: Step) -> Result<(), Stop> {
        let due = self.world.hand_out();
        for (who, numbers) in due.iter().enumerate() {
            if matches!(step, Step::Connect { who: newcomer, .. } if newcomer == who) {
                self.post.about = "MQTT-C2D-04";
            }
            for number in numbers {
                self.awaited(who, *number).await?;
            }
            self.post.about = "C2D-05";
        }
        if self.world.cut {
            return Ok(());
        }
        for who in 0..DEVICES.len() {
            if self.mailboxes[who].is_some() {
                self.nothing_else(who).await?;
            }
        }
        if self.short_lock { Ok(()) } else { self.states().await }
    }

    /// The message of a number must come; copies of others that are not acknowledged may, where the lock ends soon.
    async fn awaited(&mut self, who: usize, number: usize) -> Result<(), Stop> {
        let message = self.sent[who][number].clone();
        let expected = format!("leaf device {} gets {} as it was sent", DEVICES[who], message.message_id);
        loop {
            // An outage that has just ended takes the hub a while to notice.
            let mail = self.mailbox(who).next(deadline::DRAIN).await;
            let mail = mail.map_err(|observed| self.post.stop(&expected, observed))?;
            let right = mail.is(DEVICES[who], &message);
            if !right && !self.may_come_again(who, &mail) {
                self.post.about = if self.is_of(1 - who, &mail) { "C2D-11" } else { self.post.about };
                return Err(self.post.stop(&expected, format!("it gets {mail}")));
            }
            if mail.published.id.is_some() {
                self.held[who].push(mail);
            }
            if right {
                return Ok(());
            }
        }
    }

    async fn nothing_else(&mut self, who: usize) -> Result<(), Stop> {
        let looked = self.mailbox(who).look().await;
        let expected = format!("leaf device {} reads its twin from the cloud, and nothing comes before", DEVICES[who]);
        for mail in looked.map_err(|observed| self.post.stop(&expected, observed))? {
            if !self.may_come_again(who, &mail) {
                self.post.about = match self.listens(who) {
                    _ if self.is_of(1 - who, &mail) => "C2D-11",
                    true => "C2D-06",
                    false => "C2D-09",
                };
                return Err(self.post.stop(&expected, format!("it gets {mail}")));
            }
            if mail.published.id.is_some() {
                self.held[who].push(mail);
            }
        }
        Ok(())
    }

    /// Whether the model has a device subscribed to its messages.
    fn listens(&self, who: usize) -> bool {
        self.world.devices[who].connection.as_ref().is_some_and(|connection| connection.subscribed.is_some())
    }

    /// Whether this is a message that was handed out and whose lock may have ended.
    fn may_come_again(&self, who: usize, mail: &Mail) -> bool {
        let device = &self.world.devices[who];
        let known = self.sent[who].iter().position(|message| mail.is(DEVICES[who], message));
        self.short_lock && self.listens(who) && known.is_some_and(|number| device.messages[number] != State::Waiting)
    }

    fn is_of(&self, who: usize, mail: &Mail) -> bool {
        self.sent[who].iter().any(|message| message.message_id == mail.id())
    }

    /// In the cloud every message must come to be what the model says.
    async fn states(&mut self) -> Result<(), Stop> {
        for (who, id) in DEVICES.iter().enumerate() {
            let states = &self.world.devices[who].messages;
            for (wanted, requirement) in [
                (MessageState::Completed, "C2D-06"),
                (MessageState::Locked, "MQTT-C2D-02"),
                (MessageState::Enqueued, "C2D-09"),
            ] {
                let of = states.iter().zip(&self.sent[who]).filter(|(state, _)| shown(**state) == wanted);
                let wanted: Vec<_> = of.map(|(_, message)| (message.message_id.clone(), wanted)).collect();
                let settled = cloud::settle(self.post.stage.environment().iot_hub(), id, &wanted).await?;
                self.post.about = requirement;
                let expected =
                    || wanted.iter().map(|(id, state)| format!("{id} {state:?}")).collect::<Vec<_>>().join(", ");
                settled.map_err(|observed| self.post.stop(&format!("in the cloud: {}", expected()), observed))?;
            }
        }
        Ok(())
    }

    /// Whatever was not completed comes in the end, where the lock ends soon.
    async fn end(&mut self) -> Result<(), Stop> {
        if let Some(outage) = self.outage.take() {
            self.post.stage.environment().iot_hub().lift(outage).await?;
            self.post.steps.push(Step::Mend.to_string());
        }
        for (who, id) in DEVICES.iter().enumerate() {
            drop(self.mailboxes[who].take());
            if !self.short_lock || self.sent[who].is_empty() {
                continue;
            }
            self.post.about = "C2D-06";
            let mut mailbox = self.post.connects(id, false).await?;
            self.post.subscribes(&mut mailbox, 1).await?;
            let sent = self.sent[who].clone();
            self.post.takes(&mut mailbox, &sent).await?;
        }
        Ok(())
    }
}

/// The cloud's word for a state.
fn shown(state: State) -> MessageState {
    match state {
        State::Waiting => MessageState::Enqueued,
        State::Held | State::Stranded => MessageState::Locked,
        State::Done => MessageState::Completed,
    }
}
