//! Twins without the cloud, and across restarts of the hub: what was known is read, what was reported is kept, and goes
//! up when it can. Covers TWIN-GET-06, -07, -11 and the part of TWIN-RPT that is about outages.

use std::time::{Duration, Instant};

use harness::client::iot_hub::{Concerns, Condition, Kind, Operation};
use harness::deadline;
use harness::outcome::Violation;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use serde_json::{Value, json};

use super::ground::{
    self, ALPHA, Actor, BETA, Going, LEAF, Party, Twin, cloud, comes_to_have, desire, document, shown, untouched,
};
use super::tale::{self, Tale, Told};
use crate::declare::{self, fixed, restarting};
use crate::generate;
use crate::oracle::twin::{self, Nulls};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    macro_rules! on_stage {
        ($declare:ident, $name:literal, $requirements:expr, $course:ident) => {
            $declare("twins", concat!("twins::offline::", $name), &$requirements, |worker: &mut Worker| {
                Box::pin(async move { tale::outcome($course(ground::stage(worker).await?).await) })
            })
        };
    }
    vec![
        on_stage!(
            restarting,
            "what_was_known_and_reported_outlives_the_hub",
            ["TWIN-RPT-13", "TWIN-GET-11"],
            restarted
        ),
        on_stage!(fixed, "what_was_reported_goes_up_by_itself", ["TWIN-RPT-11", "TWIN-RPT-05", "TWIN-RPT-07"], flushed),
        on_stage!(restarting, "somebody_unknown_reads_an_empty_twin", ["TWIN-GET-07", "TWIN-RPT-03"], unknown),
        on_stage!(
            fixed,
            "a_patch_is_answered_at_once_while_the_cloud_is_silent",
            ["TWIN-RPT-03", "MQTT-TWIN-11"],
            silent
        ),
        declare::on(
            ground::blueprint,
            declare::property(
                "twins",
                "twins::offline::patches_are_read_back_over_the_last_known_twin",
                &["TWIN-RPT-08", "TWIN-GET-06", "TWIN-RPT-03", "TWIN-RPT-10", "MQTT-TWIN-10", "MQTT-TWIN-11"],
                4,
                || vec(generate::twin::patch(), 1..6),
                |stage, patches| Box::pin(play(stage, patches)),
            ),
        ),
    ]
}

