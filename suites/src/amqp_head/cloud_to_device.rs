//! Messages of the cloud over AMQP. Covers AMQP-C2D and C2D-08.

use harness::client::iot_hub::{CloudMessage, MessageState};
use harness::client::raw_amqp::message::{Message, Property};
use harness::client::raw_amqp::peer::{Answer, Delivery, Link, Peer};
use harness::client::raw_amqp::performative::{ACCEPTED, Attach, DISPOSITION, REJECTED, RELEASED, TRANSFER};
use harness::client::raw_amqp::value::Value;
use harness::deadline;
use harness::environment::Environment;
use harness::runner::Test;
use harness::stage::Stage;

use super::talk::{CHANNEL, Talk, Told, address, events, known, told};
use crate::mqtt_head::guest::{GUEST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::cloud_to_device::a_device_gets_its_messages_and_completes_them",
            &["AMQP-C2D-01", "AMQP-C2D-02", "AMQP-C2D-03"],
            |stage, talk| Box::pin(completed(stage, talk)),
        ),
        told(
            "amqp_head::cloud_to_device::what_a_device_says_of_a_message_is_what_the_cloud_hears",
            &["C2D-08"],
            |stage, talk| Box::pin(told_the_cloud(stage, talk)),
        ),
        told("amqp_head::cloud_to_device::a_module_attaches_and_hears_nothing", &["AMQP-C2D-04"], |stage, talk| {
            Box::pin(silent(stage, talk))
        }),
    ]
}

/// What the cloud says of a message, once it says this, or what it says at last.
async fn state(environment: &Environment, id: &str, wanted: MessageState) -> Told<Option<MessageState>> {
    let looked = deadline::OUTCOME.wait("the cloud to hear of it", async {
        loop {
            let queue = environment.iot_hub().device_queue(VISITOR).await?;
            let found = queue.into_iter().find(|message| message.message_id == id).map(|message| message.state);
            if found == Some(wanted) {
                return Told::Ok(found);
            }
            // The service side offers no way to wait for a state.
            tokio::time::sleep(deadline::GLANCE.limit).await;
        }
    });
    match looked.await {
        Ok(found) => found,
        Err(_) => {
            let queue = environment.iot_hub().device_queue(VISITOR).await?;
            Ok(queue.into_iter().find(|message| message.message_id == id).map(|message| message.state))
        }
    }
}

/// In the cloud a message of this id is completed.
///
/// # Errors
/// [`super::talk::Stop`] when it is not.
pub async fn completes(environment: &Environment, talk: &Talk, id: &str) -> Told {
    becomes(environment, talk, id, MessageState::Completed).await
}

async fn becomes(environment: &Environment, talk: &Talk, id: &str, wanted: MessageState) -> Told {
    let state = state(environment, id, wanted).await?;
    talk.holds(state == Some(wanted), format!("it is {state:?}"))
}

/// What a device says of each message, and what the cloud makes of it.
const OUTCOMES: [(&str, u64, MessageState); 3] = [
    ("accepted", ACCEPTED, MessageState::Completed),
    ("rejected", REJECTED, MessageState::Rejected),
    ("released", RELEASED, MessageState::Completed),
];

async fn told_the_cloud(stage: &mut Stage, talk: &mut Talk) -> Told {
    let visitor = device(VISITOR);
    let marks = OUTCOMES.map(|_| stage.mark());
    let environment = stage.environment();
    environment.iot_hub().purge_queue(VISITOR).await?;
    let (mut peer, _) = known(environment, &[&visitor]).await?;
    let address = address(environment, &visitor, "messages/deviceBound");
    let link = peer.link(CHANNEL, Attach::receiver("cloud", &address)).await?;
    peer.credit(link, 10).await;
    for ((said, outcome, state), mark) in OUTCOMES.into_iter().zip(marks) {
        talk.step(format!("the cloud sends message {mark} to leaf device visitor, which settles it as {said}"));
        talk.claim("C2D-08", format!("in the cloud it is {state:?}"));
        let id = format!("amqp-{mark}");
        environment.iot_hub().send_to_device(VISITOR, None, &CloudMessage::new(&id, mark.clone())).await?;
        let delivery = of_id(&mut peer, link, &id).await?;
        peer.settle(&delivery, true, Some(outcome)).await;
        if outcome == RELEASED {
            talk.claim("C2D-08", "it comes again, and once it is accepted it is completed");
            let again = of_id(&mut peer, link, &id).await?;
            peer.settle(&again, true, Some(ACCEPTED)).await;
        }
        becomes(environment, talk, &id, state).await?;
    }
    Ok(())
}

