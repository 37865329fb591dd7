//! PATCH with the cloud there: the answer, and what reaches the cloud. Covers TWIN-RPT and the end of it that MQTT
//! shows.

use std::time::Duration;

use futures_util::future::join_all;
use harness::client::iot_hub::{Condition, Kind, Operation};
use harness::deadline;
use harness::observe::history::{History, Identity};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::Stage;
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{
    self, ALPHA, Actor, BETA, LEAF, cloud, comes_to_have, document, nothing_pending, reported_in_cloud, shown,
    untouched,
};
use super::tale::{self, Tale, Told};
use crate::course::{routes, sink};
use crate::declare::{fixed, over_mqtt};
use crate::oracle::twin::{self, Json, Nulls};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    macro_rules! on_stage {
        ($name:literal, $requirements:expr, $course:ident) => {
            fixed("twins", concat!("twins::reporting::", $name), &$requirements, |worker: &mut Worker| {
                Box::pin(async move { tale::outcome($course(ground::stage(worker).await?).await) })
            })
        };
    }
    vec![
        over_mqtt(on_stage!(
            "a_patch_is_answered_and_reaches_the_cloud",
            ["TWIN-RPT-01", "TWIN-RPT-04", "MQTT-TWIN-02"],
            answered
        )),
        over_mqtt(on_stage!(
            "a_patch_without_request_id_is_applied_and_not_answered",
            ["TWIN-RPT-02", "MQTT-TWIN-03"],
            unasked
        )),
        over_mqtt(on_stage!("a_version_beside_a_patch_is_ignored", ["TWIN-RPT-17"], versioned)),
        on_stage!("patches_of_one_connection_apply_in_order", ["TWIN-RPT-16", "TWIN-RPT-05", "TWIN-RPT-06"], in_order),
        on_stage!("a_patch_goes_up_once", ["TWIN-RPT-06", "TWIN-RPT-04"], once),
        on_stage!("a_patch_that_comes_while_another_is_sent_follows_it", ["TWIN-RPT-04", "TWIN-RPT-05"], meanwhile),
        on_stage!("what_the_cloud_did_not_take_goes_with_the_next_patch", ["TWIN-RPT-12"], again),
        fixed("twins", "twins::reporting::desired_changes_and_reads_are_not_routed", &["ROUTE-TWIN-05"], |worker| {
            Box::pin(unrouted(worker))
        }),
    ]
}

/// The cloud's reported properties, after a patch.
fn patched(before: &Json, patch: &Value) -> Json {
    twin::merge(before, &document(patch), Nulls::Strip)
}

/// Whether two sections are the same but for their versions.
fn same_properties(one: &Json, other: &Json) -> bool {
    twin::same(&twin::without(one, "$version"), &twin::without(other, "$version"))
}

async fn answered(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-RPT-01");
    for party in [ALPHA, LEAF] {
        let actor = Actor::enter(stage, party).await?;
        nothing_pending(&mut tale, stage, &actor).await?;
        for patch in
            [json!({"once": ground::tick(), "n": {"x": 1}}), json!({}), json!({"n": {"x": null, "y": [1.5, "ü"]}})]
        {
            let before = cloud(stage.environment().iot_hub(), party).await?.reported;
            tale.step(format!("{party} reports {patch}"));
            let rid = actor.client.mqtt().request_id() + "-own";
            let answer = Actor::answered(
                &tale,
                actor.client.mqtt().report_as(&rid, patch.to_string()).await,
                "a PATCH is answered",
            )?;
            tale.saw(party, format!("PATCH {patch} is answered on {}", answer.topic));
            tale.hold(answer.status == 204, "TWIN-RPT-01", "status 204", answer.status.to_string())?;
            tale.hold(answer.body.is_empty(), "TWIN-RPT-01", "an empty answer", ground::text(&answer.body))?;
            let topic = format!("$iothub/twin/res/204/?$rid={rid}");
            tale.hold(answer.topic == topic, "MQTT-TWIN-02", topic.clone(), answer.topic.clone())?;
            let wanted = patched(&before, &patch);
            let reached =
                reported_in_cloud(stage, party, deadline::REPORTED, |now| same_properties(now, &wanted)).await?;
            let observed = reached.as_ref().map_or_else(shown, shown);
            tale.hold(reached.is_ok(), "TWIN-RPT-04", format!("the cloud comes to {}", shown(&wanted)), observed)?;
        }
    }
    Ok(())
}

async fn unasked(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-RPT-02");
    let actor = Actor::enter(stage, ALPHA).await?;
    let mark = ground::tick();
    tale.step(format!(
        "{ALPHA} reports {{\"unasked\":{mark}}} without a request id, then a bad patch without one, then reads its twin"
    ));
    for patch in [json!({"unasked": mark}), json!({"bad.name": 1})] {
        let published = actor.client.mqtt().report_without_answer(patch.to_string()).await.acknowledged().await;
        published.map_err(|why| tale.unanswered("the PUBLISH is acknowledged", &why))?;
    }
    actor.get(&mut tale).await?;
    let answers = actor.client.mqtt().answers();
    tale.hold(answers.len() == 1, "TWIN-RPT-02", "one answer, to the GET", format!("{} answers", answers.len()))?;
    comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-02", &json!({ "unasked": mark })).await
}

