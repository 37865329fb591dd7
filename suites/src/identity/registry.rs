//! The cloud's registry changes while the hub runs. Covers AUTH-006 to -009.

use std::time::Duration;

use harness::client::iot_hub::Concerns;
use harness::client::mqtt::ConnectError;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline;
use harness::observe::history::{History, MARK};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::newcomer::{Newcomer, blueprint, refresh};
use crate::course::{broken, ended, routes};
use crate::declare::{Course, fixed};
use crate::mqtt_head::guest::{GUEST, Seen, ask, module, proper, until};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let test = |name: &str, requirements: &[&str], play: Course| fixed("identity", name, requirements, play);
    vec![
        test("identity::registry::the_cloud_is_asked_for_whom_the_hub_does_not_know", &["AUTH-006"], |worker| {
            Box::pin(unknown(worker))
        }),
        test("identity::registry::a_disabled_device_is_refused_until_it_is_enabled", &["AUTH-007"], |worker| {
            Box::pin(disabled(worker))
        }),
        test("identity::registry::a_new_key_is_good_at_once", &["AUTH-008"], |worker| Box::pin(rotated(worker))),
        test("identity::registry::wrong_keys_do_not_flood_the_cloud", &["AUTH-008"], |worker| Box::pin(flood(worker))),
        test("identity::registry::whoever_was_removed_has_to_go_and_nobody_else", &["AUTH-009"], |worker| {
            Box::pin(change_under_connection(worker, Change::Removed, News::Told))
        }),
        test("identity::registry::whoever_has_another_key_now_has_to_go", &["AUTH-009"], |worker| {
            Box::pin(change_under_connection(worker, Change::Rotated, News::Told))
        }),
        test("identity::registry::the_whole_scope_tells_who_is_gone", &["AUTH-009"], |worker| {
            Box::pin(change_under_connection(worker, Change::Removed, News::Due))
        }),
        test("identity::registry::messages_of_who_is_gone_hold_up_nobody", &["AUTH-009"], |worker| {
            Box::pin(left_behind(worker))
        }),
    ]
}

/// The worker's stage for these tests.
async fn ground(worker: &mut Worker) -> Result<&mut Stage, StageError> {
    worker.set_stage(blueprint());
    worker.stage().await
}

/// What was asked of the cloud about single identities since call number `from`.
async fn asked(stage: &Stage, from: u64) -> Result<usize, StageError> {
    let calls = stage.environment().iot_hub().calls(from).await?;
    Ok(calls.iter().filter(|call| call["call"] == "identity").count())
}

async fn unknown(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground(worker).await?;
    for is_module in [true, false] {
        let mut newcomer = Newcomer::create(stage, is_module).await?;
        newcomer.remove(stage.environment()).await?;
        let mut steps = vec![format!("{} connects, which the cloud does not know", newcomer.told())];
        let from = stage.environment().iot_hub().next_call().await?;
        let (_, seen) = newcomer.comes(stage.environment(), &newcomer.keys.primary).await?;
        if seen != Seen::Code(5) {
            return Ok(ended(Some(broken("AUTH-006", "CONNACK 0x05", seen.to_string(), &steps))));
        }
        if asked(stage, from).await? == 0 {
            let expected = "the cloud is asked for it before it is refused";
            return Ok(ended(Some(broken("AUTH-006", expected, "the cloud was not asked", &steps))));
        }
        newcomer.register(stage.environment()).await?;
        steps.push("it is created in the cloud, and connects".to_owned());
        let (raw, seen) = newcomer.comes(stage.environment(), &newcomer.keys.primary).await?;
        if seen != Seen::Code(0) {
            return Ok(ended(Some(broken("AUTH-006", "CONNACK 0x00", seen.to_string(), &steps))));
        }
        let _ = raw.disconnect().await;
        newcomer.remove(stage.environment()).await?;
    }
    Ok(Outcome::Conforms)
}

async fn disabled(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground(worker).await?;
    let newcomer = Newcomer::create(stage, false).await?;
    let environment = stage.environment();
    let mut steps = vec![format!("{} connects", newcomer.told())];
    let (mut raw, seen) = newcomer.comes(environment, &newcomer.keys.primary).await?;
    if seen != Seen::Code(0) {
        return Ok(ended(Some(broken("AUTH-007", "CONNACK 0x00", seen.to_string(), &steps))));
    }
    environment.iot_hub().enable_device(&newcomer.device, false).await?;
    refresh(environment, &[&newcomer]).await?;
    steps.push("it is disabled in the cloud, and the hub is told to ask for it".to_owned());
    // Its connection ends when the hub knows; after that nothing depends on how fast the scope is read.
    if let Err(expired) = raw.closed(deadline::CLOSED).await {
        return Ok(ended(Some(broken("AUTH-007", "its connection ends", expired.to_string(), &steps))));
    }
    steps.push("it connects again".to_owned());
    let (_, seen) = newcomer.comes(environment, &newcomer.keys.primary).await?;
    if seen != Seen::Code(5) {
        return Ok(ended(Some(broken("AUTH-007", "CONNACK 0x05", seen.to_string(), &steps))));
    }
    environment.iot_hub().enable_device(&newcomer.device, true).await?;
    steps.push("it is enabled again, and connects".to_owned());
    let (_, seen) = newcomer.comes(environment, &newcomer.keys.primary).await?;
    newcomer.remove(environment).await?;
    Ok(ended((seen != Seen::Code(0)).then(|| broken("AUTH-007", "CONNACK 0x00", seen.to_string(), &steps))))
}

