//! First in, first out: for one sender, one endpoint, one priority. Covers ROUTE-SF-01.

use std::time::Duration;

use harness::client::iot_hub::Concerns;
use harness::observe::history::{History, Place};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use super::ground::{self, arrive, order_at, other, other_in, send_on, to_other, within};
use crate::course::{broken, ended, routes};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "store_and_forward",
            "store_and_forward::order::a_receiver_that_comes_and_goes_gets_messages_in_order",
            &["ROUTE-SF-01", "ROUTE-SF-04"],
            |worker| Box::pin(across_a_disconnect(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::order::a_link_that_comes_and_goes_gets_messages_in_order",
            &["ROUTE-SF-01", "ROUTE-SF-05"],
            |worker| Box::pin(across_an_outage(worker)),
        ),
    ]
}

/// Messages of one spell: more than two batches.
const SPELL: usize = 25;

async fn across_a_disconnect(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("numbered", &to_other("numbered"))])).await?;
    let steps = [format!(
        "module probe sends {SPELL} messages to other/in, {SPELL} while module other is away, {SPELL} when it is back"
    )];
    let mut history = History::begin();
    let spell = vec!["numbered"; SPELL];
    let mut marks = send_on(stage, &mut history, &spell).await?;
    stage.drop_client(&other()).await?;
    marks.extend(send_on(stage, &mut history, &spell).await?);
    stage.connect(other()).await?;
    marks.extend(send_on(stage, &mut history, &spell).await?);
    let arrived = arrive(stage, &mut history, &other_in(), &marks).await;
    match within(arrived, "ROUTE-SF-04", "all arrive", &steps)? {
        Err(found) => Ok(Outcome::Violated(found)),
        Ok(()) => Ok(ended(in_order(&history, &other_in(), &marks, &steps))),
    }
}

async fn across_an_outage(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("numbered", "FROM /messages/modules/probe/outputs/numbered INTO $upstream")])).await?;
    let steps = [format!(
        "module probe sends {SPELL} messages upstream, {SPELL} while the cloud is out of its reach, {SPELL} after"
    )];
    let mut history = History::begin();
    let spell = vec!["numbered"; SPELL];
    let mut marks = send_on(stage, &mut history, &spell).await?;
    let iot_hub = stage.environment().iot_hub();
    let cut = iot_hub.impose("outage", Concerns::Identity("gw7", Some("probe")), Duration::ZERO).await?;
    marks.extend(send_on(stage, &mut history, &spell).await?);
    stage.environment().iot_hub().lift(cut).await?;
    marks.extend(send_on(stage, &mut history, &spell).await?);
    let arrived = arrive(stage, &mut history, &Place::Upstream, &marks).await;
    match within(arrived, "ROUTE-SF-05", "all arrive", &steps)? {
        Err(found) => Ok(Outcome::Violated(found)),
        Ok(()) => Ok(ended(in_order(&history, &Place::Upstream, &marks, &steps))),
    }
}

fn in_order(history: &History, place: &Place, marks: &[String], steps: &[String]) -> Option<Violation> {
    let order = order_at(history, place);
    let (wanted, got) = marks.iter().zip(&order).find(|(wanted, got)| wanted != got)?;
    let mut violation = broken(
        "ROUTE-SF-01",
        format!("{place} receives them in the order they were sent: {wanted} next"),
        format!("{got} came in its place"),
        steps,
    );
    violation.timeline = history.timeline(|delivered| delivered.mark() == Some(got));
    Some(violation)
}
