//! The twin over its pair of links. Covers AMQP-TWN.

use harness::client::raw_amqp::message::{DATA, Message, Property, twin_request};
use harness::client::raw_amqp::peer::{Delivery, Link, Peer};
use harness::client::raw_amqp::performative::{Attach, TRANSFER};
use harness::client::raw_amqp::value::Value;
use harness::deadline;
use harness::environment::Environment;
use harness::runner::Test;
use harness::stage::Stage;
use serde_json::json;

use super::talk::{CHANNEL, Talk, Told, address, events, known, told};
use crate::mqtt_head::guest::{GUEST, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::twins::every_operation_is_answered_under_its_id",
            &["AMQP-TWN-01", "AMQP-TWN-02", "AMQP-TWN-03", "AMQP-TWN-04", "AMQP-TWN-09", "AMQP-TWN-11"],
            |stage, talk| Box::pin(answered(stage, talk)),
        ),
        told(
            "amqp_head::twins::what_cannot_be_done_is_said_and_the_link_stands",
            &["AMQP-TWN-08", "AMQP-TWN-10"],
            |stage, talk| Box::pin(refused(stage, talk)),
        ),
        told(
            "amqp_head::twins::the_receiving_half_is_told_of_changes_unless_it_asks_not_to_be",
            &["AMQP-TWN-05", "AMQP-TWN-06", "AMQP-TWN-07", "AMQP-TWN-11"],
            |stage, talk| Box::pin(notified(stage, talk)),
        ),
    ]
}

/// Both halves of the twin of module guest.
struct Twin {
    peer: Peer,
    requests: Link,
    answers: Link,
    asked: u64,
    /// Whether a notification came while an answer was waited for.
    heard: bool,
}

impl Twin {
    async fn open(environment: &Environment) -> Told<Self> {
        let guest = module(GUEST);
        let (mut peer, _) = known(environment, &[&guest]).await?;
        // It keeps the connection, whatever becomes of the halves.
        peer.link(CHANNEL, events(environment, &guest)).await?;
        let address = address(environment, &guest, "twin");
        let answers = peer.link(CHANNEL, Attach::receiver("answers", &address)).await?;
        let requests = peer.link(CHANNEL, Attach::sender("requests", &address)).await?;
        peer.credit(answers, 1_000).await;
        Ok(Self { peer, requests, answers, asked: 0, heard: false })
    }

    /// An id of its own for each request.
    fn id(&mut self) -> String {
        self.asked += 1;
        format!("Request {}", self.asked)
    }

    /// The answer to the request of an id. Of notifications that come before it is noted that they do.
    async fn answer(&mut self, talk: &Talk, id: &str) -> Told<Delivery> {
        loop {
            let delivery = self.peer.delivery(self.answers, deadline::TWIN).await?;
            let got = delivery.message.clone().unwrap_or_default();
            match got.property_value(Property::CorrelationId) {
                Value::String(known) if known == id => return Ok(delivery),
                Value::Null => self.heard = true,
                other => talk.holds(false, format!("an answer with correlation-id {other}"))?,
            }
        }
    }

    /// Asks, and gives the answer.
    async fn ask(&mut self, talk: &Talk, operation: &str, body: &[u8]) -> Told<Delivery> {
        let id = self.id();
        self.peer.send(self.requests, &twin_request(operation, id.as_str(), body), true).await;
        self.answer(talk, &id).await
    }
}

/// The status an answer has, if it is an int.
fn status(delivery: &Delivery) -> Option<i32> {
    match delivery.message.as_ref()?.annotation_value("status") {
        Some(Value::Int(status)) => Some(*status),
        _ => None,
    }
}

fn body(delivery: &Delivery) -> Vec<u8> {
    delivery.message.as_ref().map(Message::body).unwrap_or_default()
}

fn told_status(delivery: &Delivery) -> String {
    let value = delivery.message.as_ref().and_then(|message| message.annotation_value("status")).cloned();
    format!("status {}", value.unwrap_or(Value::Null))
}