async fn rotated(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground(worker).await?;
    for is_module in [true, false] {
        let mut newcomer = Newcomer::create(stage, is_module).await?;
        let environment = stage.environment();
        let old = newcomer.keys.clone();
        let mut steps = vec![format!("{} connects", newcomer.told())];
        let (raw, first) = newcomer.comes(environment, &old.primary).await?;
        let _ = raw.disconnect().await;
        newcomer.rotate(environment).await?;
        steps.push("it gets other keys in the cloud".to_owned());
        let fresh = newcomer.keys.clone();
        let tries = [
            ("a token of its new first key", &fresh.primary, 0),
            ("a token of its new second key", &fresh.secondary, 0),
            ("a token of its old first key", &old.primary, 5),
            ("a token of its old second key", &old.secondary, 5),
        ];
        if first != Seen::Code(0) {
            return Ok(ended(Some(broken("AUTH-008", "CONNACK 0x00", first.to_string(), &steps))));
        }
        for (what, key, code) in tries {
            steps.push(format!("it connects with {what}"));
            let (_, seen) = newcomer.comes(environment, key).await?;
            if seen != Seen::Code(code) {
                let expected = Seen::Code(code).to_string();
                return Ok(ended(Some(broken("AUTH-008", expected, seen.to_string(), &steps))));
            }
        }
        newcomer.remove(environment).await?;
    }
    Ok(Outcome::Conforms)
}

/// On the stage of the other suites, whose hub has the product's own delay between two questions.
async fn flood(worker: &mut Worker) -> Result<Outcome, StageError> {
    const TRIES: usize = 4;
    let stage = worker.stage().await?;
    let from = stage.environment().iot_hub().next_call().await?;
    let mut thief = proper(stage.environment(), &module(GUEST));
    thief.password = Some(stage.environment().token(&module("probe")).into_bytes());
    for _ in 0..TRIES {
        let seen = ask(stage.environment(), "thief", &thief).await?;
        if seen != Seen::Code(5) {
            let source = ConnectError::Closed(seen.to_string());
            return Err(StageError::Connect { who: "module guest with another's token".to_owned(), source });
        }
    }
    let count = asked(stage, from).await?;
    let steps = [format!("{TRIES} times in a row somebody connects as module guest, with a token of module probe")];
    let expected = "the cloud is asked for module guest once at most";
    Ok(ended((count > 1).then(|| broken("AUTH-008", expected, format!("it was asked {count} times"), &steps))))
}

/// What befalls an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Removed,
    Rotated,
}

/// How the hub comes to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// It is told whom to ask for.
    Told,
    /// It reads the whole scope from time to time.
    Due,
}

