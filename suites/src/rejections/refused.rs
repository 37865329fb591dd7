//! A module tries to get messages from the cloud, or the right to upload a file. Nothing comes of it, and nothing of its
//! own stops. Covers C2D-01, -02, -12, MQTT-C2D-03 and FILE.
//!
//! Beside it a leaf device gets its message in every case: the cloud does send, and the test can tell.

use std::collections::BTreeSet;

use harness::client::iot_hub::{MessageState, QueuedMessage};
use harness::deadline;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::at_work::AtWork;
use super::attempt::{Attempt, attempts, known};
use super::cloud;
use super::mailbox::Mailbox;
use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use crate::mqtt_head::guest::{GUEST, VISITOR};

const COVERED: [&str; 9] =
    ["C2D-01", "C2D-02", "MQTT-C2D-03", "C2D-12", "FILE-01", "FILE-02", "FILE-03", "FILE-04", "C2D-11"];

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "rejections",
            "rejections::refused::whatever_a_module_tries_comes_to_nothing",
            &COVERED,
            2,
            attempts,
            |stage, attempts| Box::pin(tried(stage, attempts)),
        ),
        fixed("rejections", "rejections::refused::every_known_way_is_closed", &COVERED, |worker| {
            Box::pin(closed(worker))
        }),
    ]
}

async fn closed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    Ok(ended(tried(stage, &known()).await?))
}

async fn tried(stage: &mut Stage, attempts: &[Attempt]) -> Result<Option<Violation>, StageError> {
    let mut steps = vec![
        "leaf device visitor connects and subscribes to its messages".to_owned(),
        "module guest connects and subscribes to inputs, twin responses, desired properties and methods".to_owned(),
    ];
    // The edge device gets messages in every case, and nobody ever takes them.
    stage.environment().iot_hub().purge_queue("gw7").await?;
    stage.environment().iot_hub().purge_queue(VISITOR).await?;
    let mut mailbox = Mailbox::open(stage.environment(), VISITOR, false).await?;
    if let Err(observed) = mailbox.subscribe(1).await {
        return Ok(Some(broken("C2D-05", "SUBACK for leaf device visitor", observed, &steps)));
    }
    // The answer shows that the device's earlier connection to the cloud is over, and can take no message away.
    if let Err(observed) = mailbox.look().await {
        return Ok(Some(broken("C2D-05", "leaf device visitor reads its twin", observed, &steps)));
    }
    let mut at_work = match AtWork::begin(stage).await? {
        Ok(at_work) => at_work,
        Err(observed) => return Ok(Some(broken("C2D-02", "SUBACK for module guest", observed, &steps))),
    };
    let from = stage.environment().iot_hub().next_call().await?;
    for attempt in attempts {
        steps.push(attempt.to_string());
        if let Err(observed) = at_work.attempt(stage, attempt).await {
            return Ok(Some(broken(attempt.requirement(), expected_of(attempt), observed, &steps)));
        }
    }
    let found = judged(stage, &mut at_work, &mut mailbox, from, attempts, &mut steps).await?;
    at_work.leave().await;
    let _ = mailbox.leave().await;
    Ok(found)
}

fn expected_of(attempt: &Attempt) -> &'static str {
    match attempt {
        Attempt::Subscribe { .. } => "SUBACK granting the QoS",
        Attempt::Publish { .. } => "PUBACK",
        Attempt::Ask { .. } => "status 404 without a body",
    }
}

async fn judged(
    stage: &mut Stage,
    at_work: &mut AtWork,
    mailbox: &mut Mailbox,
    from: u64,
    attempts: &[Attempt],
    steps: &mut Vec<String>,
) -> Result<Option<Violation>, StageError> {
    let marks = [stage.mark(), stage.mark(), stage.mark()];
    let [to_edge, to_module, to_leaf] = marks.each_ref().map(|mark| cloud::message(mark));
    let iot_hub = stage.environment().iot_hub();
    iot_hub.send_to_device("gw7", None, &to_edge).await?;
    // What the cloud says to this is its own affair; whether anything comes of it is not.
    let _ = iot_hub.send_to_device("gw7", Some(GUEST), &to_module).await;
    iot_hub.send_to_device(VISITOR, None, &to_leaf).await?;
    steps.push("the cloud sends messages to the edge device, to module guest and to leaf device visitor".to_owned());
    let mail = match mailbox.next(deadline::ROUTING).await {
        Ok(mail) if mail.is(VISITOR, &to_leaf) => mail,
        Ok(mail) => return Ok(Some(broken("C2D-11", "leaf device visitor gets its message", mail.to_string(), steps))),
        Err(observed) => return Ok(Some(broken("C2D-05", "leaf device visitor gets its message", observed, steps))),
    };
    mailbox.acknowledge(&mail).await;
    steps.push("module guest sends, reads and reports its twin, and gets a change, a method and an input".to_owned());
    if let Err(observed) = at_work.goes_on(stage).await? {
        let expected = "all of it goes on";
        return Ok(Some(broken(disturbed_by(attempts), expected, observed, steps)));
    }
    if let Some(topic) = at_work.strays().first() {
        let requirement = if topic.starts_with("$iothub/") { "FILE-03" } else { "C2D-01" };
        let observed = format!("it gets a message on {topic}");
        return Ok(Some(broken(requirement, "module guest gets nothing else", observed, steps)));
    }
    match mailbox.look().await {
        Ok(more) if more.is_empty() => {}
        Ok(more) => return Ok(Some(broken("C2D-11", "leaf device visitor gets no other", more[0].to_string(), steps))),
        Err(observed) => return Ok(Some(broken("C2D-05", "leaf device visitor reads its twin", observed, steps))),
    }
    recorded(stage, from, &marks, steps).await
}

/// The class of attempt to which a disturbance is laid: the first there is.
fn disturbed_by(attempts: &[Attempt]) -> &'static str {
    let kinds: BTreeSet<&str> = attempts.iter().map(Attempt::requirement).collect();
    if kinds.contains("C2D-02") { "C2D-02" } else { kinds.first().copied().unwrap_or("C2D-02") }
}

/// The cloud's own record: nothing was taken from the edge device's queue, and nothing was asked for.
async fn recorded(
    stage: &Stage,
    from: u64,
    marks: &[String; 3],
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let iot_hub = stage.environment().iot_hub();
    let [to_edge, to_module, to_leaf] = marks;
    if let Err(observed) = cloud::settle(iot_hub, VISITOR, &[(to_leaf.clone(), MessageState::Completed)]).await? {
        return Ok(Some(broken("C2D-06", "leaf device visitor's message is completed", observed, steps)));
    }
    let mut queued = iot_hub.device_queue("gw7").await?;
    queued.extend(iot_hub.module_queue("gw7", GUEST).await?);
    let untouched = |message: &QueuedMessage| message.state == MessageState::Enqueued && message.delivery_count == 0;
    for message in queued.iter().filter(|message| [to_edge, to_module].contains(&&message.message_id)) {
        if !untouched(message) {
            let observed = format!(
                "{} is {:?} and was handed out {} times",
                message.message_id, message.state, message.delivery_count
            );
            let expected = "the messages to the edge device and to module guest wait in the cloud";
            return Ok(Some(broken("MQTT-C2D-03", expected, observed, steps)));
        }
    }
    let forbidden = cloud::forbidden(iot_hub, from, VISITOR).await?;
    Ok(forbidden.first().map(|call| {
        let requirement = if cloud::is_about_files(call) { "FILE-04" } else { "C2D-01" };
        broken(requirement, "nothing of it reaches the cloud", format!("the cloud was asked {call}"), steps)
    }))
}
