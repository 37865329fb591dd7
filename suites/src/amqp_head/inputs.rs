//! Messages for modules: what they look like, one at a time, and what becomes of them by their disposition. Covers
//! AMQP-MOD and AMQP-ENV-03.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::client::amqp::message::LOCK_TOKEN;
use harness::client::raw_amqp::message::{DATA, Message, is_state};
use harness::client::raw_amqp::peer::{Delivery, Link, Peer};
use harness::client::raw_amqp::performative::{ACCEPTED, Begin, DISPOSITION, MODIFIED, REJECTED, RELEASED, TRANSFER};
use harness::client::raw_amqp::value::Value;
use harness::deadline;
use harness::observe::history::History;
use harness::runner::Test;
use harness::stage::{MARKER, Stage};

use super::talk::{
    CHANNEL, SUITE, Talk, Told, events, input_of, inputs, known, listening, mark_of, told, with_settings,
};
use crate::course::{on, probe, routes, settled, sink};
use crate::declare::fixed;
use crate::mqtt_head::guest::{GUEST, module, send_to};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::inputs::a_message_says_its_input_and_its_sender",
            &["AMQP-MOD-01", "AMQP-MOD-02", "AMQP-MOD-03", "AMQP-MOD-04", "AMQP-MOD-13"],
            |stage, talk| Box::pin(dressed(stage, talk)),
        ),
        told(
            "amqp_head::inputs::one_message_at_a_time_is_unacknowledged",
            &["AMQP-MOD-05", "AMQP-MOD-06", "AMQP-MOD-07", "AMQP-MOD-08", "AMQP-MOD-12"],
            |stage, talk| Box::pin(one_by_one(stage, talk)),
        ),
        fixed(
            SUITE,
            "amqp_head::inputs::a_message_that_is_not_settled_in_time_comes_again",
            &["AMQP-MOD-04", "AMQP-MOD-09", "AMQP-MOD-11", "AMQP-ENV-03"],
            |worker| {
                let settings = [("MessageAckTimeoutSecs", "2")];
                Box::pin(
                    async move { with_settings(worker, &settings, |stage, talk| Box::pin(again(stage, talk))).await },
                )
            },
        ),
        told("amqp_head::inputs::messages_wait_for_a_module_that_is_away", &["AMQP-MOD-10"], |stage, talk| {
            Box::pin(away(stage, talk))
        }),
        told("amqp_head::inputs::nothing_is_sent_without_credit", &["AMQP-MOD-14"], |stage, talk| {
            Box::pin(without_credit(stage, talk))
        }),
    ]
}

/// Takes what waits for module guest, up to a message of now.
async fn drained(stage: &mut Stage, peer: &mut Peer, link: Link) -> Told {
    let mark = send_to(stage, GUEST, "in").await?;
    loop {
        let delivery = peer.delivery(link, deadline::RETRY_AFTER_ABSENCE).await?;
        peer.settle(&delivery, true, Some(ACCEPTED)).await;
        if mark_of(&delivery).as_deref() == Some(mark.as_str()) {
            return Ok(());
        }
    }
}

/// Module guest listens, and nothing waits for it.
async fn ready(stage: &mut Stage, credit: u32) -> Told<(Peer, Link)> {
    let (mut peer, link) = listening(stage.environment(), &module(GUEST), credit).await?;
    drained(stage, &mut peer, link).await?;
    Ok((peer, link))
}

/// The next delivery is the message of this mark.
async fn comes(talk: &Talk, peer: &mut Peer, link: Link, mark: &str) -> Told<Delivery> {
    let delivery = peer.delivery(link, deadline::RETRY_AFTER_ABSENCE).await?;
    let got = mark_of(&delivery);
    talk.holds(got.as_deref() == Some(mark), format!("message {got:?} comes"))?;
    Ok(delivery)
}