async fn answered(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mark = stage.mark();
    let mut twin = Twin::open(stage.environment()).await?;
    talk.step("GET without a resource");
    talk.claim("AMQP-TWN-09", "it is answered");
    twin.ask(talk, "GET", b"").await?;
    let patch = json!({ "amqp": mark }).to_string();
    let rows = [
        ("AMQP-TWN-03", "PATCH", patch.as_str(), 204),
        ("AMQP-TWN-01", "GET", "", 200),
        ("AMQP-TWN-04", "PUT", "", 200),
        ("AMQP-TWN-04", "DELETE", " ", 200),
    ];
    for (requirement, operation, text, due) in rows {
        talk.step(format!("{operation} of the twin of module guest, body {text:?}"));
        talk.claim("AMQP-TWN-01", "an answer whose correlation-id is that of the request, as a string");
        let answer = twin.ask(talk, operation, text.as_bytes()).await?;
        talk.claim("AMQP-TWN-02", "its annotation status is an int");
        talk.holds(status(&answer).is_some(), told_status(&answer))?;
        talk.claim(requirement, format!("status {due}"));
        talk.holds(status(&answer) == Some(due), told_status(&answer))?;
        talk.claim("AMQP-TWN-11", "it is settled");
        talk.holds(answer.settled, "it is not")?;
        let got = body(&answer);
        if operation == "GET" {
            talk.claim("AMQP-TWN-01", "a JSON object of desired and reported, each with $version");
            let document: serde_json::Value = serde_json::from_slice(&got).unwrap_or_default();
            let right = document.as_object().is_some_and(|all| all.len() == 2)
                && document["desired"]["$version"].is_u64()
                && document["reported"]["$version"].is_u64();
            talk.holds(right, String::from_utf8_lossy(&got))?;
            talk.claim("AMQP-TWN-03", format!("reported has amqp: {mark:?}"));
            talk.holds(document["reported"]["amqp"] == json!(mark), &document["reported"])?;
        } else {
            talk.claim(requirement, "the body is empty");
            talk.holds(got.is_empty(), format!("{} bytes", got.len()))?;
        }
    }
    for resource in ["/properties/reported", "/properties/desired", "elsewhere"] {
        let id = twin.id();
        talk.step(format!("GET with resource {resource:?}"));
        talk.claim("AMQP-TWN-09", "status 200");
        let request = twin_request("GET", id.as_str(), b"").annotation("resource", resource);
        twin.peer.send(twin.requests, &request, true).await;
        let answer = twin.answer(talk, &id).await?;
        talk.holds(status(&answer) == Some(200), told_status(&answer))?;
    }
    Ok(())
}

async fn refused(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut twin = Twin::open(stage.environment()).await?;
    // The document itself is no level.
    let deep = format!("{}1{}", "{\"a\":".repeat(12), "}".repeat(12));
    for (what, text, least, most) in
        [("a patch eleven levels deep", deep.as_str(), 400, 400), ("a patch that is no JSON", "x", 400, 599)]
    {
        talk.step(format!("module guest reports {what}"));
        talk.claim("AMQP-TWN-08", format!("a status from {least} to {most}, and the link stands"));
        let answer = twin.ask(talk, "PATCH", text.as_bytes()).await?;
        talk.holds(status(&answer).is_some_and(|status| (least..=most).contains(&status)), told_status(&answer))?;
        talk.holds(body(&answer).is_empty(), format!("a body of {} bytes", body(&answer).len()))?;
    }
    for operation in ["MERGE", "get", ""] {
        talk.step(format!("a request for operation {operation:?}, then GET"));
        talk.claim("AMQP-TWN-10", "only GET is answered");
        let id = twin.id();
        twin.peer.send(twin.requests, &twin_request(operation, id.as_str(), b""), true).await;
        let answer = twin.ask(talk, "GET", b"").await?;
        talk.holds(status(&answer) == Some(200), told_status(&answer))?;
    }
    Ok(())
}

