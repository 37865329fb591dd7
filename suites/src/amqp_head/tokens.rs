//! `$cbs`: tokens, what is answered, and what they open. Covers AMQP-CBS and AMQP-LNK-03.

use std::time::Duration;

use harness::client::raw_amqp::message::{
    AMQP_VALUE, APPLICATION_PROPERTIES, DATA, Message, PROPERTIES, Property, put_token,
};
use harness::client::raw_amqp::peer::Answer;
use harness::client::raw_amqp::performative::{ACCEPTED, Attach};
use harness::client::raw_amqp::value::{Value, string};
use harness::deadline;
use harness::observe::history::Identity;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::talk::{
    CHANNEL, Cbs, NOT_ALLOWED, SUITE, Talk, Told, asked, blueprint, cbs, events, known, opened, put, status, told,
};
use crate::declare::fixed;
use crate::mqtt_head::authentication::token::{Key, Token};
use crate::mqtt_head::guest::{GUEST, HOST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::tokens::a_token_is_answered_under_its_id",
            &["AMQP-CBS-01", "AMQP-CBS-02", "AMQP-CBS-03", "AMQP-CBS-04", "AMQP-CBS-05"],
            |stage, talk| Box::pin(answered(stage, talk)),
        ),
        told(
            "amqp_head::tokens::what_is_no_request_for_a_token_is_answered_with_400",
            &["AMQP-CBS-06", "AMQP-CBS-07"],
            |stage, talk| Box::pin(refused(stage, talk)),
        ),
        told(
            "amqp_head::tokens::a_forged_token_opens_no_link_and_a_good_one_behind_it_does",
            &["AMQP-CBS-08", "AMQP-LNK-03"],
            |stage, talk| Box::pin(forged(stage, talk)),
        ),
        told(
            "amqp_head::tokens::a_token_is_for_whom_its_audience_says",
            &["AMQP-CBS-09", "AMQP-CBS-10", "AMQP-CBS-11"],
            |stage, talk| Box::pin(audience(stage, talk)),
        ),
        told("amqp_head::tokens::a_refreshed_token_disturbs_nothing", &["AMQP-CBS-12"], |stage, talk| {
            Box::pin(refreshed(stage, talk))
        }),
        told("amqp_head::tokens::answers_go_to_the_newest_receiver", &["AMQP-CBS-16"], |stage, talk| {
            Box::pin(newest(stage, talk))
        }),
        told(
            "amqp_head::tokens::without_a_properties_section_a_token_counts_all_the_same",
            &["AMQP-CBS-15"],
            |stage, talk| Box::pin(nameless(stage, talk)),
        ),
        fixed(SUITE, "amqp_head::tokens::a_connection_ends_some_time_after_its_token", &["AMQP-CBS-13"], |worker| {
            Box::pin(outlived(worker))
        }),
    ]
}

async fn answered(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let mut peer = opened(environment, "tokens").await?;
    talk.step("links to and from $cbs, before any token");
    talk.claim("AMQP-CBS-01", "both are attached");
    let cbs = cbs(&mut peer).await?;
    let ids = [string("a name"), Value::Ulong(7), Value::Uuid([7; 16])];
    let types = ["azure-devices.net:sastoken", "servicebus.windows.net:sastoken"];
    for (id, kind) in ids.iter().flat_map(|id| types.map(|kind| (id, kind))) {
        talk.step(format!("put-token of type {kind} with message-id {id}"));
        let request = put_token(id.clone(), "x", &environment.token(&module(GUEST))).application("type", kind);
        let request = without_first(request, "type");
        talk.claim("AMQP-CBS-02", "the request is accepted");
        let outcome = peer.deliver(cbs.requests, &request).await?;
        talk.holds(outcome.accepted(), outcome)?;
        talk.claim(
            "AMQP-CBS-03",
            "an answer with the id as correlation-id, an int as status-code, a string as status-description",
        );
        let answer = peer.delivery(cbs.answers, deadline::ACKNOWLEDGEMENT).await?;
        peer.settle(&answer, true, Some(ACCEPTED)).await;
        let answer = answer.message.unwrap_or_default();
        let correlation = answer.property_value(Property::CorrelationId);
        talk.holds(correlation == id, format!("correlation-id {correlation}"))?;
        let code = answer.application_value("status-code");
        talk.holds(matches!(code, Some(Value::Int(_))), format!("status-code {code:?}"))?;
        let description = answer.application_value("status-description");
        talk.holds(matches!(description, Some(Value::String(_))), format!("status-description {description:?}"))?;
        talk.claim(if kind == types[0] { "AMQP-CBS-04" } else { "AMQP-CBS-05" }, "200, `OK`");
        talk.holds(status(&answer) == Some(200), format!("status-code {code:?}"))?;
        talk.holds(description == Some(&string("OK")), format!("status-description {description:?}"))?;
    }
    Ok(())
}

