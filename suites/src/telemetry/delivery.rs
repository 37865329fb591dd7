//! What arrives at an input and in the cloud. Covers MQTT-DLV, and what every history must show.

use harness::deadline;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::course::{broken, ended, on, probe, reached, routes};
use crate::declare::{self, fixed};
use crate::generate::letter;
use crate::scene::{self, Scene};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        declare::scenes(
            "telemetry",
            "telemetry::delivery::a_message_arrives_as_it_was_sent",
            &[
                "MQTT-DLV-01",
                "MQTT-DLV-02",
                "MQTT-DLV-03",
                "MQTT-BAG-01",
                "ROUTE-MSG-02",
                "ROUTE-MSG-03",
                "ROUTE-MSG-05",
            ],
            12,
            messages,
            |stage, scene| Box::pin(scene::play(stage, "MQTT-DLV-01", scene)),
        ),
        declare::scenes(
            "telemetry",
            "telemetry::delivery::messages_arrive_in_the_order_they_were_sent",
            &["MQTT-DLV-05", "ROUTE-FAN-01"],
            3,
            sequences,
            |stage, scene| Box::pin(scene::play(stage, "MQTT-DLV-05", scene)),
        ),
        fixed(
            "telemetry",
            "telemetry::delivery::messages_wait_for_a_module_that_is_away",
            &["MQTT-DLV-06"],
            |worker| Box::pin(away(worker)),
        ),
        fixed(
            "telemetry",
            "telemetry::delivery::messages_wait_for_a_module_that_has_not_subscribed",
            &["MQTT-DLV-07"],
            |worker| Box::pin(not_subscribed(worker)),
        ),
    ]
}

const ROUTES: [(&str, &str); 2] = [
    ("in", "FROM /* WHERE NOT is_defined(own) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
    ("up", "FROM /messages/* WHERE NOT is_defined(own) INTO $upstream"),
];

fn sender() -> impl Strategy<Value = (Identity, Option<String>)> {
    prop_oneof![
        4 => select(vec!["probe", "cam"]).prop_map(|module| (Identity::Module(module.to_owned()), Some("out".to_owned()))),
        1 => Just((Identity::Module("m1".to_owned()), None)),
        2 => Just((Identity::LeafDevice("leaf1".to_owned()), None)),
    ]
}

fn messages() -> impl Strategy<Value = Scene> {
    let system = ["messageId", "cid", "userId", "to", "contentType", "contentEncoding", "messageSchema", "dt-subject"];
    let one = (sender(), letter::properties(), letter::system(&system), letter::body()).prop_map(
        |((by, output), properties, system, body)| (by, Outgoing { output, properties, system, body: body.into() }),
    );
    vec(one, 1..=3).prop_map(scene_of)
}

fn scene_of(letters: Vec<scene::Letter>) -> Scene {
    Scene { routes: ROUTES.iter().map(|(name, route)| ((*name).to_owned(), json!(route))).collect(), letters }
}

/// Many messages of few senders, back to back.
fn sequences() -> impl Strategy<Value = Scene> {
    vec(sender(), 15..40).prop_map(|senders| {
        let letters = senders.into_iter().map(|(by, output)| (by, Outgoing { output, ..Outgoing::default() }));
        scene_of(letters.collect())
    })
}

async fn away(worker: &mut Worker) -> Result<Outcome, StageError> {
    kept(worker, "MQTT-DLV-06", false).await
}

async fn not_subscribed(worker: &mut Worker) -> Result<Outcome, StageError> {
    kept(worker, "MQTT-DLV-07", true).await
}

/// Module `other` is away, or connected without a subscription, while messages for it are sent; then it comes.
async fn kept(worker: &mut Worker, requirement: &str, connected: bool) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 5;
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "kept",
            "FROM /messages/modules/probe/outputs/kept INTO BrokeredEndpoint(\"/modules/other/inputs/in\")",
        )]))
        .await?;
    let other = Identity::Module("other".to_owned());
    stage.drop_client(&other).await?;
    let mute = if connected {
        let client = stage.environment().connect(&other).await;
        Some(client.map_err(|source| StageError::Connect { who: other.to_string(), source })?)
    } else {
        None
    };
    let mut history = History::begin();
    for _ in 0..MESSAGES {
        stage.send(&mut history, &probe(), &on("kept")).await?;
    }
    drop(mute);
    stage.connect(other).await?;
    let marks: Vec<String> = history.sent.iter().map(|sent| sent.mark.clone()).collect();
    let all = |history: &History| marks.iter().all(|mark| !reached(history, mark).is_empty());
    let arrived = stage.collect(&mut history, deadline::RETRY, "the messages at other/in", all).await;
    let steps = [
        format!("module other is {}", if connected { "connected, and has no subscription" } else { "away" }),
        format!("module probe sends {MESSAGES} messages for it"),
        "module other connects and subscribes to its inputs".to_owned(),
    ];
    let place = Place::Input { module: "other".to_owned(), input: "in".to_owned() };
    let order: Vec<&str> = history
        .delivered
        .iter()
        .filter(|delivered| delivered.at == place)
        .filter_map(|delivered| delivered.mark())
        .collect();
    Ok(ended(match arrived {
        Err(expired) => Some(broken(
            requirement,
            format!("all {MESSAGES} arrive"),
            format!("{} arrived: {expired}", order.len()),
            &steps,
        )),
        Ok(()) if order != marks => {
            Some(broken("MQTT-DLV-05", format!("order {marks:?}"), format!("order {order:?}"), &steps))
        }
        Ok(()) => None,
    }))
}
