//! The same with frames of AMQP.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use harness::client::amqp::Login;
use harness::client::raw_amqp::frame;
use harness::client::raw_amqp::message::{Message, put_token};
use harness::client::raw_amqp::peer::{Layer, Link, Peer, PeerError};
use harness::client::raw_amqp::performative::{self, Attach, BEGIN, Begin, Open};
use harness::client::raw_amqp::{Incoming, RawAmqp};
use harness::deadline;
use harness::observe::wire_log::WireLog;

use super::{HEALTHY, Shared};
use crate::generate::amqp_frame::{self, Speaker};

/// The session of a connection.
const CHANNEL: u16 = 0;
/// The session that is begun and ended behind each frame: an answer shows that the connection stands.
const PROBE: u16 = 100;

/// A client that the server knows, with a link for telemetry.
async fn open(shared: &Shared, login: &Login) -> Result<(Peer, Link), String> {
    let (server, tls) = (shared.server.clone(), shared.tls.clone());
    shared.connections.fetch_add(1, Ordering::Relaxed);
    let raw = RawAmqp::open_as(&login.name(), shared.address, server, tls, WireLog::new())
        .await
        .map_err(|error| format!("no connection can be opened any more: {error}"))?;
    let known = async {
        let mut peer = Peer::enter(raw, &Layer::anonymous(), &Open::default()).await?;
        peer.begin(CHANNEL, &Begin::default()).await?;
        let requests = peer.link(CHANNEL, Attach::sender("cbs", &at_any_host("/$cbs"))).await?;
        let answers = peer.link(CHANNEL, Attach::receiver("cbs answers", &at_any_host("/$cbs"))).await?;
        peer.credit(answers, 10).await;
        peer.send(requests, &put_token("1", &login.address(""), &login.token), false).await;
        peer.delivery(answers, deadline::ACKNOWLEDGEMENT).await?;
        let address = at_any_host(&login.address("messages/events"));
        let events = peer.link(CHANNEL, Attach::sender("events", &address)).await?;
        Ok((peer, events))
    };
    known.await.map_err(|error: PeerError| format!("{} is not let in any more: {error}", login.name()))
}

/// An address as both the hub and the cloud take it.
fn at_any_host(path: &str) -> String {
    format!("amqps://edgecert{path}")
}

/// Pours frames, connection after connection, until all are written.
pub(super) async fn pour(shared: Arc<Shared>, login: Login) -> Result<(), String> {
    loop {
        let (mut peer, events) = open(&shared, &login).await?;
        let address = at_any_host(&login.address("")).trim_end_matches('/').to_owned();
        let speaker = Speaker { channel: events.channel, handle: events.handle, address };
        loop {
            let Some(seed) = shared.draw() else { return Ok(()) };
            if !stands_after(peer.raw(), &amqp_frame::frame(seed, &speaker).bytes()).await {
                break;
            }
        }
    }
}

/// Writes a frame, and says whether the connection still answers. A frame that claims to be longer than it is swallows
/// what is behind it; such a connection is left without a word, as broken clients do.
async fn stands_after(connection: &mut RawAmqp, spoiled: &[u8]) -> bool {
    let begin = frame::amqp(PROBE, &Begin::default().value(), b"");
    let end = frame::amqp(PROBE, &performative::end(), b"");
    connection.write(&[spoiled, &begin, &end].concat()).await;
    let answered = async {
        while let Some(incoming) = connection.next().await {
            let Incoming::Frame(frame) = incoming else { return false };
            let Some(performative) = frame.performative() else { continue };
            match performative.code {
                BEGIN if performative.field(0).number() == Some(u64::from(PROBE)) => return true,
                performative::CLOSE => return false,
                _ => {}
            }
        }
        false
    };
    deadline::GLANCE.wait("BEGIN", answered).await.unwrap_or(false)
}

/// A client as it should be: it sends, is told that it was accepted, and keeps its connection.
pub(super) async fn stay_healthy(shared: Arc<Shared>, login: Login) -> Result<(), String> {
    let (mut peer, events) = open(&shared, &login).await?;
    while !shared.over.load(Ordering::Relaxed) {
        match peer.deliver(events, &Message::data("healthy")).await {
            Ok(outcome) if outcome.accepted() => {}
            Ok(outcome) => return Err(format!("a message of the healthy client was not accepted: {outcome}")),
            Err(error) => return Err(format!("the healthy client lost its connection: {error}")),
        }
        shared.healthy.fetch_add(1, Ordering::Relaxed);
        // Its pace: often enough to notice, too seldom to be a load.
        tokio::time::sleep(HEALTHY).await;
    }
    Ok(())
}
