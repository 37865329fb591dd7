//! GET with the cloud there: one answer, of what the cloud has. Covers TWIN-GET-01 to -05, -08, -09 and -12.

use futures_util::future::join_all;
use harness::client::iot_hub::{Condition, Kind, Operation};
use harness::deadline;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use serde_json::{Value, json};

use super::ground::{self, ALPHA, Actor, BETA, GATEWAY, LEAF, cloud, desire, is_between, untouched};
use super::tale::{self, Tale, Told};
use crate::declare::{self, fixed, over_mqtt};
use crate::generate;
use crate::oracle::twin::{self, Json};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        declare::on(
            ground::blueprint,
            declare::property(
                "twins",
                "twins::reading::what_the_cloud_desires_is_read_whatever_it_is",
                &["TWIN-GET-03", "TWIN-GET-02", "TWIN-GET-04", "TWIN-GET-05", "TWIN-GET-09", "MQTT-TWIN-01"],
                4,
                || vec(generate::twin::document(), 1..4),
                |stage, documents| Box::pin(play(stage, documents)),
            ),
        ),
        over_mqtt(fixed(
            "twins",
            "twins::reading::each_get_has_one_answer_and_nobody_else_hears_it",
            &["TWIN-GET-01", "MQTT-TWIN-01"],
            |worker| Box::pin(async move { tale::outcome(once(ground::stage(worker).await?).await) }),
        )),
        fixed(
            "twins",
            "twins::reading::nobody_needs_to_listen_in_order_to_read",
            &["TWIN-GET-09", "TWIN-GET-05"],
            |worker| Box::pin(async move { tale::outcome(without_listening(ground::stage(worker).await?).await) }),
        ),
        fixed(
            "twins",
            "twins::reading::a_cloud_that_fails_is_not_the_clients_business",
            &["TWIN-GET-08", "TWIN-GET-06"],
            |worker| Box::pin(async move { tale::outcome(failing(ground::stage(worker).await?).await) }),
        ),
        fixed("twins", "twins::reading::a_twin_made_anew_replaces_the_stored_one", &["TWIN-GET-12"], |worker| {
            Box::pin(reborn(worker))
        }),
    ]
}

async fn play(stage: &mut Stage, documents: &[Value]) -> Result<Option<Violation>, StageError> {
    tale::found(read(stage, documents).await)
}

async fn read(stage: &mut Stage, documents: &[Value]) -> Told {
    let mut tale = Tale::about("TWIN-GET-03");
    let iot_hub = stage.environment().iot_hub();
    iot_hub.replace_desired(ALPHA.device, ALPHA.module, json!({})).await?;
    let reader = Actor::enter(stage, ALPHA).await?;
    for document in documents {
        tale.step(format!(
            "the cloud desires {}; {ALPHA}, which subscribed to nothing, reads its twin",
            ground::shortened(&document.to_string())
        ));
        desire(&mut tale, stage, ALPHA, document).await?;
        let before = cloud(iot_hub, ALPHA).await?;
        let got = reader.get(&mut tale).await?;
        let there = cloud(iot_hub, ALPHA).await?;
        tale.saw("iot_hub", format!("the twin is {there}"));
        let content = |twin: &Json| twin::without(twin, "$version");
        let fresh = twin::same(&content(&got.desired), &content(&there.desired));
        tale.hold(fresh, "TWIN-GET-05", format!("the cloud's twin: {there}"), got.to_string())?;
        tale.hold(
            is_between(&got, &before, &there),
            "TWIN-GET-03",
            format!("the cloud's twin: {there}"),
            got.to_string(),
        )?;
    }
    Ok(())
}

async fn once(stage: &mut Stage) -> Told {
    const EACH: usize = 8;
    let mut tale = Tale::about("TWIN-GET-01");
    tale.step(format!("two modules, a leaf device and the edge device each ask {EACH} times for their twin, without waiting for answers"));
    let mut actors = Vec::new();
    for party in [ALPHA, BETA, LEAF, GATEWAY] {
        actors.push(Actor::enter(stage, party).await?);
    }
    let rids: Vec<String> = (0..EACH).map(|number| format!("ask-{number}")).collect();
    for actor in &actors {
        let answers = join_all(rids.iter().map(|rid| actor.client.mqtt().get_as(rid))).await;
        for answer in answers {
            let answer = Actor::answered(&tale, answer, "every GET is answered")?;
            tale.hold(answer.status == 200, "TWIN-GET-01", "status 200", answer.topic.clone())?;
            let expected = format!("$iothub/twin/res/200/?$rid={}", answer.rid);
            tale.hold(answer.topic == expected, "MQTT-TWIN-01", expected.clone(), answer.topic.clone())?;
        }
    }
    tale.step("each asks once more, and that is answered last");
    for actor in &actors {
        let last = Actor::answered(&tale, actor.client.mqtt().get_as("last").await, "the last GET is answered")?;
        let mut expected: Vec<&str> = rids.iter().map(String::as_str).collect();
        expected.push(&last.rid);
        let answers = actor.client.mqtt().answers();
        let mut seen: Vec<&str> = answers.iter().map(|answer| answer.rid.as_str()).collect();
        expected.sort_unstable();
        seen.sort_unstable();
        tale.hold(
            seen == expected,
            "TWIN-GET-01",
            format!("{} gets answers to {expected:?}", actor.party),
            format!("{seen:?}"),
        )?;
        tale.hold(
            actor.client.mqtt().others().is_empty(),
            "TWIN-GET-01",
            "nothing else comes",
            format!("{:?}", actor.client.mqtt().others()),
        )?;
    }
    Ok(())
}

