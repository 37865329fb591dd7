//! Connections and sessions: what is negotiated, who shares one, and what ends one. Covers AMQP-CON.

use std::time::{Duration, Instant};

use harness::client::mqtt::QoS;
use harness::client::raw_amqp::message::Message;
use harness::client::raw_amqp::peer::{Layer, Link, Peer};
use harness::client::raw_amqp::performative::{Begin, CLOSE, DETACH, END, Error, Open, Performative};
use harness::client::raw_amqp::{Incoming, Value};
use harness::deadline;
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::talk::{
    CHANNEL, NOT_ALLOWED, SUITE, Stop, Talk, Told, blueprint, cbs, events, known, opened, put, speaking, told,
};
use crate::declare::{restarting, slow};
use crate::mqtt_head::guest::{GUEST, HOST, THIRD, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::connections::open_and_begin_say_the_smaller_of_both_limits",
            &["AMQP-CON-01", "AMQP-CON-02", "AMQP-CON-06"],
            |stage, talk| Box::pin(negotiated(stage, talk)),
        ),
        told(
            "amqp_head::connections::an_idle_time_out_below_five_seconds_is_refused",
            &["AMQP-CON-03"],
            |stage, talk| Box::pin(hasty(stage, talk)),
        ),
        told(
            "amqp_head::connections::a_sign_of_life_comes_before_the_client_gives_up",
            &["AMQP-CON-04"],
            |stage, talk| Box::pin(alive(stage, talk)),
        ),
        slow(told(
            "amqp_head::connections::a_silent_connection_is_closed_after_four_minutes",
            &["AMQP-CON-05"],
            |stage, talk| Box::pin(silent(stage, talk)),
        )),
        told(
            "amqp_head::connections::several_sessions_and_identities_share_a_connection",
            &["AMQP-CON-07", "AMQP-CON-08"],
            |stage, talk| Box::pin(shared(stage, talk)),
        ),
        told("amqp_head::connections::fifty_identities_share_a_connection", &["AMQP-CON-08"], |stage, talk| {
            Box::pin(many(stage, talk))
        }),
        told(
            "amqp_head::connections::the_first_link_of_an_identity_closes_its_older_connection",
            &["AMQP-CON-09"],
            |stage, talk| Box::pin(taken_over(stage, talk)),
        ),
        told("amqp_head::connections::amqp_and_mqtt_take_over_from_each_other", &["AMQP-CON-09"], |stage, talk| {
            Box::pin(across(stage, talk))
        }),
        told(
            "amqp_head::connections::the_last_link_of_an_identity_ends_the_connection",
            &["AMQP-CON-10", "AMQP-CON-11"],
            |stage, talk| Box::pin(last_link(stage, talk)),
        ),
        told(
            "amqp_head::connections::links_to_cbs_do_not_matter_for_the_connection",
            &["AMQP-CON-12"],
            |stage, talk| Box::pin(without_cbs(stage, talk)),
        ),
        restarting(
            SUITE,
            "amqp_head::connections::a_hub_that_stops_says_so_on_every_link",
            &["AMQP-CON-13"],
            |worker| Box::pin(stopping(worker)),
        ),
    ]
}

/// A field that is a number.
fn number(performative: &Performative, field: usize) -> Option<u64> {
    performative.field(field).number()
}

async fn negotiated(stage: &mut Stage, talk: &mut Talk) -> Told {
    let rows = [
        (None, None, 65_536, 8_191),
        (Some(4_096), Some(100), 4_096, 100),
        (Some(1 << 20), Some(u16::MAX), 65_536, 8_191),
    ];
    for (max_frame_size, channel_max, frame, channel) in rows {
        let open = Open { max_frame_size, channel_max, ..Open::default() };
        talk.step(format!("OPEN with max-frame-size {max_frame_size:?} and channel-max {channel_max:?}"));
        let raw = stage.environment().raw_amqp("open").await?;
        let peer = Peer::enter(raw, &Layer::anonymous(), &open).await?;
        talk.claim("AMQP-CON-01", format!("OPEN with max-frame-size {frame} and idle-time-out 120000"));
        let got = (number(&peer.open, 2), number(&peer.open, 4));
        talk.holds(got == (Some(frame), Some(120_000)), format!("{} and {}", peer.open.field(2), peer.open.field(4)))?;
        talk.claim("AMQP-CON-02", format!("channel-max {channel}"));
        talk.holds(number(&peer.open, 3) == Some(channel), peer.open.field(3))?;
    }
    for (incoming_window, handle_max, handles) in
        [(10, None, 262_143), (100_000, Some(3), 3), (2_048, Some(u32::MAX), 262_143)]
    {
        talk.step(format!("BEGIN with incoming-window {incoming_window} and handle-max {handle_max:?}"));
        talk.claim(
            "AMQP-CON-06",
            format!(
                "BEGIN with next-outgoing-id 1, incoming-window 5000, outgoing-window {incoming_window}, handle-max {handles}"
            ),
        );
        let mut peer = opened(stage.environment(), "begin").await?;
        let begin = peer.begin(1, &Begin { incoming_window, handle_max, ..Begin::default() }).await?;
        let got: Vec<Option<u64>> = (1..=4).map(|field| number(&begin, field)).collect();
        let due = [Some(1), Some(5_000), Some(u64::from(incoming_window)), Some(handles)];
        talk.holds(got == due, format!("{got:?}"))?;
    }
    Ok(())
}

