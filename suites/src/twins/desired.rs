//! Who hears of what the cloud desires, and what. Covers TWIN-DES.

use std::time::{Duration, Instant};

use harness::client::iot_hub::{Condition, Kind, Operation};
use harness::client::mqtt::twin::DesiredPatch;
use harness::outcome::Violation;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::ground::{self, ALPHA, Actor, BETA, Going, LEAF, cloud, desire, document, is_between, shown, untouched};
use super::offline::until_the_cloud_answers;
use super::tale::{self, Tale, Told};
use crate::declare::{self, fixed, over_mqtt, restarting};
use crate::generate;
use crate::oracle::twin::{self, Json, Nulls};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    macro_rules! on_stage {
        ($name:literal, $requirements:expr, $course:ident) => {
            fixed("twins", concat!("twins::desired::", $name), &$requirements, |worker: &mut Worker| {
                Box::pin(async move { tale::outcome($course(ground::stage(worker).await?).await) })
            })
        };
    }
    vec![
        on_stage!("after_an_outage_one_patch_makes_up_for_what_was_missed", ["TWIN-DES-09"], outage),
        on_stage!("a_patch_that_cannot_be_made_up_for_is_not_delivered", ["TWIN-DES-08", "TWIN-DES-06"], unrepaired),
        declare::on(
            ground::blueprint,
            declare::property(
                "twins",
                "twins::desired::changes_arrive_once_and_in_order_and_lead_to_the_clouds_document",
                &["TWIN-DES-01", "TWIN-DES-02", "TWIN-DES-03", "TWIN-DES-12", "TWIN-DES-13", "MQTT-TWIN-12"],
                2,
                changes,
                |stage, changes| Box::pin(play(stage, changes)),
            ),
        ),
        on_stage!("a_lost_patch_is_made_up_for_by_one_with_the_next", ["TWIN-DES-06", "TWIN-DES-13"], gap),
        on_stage!("what_is_old_is_not_delivered_again", ["TWIN-DES-07"], old),
        on_stage!("subscribing_delivers_nothing", ["TWIN-DES-05"], subscribing),
        on_stage!(
            "whoever_is_not_subscribed_hears_nothing",
            ["TWIN-DES-04", "TWIN-DES-15", "MQTT-TWIN-12"],
            unsubscribed
        ),
        on_stage!("subscribing_again_after_unsubscribing_works", ["TWIN-DES-01", "TWIN-DES-15"], resubscribed),
        on_stage!("whoever_comes_back_gets_no_replay", ["TWIN-DES-11"], returned),
        on_stage!("whoever_never_read_gets_patches_as_they_are", ["TWIN-DES-01"], unread),
        over_mqtt(restarting(
            "twins",
            "twins::desired::a_stored_subscription_outlives_the_hub",
            &["TWIN-DES-01"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(stored(ground::stage(worker).await?).await) }),
        )),
    ]
}

/// What the cloud does to desired properties, and whether what it does next follows at once.
#[derive(Debug, Clone)]
struct Change {
    patch: Value,
    pipelined: bool,
}

fn changes() -> BoxedStrategy<Vec<Change>> {
    let patch = prop_oneof![3 => generate::twin::patch(), 1 => generate::twin::document()];
    vec((patch, any::<bool>()).prop_map(|(patch, pipelined)| Change { patch, pipelined }), 1..6).boxed()
}

async fn play(stage: &mut Stage, changes: &[Change]) -> Result<Option<Violation>, StageError> {
    tale::found(follow(stage, changes).await)
}

/// `$version` of a patch, in its topic and its body; they must agree.
fn version_of(tale: &Tale, heard: &DesiredPatch) -> Told<u64> {
    let body = twin::read(&heard.body).unwrap_or_else(twin::empty);
    let named = twin::version(&body);
    let expected = "`$version` beside the patch and in it, and the same";
    let observed = format!("topic {}, body {}", heard.topic, shown(&body));
    tale.hold(heard.version.is_some() && named == heard.version, "TWIN-DES-12", expected, observed)?;
    Ok(named.unwrap_or_default())
}