/// The delivery of the message with this id; others, of earlier cases, are accepted.
async fn of_id(peer: &mut Peer, link: Link, id: &str) -> Told<Delivery> {
    loop {
        let delivery = peer.delivery(link, deadline::ROUTING).await?;
        let message = delivery.message.clone().unwrap_or_default();
        if message.property_value(Property::MessageId).text() == Some(id) {
            return Ok(delivery);
        }
        peer.settle(&delivery, true, Some(ACCEPTED)).await;
    }
}

async fn completed(stage: &mut Stage, talk: &mut Talk) -> Told {
    let visitor = device(VISITOR);
    let marks = [stage.mark(), stage.mark()];
    let environment = stage.environment();
    environment.iot_hub().purge_queue(VISITOR).await?;
    let (mut peer, _) = known(environment, &[&visitor]).await?;
    let address = address(environment, &visitor, "messages/deviceBound");
    talk.step("leaf device visitor attaches its link for messages of the cloud");
    talk.claim("AMQP-C2D-01", "rcv-settle-mode 1, second");
    let (link, answer) = match peer.attach(CHANNEL, Attach::receiver("cloud", &address)).await? {
        Answer::Attached(link, answer) => (link, answer),
        other => return talk.holds(false, other),
    };
    talk.holds(*answer.field(4) == Value::Ubyte(1), answer.field(4))?;
    peer.credit(link, 10).await;
    for mark in &marks {
        talk.step(format!("the cloud sends message {mark}"));
        talk.claim("AMQP-C2D-03", format!("it comes, and its `to` is /devices/{VISITOR}"));
        let id = format!("amqp-{mark}");
        environment.iot_hub().send_to_device(VISITOR, None, &CloudMessage::new(&id, mark.clone())).await?;
        let delivery = of_id(&mut peer, link, &id).await?;
        let message = delivery.message.clone().unwrap_or_default();
        talk.holds(message.body() == mark.as_bytes(), format!("a body of {:?}", message.body()))?;
        let to = message.property_value(Property::To);
        talk.holds(to.text() == Some(&format!("/devices/{VISITOR}")), to)?;
        talk.step("it is accepted, without being settled");
        talk.claim("AMQP-C2D-02", "the hub settles it, and in the cloud it is completed");
        peer.settle(&delivery, false, Some(ACCEPTED)).await;
        let delivered = u64::from(delivery.id);
        peer.until(deadline::ACKNOWLEDGEMENT, "a disposition that settles", move |event| {
            event.performative.code == DISPOSITION
                && *event.performative.field(0) == Value::Boolean(false)
                && event.performative.field(1).number() == Some(delivered)
                && *event.performative.field(3) == Value::Boolean(true)
        })
        .await?;
        completes(environment, talk, &id).await?;
    }
    Ok(())
}

async fn silent(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let (mut peer, _) = known(environment, &[&guest]).await?;
    let telemetry = peer.link(CHANNEL, events(environment, &guest)).await?;
    talk.step("module guest attaches a link for messages of the cloud, and gives credit");
    talk.claim("AMQP-C2D-04", "the link is attached, and nothing comes");
    let address = address(environment, &guest, "messages/deviceBound");
    let link = peer.link(CHANNEL, Attach::receiver("cloud", &address)).await?;
    peer.credit(link, 10).await;
    let edge = &environment.blueprint().edge_device;
    // No IoT Hub takes a message for a module; whatever it says, nothing may come of it.
    let refused = environment.iot_hub().send_to_device(edge, Some(GUEST), &CloudMessage::new("m", "m")).await;
    talk.step(format!(
        "the cloud is asked to send it a message, which it {}",
        if refused.is_err() { "refuses" } else { "takes" }
    ));
    let outcome = peer.deliver(telemetry, &Message::data("x")).await?;
    talk.holds(outcome.accepted(), outcome)?;
    let came = peer.inbox().any(|event| event.performative.code == TRANSFER);
    talk.holds(!came, "a transfer comes")
}
