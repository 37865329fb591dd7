//! Bytes that are not what they should be.

use std::time::Duration;

use fe2o3_amqp_types::definitions::{Handle, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::{Attach, Begin, Detach, End, Flow, Open, Performative, Transfer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::frame;
use super::world::{World, telemetry};

fn open(idle_time_out: Option<u32>) -> Performative {
    Performative::Open(Open {
        container_id: String::from("c"),
        hostname: None,
        max_frame_size: 4096.into(),
        channel_max: 10.into(),
        idle_time_out,
        outgoing_locales: None,
        incoming_locales: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    })
}

fn begin() -> Performative {
    Performative::Begin(Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window: 10,
        outgoing_window: 10,
        handle_max: Handle(u32::MAX),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    })
}

fn attach(handle: u32, role: Role, address: &str) -> Performative {
    Performative::Attach(Attach {
        name: format!("l{handle}"),
        handle: Handle(handle),
        role,
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Box::new(Source { address: Some(address.to_owned()), ..Source::default() })),
        target: Some(Box::new(TargetArchetype::Target(Target {
            address: Some(address.to_owned()),
            ..Target::default()
        }))),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: Some(0),
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    })
}

fn flow(handle: u32) -> Performative {
    Performative::Flow(Flow {
        next_incoming_id: Some(1),
        incoming_window: 10,
        next_outgoing_id: 0,
        outgoing_window: 10,
        handle: Some(Handle(handle)),
        delivery_count: Some(0),
        link_credit: Some(10),
        available: None,
        drain: true,
        echo: true,
        properties: None,
    })
}

fn transfer(handle: u32) -> Performative {
    Performative::Transfer(Transfer {
        handle: Handle(handle),
        delivery_id: Some(0),
        delivery_tag: Some(vec![1].into()),
        message_format: Some(0),
        settled: Some(false),
        more: false,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    })
}

fn bytes(performatives: &[Performative]) -> Vec<u8> {
    let mut bytes = frame::protocol_header(frame::AMQP).to_vec();
    for performative in performatives {
        let payload = match performative {
            Performative::Transfer(_) => {
                let message = fe2o3_amqp_types::messaging::message::__private::Serializable(telemetry("o", b"x"));
                serde_amqp::to_vec(&message).expect("plain data")
            }
            _ => Vec::new(),
        };
        frame::write(&mut bytes, 0, 0, &frame::encode(performative), &payload);
    }
    bytes
}

/// What the hub says to these bytes before it ends the connection, or goes quiet.
async fn said(world: &World, bytes: &[u8], ends: bool) -> Vec<u8> {
    let mut stream = world.dial();
    // The hub may have ended it before.
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let all = async { while stream.read_buf(&mut said).await.is_ok_and(|read| read > 0) {} };
    let limit = if ends { Duration::from_secs(10) } else { Duration::from_millis(20) };
    let ended = tokio::time::timeout(limit, all).await.is_ok();
    assert!(ended || !ends, "the connection stands");
    said
}

#[tokio::test]
async fn other_protocols_are_told_which_is_spoken_or_nothing() {
    let world = World::new();
    for (header, answer) in [
        (b"AMQP\x02\x01\0\0", &b""[..]),
        (b"AMQP\x07\x01\0\0", b""),
        (b"GET / HT", b""),
        (b"AMQP\0\0\x09\x01", b"AMQP\0\x01\0\0"),
        (b"AMQP\x03\x02\0\0", b"AMQP\x03\x01\0\0"),
    ] {
        assert_eq!(said(&world, header, true).await, answer, "{header:?}");
    }
}

#[tokio::test]
async fn a_short_idle_time_out_is_refused_in_open_and_close() {
    let world = World::new();
    let answer = said(&world, &bytes(&[open(Some(4_999))]), false).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("com.microsoft:open-error") && text.contains("'4999 ms'"), "{text}");
    let answer = said(&world, &bytes(&[open(Some(5_000))]), false).await;
    assert!(!String::from_utf8_lossy(&answer).contains("not-allowed"));
}

#[tokio::test]
async fn frames_for_nobody_end_the_session() {
    let world = World::new();
    let answer = said(&world, &bytes(&[open(None), begin(), transfer(3)]), false).await;
    assert!(String::from_utf8_lossy(&answer).contains("amqp:session:unattached-handle"));
}

#[tokio::test]
async fn what_was_to_end_anyway_may_end_after_its_session() {
    let world = World::new();
    let end = || Performative::End(End { error: None });
    let detach = Performative::Detach(Detach { handle: Handle(0), closed: true, error: None });
    for (late, is_refused) in [(detach, false), (end(), false), (transfer(0), true)] {
        let what = format!("{late:?}");
        let answer = said(&world, &bytes(&[open(None), begin(), end(), late]), false).await;
        assert_eq!(String::from_utf8_lossy(&answer).contains("amqp:not-found"), is_refused, "{what}");
    }
}

#[tokio::test]
async fn as_in_the_product_an_address_nobody_knows_may_end_the_session() {
    let frames = bytes(&[open(None), begin(), attach(0, Role::Sender, "/devices/leaf1/files")]);
    for (quirks, condition) in [("true", "amqp:resource-locked"), ("false", "amqp:not-allowed")] {
        let world = World::with(&[("edgecert__amqpQuirks", quirks)]);
        let answer = said(&world, &frames, false).await;
        assert!(String::from_utf8_lossy(&answer).contains(condition), "{quirks}");
    }
}

#[tokio::test]
async fn mutated_frames_do_no_harm() {
    let world = World::new();
    let good = bytes(&[
        open(None),
        begin(),
        attach(0, Role::Sender, "$cbs"),
        attach(1, Role::Receiver, "$cbs"),
        attach(2, Role::Sender, "/devices/leaf1/messages/events"),
        flow(1),
        transfer(0),
        transfer(2),
    ]);
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut connections = Vec::new();
    for _ in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..=random(4) {
            let at = 8 + random(bytes.len() - 8);
            bytes[at] = random(256) as u8;
        }
        let mut stream = tokio::io::duplex(1 << 16);
        let head = world.head.clone();
        let far = stream.1;
        connections.push(tokio::spawn(async move { head.serve(far, None).await }));
        let _ = stream.0.write_all(&bytes).await;
        let _ = stream.0.shutdown().await;
    }
    for connection in connections {
        let ended = tokio::time::timeout(Duration::from_secs(60), connection).await.expect("it ends with its client");
        ended.expect("no panic");
    }
}
