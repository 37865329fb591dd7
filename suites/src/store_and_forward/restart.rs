//! What a hub still knows when it comes back. Covers ROUTE-SF-08 and -09.

use std::time::Duration;

use harness::client::iot_hub::Concerns;
use harness::deadline;
use harness::observe::history::{History, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use super::ground::{self, Going, arrive, order_at, other, other_in, send_on, to_other, within};
use super::receiver::{Receiver, Withheld};
use crate::course::{broken, ended, routes};
use crate::declare::restarting;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        restarting(
            "store_and_forward",
            "store_and_forward::restart::queued_messages_survive_the_hub",
            &["ROUTE-SF-08"],
            |worker| Box::pin(survive(worker)),
        ),
        restarting(
            "store_and_forward",
            "store_and_forward::restart::settled_messages_do_not_come_again",
            &["ROUTE-SF-09"],
            |worker| Box::pin(settled(worker)),
        ),
    ]
}

const UP: &str = "FROM /messages/modules/probe/outputs/kept INTO $upstream";

/// The first message is in the hands of a receiver that does not acknowledge it; the others wait.
async fn survive(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 8;
    for going in [Going::Stopped, Going::Killed] {
        let stage = ground::gathered(worker, ground::blueprint()).await?;
        stage.configure(routes([("kept", &to_other("kept")), ("up", UP)])).await?;
        let withheld = Withheld::default();
        let silent = Receiver::connect(stage, "other", &withheld).await?;
        silent.mute(true);
        let iot_hub = stage.environment().iot_hub();
        let cut = iot_hub.impose("drop_acks", Concerns::Identity("gw7", Some("probe")), Duration::ZERO).await?;
        let mut history = History::begin();
        let marks = send_on(stage, &mut history, &["kept"; MESSAGES]).await?;
        let under_way = |history: &History| history.places_of(&marks[0]).len() == 2;
        let steps = [
            "module other acknowledges nothing, nor does the cloud to module probe".to_owned(),
            format!("module probe sends {MESSAGES} messages to other/in and $upstream"),
            format!("the hub is {}, and started again; everybody acknowledges", going.word()),
        ];
        let waited =
            stage.collect(&mut history, deadline::ROUTING, "the first message at both places", under_way).await;
        ground::end(stage, going).await;
        drop(silent);
        stage.environment().iot_hub().lift(cut).await?;
        ground::start_again(stage).await?;
        stage.connect(other()).await?;
        let mut after = History::begin();
        for place in [other_in(), Place::Upstream] {
            let arrived = arrive(stage, &mut after, &place, &marks).await;
            let expected = format!("all {MESSAGES} arrive at {place}");
            if let Err(mut found) = within(arrived, "ROUTE-SF-08", &expected, &steps)? {
                found.observed.push_str(&format!("; there are {}", order_at(&after, &place).len()));
                return Ok(Outcome::Violated(found));
            }
        }
        waited?;
    }
    Ok(Outcome::Conforms)
}

async fn settled(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 12;
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("kept", &to_other("kept")), ("up", UP)])).await?;
    let mut history = History::begin();
    send_on(stage, &mut history, &["kept"; MESSAGES]).await?;
    let places = [other_in(), Place::Upstream];
    // Each place has shown a message behind them, so all of them are settled.
    stage.settle(&mut history, &places, deadline::ROUTING).await?;
    ground::end(stage, Going::Stopped).await;
    ground::start_again(stage).await?;
    stage.connect(other()).await?;
    let mut after = History::begin();
    let fresh = send_on(stage, &mut after, &["kept"]).await?;
    let steps = [
        format!("{MESSAGES} messages and one behind them were delivered to other/in and $upstream"),
        "the hub is stopped and started again; module probe sends another".to_owned(),
    ];
    for place in &places {
        let arrived = arrive(stage, &mut after, place, &fresh).await;
        if let Err(found) = within(arrived, "ROUTE-SF-09", "the new message arrives", &steps)? {
            return Ok(Outcome::Violated(found));
        }
    }
    stage.settle(&mut after, &places, deadline::ROUTING).await?;
    let again = after.delivered.iter().find(|delivered| delivered.mark() != Some(&fresh[0]));
    Ok(ended(again.map(|again| {
        let observed = format!("{} arrived again at {}", again.mark().unwrap_or("a message"), again.at);
        broken("ROUTE-SF-09", "only the new message arrives", observed, &steps)
    })))
}
