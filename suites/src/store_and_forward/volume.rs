//! Many messages through several endpoints: what strikes once in a thousand shows here, or only after ten thousand.
//! Covers the same promises as the ordeals, without any interruption.

use std::collections::BTreeMap;
use std::time::Instant;

use harness::deadline;
use harness::observe::history::{History, Identity, MARK, Place, Sent};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};

use super::ground::{self, other_in};
use super::judgement::{self, Arrival, DEFAULT_PRIORITY, Promise, Publication, Story, Tolerance};
use crate::course::{broken, ended, routes, sink};
use crate::declare::{fixed, slow};

const JUDGED: [&str; 3] = ["ROUTE-SF-01", "ROUTE-SF-04", "ROUTE-SF-09"];

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "store_and_forward",
            "store_and_forward::volume::of_two_thousand_messages_none_is_lost_repeated_or_late",
            &JUDGED,
            |worker| Box::pin(many(worker, 2_100)),
        ),
        slow(fixed(
            "store_and_forward",
            "store_and_forward::volume::of_thirty_thousand_messages_none_is_lost_repeated_or_late",
            &JUDGED,
            |worker| Box::pin(many(worker, 30_000)),
        )),
    ]
}

/// Messages of one sender between two looks; as many as may be unacknowledged on one connection.
const ROUND: usize = 100;

/// Who sends where.
fn lanes() -> [(Identity, Place); 3] {
    [
        (Identity::Module("probe".to_owned()), sink("i0")),
        (Identity::Module("m1".to_owned()), other_in()),
        (Identity::LeafDevice("leaf1".to_owned()), Place::Upstream),
    ]
}

async fn many(worker: &mut Worker, messages: u64) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::unhurried()).await?;
    stage
        .configure(routes([
            (
                "probe",
                "FROM /messages/modules/probe WHERE is_defined(n) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
            ),
            ("m1", "FROM /messages/modules/m1 WHERE is_defined(n) INTO BrokeredEndpoint(\"/modules/other/inputs/in\")"),
            ("leaf1", "FROM /messages WHERE is_defined(n) AND NOT is_defined($connectionModuleId) INTO $upstream"),
        ]))
        .await?;
    let mut judged = 0;
    while judged < messages {
        let stage = worker.stage().await?;
        let found = round(stage, judged).await?;
        judged += (ROUND * lanes().len()) as u64;
        worker.judged(judged);
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

/// Every sender publishes without waiting; then everything must be where it belongs.
async fn round(stage: &mut Stage, number: u64) -> Result<Option<Violation>, StageError> {
    let mut history = History::begin();
    let mut pending = Vec::new();
    for (by, _) in lanes() {
        for n in 0..ROUND {
            let mark = stage.mark();
            let properties = vec![(MARK.to_owned(), Some(mark.clone())), ("n".to_owned(), Some(n.to_string()))];
            let message = Outgoing { properties: properties.clone(), ..Outgoing::default() };
            let at = Instant::now();
            pending.push(stage.hand_over(&by, &message).await?);
            let by = by.clone();
            let (output, system, body) = (None, Vec::new(), bytes::Bytes::new());
            history.sent.push(Sent { by, at, mark, output, properties, system, body, acknowledged: None });
        }
    }
    for (pending, sent) in pending.into_iter().zip(&mut history.sent) {
        pending.acknowledged().await?;
        sent.acknowledged = Some(Instant::now());
    }
    let places: Vec<Place> = lanes().into_iter().map(|(_, place)| place).collect();
    let settled = stage.settle(&mut history, &places, deadline::DRAIN).await;
    let steps = [format!(
        "modules probe and m1 and leaf device leaf1 each publish {ROUND} messages without waiting, to sink/i0, other/in and $upstream, after {number} before"
    )];
    let Some(found) = judgement::judge(&story(&history), Tolerance::default()) else {
        return match settled {
            Err(StageError::MarkerLost { places }) => {
                let observed = format!("a message behind them did not arrive at {places}");
                Ok(Some(broken("ROUTE-SF-04", "every acknowledged message arrives", observed, &steps)))
            }
            other => other.map(|()| None),
        };
    };
    let requirement = match found.promise {
        Promise::Loss | Promise::Stray => "ROUTE-SF-04",
        Promise::Duplicate => "ROUTE-SF-09",
        Promise::Order | Promise::Priority => "ROUTE-SF-01",
    };
    Ok(Some(broken(requirement, found.expected, found.observed, &steps)))
}

fn story(history: &History) -> Story {
    let since = |at: Instant| at.saturating_duration_since(history.began);
    let wanted: BTreeMap<Identity, Place> = lanes().into_iter().collect();
    let sent = history.sent.iter().map(|sent| Publication {
        mark: sent.mark.clone(),
        by: sent.by.clone(),
        acknowledged: sent.acknowledged.map(since),
        publishes: 1,
        copies: wanted.get(&sent.by).map(|place| (place.clone(), DEFAULT_PRIORITY)).into_iter().collect(),
    });
    let arrived = history.delivered.iter().map(|delivered| Arrival {
        mark: delivered.mark().unwrap_or_default().to_owned(),
        place: delivered.at.clone(),
        at: since(delivered.when),
        acknowledged: true,
    });
    Story { sent: sent.collect(), arrived: arrived.collect(), interruptions: Vec::new() }
}