/// Somebody reads until he sees what only the cloud can know: then the hub knows that the cloud is there.
pub async fn until_the_cloud_answers(tale: &mut Tale, stage: &Stage, who: Party) -> Told {
    let actor = Actor::enter(stage, who).await?;
    let version = desire(tale, stage, who, &json!({ "tick": ground::tick() })).await?;
    let began = Instant::now();
    loop {
        let got = actor.get(tale).await?;
        if twin::version(&got.desired) == Some(version) {
            return Ok(());
        }
        let late = began.elapsed() > deadline::REPORTED.limit;
        tale.hold(!late, "TWIN-GET-05", format!("version {version} is read once the cloud is there"), got.to_string())?;
        // A hub answers at once while it waits for the cloud.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn play(stage: &mut Stage, patches: &[Value]) -> Result<Option<Violation>, StageError> {
    let mut tale = Tale::about("TWIN-GET-06");
    let actor = Actor::enter(stage, LEAF).await?;
    tale.step(format!("{LEAF} reads its twin; the cloud is out of reach"));
    let told: Told = async {
        actor.get(&mut tale).await?;
        let outage = ground::cut(&mut tale, stage).await?;
        let told = read_back(&mut tale, &actor, patches).await;
        ground::mend(&mut tale, stage, outage).await?;
        told
    }
    .await;
    tale::found(told)
}

/// What the cloud or the store may answer meanwhile was read at the start: offline.
async fn read_back(tale: &mut Tale, actor: &Actor, patches: &[Value]) -> Told {
    let known = actor.get(tale).await?;
    // A hub may keep nulls in objects that are new, as the product does, or drop them.
    let (mut kept, mut dropped) = (known.reported.clone(), known.reported.clone());
    for patch in patches {
        tale.step(format!("{} reports {patch}, and reads its twin", actor.party));
        let answer = actor.send(tale, patch.to_string()).await?;
        tale.hold(answer.status == 204, "TWIN-RPT-03", "204", answer.status.to_string())?;
        let patch = document(patch);
        kept = twin::merge(&kept, &patch, Nulls::Delete);
        dropped = twin::merge(&dropped, &patch, Nulls::Strip);
        let got = actor.get(tale).await?;
        let expected = format!("desired properties as they were: {}", shown(&known.desired));
        tale.hold(twin::same(&got.desired, &known.desired), "TWIN-GET-06", expected, shown(&got.desired))?;
        let version = twin::member(&known.reported, "$version");
        let expected = format!("the reported version as it was: {}", version.map_or("none".to_owned(), shown));
        tale.hold(twin::member(&got.reported, "$version") == version, "TWIN-RPT-10", expected, shown(&got.reported))?;
        let good = twin::same(&got.reported, &kept) || twin::same(&got.reported, &dropped);
        let expected = format!("the patches over what was known: {}", shown(&dropped));
        tale.hold(good, "TWIN-RPT-08", expected, shown(&got.reported))?;
    }
    Ok(())
}

async fn flushed(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-RPT-11");
    let (alpha, leaf) = (Actor::enter(stage, ALPHA).await?, Actor::enter(stage, LEAF).await?);
    alpha.report(&mut tale, &json!({ "x": 1, "o": {"k": 1} })).await?;
    comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-04", &json!({ "x": 1 })).await?;
    alpha.get(&mut tale).await?;
    let iot_hub = stage.environment().iot_hub();
    let from = iot_hub.next_call().await?;
    // A hub that has failed to send an update does not try again before the outage is over.
    let throttled = Condition::new(Kind::Throttled, Concerns::Everyone).on(Operation::Reported);
    let throttled = iot_hub.impose_condition(&throttled).await?;
    tale.step(format!(
        "{ALPHA} reported {{\"x\":1,\"o\":{{\"k\":1}}}}, which the cloud has; from now on it answers 429 to updates"
    ));
    let mark = ground::tick();
    let patches = [
        json!({"x": 2, "late": 1, "o": {"l": [2, 3]}}),
        json!({"x": null, "o": {"k": null, "l": [1]}}),
        json!({"late": mark}),
    ];
    for patch in patches {
        tale.step(format!("{ALPHA} reports {patch}"));
        alpha.report(&mut tale, &patch).await?;
    }
    tale.step(format!("{LEAF} reports {{\"late\":{}}}", mark + 1));
    leaf.report(&mut tale, &json!({ "late": mark + 1 })).await?;
    for (who, mark) in [(ALPHA, mark), (LEAF, mark + 1)] {
        let sent = |call: &Value| call["client_id"] == who.client_id() && call["patch"]["late"] == mark;
        if let Err(why) = iot_hub.call_that(from, deadline::REPORTED, "an update with the last patch", sent).await {
            return Err(tale.broken("TWIN-RPT-12", format!("the last patch of {who} is sent"), why.to_string()));
        }
    }
    tale.step(format!(
        "the cloud is out of reach, which {BETA} makes the hub notice; then it is there, and takes updates"
    ));
    let outage = ground::cut(&mut tale, stage).await?;
    iot_hub.lift(throttled).await?;
    Actor::enter(stage, BETA).await?.get(&mut tale).await?;
    ground::mend(&mut tale, stage, outage).await?;
    until_the_cloud_answers(&mut tale, stage, BETA).await?;
    comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-11", &json!({ "late": mark })).await?;
    // It came as one patch.
    comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-07", &json!({ "x": null })).await?;
    comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-05", &json!({ "o": {"l": [1]} })).await?;
    comes_to_have(&mut tale, stage, LEAF, "TWIN-RPT-11", &json!({ "late": mark + 1 })).await?;
    let calls = iot_hub.calls(from).await?;
    let own: Vec<&Value> = calls
        .iter()
        .filter(|call| call["call"] == "reported" && call["client_id"] == ALPHA.client_id())
        .map(|call| &call["patch"])
        .collect();
    let told = own.iter().any(|patch| patch.get("x").is_some_and(Value::is_null));
    tale.hold(told, "TWIN-RPT-07", "an update that tells of `x` as null", format!("{own:?}"))?;
    tale.step(format!("{ALPHA} reads its twin"));
    let (got, there) = (alpha.get(&mut tale).await?, cloud(iot_hub, ALPHA).await?);
    tale.hold(got.same(&there), "TWIN-RPT-05", format!("the cloud's twin: {there}"), got.to_string())
}

async fn restarted(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-RPT-13");
    for going in [Going::Stopped, Going::Killed] {
        let alpha = Actor::enter(stage, ALPHA).await?;
        desire(&mut tale, stage, ALPHA, &json!({ "tick": ground::tick() })).await?;
        alpha.get(&mut tale).await?;
        let mark = ground::tick();
        tale.step(format!(
            "{ALPHA} reads its twin; the cloud is out of reach; {ALPHA} reports {{\"kept\":{mark}}} and reads"
        ));
        let outage = ground::cut(&mut tale, stage).await?;
        let told: Told<(Twin, Actor)> = async {
            alpha.report(&mut tale, &json!({ "kept": mark })).await?;
            let known = alpha.get(&mut tale).await?;
            drop(alpha);
            tale.step(format!("{going}; {ALPHA} connects and reads"));
            ground::restart(stage, going).await?;
            tale.saw("harness", going.to_string());
            let alpha = Actor::enter(stage, ALPHA).await?;
            let got = alpha.get(&mut tale).await?;
            tale.hold(got.same(&known), "TWIN-GET-11", format!("the same twin: {known}"), got.to_string())?;
            Ok((known, alpha))
        }
        .await;
        ground::mend(&mut tale, stage, outage).await?;
        let (_, alpha) = told?;
        tale.step("the cloud is within reach");
        until_the_cloud_answers(&mut tale, stage, BETA).await?;
        comes_to_have(&mut tale, stage, ALPHA, "TWIN-RPT-13", &json!({ "kept": mark })).await?;
        drop(alpha);
    }
    Ok(())
}

async fn unknown(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-GET-07");
    let outage = ground::cut(&mut tale, stage).await?;
    let (reader, reporter) = (untouched::READER, untouched::REPORTER);
    tale.step(format!("the cloud is out of reach; {reader}, of which nothing is known, reads its twin"));
    let told: Told = async {
        let empty =
            |twin: &Twin| twin::same(&twin.desired, &twin::empty()) && twin::same(&twin.reported, &twin::empty());
        let got = Actor::enter(stage, reader).await?.get(&mut tale).await?;
        tale.hold(empty(&got), "TWIN-GET-07", "{\"desired\":{},\"reported\":{}}", got.to_string())?;
        tale.step(format!("{reporter}, of which nothing is known, reports {{\"a\":1}} and {{\"b\":2}}, and reads"));
        let actor = Actor::enter(stage, reporter).await?;
        for patch in [json!({"a": 1}), json!({"b": 2})] {
            let answer = actor.send(&mut tale, patch.to_string()).await?;
            tale.hold(
                answer.status == 204,
                "TWIN-RPT-03",
                format!("{patch} is taken: 204"),
                answer.status.to_string(),
            )?;
        }
        let got = actor.get(&mut tale).await?;
        let both = twin::same(&got.reported, &document(&json!({"a": 1, "b": 2})));
        let expected = "desired {}, reported {\"a\":1,\"b\":2}";
        tale.hold(both && twin::same(&got.desired, &twin::empty()), "TWIN-GET-07", expected, got.to_string())
    }
    .await;
    ground::mend(&mut tale, stage, outage).await?;
    told?;
    tale.step(format!("the cloud is within reach; {reporter} connects and reports {{\"c\":3}}"));
    let actor = Actor::enter(stage, reporter).await?;
    actor.report(&mut tale, &json!({"c": 3})).await?;
    comes_to_have(&mut tale, stage, reporter, "TWIN-RPT-03", &json!({"a": 1, "b": 2, "c": 3})).await
}

/// A hub that waits for the cloud before it answers would take as long as it gives the cloud: three seconds.
async fn silent(stage: &mut Stage) -> Told {
    const AT_ONCE: Duration = Duration::from_millis(1_500);
    let mut tale = Tale::about("TWIN-RPT-03");
    let actor = Actor::enter(stage, BETA).await?;
    actor.get(&mut tale).await?;
    let silent = Condition::new(Kind::Unanswered, BETA.concerned()).on(Operation::Reported);
    let silent = stage.environment().iot_hub().impose_condition(&silent).await?;
    let mark = ground::tick();
    let told: Told = async {
        for number in 0..3 {
            tale.step(format!("the cloud does not answer; {BETA} reports {{\"n\":{}}}", mark + number));
            let began = Instant::now();
            actor.report(&mut tale, &json!({ "n": mark + number })).await?;
            let took = began.elapsed();
            tale.hold(took < AT_ONCE, "TWIN-RPT-03", format!("204 within {AT_ONCE:?}"), format!("204 after {took:?}"))?;
        }
        Ok(())
    }
    .await;
    stage.environment().iot_hub().lift(silent).await?;
    told?;
    tale.step(format!("the cloud answers; {BETA} reports {{\"m\":{mark}}}"));
    actor.report(&mut tale, &json!({ "m": mark })).await?;
    comes_to_have(&mut tale, stage, BETA, "TWIN-RPT-12", &json!({ "n": mark + 2, "m": mark })).await
}
