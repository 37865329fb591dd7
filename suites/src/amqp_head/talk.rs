//! How a conversation with the AMQP head is told, and the steps most of them begin with.
//!
//! What goes wrong before a claim is made leaves a test without a verdict; behind a claim it breaks the claim.

use futures_util::future::BoxFuture;
use harness::client::amqp::message::INPUT;
use harness::client::raw::RawError;
use harness::client::raw_amqp::message::{Message, Property, put_token};
use harness::client::raw_amqp::peer::{Delivery, Layer, Link, PeerError};
use harness::client::raw_amqp::performative::{ACCEPTED, Attach, Begin, Open};
use harness::client::raw_amqp::{Peer, Value};
use harness::client::websocket::UpgradeError;
use harness::deadline::{self, Expired};
use harness::environment::{Blueprint, Environment};
use harness::observe::history::{Identity, MARK};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use crate::course::{broken, ended};
use crate::declare::example;

/// Name of the suite.
pub const SUITE: &str = "amqp_head";
/// The channel conversations use that need only one session.
pub const CHANNEL: u16 = 0;
/// Link property that says which two links belong together.
pub const CORRELATION: &str = "com.microsoft:channel-correlation-id";
/// The condition of a link that was refused.
pub const NOT_ALLOWED: &str = "amqp:not-allowed";

/// A conversation under way: what was done, and what is claimed of it.
#[derive(Default)]
pub struct Talk {
    steps: Vec<String>,
    claim: Option<(&'static str, String)>,
}

/// Why a conversation ended before its end.
pub enum Stop {
    /// Nothing can be said.
    Stage(StageError),
    /// The hub did not go along.
    Peer(PeerError),
    /// The hub did something else than what is claimed.
    Wrong(String),
}

/// A part of a conversation.
pub type Told<T = ()> = Result<T, Stop>;

/// A conversation to be held.
pub type Play = for<'a> fn(&'a mut Stage, &'a mut Talk) -> BoxFuture<'a, Told>;

impl Talk {
    /// Something is done.
    pub fn step(&mut self, what: impl Into<String>) {
        self.steps.push(what.into());
    }

    /// What must come of what is done from here on.
    pub fn claim(&mut self, requirement: &'static str, expected: impl Into<String>) {
        self.claim = Some((requirement, expected.into()));
    }

    /// Whether it came.
    ///
    /// # Errors
    /// [`Stop::Wrong`] when it did not.
    pub fn holds(&self, holds: bool, observed: impl ToString) -> Told {
        if holds { Ok(()) } else { Err(Stop::Wrong(observed.to_string())) }
    }

    /// The end of a conversation that a test holds itself.
    ///
    /// # Errors
    /// [`StageError`] when nothing can be said.
    pub fn outcome(self, told: Told) -> Result<Outcome, StageError> {
        self.judged(told).map(ended)
    }

    fn judged(self, told: Told) -> Result<Option<Violation>, StageError> {
        let observed = match (told, &self.claim) {
            (Ok(()), _) => return Ok(None),
            (Err(Stop::Stage(error)), _) => return Err(error),
            (Err(Stop::Peer(error)), None) => return Err(StageError::Amqp(error)),
            (Err(Stop::Wrong(observed)), None) => return Err(StageError::Amqp(PeerError::Unexpected(observed))),
            (Err(Stop::Peer(error)), Some(_)) => error.to_string(),
            (Err(Stop::Wrong(observed)), Some(_)) => observed,
        };
        let (requirement, expected) = self.claim.expect("just seen");
        Ok(Some(broken(requirement, expected, observed, &self.steps)))
    }
}

impl From<StageError> for Stop {
    fn from(error: StageError) -> Self {
        Stop::Stage(error)
    }
}

impl From<PeerError> for Stop {
    fn from(error: PeerError) -> Self {
        Stop::Peer(error)
    }
}

impl From<Expired> for Stop {
    fn from(expired: Expired) -> Self {
        Stop::Peer(expired.into())
    }
}

impl From<RawError> for Stop {
    fn from(error: RawError) -> Self {
        Stop::Peer(PeerError::Closed(format!("no connection: {error}")))
    }
}

impl From<UpgradeError> for Stop {
    fn from(error: UpgradeError) -> Self {
        Stop::Peer(PeerError::Closed(error.to_string()))
    }
}

impl From<harness::client::iot_hub::ServiceError> for Stop {
    fn from(error: harness::client::iot_hub::ServiceError) -> Self {
        Stop::Stage(error.into())
    }
}

/// What a test plays; every case of it is the same.
struct Conversation(Play);

/// A test that is one conversation.
pub fn told(name: &str, requirements: &[&str], play: Play) -> Test {
    example(SUITE, name, requirements, Conversation(play), |stage, conversation| Box::pin(hold(stage, conversation.0)))
}

async fn hold(stage: &mut Stage, play: Play) -> Result<Option<Violation>, StageError> {
    let mut talk = Talk::default();
    let told = play(stage, &mut talk).await;
    talk.judged(told)
}

/// Holds a conversation with a hub that has these settings beside those of every stage.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn with_settings(worker: &mut Worker, settings: &[(&str, &str)], play: Play) -> Result<Outcome, StageError> {
    worker.set_stage(blueprint(worker, settings));
    Ok(ended(hold(worker.stage().await?, play).await?))
}

/// The blueprint of every stage, with settings.
pub fn blueprint(worker: &Worker, settings: &[(&str, &str)]) -> Blueprint {
    let mut blueprint = worker.blueprint().clone();
    blueprint.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    blueprint
}