/// Two are connected, and two bystanders. What befalls the first two ends their connections, and only theirs.
async fn change_under_connection(worker: &mut Worker, change: Change, news: News) -> Result<Outcome, StageError> {
    let mut blueprint = blueprint();
    if news == News::Due {
        blueprint.settings.push(("DeviceScopeCacheRefreshRateSecs".to_owned(), "1".to_owned()));
    }
    worker.set_stage(blueprint);
    let stage = worker.stage().await?;
    let mut changed = [Newcomer::create(stage, true).await?, Newcomer::create(stage, false).await?];
    let bystanders = [Newcomer::create(stage, true).await?, Newcomer::create(stage, false).await?];
    let environment = stage.environment();
    let mut steps = Vec::new();
    let mut connections = Vec::new();
    for newcomer in changed.iter().chain(&bystanders) {
        steps.push(format!("{} connects", newcomer.told()));
        let (raw, seen) = newcomer.comes(environment, &newcomer.keys.primary).await?;
        if seen != Seen::Code(0) {
            return Ok(ended(Some(broken("AUTH-006", "CONNACK 0x00", seen.to_string(), &steps))));
        }
        connections.push(raw);
    }
    for newcomer in &mut changed {
        match change {
            Change::Removed => newcomer.remove(environment).await?,
            Change::Rotated => newcomer.rotate(environment).await?,
        }
        let what = if change == Change::Removed { "is removed" } else { "gets other keys" };
        steps.push(format!("{} {what} in the cloud", newcomer.told()));
    }
    match news {
        News::Told => {
            let all: Vec<&Newcomer> = changed.iter().chain(&bystanders).collect();
            refresh(environment, &all).await?;
            steps.push("the hub is told to ask for all of them".to_owned());
        }
        News::Due => steps.push("the hub reads its whole scope, as it does every second".to_owned()),
    }
    let mut standing = connections.split_off(changed.len());
    for (newcomer, raw) in changed.iter().zip(&mut connections) {
        if let Err(expired) = raw.closed(deadline::CLOSED).await {
            let expected = format!("the connection of {} ends", newcomer.told());
            return Ok(ended(Some(broken("AUTH-009", expected, expired.to_string(), &steps))));
        }
    }
    for (newcomer, raw) in bystanders.iter().zip(&mut standing) {
        if !matches!(raw.ping().await, Ok(Some(_))) {
            let expected = format!("the connection of {} stands", newcomer.told());
            return Ok(ended(Some(broken("AUTH-009", expected, "it does not answer PINGREQ", &steps))));
        }
    }
    for newcomer in &changed {
        let (code, how) = if change == Change::Rotated { (0, "with its new key") } else { (5, "again") };
        steps.push(format!("{} connects {how}", newcomer.told()));
        let (_, seen) = newcomer.comes(environment, &newcomer.keys.primary).await?;
        if seen != Seen::Code(code) {
            return Ok(ended(Some(broken("AUTH-009", Seen::Code(code).to_string(), seen.to_string(), &steps))));
        }
    }
    for newcomer in bystanders.iter().chain(changed.iter().filter(|_| change == Change::Rotated)) {
        newcomer.remove(environment).await?;
    }
    Ok(Outcome::Conforms)
}

/// Two devices send while the cloud is out of reach, and are gone when it is back: one removed, one disabled. What a
/// third sent behind them must arrive, and what it sends later.
async fn left_behind(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground(worker).await?;
    stage.configure(routes([("left", "FROM /messages WHERE lane = 'left' INTO $upstream")])).await?;
    let mut steps = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..3 {
        let newcomer = Newcomer::create(stage, false).await?;
        steps.push(format!("{} connects", newcomer.told()));
        let (raw, seen) = newcomer.comes(stage.environment(), &newcomer.keys.primary).await?;
        if seen != Seen::Code(0) {
            return Ok(ended(Some(broken("AUTH-006", "CONNACK 0x00", seen.to_string(), &steps))));
        }
        senders.push((newcomer, raw));
    }
    let outage = stage.environment().iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    steps.push("the cloud is out of reach; each publishes a message towards it".to_owned());
    let mut mark = String::new();
    for (newcomer, raw) in &mut senders {
        mark = match towards_the_cloud(stage, &newcomer.device, raw).await {
            Ok(mark) => mark,
            Err(observed) => return Ok(ended(Some(broken("AUTH-009", "PUBACK", observed, &steps)))),
        };
    }
    let environment = stage.environment();
    senders[0].0.remove(environment).await?;
    environment.iot_hub().enable_device(&senders[1].0.device, false).await?;
    environment.iot_hub().lift(outage).await?;
    steps.push(
        "the first is removed in the cloud, the second is disabled, and the cloud is within reach again".to_owned(),
    );
    let mut found = None;
    for _ in 0..2 {
        let mut history = History::begin();
        let arrived = |history: &History| !history.places_of(&mark).is_empty();
        let waited = stage.collect(&mut history, deadline::DRAIN, "the message of the third", arrived).await;
        let expected = "the message of the third arrives in the cloud";
        found = waited.err().map(|expired| broken("AUTH-009", expected, expired.to_string(), &steps));
        if found.is_some() {
            break;
        }
        steps.push("the third publishes another message".to_owned());
        let (newcomer, raw) = &mut senders[2];
        mark = match towards_the_cloud(stage, &newcomer.device, raw).await {
            Ok(mark) => mark,
            Err(observed) => return Ok(ended(Some(broken("AUTH-009", "PUBACK", observed, &steps)))),
        };
    }
    for (newcomer, _) in &senders[1..] {
        newcomer.remove(stage.environment()).await?;
    }
    Ok(ended(found))
}

/// Publishes a message that goes to the cloud, and gives its mark.
async fn towards_the_cloud(stage: &mut Stage, device: &str, raw: &mut RawMqtt) -> Result<String, String> {
    let mark = stage.mark();
    let topic = format!("devices/{device}/messages/events/lane=left&{MARK}={mark}");
    raw.write(&packet::publish(1, &topic, b"")).await;
    until(raw, deadline::ACKNOWLEDGEMENT, Packet::puback).await.map(|_| mark)
}