async fn follow(stage: &mut Stage, changes: &[Change]) -> Told {
    let mut tale = Tale::about("TWIN-DES-01");
    let iot_hub = stage.environment().iot_hub();
    iot_hub.replace_desired(ALPHA.device, ALPHA.module, json!({})).await?;
    let mut actor = Actor::enter(stage, ALPHA).await?;
    actor.listen(&mut tale, stage).await?;
    let mut view = actor.get(&mut tale).await?.desired;
    tale.step(format!("{ALPHA} subscribes to desired patches and reads its twin"));
    let mut due = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        tale.step(format!(
            "the cloud desires {}{}",
            change.patch,
            if change.pipelined { ", and without a pause" } else { "" }
        ));
        due.push((desire(&mut tale, stage, ALPHA, &change.patch).await?, &change.patch));
        if change.pipelined && number + 1 < changes.len() {
            continue;
        }
        for (version, change) in std::mem::take(&mut due) {
            let expected = format!("version {version} is heard of, once and in order");
            let heard = actor.heard(&mut tale, "TWIN-DES-01", &expected).await?;
            let got = version_of(&tale, &heard)?;
            tale.hold(
                got == version,
                if got < version { "TWIN-DES-02" } else { "TWIN-DES-01" },
                expected,
                format!("version {got}"),
            )?;
            if stage.environment().transport().is_mqtt() {
                let topic = format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
                tale.hold(heard.topic == topic, "MQTT-TWIN-12", topic.clone(), heard.topic.clone())?;
                tale.hold(heard.qos == 1, "MQTT-TWIN-12", "delivered at QoS 1, as was granted", heard.qos.to_string())?;
            }
            let patch = twin::read(&heard.body).unwrap_or_else(twin::empty);
            let before = view.clone();
            view = twin::merge(&view, &patch, Nulls::Strip);
            deletions_are_told(&tale, change, &patch, &before)?;
        }
        let there = cloud(iot_hub, ALPHA).await?.desired;
        let expected = format!("the patches over what was read give the cloud's document: {}", shown(&there));
        tale.hold(twin::same(&view, &there), "TWIN-DES-03", expected, shown(&view))?;
    }
    Ok(())
}

/// A member the cloud took away is null in what the client hears.
fn deletions_are_told(tale: &Tale, change: &Value, heard: &Json, before: &Json) -> Told {
    let gone = change.as_object().into_iter().flatten().filter(|(_, value)| value.is_null());
    for (name, _) in gone.filter(|(name, _)| twin::member(before, name).is_some()) {
        let told = twin::member(heard, name) == Some(&Json::Null);
        tale.hold(told, "TWIN-DES-13", format!("the deletion of `{name}` is told as null"), shown(heard))?;
    }
    Ok(())
}

async fn gap(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-06");
    let mut actor = Actor::enter(stage, ALPHA).await?;
    desire(&mut tale, stage, ALPHA, &json!({ "gone": 1, "o": {"x": 1, "y": 2}, "same": [1] })).await?;
    actor.listen(&mut tale, stage).await?;
    let known = actor.get(&mut tale).await?.desired;
    tale.step(format!("{ALPHA} subscribes and reads its twin"));
    let iot_hub = stage.environment().iot_hub();
    let lost = Condition::new(Kind::Unanswered, ALPHA.concerned()).on(Operation::DesiredNotice);
    let lost = iot_hub.impose_condition(&lost).await?;
    let changes = [json!({"gone": null, "o": {"x": null}}), json!({"late": ground::tick()})];
    for change in &changes {
        tale.step(format!("the cloud desires {change}, and the notice of it is lost"));
        desire(&mut tale, stage, ALPHA, change).await?;
    }
    iot_hub.lift(lost).await?;
    tale.step("the cloud desires {\"o\":{\"y\":3}}");
    let version = desire(&mut tale, stage, ALPHA, &json!({"o": {"y": 3}})).await?;
    let there = cloud(iot_hub, ALPHA).await?.desired;
    let wanted = twin::diff(&known, &there);
    let expected = format!("one patch with all of it: {}", shown(&wanted));
    let heard = actor.heard(&mut tale, "TWIN-DES-06", &expected).await?;
    let got = twin::read(&heard.body).unwrap_or_else(twin::empty);
    let current = version_of(&tale, &heard)? == version;
    tale.hold(current, "TWIN-DES-06", format!("it has the current version, {version}"), shown(&got))?;
    let deleted = twin::member(&got, "gone") == Some(&Json::Null);
    tale.hold(deleted, "TWIN-DES-13", "the deletion of `gone` is told as null", shown(&got))?;
    tale.hold(twin::same(&got, &wanted), "TWIN-DES-06", expected, shown(&got))?;
    next_is(&mut tale, stage, &mut actor, "TWIN-DES-06").await
}