/// A request in which the first application property of a name is taken out.
fn without_first(mut request: Message, name: &str) -> Message {
    for (descriptor, content) in &mut request.sections {
        if let (APPLICATION_PROPERTIES, Value::Map(pairs)) = (*descriptor, content) {
            if let Some(at) = pairs.iter().position(|(key, _)| key.text() == Some(name)) {
                pairs.remove(at);
            }
        }
    }
    request
}

/// A request without a section.
fn without_section(mut request: Message, section: u64) -> Message {
    request.sections.retain(|(descriptor, _)| *descriptor != section);
    request
}

async fn refused(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let good = put_token("1", "x", &environment.token(&guest));
    let other = |name: &str, value: &str| without_first(good.clone(), name).application(name, value);
    let living = |lifetime_secs| Token { lifetime_secs, ..Token::good(true) }.write(environment, &guest);
    let with_token = |token: &str| put_token("1", "x", token);
    let no_device = environment.token(&guest).replace("devices", "things");
    let rows: Vec<(&'static str, &str, Message, i32)> = vec![
        ("AMQP-CBS-06", "without type", without_first(good.clone(), "type"), 400),
        ("AMQP-CBS-06", "with an unknown type", other("type", "jwt"), 400),
        ("AMQP-CBS-06", "without name", without_first(good.clone(), "name"), 400),
        ("AMQP-CBS-06", "with an empty name", other("name", ""), 400),
        ("AMQP-CBS-06", "without operation", without_first(good.clone(), "operation"), 400),
        ("AMQP-CBS-06", "with another operation", other("operation", "delete-token"), 400),
        (
            "AMQP-CBS-06",
            "with a data body",
            without_section(good.clone(), AMQP_VALUE).section(DATA, Value::Binary(vec![1])),
            400,
        ),
        (
            "AMQP-CBS-06",
            "with a number as body",
            without_section(good.clone(), AMQP_VALUE).section(AMQP_VALUE, Value::Int(1)),
            400,
        ),
        ("AMQP-CBS-06", "with a token that is none", with_token("SharedAccessSignature x"), 400),
        ("AMQP-CBS-06", "with a token for no device", with_token(&no_device), 400),
        ("AMQP-CBS-07", "with a token that expired 10 minutes ago", with_token(&living(-600)), 400),
        ("AMQP-CBS-07", "with a token that expired 200 s ago", with_token(&living(-200)), 200),
        ("AMQP-CBS-04", "with nothing wrong", good.clone(), 200),
    ];
    let mut peer = opened(environment, "odd requests").await?;
    let cbs = cbs(&mut peer).await?;
    for (requirement, what, request, due) in rows {
        talk.step(format!("a request to $cbs {what}"));
        talk.claim(requirement, format!("status-code {due}"));
        let answer = asked(&mut peer, cbs, &request).await?;
        talk.holds(status(&answer) == Some(due), format!("status-code {:?}", status(&answer)))?;
    }
    Ok(())
}