async fn versioned(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-RPT-17");
    let actor = Actor::enter(stage, ALPHA).await?;
    let before = actor.get(&mut tale).await?;
    let version = twin::version(&before.reported).unwrap_or_default();
    let mark = ground::tick();
    tale.step(format!("{ALPHA} reads its twin, whose reported version is {version}, and reports {{\"versioned\":{mark}}} with `$version` {}", version + 1000));
    let answer = actor.client.mqtt().report_at_version(version + 1000, json!({"versioned": mark}).to_string()).await;
    let answer = Actor::answered(&tale, answer, "a PATCH is answered")?;
    tale.hold(answer.status == 204, "TWIN-RPT-17", "status 204", answer.status.to_string())?;
    comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-17", &json!({ "versioned": mark })).await
}

async fn in_order(stage: &mut Stage) -> Told {
    const PATCHES: u64 = 30;
    let mut tale = Tale::about("TWIN-RPT-16");
    let actor = Actor::enter(stage, ALPHA).await?;
    nothing_pending(&mut tale, stage, &actor).await?;
    let iot_hub = stage.environment().iot_hub();
    let first_call = iot_hub.next_call().await?;
    let base = ground::tick() * 1000;
    let patch = |number: u64| {
        let name = format!("k{}", number % 4);
        let other = if number % 5 == 0 { Value::Null } else { json!(base + number) };
        json!({ "count": base + number, name: other })
    };
    tale.step(format!("{ALPHA} reports {PATCHES} patches that count up, without waiting for answers"));
    let before = cloud(iot_hub, ALPHA).await?.reported;
    let bodies: Vec<Value> = (0..PATCHES).map(patch).collect();
    let answers = join_all(bodies.iter().map(|body| actor.client.report(body.to_string()))).await;
    let mut order = Vec::new();
    for answer in answers {
        let answer = Actor::answered(&tale, answer, "each PATCH is answered")?;
        tale.hold(answer.status == 204, "TWIN-RPT-16", "status 204", answer.status.to_string())?;
        order.push(answer.at);
    }
    tale.hold(order.is_sorted(), "TWIN-RPT-16", "answers in the order of the requests", format!("{order:?}"))?;
    let wanted = bodies.iter().fold(before, |reported, patch| patched(&reported, patch));
    let reached = reported_in_cloud(stage, ALPHA, deadline::REPORTED, |now| same_properties(now, &wanted)).await?;
    let observed = reached.as_ref().map_or_else(shown, shown);
    tale.hold(reached.is_ok(), "TWIN-RPT-05", format!("the cloud comes to {}", shown(&wanted)), observed)?;
    let calls = iot_hub.calls(first_call).await?;
    let own = calls.iter().filter(|call| call["call"] == "reported" && call["client_id"] == ALPHA.client_id()).count();
    let expected = format!("at most {PATCHES} updates reach the cloud");
    tale.hold(own as u64 <= PATCHES, "TWIN-RPT-06", expected, format!("{own} did"))
}

/// Nobody else's patches, nor earlier ones, are in the count.
async fn once(stage: &mut Stage) -> Told {
    const WHO: ground::Party = untouched::FRUGAL;
    let mut tale = Tale::about("TWIN-RPT-06");
    let actor = Actor::enter(stage, WHO).await?;
    let from = stage.environment().iot_hub().next_call().await?;
    for number in 1..=3 {
        tale.step(format!("{WHO} reports {{\"n\":{number}}}, and that reaches the cloud"));
        actor.report(&mut tale, &json!({ "n": number })).await?;
        comes_to_have(&mut tale, stage, WHO, "TWIN-RPT-04", &json!({ "n": number })).await?;
    }
    let calls = stage.environment().iot_hub().calls(from).await?;
    let own: Vec<String> = calls
        .iter()
        .filter(|call| call["call"] == "reported" && call["client_id"] == WHO.client_id())
        .map(|call| call["patch"].to_string())
        .collect();
    tale.hold(own.len() <= 3, "TWIN-RPT-06", "at most three updates reach the cloud", own.join(", "))
}