/// The desired property that changes.
const NUMBER: &str = "amqpNumber";

/// Changes the desired property of module guest.
async fn change(stage: &Stage, number: u64) -> Told {
    let edge = &stage.environment().blueprint().edge_device;
    stage.environment().iot_hub().patch_desired(edge, Some(GUEST), json!({ NUMBER: number })).await?;
    Ok(())
}

/// The number in a notification.
fn number(delivery: &Delivery) -> Option<u64> {
    let patch: serde_json::Value = serde_json::from_slice(&body(delivery)).ok()?;
    patch[NUMBER].as_u64()
}

async fn notified(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut twin = Twin::open(stage.environment()).await?;
    talk.step("module guest attaches both halves of its twin, and the cloud changes a desired property");
    talk.claim("AMQP-TWN-06", "it is told, without having asked for it");
    // A change that comes before the hub's own subscription stands in the cloud may not be told: then there is another.
    let mut last = 0;
    let first = loop {
        last += 1;
        change(stage, last).await?;
        let heard = twin.peer.delivery(twin.answers, deadline::PUSHED).await;
        match heard {
            Ok(delivery) => break delivery,
            Err(error) if last == 20 => return Err(error.into()),
            Err(_) => {}
        }
    };
    let message = first.message.clone().unwrap_or_default();
    talk.claim(
        "AMQP-TWN-05",
        "the notification has no correlation-id and no status, and a patch with $version as body",
    );
    let bare =
        *message.property_value(Property::CorrelationId) == Value::Null && message.annotation_value("status").is_none();
    talk.holds(
        bare && message.count(DATA) == 1,
        format!("{} and {}", message.property_value(Property::CorrelationId), told_status(&first)),
    )?;
    let patch: serde_json::Value = serde_json::from_slice(&message.body()).unwrap_or_default();
    talk.holds(patch["$version"].is_u64() && patch[NUMBER].is_u64(), &patch)?;
    talk.claim("AMQP-TWN-11", "it is settled");
    talk.holds(first.settled, "it is not")?;
    talk.claim("AMQP-TWN-06", format!("it is told of every change, up to {last}"));
    let mut newest = number(&first);
    while newest != Some(last) {
        newest = number(&twin.peer.delivery(twin.answers, deadline::TWIN).await?);
    }

    talk.step("it asks not to be told (DELETE), and the cloud changes the property");
    talk.claim("AMQP-TWN-07", "it is not told, although the change has reached the hub");
    twin.ask(talk, "DELETE", b"").await?;
    twin.heard = false;
    change(stage, 1_000).await?;
    let reached = deadline::TWIN.wait("the change to be in the twin", async {
        loop {
            let answer = twin.ask(talk, "GET", b"").await?;
            let document: serde_json::Value = serde_json::from_slice(&body(&answer)).unwrap_or_default();
            if document["desired"][NUMBER] == json!(1_000) {
                return Told::Ok(());
            }
        }
    });
    reached.await??;
    // Behind one more answer whatever was on its way has come.
    twin.ask(talk, "GET", b"").await?;
    let pending = twin.peer.inbox().any(|event| event.performative.code == TRANSFER);
    talk.holds(!pending && !twin.heard, "a notification comes")?;
    talk.step("it asks to be told (PUT), and the cloud changes the property");
    talk.claim("AMQP-TWN-07", "it is told of that change");
    twin.ask(talk, "PUT", b"").await?;
    // As before: one that comes too early may not be told, then there is another.
    for number in 2_000..2_020 {
        change(stage, number).await?;
        let heard = twin.peer.delivery(twin.answers, deadline::PUSHED).await;
        if heard.is_ok_and(|delivery| self::number(&delivery) >= Some(2_000)) {
            return Ok(());
        }
    }
    talk.holds(false, "no notification comes")
}
