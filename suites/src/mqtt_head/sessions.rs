//! What is kept of a client that leaves. Covers MQTT-SESS.
//!
//! - [`model`]: what must be left of a session after any sequence of steps.
//!
//! Whether the filter for twin responses is on is seen at once: the response to a request comes before its PUBACK, or
//! it does not come. So absence needs no wait.

use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::guest::{GUEST, acknowledge, carrying, enter, inputs_of, module, send_to, subscribe, unsubscribe, until};
use crate::course::{broken, ended};
use crate::declare::{fixed, property, restarting};
use model::{Filter, Session, Step, sequences};

pub mod model;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "mqtt_head",
            "mqtt_head::sessions::filters_outlive_connections_as_the_model_has_it",
            &["MQTT-SESS-01", "MQTT-SESS-02", "MQTT-SESS-03", "MQTT-SESS-05", "MQTT-CONN-16"],
            2,
            sequences,
            |stage, steps| Box::pin(plays(stage, steps)),
        ),
        fixed("mqtt_head", "mqtt_head::sessions::a_clean_session_forgets_filters", &["MQTT-SESS-01"], |worker| {
            Box::pin(forgotten(worker))
        }),
        fixed(
            "mqtt_head",
            "mqtt_head::sessions::a_kept_session_has_its_filters_and_their_qos",
            &["MQTT-SESS-02", "MQTT-SESS-05"],
            |worker| Box::pin(kept(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::sessions::there_is_no_session_before_filters_change",
            &["MQTT-SESS-03"],
            |worker| Box::pin(never_stored(worker)),
        ),
        restarting("mqtt_head", "mqtt_head::sessions::a_kept_session_outlives_the_hub", &["MQTT-SESS-04"], |worker| {
            Box::pin(restarted(worker))
        }),
        fixed(
            "mqtt_head",
            "mqtt_head::sessions::queued_messages_wait_for_a_clean_session_too",
            &["MQTT-SESS-06"],
            |worker| Box::pin(queued(worker)),
        ),
    ]
}

/// Filter of twin responses.
pub const TWIN: &str = "$iothub/twin/res/#";

/// Asks for the twin: the response, if one came before the PUBACK.
///
/// # Errors
/// What came instead of the PUBACK.
pub async fn ask_twin(raw: &mut RawMqtt, id: u16) -> Result<Option<Published>, String> {
    raw.write(&packet::publish(id, &format!("$iothub/twin/GET/?$rid={id}"), b"")).await;
    let puback = |packet: &Packet| packet.puback().filter(|answered| *answered == id);
    let (before, _) = until(raw, deadline::ACKNOWLEDGEMENT, puback).await?;
    let responses = before.iter().filter_map(Packet::publish);
    let response = responses.into_iter().find(|published| published.topic.starts_with("$iothub/twin/res/"));
    if let Some(response) = &response {
        acknowledge(raw, response).await;
    }
    Ok(response)
}

fn told(step: Step) -> String {
    let name = |filter| match filter {
        Filter::Twin => "twin responses",
        Filter::Inputs => "its inputs",
    };
    match step {
        Step::Connect { clean } => format!("module guest connects with CleanSession={}", u8::from(clean)),
        Step::Subscribe(filter, qos) => format!("it subscribes to {} at QoS {qos}", name(filter)),
        Step::Unsubscribe(filter) => format!("it unsubscribes from {}", name(filter)),
        Step::Disconnect => "it says DISCONNECT".to_owned(),
        Step::BreakOff => "it breaks off the connection".to_owned(),
    }
}

