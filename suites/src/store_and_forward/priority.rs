//! The urgent first. Covers ROUTE-SF-02 and -20.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::client::iot_hub::Concerns;
use harness::observe::history::{History, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{self, Going, arrive, order_at, other, other_in, send_on, to_other, within};
use crate::course::{broken, ended};
use crate::declare::{fixed, restarting};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        restarting(
            "store_and_forward",
            "store_and_forward::priority::a_backlog_is_sent_the_most_urgent_first",
            &["ROUTE-SF-02"],
            |worker| Box::pin(backlog(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::priority::queued_messages_survive_a_change_of_their_priority",
            &["ROUTE-SF-20"],
            |worker| Box::pin(changed(worker)),
        ),
    ]
}

/// Outputs with the priority of their routes, the most urgent last.
const LANES: [(&str, Option<u32>); 4] = [("default", None), ("nine", Some(9)), ("four", Some(4)), ("zero", Some(0))];
/// Messages of each: more than a batch.
const EACH: usize = 12;

fn route(text: &str, priority: Option<u32>) -> Value {
    priority.map_or_else(|| json!(text), |priority| json!({"route": text, "priority": priority}))
}

async fn backlog(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let mut routes = BTreeMap::new();
    for (output, priority) in LANES {
        routes.insert(format!("in-{output}"), route(&to_other(output), priority));
        let up = format!("FROM /messages/modules/probe/outputs/{output} INTO $upstream");
        routes.insert(format!("up-{output}"), route(&up, priority));
    }
    stage.configure(routes).await?;
    let iot_hub = stage.environment().iot_hub();
    let cut = iot_hub.impose("outage", Concerns::Identity("gw7", Some("probe")), Duration::ZERO).await?;
    stage.drop_client(&other()).await?;
    let mut history = History::begin();
    let mut wanted = Vec::new();
    for (output, _) in LANES {
        let mut marks = send_on(stage, &mut history, &[output; EACH]).await?;
        marks.append(&mut wanted);
        wanted = marks;
    }
    ground::end(stage, Going::Stopped).await;
    ground::start_again(stage).await?;
    stage.environment().iot_hub().lift(cut).await?;
    stage.connect(other()).await?;
    let steps = [
        "routes from four outputs to other/in and $upstream, with default priority, 9, 4 and 0; module other is away, and the cloud out of reach for module probe".to_owned(),
        format!("module probe sends {EACH} messages on each output, the least urgent first"),
        "the hub is stopped and started again; module other and the cloud are back".to_owned(),
    ];
    for place in [other_in(), Place::Upstream] {
        let arrived = arrive(stage, &mut history, &place, &wanted).await;
        if let Err(found) = within(arrived, "ROUTE-SF-02", "all arrive", &steps)? {
            return Ok(Outcome::Violated(found));
        }
        let order = order_at(&history, &place);
        if let Some((wanted, got)) = wanted.iter().zip(&order).find(|(wanted, got)| wanted != got) {
            let mut violation = broken(
                "ROUTE-SF-02",
                format!("{place} receives all of priority 0, then 4, then 9, then the rest: {wanted} next"),
                format!("{got} came in its place"),
                &steps,
            );
            violation.timeline = history.timeline(|delivered| delivered.mark() == Some(got));
            return Ok(ended(Some(violation)));
        }
    }
    Ok(Outcome::Conforms)
}

async fn changed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let with = |priority| BTreeMap::from([("moved".to_owned(), route(&to_other("moved"), priority))]);
    stage.configure(with(Some(3))).await?;
    stage.drop_client(&other()).await?;
    let mut history = History::begin();
    let mut marks = send_on(stage, &mut history, &["moved"; 3]).await?;
    stage.configure(with(Some(6))).await?;
    marks.extend(send_on(stage, &mut history, &["moved"; 3]).await?);
    stage.configure(with(None)).await?;
    stage.connect(other()).await?;
    let arrived = arrive(stage, &mut history, &other_in(), &marks).await;
    let steps = [
        "a route to other/in with priority 3; module other is away".to_owned(),
        "module probe sends three messages; the priority becomes 6, and it sends three more; the priority is taken away".to_owned(),
        "module other connects".to_owned(),
    ];
    let found = within(arrived, "ROUTE-SF-20", "all six arrive", &steps)?;
    Ok(found.err().map_or(Outcome::Conforms, Outcome::Violated))
}
