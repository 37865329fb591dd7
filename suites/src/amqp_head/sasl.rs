//! The SASL layer: what is offered, and who comes in by PLAIN. Covers AMQP-SASL.

use harness::client::raw_amqp::frame;
use harness::client::raw_amqp::message::Message;
use harness::client::raw_amqp::peer::{self, Answer, Layer, Peer, code_of};
use harness::client::raw_amqp::performative::{Begin, Open, sasl_init};
use harness::client::raw_amqp::{RawAmqp, Value};
use harness::deadline;
use harness::observe::history::Identity;
use harness::runner::Test;
use harness::stage::Stage;

use super::talk::{CHANNEL, NOT_ALLOWED, Talk, Told, events, told};
use crate::mqtt_head::guest::{GUEST, HOST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::sasl::what_is_offered_needs_no_certificate",
            &["AMQP-SASL-01", "AMQP-SASL-02"],
            |stage, talk| Box::pin(offered(stage, talk)),
        ),
        told(
            "amqp_head::sasl::anonymous_under_both_its_names_comes_in",
            &["AMQP-SASL-03", "AMQP-SASL-09"],
            |stage, talk| Box::pin(anonymous(stage, talk)),
        ),
        told(
            "amqp_head::sasl::plain_takes_a_token_and_the_name_of_its_owner",
            &["AMQP-SASL-04", "AMQP-SASL-05", "AMQP-SASL-06", "AMQP-SASL-07"],
            |stage, talk| Box::pin(plain(stage, talk)),
        ),
        told("amqp_head::sasl::plain_is_one_identity_and_no_other", &["AMQP-SASL-08"], |stage, talk| {
            Box::pin(bound(stage, talk))
        }),
    ]
}

/// Writes the header and an init, and reads the hub's part to its outcome.
async fn layer(stage: &Stage, mechanism: &str, response: Option<&[u8]>) -> Told<(RawAmqp, peer::Sasl)> {
    let mut raw = stage.environment().raw_amqp(mechanism).await?;
    raw.write(&[frame::SASL.to_vec(), frame::sasl(&sasl_init(mechanism, response))].concat()).await;
    let sasl = peer::sasl(&mut raw).await?;
    Ok((raw, sasl))
}

async fn offered(stage: &mut Stage, talk: &mut Talk) -> Told {
    talk.step("the SASL header");
    talk.claim("AMQP-SASL-01", "ANONYMOUS, MSSBCBS and PLAIN are among what sasl-mechanisms offers");
    let (_, sasl) = layer(stage, "ANONYMOUS", None).await?;
    let offered: Vec<&str> = match sasl.mechanisms.field(0) {
        Value::Array(all) => all.iter().filter_map(Value::text).collect(),
        Value::Symbol(one) => vec![one],
        _ => Vec::new(),
    };
    let all = ["ANONYMOUS", "MSSBCBS", "PLAIN"].iter().all(|name| offered.contains(name));
    talk.holds(all, format!("{offered:?}"))?;
    talk.claim("AMQP-SASL-02", "EXTERNAL is not");
    talk.holds(!offered.contains(&"EXTERNAL"), format!("{offered:?}"))
}

async fn anonymous(stage: &mut Stage, talk: &mut Talk) -> Told {
    for mechanism in ["ANONYMOUS", "MSSBCBS"] {
        talk.step(format!("sasl-init {mechanism}"));
        talk.claim("AMQP-SASL-03", "sasl-outcome 0, and OPEN is answered");
        let (mut raw, sasl) = layer(stage, mechanism, None).await?;
        let code = code_of(sasl.outcome.as_ref());
        talk.holds(code == Some(0), format!("sasl-outcome {code:?}"))?;
        talk.claim("AMQP-SASL-09", "additional-data is `Welcome!`, or absent");
        let data = sasl.outcome.map(|outcome| outcome.field(1).clone()).unwrap_or(Value::Null);
        talk.holds(matches!(&data, Value::Null) || data == Value::Binary(b"Welcome!".to_vec()), &data)?;
        talk.claim("AMQP-SASL-03", "OPEN is answered behind it");
        raw.write(&[frame::AMQP.to_vec(), frame::amqp(0, &Open::default().value(), b"")].concat()).await;
        Peer::opened(raw).await?;
    }
    Ok(())
}

/// The name of the IoT Hub up to its first dot.
fn short_name(stage: &Stage) -> String {
    stage.environment().iot_hub_host().split('.').next().unwrap_or_default().to_owned()
}

/// The first part of a user name.
fn owner(stage: &Stage, identity: &Identity) -> String {
    match identity {
        Identity::Module(module) => format!("{}/modules/{module}", stage.environment().blueprint().edge_device),
        Identity::LeafDevice(device) => device.clone(),
    }
}

