//! Direct methods over their pair of links, called through the hub's own API. Covers AMQP-MTH.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::client::https::HttpsAnswer;
use harness::client::raw_amqp::message::{APPLICATION_PROPERTIES, DATA, Message, PROPERTIES, Property};
use harness::client::raw_amqp::peer::{Delivery, Link, Peer};
use harness::client::raw_amqp::performative::Attach;
use harness::client::raw_amqp::value::Value;
use harness::deadline;
use harness::environment::Environment;
use harness::runner::Test;
use harness::stage::Stage;
use serde_json::{Value as Json, json};

use super::talk::{CHANNEL, Stop, Talk, Told, address, events, known, told};
use crate::direct_methods::ground::{CLERK, Calling, request, timed};
use crate::mqtt_head::guest::{GUEST, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::methods::a_call_and_its_answer_go_through_whole",
            &["AMQP-MTH-01", "AMQP-MTH-02", "AMQP-MTH-07", "AMQP-MTH-09"],
            |stage, talk| Box::pin(through(stage, talk)),
        ),
        told(
            "amqp_head::methods::an_answer_that_says_no_status_is_none",
            &["AMQP-MTH-03", "AMQP-MTH-04", "AMQP-MTH-08"],
            |stage, talk| Box::pin(odd(stage, talk)),
        ),
        told(
            "amqp_head::methods::who_does_not_listen_is_not_found_and_who_comes_in_time_is_called",
            &["AMQP-MTH-05", "AMQP-MTH-06"],
            |stage, talk| Box::pin(late(stage, talk)),
        ),
    ]
}

/// Module guest, which can be called.
struct Callee {
    peer: Peer,
    answers: Link,
    requests: Link,
}

impl Callee {
    async fn open(environment: &Environment) -> Told<Self> {
        let guest = module(GUEST);
        let (mut peer, _) = known(environment, &[&guest]).await?;
        peer.link(CHANNEL, events(environment, &guest)).await?;
        Self::listen(environment, peer).await
    }

    async fn listen(environment: &Environment, mut peer: Peer) -> Told<Self> {
        let address = address(environment, &module(GUEST), "methods/deviceBound");
        let answers = peer.link(CHANNEL, Attach::sender("answers", &address)).await?;
        let requests = peer.link(CHANNEL, Attach::receiver("requests", &address)).await?;
        peer.credit(requests, 100).await;
        Ok(Self { peer, answers, requests })
    }

    async fn called(&mut self) -> Told<Delivery> {
        Ok(self.peer.delivery(self.requests, deadline::METHOD).await?)
    }
}

/// Begins a call of module guest through the hub's HTTPS API.
fn call(environment: &Environment, payload: &Json, response_secs: u64, connect_secs: u64) -> Calling {
    let body = timed("Do It", payload, response_secs, connect_secs).to_string();
    let https = Arc::new(environment.https());
    Calling::begin(&https, request(environment, CLERK, &module(GUEST), body), deadline::PATIENT_METHOD)
}

async fn ends(mut calling: Calling) -> Told<HttpsAnswer> {
    calling.end().await.map_err(|error| Stop::Wrong(format!("the call has no answer: {error}")))
}

/// What the caller sees: the status of the HTTP answer, and of the method with its payload.
fn seen(answer: &HttpsAnswer) -> String {
    format!("{} with {}", answer.status, answer.json().unwrap_or_default())
}

fn answer(id: impl Into<Value>, status: Value, body: &[u8]) -> Message {
    Message::data(body).property(Property::CorrelationId, id).application("IoThub-status", status)
}

/// The id of a call.
fn id_of(delivery: &Delivery) -> String {
    let message = delivery.message.clone().unwrap_or_default();
    message.property_value(Property::CorrelationId).text().unwrap_or_default().to_owned()
}

/// A way to write the id of a call; `None` when it cannot be written so.
type Spelling = fn(&str) -> Option<Value>;

/// A GUID as its sixteen bytes.
fn uuid(text: &str) -> Option<Value> {
    let hex: String = text.chars().filter(|character| *character != '-').collect();
    let byte = |at: usize| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..16).map(byte).collect::<Option<_>>()?;
    Some(Value::Uuid(bytes.try_into().ok()?))
}