async fn hasty(stage: &mut Stage, talk: &mut Talk) -> Told {
    for idle_time_out_ms in [1, 1_000, 4_999] {
        talk.step(format!("OPEN with idle-time-out {idle_time_out_ms}"));
        talk.claim("AMQP-CON-03", format!("OPEN, then CLOSE with {NOT_ALLOWED}"));
        let raw = stage.environment().raw_amqp("hasty").await?;
        let open = Open { idle_time_out_ms: Some(idle_time_out_ms), ..Open::default() };
        let mut peer = Peer::enter(raw, &Layer::anonymous(), &open).await?;
        let error = peer.closed(deadline::CLOSED).await?;
        let condition = error.as_ref().map(|error| error.condition.as_str());
        talk.holds(condition == Some(NOT_ALLOWED), format!("CLOSE with {error:?}"))?;
    }
    for idle_time_out_ms in [0, 5_000] {
        talk.step(format!("OPEN with idle-time-out {idle_time_out_ms}, BEGIN"));
        talk.claim("AMQP-CON-03", "OPEN and BEGIN");
        let raw = stage.environment().raw_amqp("patient").await?;
        let open = Open { idle_time_out_ms: Some(idle_time_out_ms), ..Open::default() };
        Peer::enter(raw, &Layer::anonymous(), &open).await?.begin(CHANNEL, &Begin::default()).await?;
    }
    Ok(())
}

async fn alive(stage: &mut Stage, talk: &mut Talk) -> Told {
    const IDLE: Duration = Duration::from_secs(5);
    talk.step("OPEN with idle-time-out 5000, and nothing else");
    talk.claim("AMQP-CON-04", "a frame within 5 s of the one before, twice");
    let raw = stage.environment().raw_amqp("idle").await?;
    let open = Open { idle_time_out_ms: Some(5_000), ..Open::default() };
    let mut peer = Peer::enter(raw, &Layer::anonymous(), &open).await?;
    for _ in 0..2 {
        let began = Instant::now();
        let came = peer.raw().read(deadline::TIME_LIMIT).await?;
        talk.holds(matches!(came, Some(Incoming::Frame(_))), "the hub closes the connection")?;
        talk.holds(began.elapsed() < IDLE, format!("a frame after {:.2} s", began.elapsed().as_secs_f64()))?;
    }
    Ok(())
}

async fn silent(stage: &mut Stage, talk: &mut Talk) -> Told {
    const LIMIT: Duration = Duration::from_secs(240);
    let (mut peer, _) = speaking(stage.environment(), &module(GUEST)).await?;
    let began = Instant::now();
    talk.step("module guest attaches a link for telemetry, and is silent");
    talk.claim("AMQP-CON-05", "CLOSE with amqp:connection:forced after 240 s");
    let error = peer.closed(deadline::SILENCE).await?;
    let after = began.elapsed();
    let forced = error.as_ref().is_some_and(|error| error.condition == "amqp:connection:forced");
    talk.holds(forced, format!("CLOSE with {error:?}"))?;
    // The clock of the hub began with the last frame it read, a moment before ours.
    let near = after + Duration::from_secs(2) > LIMIT && after < LIMIT + Duration::from_secs(10);
    talk.holds(near, format!("CLOSE after {:.1} s", after.as_secs_f64()))
}