async fn plain(stage: &mut Stage, talk: &mut Talk) -> Told {
    let hub = short_name(stage);
    for identity in [module(GUEST), device(VISITOR)] {
        let (owner, token) = (owner(stage, &identity), stage.environment().token(&identity));
        for user in [format!("{owner}@sas.{hub}"), format!("{owner}@{hub}"), format!("{owner}@SAS.{hub}")] {
            talk.step(format!("sasl-init PLAIN as {user} with a token of {identity}"));
            talk.claim("AMQP-SASL-04", "sasl-outcome 0, and a link for telemetry without $cbs");
            let raw = stage.environment().raw_amqp(&user).await?;
            let mut peer = Peer::enter(raw, &Layer::plain(&user, &token), &Open::default()).await?;
            peer.begin(CHANNEL, &Begin::default()).await?;
            let link = peer.link(CHANNEL, events(stage.environment(), &identity)).await?;
            let outcome = peer.deliver(link, &Message::data("plain")).await?;
            talk.holds(outcome.accepted(), outcome)?;
        }
    }
    let dotted = module("dot.ted");
    let (user, token) = (format!("{}@{hub}", owner(stage, &dotted)), stage.environment().token(&dotted));
    talk.step(format!("sasl-init PLAIN as {user}, whose module has a dot in its name"));
    talk.claim("AMQP-SASL-04", "sasl-outcome 0");
    let raw = stage.environment().raw_amqp(&user).await?;
    Peer::enter(raw, &Layer::plain(&user, &token), &Open::default()).await?;
    let (guest, token) = (owner(stage, &module(GUEST)), stage.environment().token(&module(GUEST)));
    let other = stage.environment().token(&module(HOST));
    let host = stage.environment().iot_hub_host().to_owned();
    let user = format!("{guest}@sas.{hub}");
    let three = |user: &str, password: &str| Some(format!("\0{user}\0{password}").into_bytes());
    let refused: [(&'static str, &str, Option<Vec<u8>>); 9] = [
        ("AMQP-SASL-05", "the whole name of the IoT Hub", three(&format!("{guest}@sas.{host}"), &token)),
        ("AMQP-SASL-05", "another word than `sas` in front", three(&format!("{guest}@other.{hub}"), &token)),
        ("AMQP-SASL-06", "the token of another module", three(&user, &other)),
        ("AMQP-SASL-06", "a password that is no token", three(&user, "secret")),
        ("AMQP-SASL-06", "an empty password", three(&user, "")),
        ("AMQP-SASL-06", "the name of another IoT Hub", three(&format!("{guest}@sas.elsewhere"), &token)),
        ("AMQP-SASL-07", "two parts", Some(format!("{user}\0{token}").into_bytes())),
        ("AMQP-SASL-07", "no response", None),
        ("AMQP-SASL-07", "an empty authentication id", three("", &token)),
    ];
    for (requirement, what, response) in refused {
        talk.step(format!("sasl-init PLAIN with {what}"));
        talk.claim(requirement, "sasl-outcome 1 or 2, and the connection is closed");
        let (mut raw, sasl) = layer(stage, "PLAIN", response.as_deref()).await?;
        let code = code_of(sasl.outcome.as_ref());
        talk.holds(matches!(code, Some(1 | 2)), format!("sasl-outcome {code:?}"))?;
        raw.closed(deadline::CLOSED).await?;
    }
    Ok(())
}

async fn bound(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (guest, edge) = (module(GUEST), device(&environment.blueprint().edge_device));
    let others = [(guest.clone(), vec![module(HOST), device(VISITOR)]), (edge, vec![guest])];
    for (identity, others) in others {
        let user = format!("{}@sas.{}", owner(stage, &identity), short_name(stage));
        talk.step(format!("sasl-init PLAIN as {user}"));
        let raw = environment.raw_amqp("plain").await?;
        let layer = Layer::plain(&user, &environment.token(&identity));
        let mut peer = Peer::enter(raw, &layer, &Open::default()).await?;
        peer.begin(CHANNEL, &Begin::default()).await?;
        for other in others {
            talk.step(format!("a link for telemetry of {other}"));
            talk.claim("AMQP-SASL-08", format!("the link is refused with {NOT_ALLOWED}"));
            match peer.attach(CHANNEL, events(environment, &other)).await? {
                Answer::Refused(_, Some(error)) if error.condition == NOT_ALLOWED => {}
                other => return talk.holds(false, other),
            }
        }
        talk.step(format!("a link for telemetry of {identity}"));
        talk.claim("AMQP-SASL-08", "the connection stands, and its own link is attached");
        peer.link(CHANNEL, events(environment, &identity)).await?;
    }
    Ok(())
}
