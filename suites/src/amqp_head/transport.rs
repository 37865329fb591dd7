//! What carries AMQP: TLS, WebSockets, protocol headers. Covers AMQP-TR.

use harness::client::raw_amqp::frame;
use harness::client::raw_amqp::peer::{Layer, Peer};
use harness::client::raw_amqp::performative::{Begin, Open};
use harness::client::raw_amqp::{Incoming, RawAmqp};
use harness::client::websocket::{Upgrade, UpgradeError};
use harness::deadline;
use harness::environment::{Handshake, TlsVersion};
use harness::runner::Test;
use harness::stage::Stage;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::talk::{CHANNEL, Talk, Told, cbs, events, put, told};
use crate::mqtt_head::guest::{GUEST, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::transport::tls_is_spoken_at_once_and_nothing_in_clear",
            &["AMQP-TR-01", "AMQP-TR-02"],
            |stage, talk| Box::pin(secure(stage, talk)),
        ),
        told("amqp_head::transport::a_connection_needs_no_sasl_layer", &["AMQP-TR-08"], |stage, talk| {
            Box::pin(bare(stage, talk))
        }),
        told("amqp_head::transport::a_layer_nobody_knows_is_closed", &["AMQP-TR-07"], |stage, talk| {
            Box::pin(unknown(stage, talk))
        }),
        told(
            "amqp_head::transport::a_websocket_is_upgraded_by_its_sub_protocol_on_any_path",
            &["AMQP-TR-03", "AMQP-TR-04"],
            |stage, talk| Box::pin(upgraded(stage, talk)),
        ),
        told("amqp_head::transport::borders_of_websocket_messages_mean_nothing", &["AMQP-TR-05"], |stage, talk| {
            Box::pin(borders(stage, talk))
        }),
    ]
}

async fn secure(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    for (version, name) in [(TlsVersion::V1_2, "1.2"), (TlsVersion::V1_3, "1.3")] {
        talk.step(format!("TLS {name}, SASL ANONYMOUS, OPEN"));
        talk.claim("AMQP-TR-01", "the hub answers with OPEN");
        let handshake = Handshake { version: Some(version), certificate: None };
        let raw = environment.raw_amqp_with(name, handshake).await?;
        Peer::enter(raw, &Layer::anonymous(), &Open::default()).await?;
    }
    for (header, name) in [(frame::SASL, "SASL"), (frame::AMQP, "AMQP")] {
        talk.step(format!("a connection without TLS, and the {name} header"));
        talk.claim("AMQP-TR-02", "no header of AMQP comes back");
        let mut socket = tokio::net::TcpStream::connect(environment.amqp_address())
            .await
            .map_err(harness::client::raw::RawError::Open)?;
        // A hub that closes before everything is written has said enough.
        let _ = socket.write_all(&[header.as_slice(), &[0; 64]].concat()).await;
        let mut answer = Vec::new();
        let _ = deadline::CLOSED.wait("the hub to close", socket.read_to_end(&mut answer)).await?;
        talk.holds(!answer.starts_with(b"AMQP"), format!("the hub answers {answer:?}"))?;
    }
    Ok(())
}

async fn bare(stage: &mut Stage, talk: &mut Talk) -> Told {
    let (environment, guest) = (stage.environment(), module(GUEST));
    talk.step("the AMQP header first, OPEN, BEGIN, the token of module guest, a link for telemetry");
    talk.claim("AMQP-TR-08", "the hub goes along");
    let raw = environment.raw_amqp("bare").await?;
    let mut peer = Peer::enter(raw, &Layer::Bare, &Open::default()).await?;
    peer.begin(CHANNEL, &Begin::default()).await?;
    let cbs = cbs(&mut peer).await?;
    put(&mut peer, cbs, &environment.token(&guest)).await?;
    peer.link(CHANNEL, events(environment, &guest)).await?;
    Ok(())
}

async fn unknown(stage: &mut Stage, talk: &mut Talk) -> Told {
    for id in [2, 7] {
        talk.step(format!("a header with protocol id {id}, and an OPEN behind it"));
        talk.claim("AMQP-TR-07", "the hub closes, and opens nothing");
        let mut raw = stage.environment().raw_amqp("stranger").await?;
        let mut bytes = frame::AMQP.to_vec();
        bytes[4] = id;
        bytes.extend(frame::amqp(0, &Open::default().value(), b""));
        raw.write(&bytes).await;
        let came = raw.closed(deadline::CLOSED).await?;
        let frame = came.iter().find(|incoming| matches!(incoming, Incoming::Frame(_)));
        talk.holds(frame.is_none(), format!("the hub writes {}", frame.map(ToString::to_string).unwrap_or_default()))?;
    }
    Ok(())
}

async fn upgraded(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    for (path, protocols) in
        [("/$iothub/websocket", "AMQPWSB10"), ("/x", "AMQPWSB10"), ("/$iothub/websocket", "amqp, amqpwsb10")]
    {
        talk.step(format!("an upgrade of {path} that offers {protocols}"));
        talk.claim("AMQP-TR-03", "101 with AMQPWSB10, and AMQP on it");
        let (socket, protocol) = environment.websocket(Upgrade { path, protocols }).await?;
        talk.holds(protocol.as_deref() == Some("AMQPWSB10"), format!("the sub-protocol is {protocol:?}"))?;
        let raw = RawAmqp::on("websocket", socket, environment.wire().clone());
        Peer::enter(raw, &Layer::anonymous(), &Open::default()).await?;
    }
    for protocols in ["amqp", "nothing-known"] {
        talk.step(format!("an upgrade that offers {protocols}"));
        talk.claim("AMQP-TR-04", "400");
        match environment.websocket(Upgrade { protocols, ..Upgrade::default() }).await {
            Err(UpgradeError::Status(400)) => {}
            Err(other) => return talk.holds(false, other),
            Ok(_) => return talk.holds(false, "the connection is upgraded"),
        }
    }
    Ok(())
}

async fn borders(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let bytes = [
        frame::AMQP.to_vec(),
        frame::amqp(0, &Open::default().value(), b""),
        frame::amqp(CHANNEL, &Begin::default().value(), b""),
    ]
    .concat();
    let single: Vec<usize> = (1..bytes.len()).collect();
    for (what, cuts) in [("in one message", Vec::new()), ("a byte in each message", single), ("in three", vec![5, 21])]
    {
        talk.step(format!("the AMQP header, OPEN and BEGIN over a WebSocket, {what}"));
        talk.claim("AMQP-TR-05", "the hub answers with its header, OPEN and BEGIN");
        let (socket, _) = environment.websocket(Upgrade::default()).await?;
        let mut raw = RawAmqp::on("pieces", socket, environment.wire().clone());
        raw.write_split(&bytes, &cuts).await;
        let mut peer = Peer::opened(raw).await?;
        peer.begun(CHANNEL).await?;
    }
    Ok(())
}