async fn plays(stage: &mut Stage, steps: &[Step]) -> Result<Option<Violation>, StageError> {
    let mut session = Session::default();
    let mut connection: Option<RawMqtt> = None;
    // Connections that were taken over end by themselves; they are kept until then.
    let mut older = Vec::new();
    let mut done = Vec::new();
    let filters = [(Filter::Twin, TWIN.to_owned()), (Filter::Inputs, inputs_of(stage.environment(), GUEST))];
    let text = |filter: Filter| &filters.iter().find(|(known, _)| *known == filter).expect("both stand there").1;
    for (number, step) in steps.iter().enumerate() {
        let must_be_present = session.take(*step);
        if connection.is_none() && must_be_present.is_none() {
            continue;
        }
        done.push(told(*step));
        let id = u16::try_from(number + 1).expect("a few steps");
        let failed =
            |requirement: &str, expected: &str, observed: String| Some(broken(requirement, expected, observed, &done));
        match *step {
            Step::Connect { clean } => {
                older.extend(connection.take());
                let (raw, present) =
                    enter(stage.environment(), &module(GUEST), |connect| connect.clean_session = clean).await?;
                let expected = must_be_present.unwrap_or_default();
                if present != expected {
                    let requirement = match (clean, expected) {
                        (true, _) => "MQTT-SESS-01",
                        (false, true) => "MQTT-SESS-02",
                        // Either it was never stored, or a clean session should have deleted it.
                        (false, false) if steps[..number].iter().any(|step| matches!(step, Step::Subscribe(..))) => {
                            "MQTT-SESS-01"
                        }
                        (false, false) => "MQTT-SESS-03",
                    };
                    let observed = format!("session present {}", u8::from(present));
                    return Ok(failed(requirement, &format!("session present {}", u8::from(expected)), observed));
                }
                connection = Some(raw);
            }
            Step::Subscribe(filter, qos) => {
                let raw = connection.as_mut().expect("checked above");
                if let Err(observed) = subscribe(raw, id, &[(text(filter), qos)]).await {
                    return Ok(failed("MQTT-SESS-02", "SUBACK", observed));
                }
            }
            Step::Unsubscribe(filter) => {
                let raw = connection.as_mut().expect("checked above");
                if let Err(observed) = unsubscribe(raw, id, text(filter)).await {
                    return Ok(failed("MQTT-SESS-05", "UNSUBACK", observed));
                }
            }
            Step::Disconnect | Step::BreakOff => {
                let raw = connection.take().expect("checked above");
                let ended = if *step == Step::Disconnect { raw.disconnect().await } else { raw.break_off().await };
                if let Err(expired) = ended {
                    return Ok(failed("MQTT-SESS-02", "the hub ends its side too", expired.to_string()));
                }
            }
        }
        if let (Some(raw), Some((on, _))) = (&mut connection, &session.connected) {
            // An unsubscribed filter is looked at where it could come back: on the next connection.
            let fresh = matches!(step, Step::Connect { .. });
            if let Some(found) = filters_are(stage, raw, on, fresh, &done).await? {
                return Ok(Some(found));
            }
        }
    }
    if let Some(raw) = connection {
        let _ = raw.disconnect().await;
    }
    Ok(None)
}

/// Compares what comes with what filters are on. Input messages are sent only where they are wanted: others would wait
/// for a later connection.
async fn filters_are(
    stage: &mut Stage,
    raw: &mut RawMqtt,
    on: &model::Filters,
    fresh: bool,
    done: &[String],
) -> Result<Option<Violation>, StageError> {
    let response = match ask_twin(raw, 1000).await {
        Ok(response) => response,
        Err(observed) => return Ok(Some(broken("MQTT-SESS-02", "PUBACK of a twin request", observed, done))),
    };
    let wanted = on.get(&Filter::Twin);
    let came = response.as_ref().map(|response| response.qos);
    if came != wanted.copied() {
        let shown =
            |qos: Option<u8>| qos.map_or("no twin response".to_owned(), |qos| format!("a twin response at QoS {qos}"));
        let requirement = match (wanted, fresh) {
            (Some(_), _) => "MQTT-SESS-02",
            (None, true) if done.iter().any(|step| step.starts_with("it unsubscribes")) => "MQTT-SESS-05",
            (None, _) => "MQTT-SESS-01",
        };
        return Ok(Some(broken(requirement, shown(wanted.copied()), shown(came), done)));
    }
    let Some(qos) = on.get(&Filter::Inputs) else { return Ok(None) };
    let mark = send_to(stage, GUEST, "in").await?;
    match until(raw, deadline::ROUTING, carrying(&mark)).await {
        Ok((_, published)) => {
            acknowledge(raw, &published).await;
            let expected = format!("an input message at QoS {qos}");
            Ok((published.qos != *qos)
                .then(|| broken("MQTT-SESS-02", expected, format!("QoS {}", published.qos), done)))
        }
        Err(observed) => {
            // After a takeover it is the close of the older connection that may have taken the filter away.
            let taken_over = fresh
                && done.len() > 1
                && done[done.len() - 2] != told(Step::Disconnect)
                && done[done.len() - 2] != told(Step::BreakOff);
            let requirement = if taken_over { "MQTT-CONN-16" } else { "MQTT-SESS-02" };
            Ok(Some(broken(requirement, "an input message", observed, done)))
        }
    }
}