async fn through(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let mut callee = Callee::open(environment).await?;
    let payload = json!({ "a": [1, 2, { "b": "c" }] });
    let spellings: [(&'static str, &str, Spelling); 3] = [
        ("AMQP-MTH-02", "as it came", |id| Some(Value::String(id.to_owned()))),
        ("AMQP-MTH-07", "in capital letters", |id| Some(Value::String(id.to_uppercase()))),
        ("AMQP-MTH-09", "as a uuid", uuid),
    ];
    for (requirement, how, spelled) in spellings {
        talk.step("module clerk calls a method of module guest");
        talk.claim(
            "AMQP-MTH-01",
            "a settled message with IoThub-methodname, a string as correlation-id, and the payload as one data section",
        );
        let calling = call(environment, &payload, 10, 0);
        let delivery = callee.called().await?;
        let message = delivery.message.clone().unwrap_or_default();
        talk.holds(delivery.settled, "it is not settled")?;
        let name = message.application_value("IoThub-methodname").cloned().unwrap_or(Value::Null);
        talk.holds(name.text() == Some("Do It"), &name)?;
        let id = message.property_value(Property::CorrelationId);
        talk.holds(matches!(id, Value::String(id) if !id.is_empty()), format!("correlation-id {id}"))?;
        let got: Json = serde_json::from_slice(&message.body()).unwrap_or_default();
        talk.holds(message.count(DATA) == 1 && got == payload, &got)?;
        talk.step(format!("it answers with status 207, and the correlation-id {how}"));
        talk.claim(requirement, "the caller sees status 207 and the payload");
        let Some(id) = spelled(&id_of(&delivery)) else {
            return talk.holds(false, format!("correlation-id {} is no GUID", id_of(&delivery)));
        };
        callee.peer.send(callee.answers, &answer(id, Value::Int(207), b"{\"done\":true}"), true).await;
        let end = ends(calling).await?;
        let due = json!({ "status": 207, "payload": { "done": true } });
        talk.holds(end.status == 200 && end.json() == Some(due), seen(&end))?;
    }
    Ok(())
}

async fn odd(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let mut callee = Callee::open(environment).await?;
    for status in [Value::Null, Value::Long(200), Value::Uint(200), Value::String("200".to_owned())] {
        talk.step(format!("module guest answers a call with {status} as IoThub-status"));
        talk.claim("AMQP-MTH-03", "the caller sees status 400000 and null");
        let calling = call(environment, &json!(1), 10, 0);
        let delivery = callee.called().await?;
        callee.peer.send(callee.answers, &answer(id_of(&delivery).as_str(), status, b"1"), true).await;
        let end = ends(calling).await?;
        let got = end.json().unwrap_or_default();
        talk.holds(got["status"] == json!(400_000) && got["payload"].is_null(), seen(&end))?;
    }
    // Each takes its whole timeout, so they are called side by side.
    let sections = [("application properties", APPLICATION_PROPERTIES), ("properties", PROPERTIES), ("body", DATA)];
    talk.step("module guest is called four times, and answers without application properties, without properties, without a body, and not at all");
    talk.claim("AMQP-MTH-08", "each call ends with 504");
    let began = Instant::now();
    let mut calls = Vec::new();
    for section in sections.map(|(_, section)| Some(section)).into_iter().chain([None]) {
        calls.push(call(environment, &json!(1), 5, 0));
        let delivery = callee.called().await?;
        if let Some(section) = section {
            let mut message = answer(id_of(&delivery).as_str(), Value::Int(200), b"1");
            message.sections.retain(|(descriptor, _)| *descriptor != section);
            callee.peer.send(callee.answers, &message, true).await;
        }
    }
    let (last, rest) = calls.split_last_mut().expect("four calls");
    for calling in rest {
        let end = calling.end().await.map_err(|error| Stop::Wrong(error.to_string()))?;
        talk.holds(end.status == 504, seen(&end))?;
    }
    talk.claim("AMQP-MTH-04", "the call that nobody answers ends with 504 after 5 s");
    let end = last.end().await.map_err(|error| Stop::Wrong(error.to_string()))?;
    talk.holds(end.status == 504, seen(&end))?;
    let after = began.elapsed();
    talk.holds(after >= Duration::from_millis(4_900), format!("after {:.2} s", after.as_secs_f64()))?;
    talk.step("a last call is answered properly");
    talk.claim("AMQP-MTH-02", "the caller sees status 200: the links stand");
    let calling = call(environment, &json!(1), 10, 0);
    let delivery = callee.called().await?;
    callee.peer.send(callee.answers, &answer(id_of(&delivery).as_str(), Value::Int(200), b"1"), true).await;
    let end = ends(calling).await?;
    talk.holds(end.json() == Some(json!({ "status": 200, "payload": 1 })), seen(&end))
}

async fn late(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    // Whatever the module had subscribed to ends with the connection.
    let (mut peer, _) = known(environment, &[&guest]).await?;
    peer.link(CHANNEL, events(environment, &guest)).await?;
    talk.step("module guest has a link for telemetry and none for methods; module clerk calls it");
    talk.claim("AMQP-MTH-05", "404");
    let end = ends(call(environment, &json!(1), 5, 0)).await?;
    talk.holds(end.status == 404, seen(&end))?;
    talk.step("module clerk calls it with a connect timeout of 10 s; module guest attaches its links for methods");
    talk.claim("AMQP-MTH-06", "it gets the call, and the caller its answer");
    // A call that comes while the hub is busy with the link may miss it, as seen on the product: there is a second.
    let mut callee: Option<Callee> = None;
    let mut first = Some(peer);
    for round in 0..2 {
        let calling = call(environment, &json!(1), 10, 10);
        if let Some(peer) = first.take() {
            // The call is on its way when the hub has answered something behind it.
            environment.metrics().await.map_err(|error| Stop::Stage(error.into()))?;
            callee = Some(Callee::listen(environment, peer).await?);
        }
        let callee = callee.as_mut().expect("attached in the first round");
        match callee.called().await {
            Ok(delivery) => {
                let good = answer(id_of(&delivery).as_str(), Value::Int(200), b"1");
                callee.peer.send(callee.answers, &good, true).await;
                let end = ends(calling).await?;
                return talk.holds(end.json() == Some(json!({ "status": 200, "payload": 1 })), seen(&end));
            }
            Err(error) if round == 1 => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}