/// The cloud takes its time, so that the second patch comes while the first is under way.
async fn meanwhile(stage: &mut Stage) -> Told {
    const SLOW: Duration = Duration::from_millis(500);
    /// Longer than ReportedPropertiesSyncFrequencySecs: the next patch is sent at once.
    const QUIET: Duration = Duration::from_millis(1_200);
    let mut tale = Tale::about("TWIN-RPT-04");
    let actor = Actor::enter(stage, ALPHA).await?;
    let iot_hub = stage.environment().iot_hub();
    nothing_pending(&mut tale, stage, &actor).await?;
    tokio::time::sleep(QUIET).await;
    let slow = iot_hub.impose("delay", ALPHA.concerned(), SLOW).await?;
    let (first, second) = (ground::tick(), ground::tick());
    tale.step(format!(
        "nothing waits; the cloud answers late; {ALPHA} reports {{\"first\":{first}}} and then {{\"second\":{second}}}"
    ));
    let told: Told = async {
        actor.report(&mut tale, &json!({ "first": first })).await?;
        // The first is under way by now, and not there yet.
        tokio::time::sleep(SLOW / 4).await;
        actor.report(&mut tale, &json!({ "second": second })).await?;
        comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-04", &json!({ "first": first, "second": second })).await
    }
    .await;
    stage.environment().iot_hub().lift(slow).await?;
    told
}

async fn again(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-RPT-12");
    let iot_hub = stage.environment().iot_hub();
    for kind in [Kind::Throttled, Kind::Unanswered] {
        let actor = Actor::enter(stage, BETA).await?;
        let (first, second) = (ground::tick(), ground::tick());
        let from = iot_hub.next_call().await?;
        let failure = Condition::new(kind, BETA.concerned()).on(Operation::Reported).times(1);
        let failure = iot_hub.impose_condition(&failure).await?;
        let how = if kind == Kind::Throttled { "refuses it as throttled" } else { "does not answer" };
        tale.step(format!("{BETA} reports {{\"first\":{first},\"x\":1}}; the cloud {how}"));
        actor.report(&mut tale, &json!({"first": first, "x": 1})).await?;
        let own = |call: &Value| call["call"] == "reported" && call["client_id"] == BETA.client_id();
        let sent = iot_hub.call_that(from, deadline::REPORTED, "the first update", own).await;
        iot_hub.lift(failure).await?;
        let sent = match sent {
            Ok(call) => call,
            Err(why) => return Err(tale.broken("TWIN-RPT-12", "the update is sent to the cloud", why.to_string())),
        };
        tale.saw("iot_hub", format!("{BETA} reports {}, and the cloud {how}", sent["patch"]));
        tale.step(format!("{BETA} reports {{\"second\":{second},\"x\":null}}"));
        let from = sent["sequence"].as_u64().unwrap_or_default() + 1;
        actor.report(&mut tale, &json!({"second": second, "x": null})).await?;
        let with_second = |call: &Value| own(call) && call["patch"]["second"] == second;
        let sent =
            match iot_hub.call_that(from, deadline::REPORTED, "an update with the second patch", with_second).await {
                Ok(call) => call,
                Err(why) => return Err(tale.broken("TWIN-RPT-12", "the second patch is sent", why.to_string())),
            };
        tale.saw("iot_hub", format!("{BETA} reports {}", sent["patch"]));
        // The first may have gone up before, by itself.
        let alone = iot_hub.calls(from).await?.iter().any(|call| own(call) && call["patch"]["first"] == first);
        let expected = format!("the first patch is sent again: {{\"first\":{first},\"x\":null,\"second\":{second}}}");
        tale.hold(alone, "TWIN-RPT-12", expected.clone(), sent["patch"].to_string())?;
        let both = json!({ "first": first, "second": second, "x": null });
        comes_to_have(&mut tale, stage, BETA, "TWIN-RPT-12", &both).await?;
    }
    Ok(())
}

async fn unrouted(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::stage(worker).await?;
    let receiver = Identity::Module("sink".to_owned());
    if stage.client(&receiver).is_ok_and(|client| client.ended().is_some()) {
        stage.connect(receiver).await?;
    }
    stage.configure(routes([("all", "FROM /* WHERE true INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")")])).await?;
    let mut tale = Tale::about("ROUTE-TWIN-05");
    let mut history = History::begin();
    let told: Told = async {
        let mut actor = Actor::enter(stage, ALPHA).await?;
        tale.step(format!("a route takes everything to sink/i0; the cloud changes desired properties of {ALPHA}, which hears of it and reads its twin; then it reports"));
        actor.listen(&mut tale, stage).await?;
        actor.get(&mut tale).await?;
        let patch = json!({"reported": ground::tick()});
        actor.report(&mut tale, &patch).await?;
        comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-04", &patch).await
    }
    .await;
    if told.is_err() {
        return tale::outcome(told);
    }
    stage.settle(&mut history, &[sink("i0")], deadline::ROUTING).await?;
    let place = sink("i0");
    let came: Vec<String> =
        history.delivered.iter().filter(|got| got.at == place).map(|got| ground::text(&got.body)).collect();
    stage.configure(routes([])).await?;
    let reported = came.len() == 1 && came[0].contains("reported");
    tale::outcome(tale.hold(reported, "ROUTE-TWIN-05", "one message, of the patch reported", format!("{came:?}")))
}
