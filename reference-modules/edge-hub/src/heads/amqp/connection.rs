//! A connection once AMQP has begun: what the client says, what the engine says, and the clock.
//!
//! - `links`: links that come and go, and who may have them.
//! - `messages`: what is sent on them, both ways.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

mod links;
mod messages;

use super::address::LinkType;
use super::client::Client;
use super::condition::error;
use super::frame::{self, EMPTY};
use super::listener::{Head, OPERATION_TIMEOUT};
use super::peer::link::LinkId;
use super::peer::{Event, Peer, SILENCE_MILLIS, Stage};
use super::principal::Principal;
use crate::core::{ConnectionId, DeliveryId, DeliveryOutcome, Input, PublishId, Telemetry};
use crate::engine::ToClient;
use crate::faults::planted;
use crate::identity::ClientId;
use links::Proven;

/// What an attached link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Requests to take tokens, or the answers.
    Cbs,
    /// What the hub does for a client.
    Of(LinkType, ClientId),
}

/// Messages of an Events link: one delivery is dealt with after the other.
#[derive(Debug)]
struct Intake {
    sender: ClientId,
    /// What the core knows the sender by.
    connection: ConnectionId,
    waiting: VecDeque<super::peer::Delivery>,
    busy: Option<Busy>,
}

/// The delivery that is dealt with.
#[derive(Debug)]
struct Busy {
    delivery: u32,
    settled: bool,
    /// What of it the core has not heard of.
    rest: VecDeque<Telemetry>,
}

/// A twin request the core has not answered.
#[derive(Debug)]
struct TwinRequest {
    client: ClientId,
    link: LinkId,
    delivery: u32,
    settled: bool,
    correlation: Option<String>,
}

/// A message that its receiver has not settled.
#[derive(Clone, Copy, Debug)]
struct Unsettled {
    link: LinkId,
    kind: LinkType,
    delivery: DeliveryId,
}

struct Connection<'a> {
    head: &'a Head,
    peer: Peer,
    principal: Principal,
    /// Tokens that were put, judged or not.
    tokens: HashMap<ClientId, String>,
    clients: HashMap<ClientId, Client>,
    /// Who is behind what the core knows.
    identities: HashMap<ConnectionId, ClientId>,
    places: HashMap<LinkId, Place>,
    /// The newest link for answers about tokens.
    cbs_receiver: Option<LinkId>,
    cbs_answers: u32,
    proving: FuturesUnordered<BoxFuture<'a, Proven>>,
    doubts: JoinSet<ConnectionId>,
    inboxes: SelectAll<BoxStream<'static, (ConnectionId, ToClient)>>,
    intakes: HashMap<LinkId, Intake>,
    /// Where what the core was told came from, by number.
    published: HashMap<u64, LinkId>,
    twins: HashMap<u64, TwinRequest>,
    numbered: u64,
    unsettled: HashMap<u64, Unsettled>,
    tickets: u64,
}

/// Completes when the hub ends.
async fn ended(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await.is_ok();
}

/// Serves a client until its connection ends.
pub async fn run<S>(
    head: &Head,
    stream: &mut S,
    received: &mut BytesMut,
    principal: Principal,
    open_by: Instant,
    mut ending: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut connection = Connection {
        head,
        peer: Peer::new(&head.container, head.settings.amqp.quirks),
        principal,
        tokens: HashMap::new(),
        clients: HashMap::new(),
        identities: HashMap::new(),
        places: HashMap::new(),
        cbs_receiver: None,
        cbs_answers: 0,
        proving: FuturesUnordered::new(),
        doubts: JoinSet::new(),
        inboxes: SelectAll::new(),
        intakes: HashMap::new(),
        published: HashMap::new(),
        twins: HashMap::new(),
        numbered: 0,
        unsettled: HashMap::new(),
        tickets: 0,
    };
    let served = connection.serve(stream, received, open_by, &mut ending).await;
    if served.is_err() {
        tracing::debug!("A connection broke off");
    }
    connection.leave();
}