/// Plays these steps and ends in good order.
async fn played(worker: &mut Worker, steps: &[Step]) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    Ok(ended(plays(stage, steps).await?))
}

const CLEAN: Step = Step::Connect { clean: true };
const KEPT: Step = Step::Connect { clean: false };

async fn forgotten(worker: &mut Worker) -> Result<Outcome, StageError> {
    let subscribed = [CLEAN, KEPT, Step::Subscribe(Filter::Twin, 1), Step::Disconnect];
    let after = [CLEAN, Step::Disconnect, KEPT, Step::Disconnect];
    played(worker, &[subscribed, after].concat()).await
}

async fn kept(worker: &mut Worker) -> Result<Outcome, StageError> {
    let subscribed = [CLEAN, KEPT, Step::Subscribe(Filter::Twin, 0), Step::Subscribe(Filter::Inputs, 2)];
    let back = [Step::Disconnect, KEPT, Step::BreakOff, KEPT, KEPT, Step::Unsubscribe(Filter::Twin)];
    let without = [Step::Disconnect, KEPT, Step::Subscribe(Filter::Inputs, 0), KEPT, Step::Disconnect, CLEAN];
    played(worker, &[&subscribed[..], &back, &without].concat()).await
}

async fn never_stored(worker: &mut Worker) -> Result<Outcome, StageError> {
    played(worker, &[CLEAN, KEPT, Step::Disconnect, KEPT, Step::BreakOff, KEPT, Step::Disconnect]).await
}

async fn restarted(worker: &mut Worker) -> Result<Outcome, StageError> {
    let blueprint = worker.blueprint().clone();
    let mut environment = worker.environment(&blueprint).await?;
    let keep = |connect: &mut harness::client::raw_mqtt::Connect| connect.clean_session = false;
    let (mut raw, _) = enter(&environment, &module(GUEST), keep).await?;
    let subscribed = subscribe(&mut raw, 1, &[(TWIN, 1)]).await;
    let _ = raw.disconnect().await;
    environment.stop_hub().await;
    environment.start_hub().await?;
    environment.ready().await?;
    let (mut raw, present) = enter(&environment, &module(GUEST), keep).await?;
    let response = ask_twin(&mut raw, 2).await;
    environment.stop().await;
    let steps = [
        "module guest connects with CleanSession=0, subscribes to twin responses, and leaves".to_owned(),
        "the hub is stopped and started again".to_owned(),
        "module guest connects with CleanSession=0, and asks for its twin".to_owned(),
    ];
    let observed = match (subscribed, present, response) {
        (Err(observed), ..) => Some(observed),
        (_, false, _) => Some("session present 0".to_owned()),
        (_, _, Ok(Some(_))) => None,
        (_, _, Ok(None)) => Some("session present 1, and no response".to_owned()),
        (_, _, Err(observed)) => Some(observed),
    };
    Ok(ended(observed.map(|observed| broken("MQTT-SESS-04", "session present 1, and a response", observed, &steps))))
}

async fn queued(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 3;
    let stage = worker.stage().await?;
    let (raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let _ = raw.disconnect().await;
    let mut marks = Vec::new();
    for _ in 0..MESSAGES {
        marks.push(send_to(stage, GUEST, "in").await?);
    }
    let (mut raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    let filter = inputs_of(stage.environment(), GUEST);
    let steps = [
        "module guest is away".to_owned(),
        format!("{MESSAGES} messages for its input are sent"),
        "it connects with CleanSession=1 and subscribes".to_owned(),
    ];
    let mut observed = subscribe(&mut raw, 1, &[(&filter, 1)]).await.err();
    for (number, mark) in marks.iter().enumerate() {
        if observed.is_some() {
            break;
        }
        match until(&mut raw, deadline::RETRY_AFTER_ABSENCE, carrying(mark)).await {
            Ok((_, published)) => acknowledge(&mut raw, &published).await,
            Err(what) => observed = Some(format!("{number} arrive, then {what}")),
        }
    }
    let _ = raw.disconnect().await;
    Ok(ended(observed.map(|observed| broken("MQTT-SESS-06", format!("all {MESSAGES} arrive"), observed, &steps))))
}
