//! A hub without a disk has a limit. Covers ROUTE-SF-23.

use harness::observe::history::History;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, StageError};
use serde_json::json;

use super::ground::{self, arrive, other, other_in, to_other, within};
use crate::course::{broken, ended, on, probe, routes};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed(
        "store_and_forward",
        "store_and_forward::memory::a_full_store_acknowledges_nothing_until_there_is_room",
        &["ROUTE-SF-23"],
        |worker| Box::pin(full(worker)),
    )]
}

/// Of messages with this body, at most a few dozen fit below the limit.
const BODY: usize = 4_000;
const LIMIT: usize = 60_000;
const ENOUGH: usize = 40;

async fn full(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = ground::blueprint();
    blueprint.settings.push(("UsePersistentStorage".to_owned(), "false".to_owned()));
    let stage = ground::gathered(worker, blueprint).await?;
    let limit = |bytes: usize| json!({"storeAndForwardConfiguration": {"storeLimits": {"maxSizeBytes": bytes}}});
    stage.patch(limit(LIMIT)).await?;
    stage.configure(routes([("kept", &to_other("kept"))])).await?;
    stage.drop_client(&other()).await?;
    let steps = [
        format!("UsePersistentStorage is false, and storeLimits.maxSizeBytes {LIMIT}; module other is away"),
        format!("module probe sends messages of {BODY} bytes to other/in until one is not acknowledged"),
        "storeLimits.maxSizeBytes becomes a hundred times that; module probe sends again; module other connects"
            .to_owned(),
    ];
    let message = Outgoing { body: vec![b'x'; BODY].into(), ..on("kept") };
    let labels = [("reason", "storage_failure"), ("from", "gw7/probe"), ("from_route_output", "kept")];
    let before = stage.metric("edgehub_messages_unack_total", &labels, 0.0).await?;
    let mut history = History::begin();
    let refused = loop {
        if history.sent.len() == ENOUGH {
            break false;
        }
        stage.send(&mut history, &probe(), &message).await?;
        if history.sent.last().is_some_and(|sent| sent.acknowledged.is_none()) {
            break true;
        }
    };
    if !refused {
        let observed = format!("{} were acknowledged", history.sent.len());
        let expected = format!("no more than {LIMIT} bytes and one message are acknowledged");
        return Ok(ended(Some(broken("ROUTE-SF-23", expected, observed, &steps))));
    }
    let counted = stage.metric("edgehub_messages_unack_total", &labels, before + 1.0).await? - before;
    if counted < 1.0 {
        let expected = "edgehub_messages_unack_total with reason=\"storage_failure\" counts what is not acknowledged";
        return Ok(ended(Some(broken("ROUTE-SF-23", expected, "it does not", &steps))));
    }
    let version = stage.patch(limit(LIMIT * 100)).await?;
    stage.reported(version).await?;
    ground::stand_up(stage, probe()).await?;
    let later = stage.send(&mut history, &probe(), &message).await?;
    if history.sent.last().is_some_and(|sent| sent.acknowledged.is_none()) {
        let expected = "with a higher limit messages are acknowledged again";
        return Ok(ended(Some(broken("ROUTE-SF-23", expected, format!("{later} is not"), &steps))));
    }
    stage.connect(other()).await?;
    let acknowledged = history.sent.iter().filter(|sent| sent.acknowledged.is_some());
    let marks: Vec<String> = acknowledged.map(|sent| sent.mark.clone()).collect();
    let arrived = arrive(stage, &mut history, &other_in(), &marks).await;
    let found = within(arrived, "ROUTE-SF-23", "everything that was acknowledged arrives", &steps)?;
    worker.discard_stage().await;
    Ok(found.err().map_or(Outcome::Conforms, Outcome::Violated))
}