impl Connection<'_> {
    async fn serve<S>(
        &mut self,
        stream: &mut S,
        received: &mut BytesMut,
        open_by: Instant,
        ending: &mut watch::Receiver<bool>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut heard, mut said) = (Instant::now(), Instant::now());
        let mut closing_by = None;
        loop {
            if self.take_frames(received).await {
                heard = Instant::now();
            }
            self.take_what_is_ready().await;
            if !self.peer.bytes().is_empty() {
                let bytes = std::mem::take(self.peer.bytes());
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                said = Instant::now();
            }
            match self.peer.stage() {
                Stage::Closed => return Ok(()),
                Stage::Closing if closing_by.is_none() => {
                    // Whoever was served here is not any more, however long the client takes.
                    self.leave();
                    closing_by = Some(Instant::now() + OPERATION_TIMEOUT);
                }
                Stage::Opening | Stage::Open | Stage::Closing => {}
            }
            let silent = Duration::from_millis(u64::from(SILENCE_MILLIS));
            let over_at = match self.peer.stage() {
                Stage::Opening => open_by,
                Stage::Open if planted("CON05-silent-client-stays") => heard + silent * 10,
                _ => closing_by.unwrap_or(heard + silent),
            };
            let speak_at = said + Duration::from_millis(u64::from(self.peer.silence_millis())) * 7 / 8;
            tokio::select! {
                read = stream.read_buf(received) => if read? == 0 {
                    return Ok(());
                },
                Some((connection, told)) = self.inboxes.next() => self.told(connection, told).await,
                Some(proven) = self.proving.next() => self.proven(proven).await,
                Some(Ok(connection)) = self.doubts.join_next() => self.doubted(connection),
                () = ended(ending), if matches!(self.peer.stage(), Stage::Opening | Stage::Open) => {
                    if planted("CON13-end-of-the-hub-is-not-told") {
                        return Ok(());
                    }
                    let said = error("amqp:link:detach-forced", "Server busy, please retry operation");
                    self.peer.close_with_links(said);
                }
                () = tokio::time::sleep_until(over_at) => match self.peer.stage() {
                    Stage::Open => self.peer.close_with_links(error("amqp:connection:forced", format!(
                        "The connection was inactive for more than the allowed {SILENCE_MILLIS} milliseconds and is \
                         closed by container '{}'.",
                        self.head.container
                    ))),
                    Stage::Opening | Stage::Closing | Stage::Closed => return Ok(()),
                },
                () = tokio::time::sleep_until(speak_at), if self.peer.stage() == Stage::Open => {
                    if planted("CON04-hub-is-silent") {
                        said = Instant::now();
                    } else {
                        self.peer.bytes().extend(EMPTY);
                    }
                }
            }
            self.events().await;
        }
    }

    /// Deals with every whole frame that was received; whether there was any.
    async fn take_frames(&mut self, received: &mut BytesMut) -> bool {
        let mut any = false;
        while self.peer.stage() != Stage::Closed {
            match frame::take(received, self.peer.max_frame_bytes()) {
                Ok(Some(frame)) => {
                    any = true;
                    self.peer.receive(&frame);
                    self.events().await;
                }
                Ok(None) => break,
                Err(why) => {
                    // Where the next frame begins, nobody knows.
                    received.clear();
                    self.peer.broken(why);
                    self.events().await;
                    break;
                }
            }
        }
        any
    }

    /// Deals with what needs no waiting for, so that it goes out together.
    async fn take_what_is_ready(&mut self) {
        while let Some(Some(proven)) = self.proving.next().now_or_never() {
            self.proven(proven).await;
            self.events().await;
        }
        while let Some(Some((connection, told))) = self.inboxes.next().now_or_never() {
            self.told(connection, told).await;
            self.events().await;
        }
    }

    /// Deals with what happened on the connection, and with what that makes happen.
    async fn events(&mut self) {
        loop {
            let events = self.peer.take_events();
            if events.is_empty() {
                return;
            }
            for event in events {
                match event {
                    Event::Attaching { link, attach } => self.attaching(link, &attach).await,
                    Event::Delivered { link, delivery } => self.delivered(link, delivery).await,
                    Event::Outcome { link, ticket, delivery, state, settled } => {
                        self.outcome(link, ticket, delivery, state.as_ref(), settled);
                    }
                    Event::Detached { link } => self.detached(link),
                }
            }
        }
    }

    /// The identities of this connection are here no more. What they sent and nobody has dealt with is not lost.
    fn leave(&mut self) {
        if planted("MOD11-unsettled-goes-with-its-connection") {
            for unsettled in self.unsettled.values() {
                let (delivery, outcome) = (unsettled.delivery, DeliveryOutcome::Delivered);
                self.head.engine.tell(Input::Settled { delivery, outcome });
            }
        }
        for (_, intake) in std::mem::take(&mut self.intakes) {
            self.hand_over(intake);
        }
        for (_, client) in self.clients.drain() {
            client.doubts.abort();
            self.head.engine.detach(client.connection);
        }
        self.identities.clear();
        self.places.clear();
        self.published.clear();
        self.twins.clear();
        self.unsettled.clear();
        self.proving.clear();
        self.inboxes.clear();
    }

    /// Numbers something the core is told.
    fn number(&mut self, connection: ConnectionId) -> PublishId {
        self.numbered += 1;
        PublishId { connection, number: self.numbered }
    }

    /// Whose connection to the core something concerns.
    fn client(&self, identity: &ClientId) -> Option<&Client> {
        self.clients.get(identity)
    }
}