/// The next that is heard of is a change made now.
async fn next_is(tale: &mut Tale, stage: &Stage, actor: &mut Actor, requirement: &str) -> Told {
    tale.step("the cloud changes something else");
    let version = desire(tale, stage, actor.party, &json!({ "tick": ground::tick() })).await?;
    let expected = format!("the next that is heard of is that, version {version}");
    let heard = actor.heard(tale, requirement, &expected).await?;
    tale.hold(
        heard.version == Some(version),
        requirement,
        expected,
        format!("{}: {}", heard.topic, ground::text(&heard.body)),
    )
}

async fn old(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-07");
    let mut actor = Actor::enter(stage, ALPHA).await?;
    actor.listen(&mut tale, stage).await?;
    actor.get(&mut tale).await?;
    let version = desire(&mut tale, stage, ALPHA, &json!({ "tick": ground::tick() })).await?;
    let heard = actor.heard(&mut tale, "TWIN-DES-01", "the change is heard of").await?;
    tale.hold(heard.version == Some(version), "TWIN-DES-01", format!("version {version}"), heard.topic.clone())?;
    tale.step(format!("{ALPHA} subscribes, reads its twin, and hears of version {version}"));
    let iot_hub = stage.environment().iot_hub();
    let body: Value = heard.json();
    for again in [body.clone(), json!({"tick": 0, "$version": version - 1}), body] {
        tale.step(format!("the cloud sends the notice {again}, though nothing has changed"));
        let sent = iot_hub.send_desired_notice(ALPHA.device, ALPHA.module, again.clone()).await?;
        tale.saw("iot_hub", format!("notice {again}{}", if sent { "" } else { ", to nobody" }));
    }
    next_is(&mut tale, stage, &mut actor, "TWIN-DES-07").await
}

/// The notice of one change is lost, and the twin cannot be read when the next comes.
async fn unrepaired(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-08");
    let mut actor = Actor::enter(stage, BETA).await?;
    actor.listen(&mut tale, stage).await?;
    let known = actor.get(&mut tale).await?.desired;
    let iot_hub = stage.environment().iot_hub();
    let lost = Condition::new(Kind::Unanswered, BETA.concerned()).on(Operation::DesiredNotice);
    let lost = iot_hub.impose_condition(&lost).await?;
    tale.step(format!(
        "{BETA} subscribes and reads its twin; the cloud desires {{\"lost\":..}}, and the notice of it is lost"
    ));
    desire(&mut tale, stage, BETA, &json!({ "lost": ground::tick() })).await?;
    iot_hub.lift(lost).await?;
    let from = iot_hub.next_call().await?;
    let throttled = Condition::new(Kind::Throttled, BETA.concerned()).on(Operation::TwinGet);
    let throttled = iot_hub.impose_condition(&throttled).await?;
    tale.step("the cloud desires {\"unread\":..}, and answers 429 to whoever reads the twin");
    desire(&mut tale, stage, BETA, &json!({ "unread": ground::tick() })).await?;
    let read = |call: &Value| call["call"] == "twin_get" && call["client_id"] == BETA.client_id();
    let asked = iot_hub.call_that(from, harness::deadline::REPORTED, "a read of the twin", read).await;
    // What the hub makes of the refusal takes it no longer than an answer to somebody else.
    let told = match asked {
        Ok(_) => actor.get(&mut tale).await.map(drop),
        Err(why) => {
            Err(tale.broken("TWIN-DES-06", "the hub reads the twin, since a version is missing", why.to_string()))
        }
    };
    iot_hub.lift(throttled).await?;
    told?;
    actor.nothing_heard(&mut tale, "TWIN-DES-08", "nothing is delivered of a change that cannot be made up for")?;
    tale.step("the cloud can be read again, and desires {\"last\":..}");
    let version = desire(&mut tale, stage, BETA, &json!({ "last": ground::tick() })).await?;
    let there = cloud(iot_hub, BETA).await?.desired;
    let expected = format!("one patch with all three: {}", shown(&twin::diff(&known, &there)));
    let heard = actor.heard(&mut tale, "TWIN-DES-06", &expected).await?;
    let got = twin::read(&heard.body).unwrap_or_else(twin::empty);
    let first = heard.version == Some(version);
    tale.hold(first, "TWIN-DES-08", format!("the first that is heard of has version {version}"), shown(&got))?;
    let view = twin::merge(&known, &got, Nulls::Strip);
    tale.hold(twin::same(&view, &there), "TWIN-DES-06", expected, shown(&got))
}

/// Longer than MinTwinSyncPeriodSecs, and much less.
const PERIOD: Duration = Duration::from_millis(2_300);
const NOT_YET: Duration = Duration::from_millis(1_300);