async fn dressed(stage: &mut Stage, talk: &mut Talk) -> Told {
    let into = |input: &str| {
        format!("FROM /messages/modules/probe/outputs/two INTO BrokeredEndpoint(\"/modules/guest/inputs/{input}\")")
    };
    stage.configure(routes([("a", &into("a")), ("b", &into("b"))])).await?;
    let edge = stage.environment().blueprint().edge_device.clone();
    let (mut peer, link) = ready(stage, 10).await?;
    talk.step("module probe sends a message that goes to inputs a and b of module guest");
    let mut message = on("two");
    message.body = bytes::Bytes::from_static(b"to both");
    stage.send(&mut History::begin(), &probe(), &message).await?;
    talk.claim("AMQP-MOD-01", "it comes twice on the one link, once for each input");
    let (mut names, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..2 {
        let delivery = peer.delivery(link, deadline::ROUTING).await?;
        peer.settle(&delivery, true, Some(ACCEPTED)).await;
        names.extend(input_of(&delivery));
        let got = delivery.message.clone().unwrap_or_default();
        talk.claim("AMQP-MOD-02", "its body is one data section");
        talk.holds(got.count(DATA) == 1 && got.body() == b"to both", format!("{} data sections", got.count(DATA)))?;
        talk.claim("AMQP-MOD-03", format!("annotations say that it comes from {edge}/probe"));
        let said = |name: &str| got.annotation_value(name).and_then(Value::text).unwrap_or("nobody").to_owned();
        let from = (said("iothub-connection-device-id"), said("iothub-connection-module-id"));
        talk.holds(from == (edge.clone(), "probe".to_owned()), format!("from {}/{}", from.0, from.1))?;
        talk.claim("AMQP-MOD-04", "annotation x-opt-lock-token is a string");
        let token = said(LOCK_TOKEN);
        talk.holds(token != "nobody", format!("{:?}", got.annotation_value(LOCK_TOKEN)))?;
        tokens.insert(token);
        talk.claim("AMQP-MOD-13", "the delivery tag has 16 bytes");
        talk.holds(delivery.tag.len() == 16, format!("a delivery tag of {} bytes", delivery.tag.len()))?;
        talk.claim("AMQP-MOD-01", "it comes twice on the one link, once for each input");
    }
    let both: BTreeSet<String> = ["a".to_owned(), "b".to_owned()].into();
    talk.holds(names == both, format!("for {names:?}"))?;
    talk.claim("AMQP-MOD-04", "each delivery has a lock token of its own");
    talk.holds(tokens.len() == 2, format!("{tokens:?}"))
}

/// Whether the hub has sent a delivery that nobody asked for yet.
fn transferred(peer: &Peer) -> bool {
    peer.inbox().any(|event| event.performative.code == TRANSFER)
}

async fn one_by_one(stage: &mut Stage, talk: &mut Talk) -> Told {
    let (mut peer, link) = ready(stage, 100).await?;
    let mut marks = Vec::new();
    for _ in 0..5 {
        marks.push(send_to(stage, GUEST, "in").await?);
    }
    talk.step("five messages are sent to module guest, which has credit for 100");
    let outcomes = [
        ("AMQP-MOD-06", "accepted", ACCEPTED, false),
        ("AMQP-MOD-07", "rejected", REJECTED, false),
        ("AMQP-MOD-08", "released", RELEASED, false),
        ("AMQP-MOD-06", "accepted, and settled", ACCEPTED, true),
    ];
    talk.claim("AMQP-MOD-06", format!("message {} comes, and not the one it accepted before", marks[0]));
    for (number, (requirement, what, state, settle)) in outcomes.into_iter().enumerate() {
        let delivery = comes(talk, &mut peer, link, &marks[number]).await?;
        talk.claim("AMQP-MOD-05", format!("message {} comes, and no other", marks[number]));
        // What could come by mistake has come when messages elsewhere and frames behind it have.
        settled(stage, &mut History::begin(), &[sink("i0")]).await?;
        peer.begin(CHANNEL + 1 + u16::try_from(number).unwrap_or_default(), &Begin::default()).await?;
        talk.holds(!transferred(&peer), "another message comes before this is settled")?;
        talk.step(format!("message {} is {what}", marks[number]));
        peer.settle(&delivery, settle, Some(state)).await;
        if !settle {
            talk.claim("AMQP-MOD-12", "the hub settles it, as accepted");
            let id = u64::from(delivery.id);
            let answer = peer.until(deadline::ACKNOWLEDGEMENT, "a disposition that settles", move |event| {
                let field = |at| event.performative.field(at);
                event.performative.code == DISPOSITION
                    && *field(0) == Value::Boolean(false)
                    && field(1).number() == Some(id)
                    && *field(3) == Value::Boolean(true)
            });
            let answer = answer.await?.performative;
            // Some hubs answer with what the client said.
            let right = is_state(answer.field(4), ACCEPTED) || is_state(answer.field(4), state);
            talk.holds(right, format!("settled with {}", answer.field(4)))?;
        }
        talk.claim(requirement, "the next message comes, and this one never again");
    }
    let last = comes(talk, &mut peer, link, &marks[4]).await?;
    peer.settle(&last, true, Some(ACCEPTED)).await;
    talk.step("module guest connects again, and a message is sent to it");
    let mark = send_to(stage, GUEST, "in").await?;
    let delivery = comes(talk, &mut peer, link, &mark).await?;
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    let (mut peer, link) = listening(stage.environment(), &module(GUEST), 100).await?;
    let mark = send_to(stage, GUEST, "in").await?;
    talk.claim("AMQP-MOD-06", "only the new message comes");
    let delivery = comes(talk, &mut peer, link, &mark).await?;
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    Ok(())
}

fn lock_token(delivery: &Delivery) -> Option<String> {
    let message: &Message = delivery.message.as_ref()?;
    message.annotation_value(LOCK_TOKEN).and_then(Value::text).map(str::to_owned)
}

async fn again(stage: &mut Stage, talk: &mut Talk) -> Told {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (mut peer, link) = ready(stage, 100).await?;
    let mark = send_to(stage, GUEST, "in").await?;
    talk.step("a message is sent to module guest, on a hub with MessageAckTimeoutSecs=2");
    let mut delivery = comes(talk, &mut peer, link, &mark).await?;
    let mut tokens: BTreeSet<String> = lock_token(&delivery).into_iter().collect();
    for (what, state) in [("nothing is said of it", None), ("it is modified", Some(MODIFIED))] {
        let began = Instant::now();
        talk.step(what);
        let requirement = if state.is_some() { "AMQP-MOD-09" } else { "AMQP-ENV-03" };
        talk.claim(requirement, format!("it comes again within {} s", deadline::RETRY_AFTER_ABSENCE.limit.as_secs()));
        if state.is_some() {
            peer.settle(&delivery, true, state).await;
        }
        delivery = comes(talk, &mut peer, link, &mark).await?;
        let after = began.elapsed();
        talk.claim("AMQP-ENV-03", "not before the two seconds of the setting, and long before the 30 of the product");
        // The clock of the hub began when it sent, a moment before the message was read.
        let due = after + Duration::from_millis(200) >= TIMEOUT && after < deadline::TIME_LIMIT.limit;
        talk.holds(due, format!("after {:.2} s", after.as_secs_f64()))?;
        talk.claim("AMQP-MOD-04", "under another lock token");
        talk.holds(lock_token(&delivery).is_some_and(|token| tokens.insert(token)), format!("{tokens:?} again"))?;
    }
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    talk.step("it is accepted, and another message is sent");
    talk.claim("AMQP-MOD-09", "only the other comes");
    let mark = send_to(stage, GUEST, "in").await?;
    comes(talk, &mut peer, link, &mark).await?;
    talk.step("module guest says nothing of it, breaks off, and attaches again");
    // The product lets the wait for the outcome run out first, and a pause behind it.
    talk.claim("AMQP-MOD-11", "it comes again");
    peer.break_off().await?;
    let (mut peer, link) = listening(stage.environment(), &module(GUEST), 100).await?;
    let delivery = comes(talk, &mut peer, link, &mark).await?;
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    Ok(())
}

async fn away(stage: &mut Stage, talk: &mut Talk) -> Told {
    let (peer, _) = ready(stage, 100).await?;
    peer.break_off().await?;
    let mut marks = Vec::new();
    for _ in 0..3 {
        marks.push(send_to(stage, GUEST, "in").await?);
    }
    talk.step(format!("module guest breaks off, module {MARKER} sends it three messages, and it attaches again"));
    talk.claim("AMQP-MOD-10", format!("{marks:?} come, in this order"));
    let (mut peer, link) = listening(stage.environment(), &module(GUEST), 100).await?;
    for mark in &marks {
        let delivery = comes(talk, &mut peer, link, mark).await?;
        peer.settle(&delivery, true, Some(ACCEPTED)).await;
    }
    Ok(())
}

async fn without_credit(stage: &mut Stage, talk: &mut Talk) -> Told {
    let (peer, _) = ready(stage, 100).await?;
    peer.break_off().await?;
    let environment = stage.environment();
    let guest = module(GUEST);
    let (mut peer, _) = known(environment, &[&guest]).await?;
    let link = peer.link(CHANNEL, inputs(environment, &guest)).await?;
    let telemetry = peer.link(CHANNEL, events(environment, &guest)).await?;
    let mark = send_to(stage, GUEST, "in").await?;
    talk.step("a message is sent to module guest, whose link has no credit");
    talk.claim("AMQP-MOD-14", "nothing comes, until there is");
    settled(stage, &mut History::begin(), &[sink("i0")]).await?;
    // What could come by mistake comes before this is answered.
    peer.deliver(telemetry, &Message::data("x")).await?;
    talk.holds(!transferred(&peer), "a transfer comes")?;
    talk.step("it gives credit for one");
    peer.credit(link, 1).await;
    let delivery = comes(talk, &mut peer, link, &mark).await?;
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    let next = send_to(stage, GUEST, "in").await?;
    talk.step("another message is sent");
    settled(stage, &mut History::begin(), &[sink("i0")]).await?;
    peer.deliver(telemetry, &Message::data("x")).await?;
    talk.holds(!transferred(&peer), "a second transfer comes on a credit of one")?;
    peer.credit(link, 1).await;
    let delivery = comes(talk, &mut peer, link, &next).await?;
    peer.settle(&delivery, true, Some(ACCEPTED)).await;
    Ok(())
}
