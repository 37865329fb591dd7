//! A hub whose store is full: a message is accepted when it is stored, and not before. Covers AMQP-TEL-14, and AMQP-TEL-01
//! where a hub is in no position to store.

use harness::client::raw_amqp::peer::{Outcome, PeerError};
use harness::runner::Test;
use harness::stage::Stage;
use serde_json::json;

use super::talk::{CHANNEL, SUITE, Stop, Talk, Told, marked, speaking, with_settings};
use crate::course::routes;
use crate::declare::fixed;
use crate::mqtt_head::guest::{GUEST, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed(
        SUITE,
        "amqp_head::full_store::nothing_of_a_burst_is_accepted_that_cannot_be_stored",
        &["AMQP-TEL-01", "AMQP-TEL-14"],
        |worker| {
            // On a disk there is no limit.
            let settings = [("UsePersistentStorage", "false")];
            Box::pin(async move { with_settings(worker, &settings, |stage, talk| Box::pin(full(stage, talk))).await })
        },
    )]
}

/// Of messages with this body, at most a few dozen fit below the limit.
const BODY: [u8; 4_000] = [b'x'; 4_000];
const LIMIT: usize = 60_000;
const ENOUGH: usize = 40;
/// Messages that are sent together.
const BURST: usize = 30;

async fn full(stage: &mut Stage, talk: &mut Talk) -> Told {
    let version =
        stage.patch(json!({"storeAndForwardConfiguration": {"storeLimits": {"maxSizeBytes": LIMIT}}})).await?;
    stage.reported(version).await?;
    let nobody = "FROM /messages/modules/guest/outputs/kept INTO BrokeredEndpoint(\"/modules/nobody/inputs/in\")";
    stage.configure(routes([("kept", nobody)])).await?;
    let (mut peer, events) = speaking(stage.environment(), &module(GUEST)).await?;
    let message = marked("kept", "full", &BODY);
    talk.step(format!("UsePersistentStorage is false, and storeLimits.maxSizeBytes {LIMIT}"));
    talk.step(format!("module guest sends messages of {} bytes, for a module that never comes", BODY.len()));
    talk.claim("AMQP-TEL-14", "one is rejected with com.microsoft:device-container-throttled");
    let mut sent = 0;
    loop {
        let outcome = peer.deliver(events, &message).await?;
        if outcome.rejected().is_some_and(|error| error.condition == "com.microsoft:device-container-throttled") {
            break;
        }
        sent += 1;
        talk.holds(outcome.accepted() && sent < ENOUGH, format!("after {sent} messages: {outcome}"))?;
    }
    talk.step(format!("it sends {BURST} more without waiting"));
    talk.claim("AMQP-TEL-01", "what cannot be stored is not accepted");
    let mut deliveries = Vec::new();
    for _ in 0..BURST {
        deliveries.push(peer.send(events, &message, false).await);
    }
    for delivery in deliveries {
        match peer.outcome(CHANNEL, delivery).await.map(Outcome) {
            Ok(outcome) => talk.holds(!outcome.accepted(), outcome)?,
            // To say nothing is not to accept.
            Err(PeerError::Expired { .. }) => return Ok(()),
            Err(other) => return Err(Stop::Peer(other)),
        }
    }
    Ok(())
}