/// An outage that ends before the period is over puts nothing off.
async fn outage(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-09");
    let mut actor = Actor::enter(stage, LEAF).await?;
    desire(&mut tale, stage, LEAF, &json!({ "gone": 1 })).await?;
    actor.listen(&mut tale, stage).await?;
    let known = actor.get(&mut tale).await?.desired;
    let read = Instant::now();
    tale.step(format!(
        "{LEAF} subscribes and reads its twin; before MinTwinSyncPeriodSecs are over there is an outage"
    ));
    tokio::time::sleep(NOT_YET).await;
    let outage = noticed_outage(&mut tale, stage).await?;
    ground::mend(&mut tale, stage, outage).await?;
    until_the_cloud_answers(&mut tale, stage, BETA).await?;
    tale.step(
        "when they are over there is another, during which the cloud desires {\"gone\":null} and {\"missed\":..}",
    );
    tokio::time::sleep(PERIOD.saturating_sub(read.elapsed())).await;
    let outage = noticed_outage(&mut tale, stage).await?;
    desire(&mut tale, stage, LEAF, &json!({ "gone": null })).await?;
    let version = desire(&mut tale, stage, LEAF, &json!({ "missed": ground::tick() })).await?;
    ground::mend(&mut tale, stage, outage).await?;
    until_the_cloud_answers(&mut tale, stage, BETA).await?;
    let there = cloud(stage.environment().iot_hub(), LEAF).await?.desired;
    let wanted = twin::diff(&known, &there);
    let expected = format!("one patch makes up for both: {}", shown(&wanted));
    let heard = actor.heard(&mut tale, "TWIN-DES-09", &expected).await?;
    let got = twin::read(&heard.body).unwrap_or_else(twin::empty);
    tale.hold(heard.version == Some(version), "TWIN-DES-09", format!("it has version {version}"), heard.topic.clone())?;
    tale.hold(twin::same(&got, &wanted), "TWIN-DES-09", expected, shown(&got))?;
    tale.step("a period later there is one during which nothing changes");
    tokio::time::sleep(PERIOD).await;
    let outage = noticed_outage(&mut tale, stage).await?;
    ground::mend(&mut tale, stage, outage).await?;
    until_the_cloud_answers(&mut tale, stage, BETA).await?;
    let version = actor.heard_tick_only(&mut tale, stage, "TWIN-DES-09").await?;
    tale.saw(LEAF, format!("the first that was heard of after the outage has version {version}"));
    Ok(())
}

/// The cloud is out of reach, and somebody who reads makes the hub notice.
async fn noticed_outage(tale: &mut Tale, stage: &Stage) -> Told<u64> {
    let outage = ground::cut(tale, stage).await?;
    Actor::enter(stage, BETA).await?.get(tale).await?;
    Ok(outage)
}

async fn subscribing(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-05");
    let mut first = Actor::enter(stage, ALPHA).await?;
    first.listen(&mut tale, stage).await?;
    first.get(&mut tale).await?;
    drop(first);
    let mut actor = Actor::enter(stage, ALPHA).await?;
    tale.step(format!("{ALPHA} connects anew, subscribes to desired patches, twice, and reads its twin"));
    for _ in 0..2 {
        actor.subscribe(&mut tale).await?;
        actor.get(&mut tale).await?;
    }
    actor.nothing_heard(&mut tale, "TWIN-DES-05", "nothing is delivered before something changes")?;
    let version = actor.heard_tick_only(&mut tale, stage, "TWIN-DES-05").await?;
    tale.saw(ALPHA, format!("the first that was heard of has version {version}"));
    Ok(())
}

async fn unsubscribed(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-04");
    let (mut actor, mut control) = (Actor::enter(stage, ALPHA).await?, Actor::enter(stage, BETA).await?);
    control.listen(&mut tale, stage).await?;
    tale.step(format!("{ALPHA} reads its twin without subscribing; the cloud desires something of it, and then of {BETA}, which subscribed"));
    actor.get(&mut tale).await?;
    desire(&mut tale, stage, ALPHA, &json!({ "unheard": ground::tick() })).await?;
    control.heard_tick(&mut tale, stage).await?;
    actor.get(&mut tale).await?;
    actor.nothing_heard(&mut tale, "TWIN-DES-04", "it hears nothing")?;
    tale.step(format!("{ALPHA} subscribes and hears of a change; it unsubscribes, and there is another"));
    actor.listen(&mut tale, stage).await?;
    actor.client.unsubscribe().await.map_err(|why| tale.unanswered("UNSUBSCRIBE is answered", &why))?;
    actor.client.desired_so_far();
    desire(&mut tale, stage, ALPHA, &json!({ "unheard": ground::tick() })).await?;
    control.heard_tick(&mut tale, stage).await?;
    actor.get(&mut tale).await?;
    actor.nothing_heard(&mut tale, "TWIN-DES-15", "it hears nothing after UNSUBACK")
}