async fn delivered(talk: &Talk, peer: &mut Peer, link: Link) -> Told {
    let outcome = peer.deliver(link, &Message::data("x")).await?;
    talk.holds(outcome.accepted(), outcome)
}

async fn shared(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (guest, host, visitor) = (module(GUEST), module(HOST), device(VISITOR));
    let (mut peer, _) = known(environment, &[&guest, &host, &visitor]).await?;
    talk.step("tokens of module guest, module host and leaf device visitor on one connection; a second session");
    talk.claim("AMQP-CON-07", "BEGIN");
    peer.begin(1, &Begin::default()).await?;
    talk.step("links for telemetry: of guest and visitor on the first session, of host on the second");
    talk.claim("AMQP-CON-08", "each link is attached, and accepts a message");
    let mut links = Vec::new();
    for (channel, identity) in [(CHANNEL, &guest), (1, &host), (CHANNEL, &visitor)] {
        links.push(peer.link(channel, events(environment, identity)).await?);
    }
    for link in links {
        if link.channel == 1 {
            talk.claim("AMQP-CON-07", "a message on the second session is accepted");
        }
        delivered(talk, &mut peer, link).await?;
    }
    Ok(())
}

async fn many(stage: &mut Stage, talk: &mut Talk) -> Told {
    const IDENTITIES: usize = 50;
    let edge = stage.environment().blueprint().edge_device.clone();
    let mut modules = Vec::new();
    for number in 0..IDENTITIES {
        let name = format!("crowd{number}");
        if stage.environment().iot_hub().identity(&edge, Some(&name)).await.is_err() {
            stage.environment().iot_hub().create_identity(&edge, Some(&name)).await?;
        }
        modules.push(name);
    }
    let environment = stage.environment();
    let mut peer = opened(environment, "crowd").await?;
    let cbs = cbs(&mut peer).await?;
    talk.step(format!("tokens of {IDENTITIES} modules on one connection, then a link for telemetry of each"));
    talk.claim("AMQP-CON-08", "each link is attached, and accepts a message");
    let mut links = Vec::new();
    for name in &modules {
        let keys = environment.iot_hub().keys(&edge, Some(name)).await?;
        let audience = format!("{}/devices/{edge}/modules/{name}", environment.iot_hub_host());
        let token = harness::client::sas::token(&audience, &keys.primary, None, Duration::from_secs(3_600));
        put(&mut peer, cbs, &token.unwrap_or_default()).await?;
    }
    for name in &modules {
        links.push(peer.link(CHANNEL, events(environment, &Identity::Module(name.clone()))).await?);
    }
    for link in &links {
        delivered(talk, &mut peer, *link).await?;
    }
    talk.step("a message of the first that is too large");
    talk.claim("AMQP-CON-08", "it is rejected, and the links of the others accept messages");
    let outcome = peer.deliver(links[0], &Message::data(vec![b'x'; 300_000])).await?;
    talk.holds(outcome.rejected().is_some(), outcome)?;
    for link in &links {
        delivered(talk, &mut peer, *link).await?;
    }
    Ok(())
}

/// The connection is closed by the hub without an error.
async fn closes(talk: &Talk, peer: &mut Peer) -> Told {
    let error = peer.closed(deadline::CLOSED).await?;
    let clean = |error: Option<&Error>| error.map_or("no error".to_owned(), ToString::to_string);
    talk.holds(error.is_none(), format!("CLOSE with {}", clean(error.as_ref())))?;
    let others: Vec<String> = peer
        .inbox()
        .filter(|event| matches!(event.performative.code, DETACH | END) && event.performative.error().is_some())
        .map(|event| event.performative.to_string())
        .collect();
    talk.holds(others.is_empty(), others.join(", "))
}

async fn taken_over(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let (mut older, link) = speaking(environment, &guest).await?;
    talk.step("module guest attaches a link for telemetry; another connection puts a token of it");
    let (mut newer, _) = known(environment, &[&guest]).await?;
    talk.claim("AMQP-CON-09", "the older connection stands as long as the newer has no link of the module");
    delivered(talk, &mut older, link).await?;
    talk.step("the newer connection attaches a link for telemetry");
    talk.claim("AMQP-CON-09", "the older one gets CLOSE, without an error anywhere, and the newer one serves");
    let newest = newer.link(CHANNEL, events(environment, &guest)).await?;
    closes(talk, &mut older).await?;
    delivered(talk, &mut newer, newest).await
}