/// An attach of somebody who is not known: ATTACH without termini, DETACH that closes, and the session stands.
fn unauthenticated(talk: &mut Talk, answer: &Answer) -> Told {
    talk.claim("AMQP-LNK-03", format!("ATTACH without a terminus, then DETACH that closes with {NOT_ALLOWED}"));
    let right = match answer {
        Answer::Refused(Some(attach), Some(error)) => {
            error.condition == NOT_ALLOWED && *attach.field(5) == Value::Null && *attach.field(6) == Value::Null
        }
        _ => false,
    };
    talk.holds(right, answer)
}

async fn forged(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let mut peer = opened(environment, "forger").await?;
    let cbs = cbs(&mut peer).await?;
    talk.step("a link for telemetry of module guest, without a token");
    talk.claim("AMQP-LNK-03", "it is refused");
    let answer = peer.attach(CHANNEL, events(environment, &guest)).await?;
    unauthenticated(talk, &answer)?;
    let forged = Token { key: Key::OfAnother, ..Token::good(true) }.write(environment, &guest);
    talk.step("a token of module guest that another module's key signed");
    talk.claim("AMQP-CBS-08", "status-code 200, 400 or 401: it may be found out later");
    let code = status(&asked(&mut peer, cbs, &put_token("1", "x", &forged)).await?);
    talk.holds(matches!(code, Some(200 | 400 | 401)), format!("status-code {code:?}"))?;
    talk.step("a link for telemetry of module guest");
    talk.claim("AMQP-CBS-08", "it is refused");
    let answer = peer.attach(CHANNEL, events(environment, &guest)).await?;
    talk.holds(!matches!(answer, Answer::Attached(..)), &answer)?;
    unauthenticated(talk, &answer)?;
    talk.step("a good token, and the link again, on the same session");
    talk.claim("AMQP-LNK-03", "the session stands, and the link is attached");
    put(&mut peer, cbs, &environment.token(&guest)).await?;
    peer.link(CHANNEL, events(environment, &guest)).await?;
    Ok(())
}

async fn audience(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let mut peer = opened(environment, "misnamed").await?;
    let links = cbs(&mut peer).await?;
    talk.step("a token of module guest whose request names module host");
    talk.claim("AMQP-CBS-09", "a link of guest is attached, and none of host");
    let named = put_token("1", "iothub/devices/gw7/modules/host", &environment.token(&guest));
    asked(&mut peer, links, &named).await?;
    peer.link(CHANNEL, events(environment, &guest)).await?;
    let answer = peer.attach(CHANNEL, events(environment, &module(HOST))).await?;
    talk.holds(matches!(answer, Answer::Refused(..)), &answer)?;

    let mut peer = opened(environment, "deaf").await?;
    talk.step("a token of module guest on a connection without a receiver from $cbs");
    talk.claim("AMQP-CBS-10", "it is accepted, and a link of guest is attached");
    let requests = peer.link(CHANNEL, Attach::sender("cbs-requests", "$cbs")).await?;
    let outcome = peer.deliver(requests, &put_token("1", "x", &environment.token(&guest))).await?;
    talk.holds(outcome.accepted(), outcome)?;
    peer.link(CHANNEL, events(environment, &guest)).await?;

    let edge = Identity::LeafDevice(environment.blueprint().edge_device.clone());
    let (mut peer, _) = known(environment, &[&edge, &device(VISITOR)]).await?;
    talk.step("a token of the edge device itself, and a link for telemetry of its module guest");
    talk.claim("AMQP-CBS-11", "it is refused");
    let answer = peer.attach(CHANNEL, events(environment, &guest)).await?;
    talk.holds(!matches!(answer, Answer::Attached(..)), &answer)
}

