//! The link to the cloud. Covers ROUTE-SF-21 and -22.

use std::time::Duration;

use harness::client::iot_hub::Concerns;
use harness::deadline;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, StageError};

use super::ground::{self, Going, arrive, send_on, within};
use crate::course::{broken, ended, on, probe, reached, routes, sink};
use crate::declare::{fixed, restarting};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        restarting(
            "store_and_forward",
            "store_and_forward::upstream::no_more_than_a_batch_of_a_sender_is_under_way",
            &["ROUTE-SF-21", "ROUTE-SF-05"],
            |worker| Box::pin(batches(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::upstream::without_the_cloud_modules_still_reach_one_another",
            &["ROUTE-SF-22"],
            |worker| Box::pin(without_the_cloud(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::upstream::the_last_messages_of_a_sender_that_left_go_up",
            &["ROUTE-FAN-03"],
            |worker| Box::pin(sender_left(worker)),
        ),
    ]
}

/// What is repeated was all that was under way: the cloud takes messages and acknowledges none.
async fn batches(worker: &mut Worker) -> Result<Outcome, StageError> {
    const LARGE: usize = 120_000;
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("up", "FROM /messages/* WHERE way = 'up' INTO $upstream")])).await?;
    let senders = [(probe(), "probe", 25, 0, 10), (Identity::Module("m1".to_owned()), "m1", 5, LARGE, 2)];
    let cut = stage.environment().iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    let mut history = History::begin();
    let mut marks = Vec::new();
    for (by, _, count, length, _) in &senders {
        let mut own = Vec::new();
        for _ in 0..*count {
            let message = Outgoing {
                properties: vec![("way".to_owned(), Some("up".to_owned()))],
                body: vec![b'x'; *length].into(),
                ..on("up")
            };
            own.push(stage.send(&mut history, by, &message).await?);
        }
        marks.push(own);
    }
    // A hub that starts with a backlog takes as much of it as it may.
    ground::end(stage, Going::Stopped).await;
    let mut conditions = Vec::new();
    for (_, module, ..) in &senders {
        let whose = Concerns::Identity("gw7", Some(module));
        conditions.push(stage.environment().iot_hub().impose("drop_acks", whose, Duration::ZERO).await?);
    }
    stage.environment().iot_hub().lift(cut).await?;
    ground::start_again(stage).await?;
    let repeated = |history: &History| marks.iter().all(|own| history.places_of(&own[0]).len() > 1);
    let waited = stage.collect(&mut history, deadline::DRAIN, "each sender's first message, again", repeated).await;
    let steps = [
        format!(
            "the cloud is out of reach; module probe sends 25 small messages upstream, module m1 five of {LARGE} bytes"
        ),
        "the hub is stopped and started again; the cloud takes messages of both, and acknowledges none".to_owned(),
        "the hub gives up waiting, and sends again".to_owned(),
    ];
    if let Err(expired) = waited {
        let expected = "an attempt upstream that is not acknowledged is repeated";
        return Ok(ended(Some(broken("ROUTE-SF-05", expected, expired.to_string(), &steps))));
    }
    for ((by, _, _, _, most), own) in senders.iter().zip(&marks) {
        let of_sender = history.delivered.iter().filter_map(|delivered| delivered.mark());
        let of_sender = of_sender.filter(|mark| own.iter().any(|own| own == mark));
        let under_way = of_sender.enumerate().skip(1).find(|(_, mark)| **mark == own[0]).map(|(count, _)| count);
        let under_way = under_way.unwrap_or_default();
        if under_way > *most {
            let expected = format!("at most {most} messages of {by} are under way");
            return Ok(ended(Some(broken("ROUTE-SF-21", expected, format!("{under_way} were"), &steps))));
        }
    }
    for condition in conditions {
        stage.environment().iot_hub().lift(condition).await?;
    }
    for own in &marks {
        let arrived = arrive(stage, &mut history, &Place::Upstream, own).await;
        if let Err(found) = within(arrived, "ROUTE-SF-05", "with the cloud acknowledging again, all arrive", &steps)? {
            return Ok(Outcome::Violated(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn without_the_cloud(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage
        .configure(routes([
            ("up", "FROM /messages/modules/probe/outputs/both INTO $upstream"),
            ("in", "FROM /messages/modules/probe/outputs/both INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
        ]))
        .await?;
    let cut = stage.environment().iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    let mut history = History::begin();
    let marks = send_on(stage, &mut history, &["both"; 12]).await?;
    let there = |history: &History| marks.iter().all(|mark| reached(history, mark).contains(&sink("i0")));
    let arrived = stage.collect(&mut history, deadline::ROUTING, "twelve messages at sink/i0", there).await;
    stage.environment().iot_hub().lift(cut).await?;
    let steps = [
        "routes to $upstream and to sink/i0; the cloud is out of reach".to_owned(),
        "module probe sends twelve messages that both take".to_owned(),
    ];
    if let Err(expired) = arrived {
        return Ok(ended(Some(broken("ROUTE-SF-22", "all twelve reach sink/i0", expired.to_string(), &steps))));
    }
    let arrived = arrive(stage, &mut history, &Place::Upstream, &marks).await;
    let found = within(arrived, "ROUTE-SF-22", "with the cloud back, all twelve reach it too", &steps)?;
    Ok(found.err().map_or(Outcome::Conforms, Outcome::Violated))
}

async fn sender_left(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("up", "FROM /messages/modules/probe/outputs/last INTO $upstream")])).await?;
    let cut = stage.environment().iot_hub();
    let cut = cut.impose("outage", Concerns::Identity("gw7", Some("probe")), Duration::ZERO).await?;
    let mut history = History::begin();
    let marks = send_on(stage, &mut history, &["last"; 3]).await?;
    stage.drop_client(&probe()).await?;
    stage.environment().iot_hub().lift(cut).await?;
    let arrived = arrive(stage, &mut history, &Place::Upstream, &marks).await;
    let steps = [
        "the cloud is out of reach for module probe; it sends three messages upstream, and leaves".to_owned(),
        "the cloud is within reach again".to_owned(),
    ];
    let found = within(arrived, "ROUTE-FAN-03", "all three reach it, without their sender", &steps)?;
    ground::stand_up(stage, probe()).await?;
    Ok(found.err().map_or(Outcome::Conforms, Outcome::Violated))
}