/// Also where there was nothing to unsubscribe from.
async fn resubscribed(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-01");
    let mut actor = Actor::enter(stage, ALPHA).await?;
    for _ in 0..2 {
        tale.step(format!("{ALPHA} unsubscribes from desired patches, and subscribes; the cloud changes something"));
        actor.client.unsubscribe().await.map_err(|why| tale.unanswered("UNSUBSCRIBE is answered", &why))?;
        actor.listen(&mut tale, stage).await?;
    }
    Ok(())
}

async fn returned(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-11");
    let mut first = Actor::enter(stage, ALPHA).await?;
    first.listen(&mut tale, stage).await?;
    first.get(&mut tale).await?;
    first.client.disconnect().await;
    tale.step(format!("{ALPHA} subscribes, reads its twin and leaves; the cloud changes something; it comes back, subscribes, and reads"));
    let missed = desire(&mut tale, stage, ALPHA, &json!({ "missed": ground::tick() })).await?;
    let mut actor = Actor::enter(stage, ALPHA).await?;
    actor.subscribe(&mut tale).await?;
    let before = cloud(stage.environment().iot_hub(), ALPHA).await?;
    let got = actor.get(&mut tale).await?;
    let there = cloud(stage.environment().iot_hub(), ALPHA).await?;
    tale.hold(is_between(&got, &before, &there), "TWIN-DES-11", format!("the read shows {there}"), got.to_string())?;
    actor.nothing_heard(&mut tale, "TWIN-DES-11", "what was missed is not replayed")?;
    let version = actor.heard_tick_only(&mut tale, stage, "TWIN-DES-11").await?;
    tale.hold(version > missed, "TWIN-DES-11", format!("a version above {missed}"), version.to_string())
}

async fn unread(stage: &mut Stage) -> Told {
    const WHO: ground::Party = untouched::LISTENER;
    let mut tale = Tale::about("TWIN-DES-01");
    let mut actor = Actor::enter(stage, WHO).await?;
    tale.step(format!(
        "{WHO} has never read its twin nor reported; it subscribes, and the cloud changes something, in steps"
    ));
    actor.listen(&mut tale, stage).await?;
    for change in [json!({"a": {"b": 1}}), json!({"a": {"b": null, "c": [1, "x"]}}), json!({"a": null})] {
        let version = desire(&mut tale, stage, WHO, &change).await?;
        let mut wanted = change;
        wanted["$version"] = json!(version);
        let expected = format!("the patch as it is: {wanted}");
        let heard = actor.heard(&mut tale, "TWIN-DES-01", &expected).await?;
        let got = twin::read(&heard.body).unwrap_or_else(twin::empty);
        tale.hold(twin::same(&got, &document(&wanted)), "TWIN-DES-01", expected, shown(&got))?;
    }
    Ok(())
}

async fn stored(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-DES-01");
    for going in [Going::Stopped, Going::Killed] {
        let mut actor = Actor::enter_as(stage, ALPHA, false).await?;
        actor.listen(&mut tale, stage).await?;
        tale.step(format!(
            "{ALPHA} subscribes in a session that is kept; {going}; it connects, and subscribes to nothing"
        ));
        drop(actor);
        ground::restart(stage, going).await?;
        let login = stage.environment().login(&ALPHA.identity());
        let login = harness::client::mqtt::Login { clean_session: false, ..login };
        let connected = harness::client::mqtt::MqttClient::connect(login).await;
        let mqtt = connected.map_err(|source| StageError::Connect { who: ALPHA.to_string(), source })?;
        let client = harness::client::mqtt::twin::TwinClient::deaf(mqtt);
        let mut actor =
            Actor { party: ALPHA, client: harness::client::hub_client::twin::TwinClient::Mqtt(Box::new(client)) };
        tale.saw(ALPHA, "connected to its session");
        actor.heard_tick(&mut tale, stage).await?;
        actor.get(&mut tale).await?;
    }
    // A clean session takes the stored one away.
    Actor::enter(stage, ALPHA).await.map(drop).map_err(Into::into)
}