async fn refreshed(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let (mut peer, cbs) = known(environment, &[&guest]).await?;
    let link = peer.link(CHANNEL, events(environment, &guest)).await?;
    for round in 1..=3_u64 {
        talk.step("another token of module guest");
        talk.claim("AMQP-CBS-12", "200, and its link accepts messages as before");
        let fresh = Token { lifetime_secs: 3_600 + i64::try_from(round).unwrap_or_default(), ..Token::good(true) };
        put(&mut peer, cbs, &fresh.write(environment, &guest)).await?;
        let outcome = peer.deliver(link, &Message::data("still here")).await?;
        talk.holds(outcome.accepted(), outcome)?;
    }
    let odd = peer.inbox().find(|event| {
        event.performative.error().is_some()
            || event.performative.code == harness::client::raw_amqp::performative::DETACH
    });
    talk.holds(odd.is_none(), odd.map(|event| event.performative.to_string()).unwrap_or_default())
}

async fn newest(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let token = environment.token(&module(GUEST));
    let mut peer = opened(environment, "twice").await?;
    let first = cbs(&mut peer).await?;
    talk.step("a second receiver from $cbs, and a token");
    talk.claim("AMQP-CBS-16", "the answer comes to the second receiver");
    let second = peer.link(CHANNEL, Attach::receiver("cbs-answers-2", "$cbs")).await?;
    peer.credit(second, 10).await;
    put(&mut peer, Cbs { answers: second, ..first }, &token).await?;
    talk.step("all links to $cbs are detached, a pair is attached again, and a token is put");
    talk.claim("AMQP-CBS-16", "it is answered");
    for link in [first.requests, first.answers, second] {
        peer.detach(link).await?;
    }
    let again = cbs(&mut peer).await?;
    put(&mut peer, again, &token).await?;
    Ok(())
}

async fn nameless(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let mut peer = opened(environment, "nameless").await?;
    let cbs = cbs(&mut peer).await?;
    talk.step("a token without a properties section");
    talk.claim("AMQP-CBS-15", "it is accepted and takes effect, answered or not");
    let request = without_section(put_token("1", "x", &environment.token(&guest)), PROPERTIES);
    let outcome = peer.deliver(cbs.requests, &request).await?;
    talk.holds(outcome.accepted(), outcome)?;
    peer.link(CHANNEL, events(environment, &guest)).await?;
    Ok(())
}

/// The grace a token has once it expired, of which this many seconds are left.
const LEFT_SECS: i64 = 3;

async fn outlived(worker: &mut Worker) -> Result<Outcome, StageError> {
    let blueprint = blueprint(worker, &[("edgecert__reauthenticationSecs", "1")]);
    let environment = worker.environment(&blueprint).await?;
    let mut talk = Talk::default();
    let told = expires(&environment, &mut talk).await;
    environment.stop().await;
    talk.outcome(told)
}

async fn expires(environment: &harness::environment::Environment, talk: &mut Talk) -> Told {
    let (guest, visitor) = (module(GUEST), device(VISITOR));
    let mut peer = opened(environment, "short").await?;
    let links = cbs(&mut peer).await?;
    let nearly = Token { lifetime_secs: LEFT_SECS - 300, ..Token::good(true) };
    put(&mut peer, links, &nearly.write(environment, &guest)).await?;
    peer.link(CHANNEL, events(environment, &guest)).await?;
    let (mut lasting, link) = super::talk::speaking(environment, &visitor).await?;
    talk.step(format!("module guest attaches a link with a token whose five minutes of grace end in {LEFT_SECS} s"));
    talk.step("leaf device visitor attaches one with a token that is good for an hour");
    talk.claim("AMQP-CBS-13", "the connection of guest gets CLOSE without an error, and that of visitor stands");
    let limit = deadline::Deadline {
        limit: deadline::REAUTHENTICATION.limit + Duration::from_secs(300),
        ..deadline::REAUTHENTICATION
    };
    let error = peer.closed(limit).await?;
    talk.holds(error.is_none(), format!("CLOSE with {error:?}"))?;
    let outcome = lasting.deliver(link, &Message::data("still here")).await?;
    talk.holds(outcome.accepted(), outcome)
}