/// The address of something of an identity.
pub fn address(environment: &Environment, identity: &Identity, what: &str) -> String {
    let edge = &environment.blueprint().edge_device;
    match identity {
        Identity::Module(module) => format!("/devices/{edge}/modules/{module}/{what}"),
        Identity::LeafDevice(device) => format!("/devices/{device}/{what}"),
    }
}

/// A connection with SASL ANONYMOUS and one session, on which nobody is known yet.
///
/// # Errors
/// [`Stop`] when the hub does not go along.
pub async fn opened(environment: &Environment, name: &str) -> Told<Peer> {
    let raw = environment.raw_amqp(name).await?;
    let mut peer = Peer::enter(raw, &Layer::anonymous(), &Open::default()).await?;
    peer.begin(CHANNEL, &Begin::default()).await?;
    Ok(peer)
}

/// The pair of links to `$cbs`.
#[derive(Debug, Clone, Copy)]
pub struct Cbs {
    /// Tokens go there.
    pub requests: Link,
    /// Answers come from there.
    pub answers: Link,
}

/// Attaches the pair of links to `$cbs`.
///
/// # Errors
/// [`PeerError`] when one is refused.
pub async fn cbs(peer: &mut Peer) -> Result<Cbs, PeerError> {
    let requests = peer.link(CHANNEL, Attach::sender("cbs-requests", "$cbs")).await?;
    let answers = peer.link(CHANNEL, Attach::receiver("cbs-answers", "$cbs")).await?;
    peer.credit(answers, 100).await;
    Ok(Cbs { requests, answers })
}

/// Sends a request to `$cbs`, and gives the answer.
///
/// # Errors
/// [`PeerError`] when there is none.
pub async fn asked(peer: &mut Peer, cbs: Cbs, request: &Message) -> Result<Message, PeerError> {
    peer.send(cbs.requests, request, false).await;
    let answer = peer.delivery(cbs.answers, deadline::ACKNOWLEDGEMENT).await?;
    peer.settle(&answer, true, Some(ACCEPTED)).await;
    answer.message.ok_or_else(|| PeerError::Unexpected("the answer of $cbs is no message".to_owned()))
}

/// Puts a token, which must be taken.
///
/// # Errors
/// [`PeerError`] when it is not.
pub async fn put(peer: &mut Peer, cbs: Cbs, token: &str) -> Result<(), PeerError> {
    let answer = asked(peer, cbs, &put_token("put", "edgecert", token)).await?;
    match status(&answer) {
        Some(200) => Ok(()),
        other => Err(PeerError::Unexpected(format!("a good token is answered with status {other:?}"))),
    }
}

/// The status in an answer of `$cbs`: an int, and nothing else.
pub fn status(answer: &Message) -> Option<i32> {
    match answer.application_value("status-code") {
        Some(Value::Int(status)) => Some(*status),
        _ => None,
    }
}

/// A connection on which the tokens of these identities are put; no link of theirs is attached.
///
/// # Errors
/// [`Stop`] when the hub does not go along.
pub async fn known(environment: &Environment, identities: &[&Identity]) -> Told<(Peer, Cbs)> {
    let mut peer =
        opened(environment, &identities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")).await?;
    let cbs = cbs(&mut peer).await?;
    for identity in identities {
        put(&mut peer, cbs, &environment.token(identity)).await?;
    }
    Ok((peer, cbs))
}

/// A link to send telemetry on.
pub fn events(environment: &Environment, identity: &Identity) -> Attach {
    Attach::sender(&format!("events of {identity}"), &address(environment, identity, "messages/events"))
}

/// A link for all inputs of a module.
pub fn inputs(environment: &Environment, identity: &Identity) -> Attach {
    Attach::receiver(&format!("inputs of {identity}"), &address(environment, identity, "messages/events"))
}

/// A connection of an identity with a link for telemetry.
///
/// # Errors
/// [`Stop`] when the hub does not go along.
pub async fn speaking(environment: &Environment, identity: &Identity) -> Told<(Peer, Link)> {
    let (mut peer, _) = known(environment, &[identity]).await?;
    let link = peer.link(CHANNEL, events(environment, identity)).await?;
    Ok((peer, link))
}

/// A connection of a module with a link for its inputs, and this much credit.
///
/// # Errors
/// [`Stop`] when the hub does not go along.
pub async fn listening(environment: &Environment, module: &Identity, credit: u32) -> Told<(Peer, Link)> {
    let (mut peer, _) = known(environment, &[module]).await?;
    let link = peer.link(CHANNEL, inputs(environment, module)).await?;
    if credit > 0 {
        peer.credit(link, credit).await;
    }
    Ok((peer, link))
}

/// A message on an output, with a mark.
pub fn marked(output: &str, mark: &str, body: &[u8]) -> Message {
    Message::data(body).application(MARK, mark).application("iothub-outputname", output)
}

/// The mark a delivery carries.
pub fn mark_of(delivery: &Delivery) -> Option<String> {
    let value = delivery.message.as_ref()?.application_value(MARK)?;
    value.text().map(str::to_owned)
}

/// The input a delivery is for.
pub fn input_of(delivery: &Delivery) -> Option<String> {
    let value = delivery.message.as_ref()?.annotation_value(INPUT)?;
    value.text().map(str::to_owned)
}

/// The next message for a module, accepted at once.
///
/// # Errors
/// [`Stop`] when none comes that is one.
pub async fn taken(peer: &mut Peer, link: Link) -> Told<Message> {
    let delivery = peer.delivery(link, deadline::ROUTING).await?;
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    delivery.message.ok_or_else(|| Stop::Wrong("a delivery that is no message".to_owned()))
}

/// A value of the properties section, as a reader sees it.
pub fn shown(message: &Message, property: Property) -> String {
    message.property_value(property).to_string()
}