async fn across(stage: &mut Stage, talk: &mut Talk) -> Told {
    let guest = module(GUEST);
    let environment = stage.environment();
    let failed = |source| Stop::Stage(StageError::Connect { who: guest.to_string(), source });
    let (mut amqp, _) = speaking(environment, &guest).await?;
    talk.step("module guest is connected over AMQP, and connects over MQTT");
    talk.claim("AMQP-CON-09", "its AMQP connection gets CLOSE without an error");
    let mqtt = environment.connect_mqtt(&guest).await.map_err(failed)?;
    // A hub may write CONNACK before it knows the connection; one that is answered is known.
    let answered = mqtt.publish("foo/bar", bytes::Bytes::new(), QoS::AtLeastOnce).await.acknowledged().await;
    answered.map_err(|error| Stop::Stage(error.into()))?;
    closes(talk, &mut amqp).await?;
    talk.step("it attaches a link for telemetry on another AMQP connection");
    talk.claim("AMQP-CON-09", "its MQTT connection is closed");
    let (mut amqp, link) = speaking(environment, &guest).await?;
    mqtt.closed(deadline::CLOSED).await?;
    delivered(talk, &mut amqp, link).await
}

async fn last_link(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (guest, third) = (module(GUEST), module(THIRD));
    let (mut peer, link) = speaking(environment, &guest).await?;
    talk.step("module guest attaches a link for telemetry, and detaches it");
    talk.claim("AMQP-CON-10", "DETACH, then CLOSE, none with an error");
    peer.detach(link).await?;
    closes(talk, &mut peer).await?;
    let (mut peer, _) = known(environment, &[&guest, &third]).await?;
    let link = peer.link(CHANNEL, events(environment, &guest)).await?;
    peer.link(CHANNEL, events(environment, &third)).await?;
    talk.step("modules guest and third have a link each on one connection; guest detaches its own");
    talk.claim("AMQP-CON-11", "DETACH, then CLOSE, none with an error");
    peer.detach(link).await?;
    closes(talk, &mut peer).await
}

async fn without_cbs(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (mut peer, cbs) = known(environment, &[&module(GUEST)]).await?;
    talk.step("the token of module guest is put, and both links to $cbs are detached");
    talk.claim("AMQP-CON-12", "the connection stands: a link for telemetry is attached, and accepts");
    peer.detach(cbs.requests).await?;
    peer.detach(cbs.answers).await?;
    let link = peer.link(CHANNEL, events(environment, &module(GUEST))).await?;
    delivered(talk, &mut peer, link).await?;
    talk.step("links to $cbs are attached again, and the link for telemetry is detached");
    talk.claim("AMQP-CON-12", "links to $cbs do not keep the connection: CLOSE without an error");
    super::talk::cbs(&mut peer).await?;
    peer.detach(link).await?;
    closes(talk, &mut peer).await
}

async fn stopping(worker: &mut Worker) -> Result<Outcome, StageError> {
    let blueprint = blueprint(worker, &[]);
    let mut environment = worker.environment(&blueprint).await?;
    let mut talk = Talk::default();
    let told = stops(&mut environment, &mut talk).await;
    environment.stop().await;
    talk.outcome(told)
}

async fn stops(environment: &mut Environment, talk: &mut Talk) -> Told {
    let (mut peer, _) = speaking(environment, &module(GUEST)).await?;
    talk.step("module guest has a link for telemetry; the hub gets SIGTERM");
    talk.claim("AMQP-CON-13", "DETACH of the link and CLOSE with amqp:link:detach-forced");
    let ((), closed) = tokio::join!(environment.stop_hub(), async {
        let close = peer.until(deadline::STOP, "CLOSE", |event| event.performative.code == CLOSE).await;
        // Answered at once, since the hub waits for it.
        peer.write(0, &harness::client::raw_amqp::performative::close(), b"").await;
        close
    });
    let forced = |error: Option<Error>| error.is_some_and(|error| error.condition == "amqp:link:detach-forced");
    let close = closed?.performative;
    talk.holds(forced(close.error()), &close)?;
    let detach = peer.inbox().find(|event| event.performative.code == DETACH).map(|event| event.performative.clone());
    let told = detach.as_ref().map_or("no DETACH".to_owned(), ToString::to_string);
    talk.holds(detach.is_some_and(|detach| forced(detach.error()) && *detach.field(1) == Value::Boolean(true)), told)
}
