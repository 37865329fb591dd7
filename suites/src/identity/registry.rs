//! The cloud's registry changes while the hub runs. Covers AUTH-006 to -009.

use harness::client::mqtt::ConnectError;
use harness::deadline;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::newcomer::{Newcomer, blueprint, refresh};
use crate::course::{broken, ended};
use crate::declare::{Course, fixed};
use crate::mqtt_head::guest::{GUEST, Seen, ask, module, proper};

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
            Box::pin(removed(worker))
        }),
        test("identity::registry::whoever_has_another_key_now_has_to_go", &["AUTH-009"], |worker| {
            Box::pin(outdated(worker))
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
    refresh(environment).await?;
    steps.push("it is disabled in the cloud, and the hub is told to read its scope".to_owned());
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

async fn removed(worker: &mut Worker) -> Result<Outcome, StageError> {
    change_under_connection(worker, "is removed in the cloud", false).await
}

async fn outdated(worker: &mut Worker) -> Result<Outcome, StageError> {
    change_under_connection(worker, "gets other keys in the cloud", true).await
}

/// Two are connected, and a bystander. What befalls the two ends their connections at the next refresh, and only theirs.
async fn change_under_connection(worker: &mut Worker, what: &str, rotate: bool) -> Result<Outcome, StageError> {
    let stage = ground(worker).await?;
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
        if rotate {
            newcomer.rotate(environment).await?
        } else {
            newcomer.remove(environment).await?
        }
        steps.push(format!("{} {what}", newcomer.told()));
    }
    refresh(environment).await?;
    steps.push("the hub is told to read its scope".to_owned());
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
        let (code, how) = if rotate { (0, "with its new key") } else { (5, "again") };
        steps.push(format!("{} connects {how}", newcomer.told()));
        let (_, seen) = newcomer.comes(environment, &newcomer.keys.primary).await?;
        if seen != Seen::Code(code) {
            return Ok(ended(Some(broken("AUTH-009", Seen::Code(code).to_string(), seen.to_string(), &steps))));
        }
    }
    for newcomer in bystanders.iter().chain(changed.iter().filter(|_| rotate)) {
        newcomer.remove(environment).await?;
    }
    Ok(Outcome::Conforms)
}
