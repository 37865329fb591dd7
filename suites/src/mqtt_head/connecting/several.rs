//! Clients that meet: two of one identity, and more than there are places. Covers MQTT-CONN-16 to -18.

use std::time::{Duration, Instant};

use harness::deadline;
use harness::observe::metrics;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::super::guest::{
    GUEST, HOST, Seen, acknowledge, answer, ask, carrying, enter, inputs_of, listed, module, proper, send_to,
    subscribe, until,
};
use crate::course::{broken, ended};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::the_newcomer_of_an_identity_takes_over",
            &["MQTT-CONN-16", "MQTT-CONN-17"],
            |worker| Box::pin(newcomer(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::places_are_free_again_when_clients_leave",
            &["MQTT-CONN-18"],
            |worker| Box::pin(places(worker)),
        ),
    ]
}

/// How much earlier than CONNACK the end of the older connection may be read: two sockets are read by one process.
const READ_APART: Duration = Duration::from_millis(250);

async fn newcomer(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let (mut older, _) = enter(environment, &module(GUEST), |_| {}).await?;
    let filter = inputs_of(environment, GUEST);
    let mut steps = vec!["module guest connects and subscribes to its inputs".to_owned()];
    if let Err(observed) = subscribe(&mut older, 1, &[(&filter, 1)]).await {
        return Ok(ended(Some(broken("MQTT-CONN-16", "SUBACK", observed, &steps))));
    }
    steps.push("another connection tries the same identity with a broken token".to_owned());
    let mut thief = proper(environment, &module(GUEST));
    thief.password = Some(b"SharedAccessSignature sr=a&sig=b&se=1".to_vec());
    ask(environment, "thief", &thief).await?;
    if !matches!(older.ping().await, Ok(Some(_))) {
        let expected = "the older connection answers PINGREQ";
        return Ok(ended(Some(broken("MQTT-CONN-16", expected, "it does not", &steps))));
    }
    steps.push("module guest connects again, with a good token".to_owned());
    let mut newer = environment.raw("guest, again").await?;
    newer.write(&proper(environment, &module(GUEST)).bytes()).await;
    let (said, end) = tokio::join!(async { (answer(&mut newer).await, Instant::now()) }, async {
        (older.closed(deadline::CLOSED).await, Instant::now())
    },);
    if said.0 != Seen::Code(0) {
        return Ok(ended(Some(broken("MQTT-CONN-16", "the newcomer gets CONNACK 0x00", said.0.to_string(), &steps))));
    }
    let observed = match end.0 {
        Ok(packets) if packets.is_empty() => None,
        Ok(packets) => Some(format!("the older connection got {}", listed(&packets))),
        Err(expired) => Some(expired.to_string()),
    };
    if let Some(observed) = observed {
        return Ok(ended(Some(broken(
            "MQTT-CONN-16",
            "the older connection is closed without a packet",
            observed,
            &steps,
        ))));
    }
    if end.1 + READ_APART < said.1 {
        let expected = "CONNACK for the newcomer, then the end of the older connection";
        return Ok(ended(Some(broken("MQTT-CONN-17", expected, "the older connection ended well before", &steps))));
    }
    steps.push("the newcomer subscribes, and a message for its input is sent".to_owned());
    if let Err(observed) = subscribe(&mut newer, 1, &[(&filter, 1)]).await {
        return Ok(ended(Some(broken("MQTT-CONN-16", "SUBACK for the newcomer", observed, &steps))));
    }
    let mark = send_to(stage, GUEST, "in").await?;
    let found = match until(&mut newer, deadline::ROUTING, carrying(&mark)).await {
        Ok((_, published)) => {
            acknowledge(&mut newer, &published).await;
            None
        }
        Err(observed) => Some(broken("MQTT-CONN-16", "the newcomer gets the message", observed, &steps)),
    };
    // In good order, so that nothing is left to this identity.
    let _ = newer.disconnect().await;
    Ok(ended(found))
}

/// A hub with one place more than the clients of the stage.
async fn places(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = worker.blueprint().clone();
    let standing = blueprint.modules.len() + blueprint.leaf_devices.len();
    blueprint.settings.push(("MaxConnectedClients".to_owned(), (standing + 1).to_string()));
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    let mut steps = vec![format!("a hub with MaxConnectedClients={}, and {standing} clients", standing + 1)];
    let mut found = None;
    for id in [GUEST, HOST, GUEST] {
        steps.push(format!("module {id} connects, subscribes, gets a message, and leaves"));
        found = served(&mut stage, id, &steps).await?;
        if found.is_some() {
            break;
        }
    }
    stage.close().await;
    Ok(ended(found))
}

async fn served(stage: &mut Stage, id: &str, steps: &[String]) -> Result<Option<Violation>, StageError> {
    const LEFT: &str = "edgehub_client_disconnect_total";
    let client_id = format!("gw7/{id}");
    let labels = [("id", client_id.as_str())];
    let before = metrics::sum(&stage.environment().metrics().await?, LEFT, &labels);
    let (mut raw, _) = enter(stage.environment(), &module(id), |_| {}).await?;
    let filter = inputs_of(stage.environment(), id);
    if let Err(observed) = subscribe(&mut raw, 1, &[(&filter, 0)]).await {
        return Ok(Some(broken("MQTT-CONN-18", "SUBACK", observed, steps)));
    }
    let mark = send_to(stage, id, "in").await?;
    if let Err(observed) = until(&mut raw, deadline::ROUTING, carrying(&mark)).await {
        return Ok(Some(broken(
            "MQTT-CONN-18",
            format!("module {id} is served in full: it gets the message"),
            observed,
            steps,
        )));
    }
    let _ = raw.disconnect().await;
    // The place is free when the hub has counted that.
    stage.metric(LEFT, &labels, before + 1.0).await?;
    Ok(None)
}