async fn without_listening(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-GET-09");
    for party in [ALPHA, LEAF] {
        let actor = Actor::enter(stage, party).await?;
        for _ in 0..2 {
            let version = desire(&mut tale, stage, party, &json!({ "tick": ground::tick() })).await?;
            tale.step(format!("{party}, which subscribed to answers only, reads version {version} of its twin"));
            let got = actor.get(&mut tale).await?;
            let fresh = twin::version(&got.desired) == Some(version);
            tale.hold(fresh, "TWIN-GET-05", format!("desired properties of version {version}"), got.to_string())?;
        }
    }
    Ok(())
}

async fn failing(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-GET-08");
    let reader = Actor::enter(stage, BETA).await?;
    desire(&mut tale, stage, BETA, &json!({ "tick": ground::tick() })).await?;
    let known = reader.get(&mut tale).await?;
    let whose = BETA.concerned();
    let failures = [
        ("answers 429", Condition::new(Kind::Throttled, whose).on(Operation::TwinGet)),
        ("does not answer", Condition::new(Kind::Unanswered, whose).on(Operation::TwinGet)),
        ("does not let it in", Condition::new(Kind::Unauthorized, whose)),
        ("is unavailable", Condition::new(Kind::Refuse, whose)),
    ];
    tale.step(format!("{BETA} reads its twin"));
    for (how, condition) in failures {
        tale.step(format!("the cloud {how}; {BETA} reads its twin"));
        let iot_hub = stage.environment().iot_hub();
        let imposed = iot_hub.impose_condition(&condition).await?;
        tale.saw("harness", format!("the cloud {how}"));
        let got = reader.get(&mut tale).await;
        iot_hub.lift(imposed).await?;
        let got = got?;
        tale.hold(got.same(&known), "TWIN-GET-06", format!("the twin as it was last: {known}"), got.to_string())?;
    }
    Ok(())
}

/// The registry begins a twin that is made again with version 1.
async fn reborn(worker: &mut Worker) -> Result<Outcome, StageError> {
    const WHO: ground::Party = untouched::REBORN;
    let stage = ground::fresh_stage(worker).await?;
    let mut tale = Tale::about("TWIN-GET-12");
    let told: Told = async {
        let reader = Actor::enter(stage, WHO).await?;
        for _ in 0..3 {
            desire(&mut tale, stage, WHO, &json!({ "life": 1, "tick": ground::tick() })).await?;
        }
        reader.get(&mut tale).await?;
        tale.step(format!("the cloud changes desired properties of {WHO} three times; it reads its twin"));
        let iot_hub = stage.environment().iot_hub();
        let keys = iot_hub.keys(WHO.device, WHO.module).await?;
        iot_hub.delete_identity(WHO.device, WHO.module).await?;
        iot_hub.create_identity(WHO.device, WHO.module).await?;
        iot_hub.change_keys(WHO.device, WHO.module, &keys).await?;
        desire(&mut tale, stage, WHO, &json!({ "life": 2 })).await?;
        tale.step("the device is deleted and made again with the same keys, so that its twin begins anew; it connects and reads");
        // The connection upstream may have to be made again, and a read in between is one of a cloud that fails.
        let began = std::time::Instant::now();
        let fresh = loop {
            let reader = Actor::enter(stage, WHO).await?;
            let got = reader.get(&mut tale).await?;
            let there = cloud(iot_hub, WHO).await?;
            if got.same(&there) {
                break there;
            }
            let late = began.elapsed() > deadline::TWIN.limit;
            tale.hold(!late, "TWIN-GET-12", format!("the new twin: {there}"), got.to_string())?;
        };
        tale.step("the cloud is out of reach; it reads again");
        let outage = ground::cut(&mut tale, stage).await?;
        let reader = Actor::enter(stage, WHO).await?;
        let got = reader.get(&mut tale).await;
        ground::mend(&mut tale, stage, outage).await?;
        let got = got?;
        tale.hold(got.same(&fresh), "TWIN-GET-12", format!("the new twin: {fresh}"), got.to_string())
    }
    .await;
    worker.discard_stage().await;
    tale::outcome(told)
}
