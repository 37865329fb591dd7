//! Whose messages a route takes, and to which input they go. Covers ROUTE-SRC and ROUTE-SINK.

use std::collections::BTreeSet;

use harness::deadline;
use harness::observe::history::{Delivered, History, Identity, Place};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, StageError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::course::{broken, ended, listed, on, probe, publish, routes, settled, sink};
use crate::declare::{self, fixed, over_mqtt};
use crate::scene::{self, Scene};
use crate::{generate, oracle, scenes};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        declare::scenes(
            "routing",
            "routing::sources::a_route_takes_the_messages_of_its_source",
            &["ROUTE-SRC-04", "ROUTE-SRC-05", "ROUTE-SRC-06", "ROUTE-SRC-07", "ROUTE-SRC-08", "ROUTE-SRC-09"],
            20,
            sources,
            |stage, scene| Box::pin(scene::play(stage, "ROUTE-SRC-08", scene)),
        ),
        over_mqtt(fixed(
            "routing",
            "routing::sources::changes_of_twins_are_a_source_of_their_own",
            &["ROUTE-SRC-02", "ROUTE-SRC-03", "ROUTE-MSG-05"],
            |worker| Box::pin(twin_changes(worker)),
        )),
        fixed(
            "routing",
            "routing::sources::messages_for_a_module_that_does_not_exist_are_kept",
            &["ROUTE-SINK-04"],
            |worker| Box::pin(kept_for_nobody(worker)),
        ),
    ];
    tests.extend(scenes::tests("routing::sources", "ROUTE-SRC"));
    tests.extend(scenes::tests("routing::sinks", "ROUTE-SINK"));
    tests
}

/// A few sources, each towards an input of its own, and a few senders.
fn sources() -> impl Strategy<Value = Scene> {
    (vec(generate::source(), 1..=6), vec(generate::sender(), 1..=4)).prop_map(|(sources, senders)| {
        let routes = sources
            .iter()
            .enumerate()
            .map(|(number, source)| format!("FROM {source} INTO BrokeredEndpoint(\"/modules/sink/inputs/i{number}\")"));
        let accepted = routes.filter(|route| oracle::route(route).is_ok_and(|route| route.compiles()));
        let letters = senders.into_iter().map(|(by, output)| (by, Outgoing { output, ..Outgoing::default() }));
        Scene::of(accepted, letters.collect())
    })
}

/// Queues are seen from outside by their length on the metrics page.
async fn kept_for_nobody(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "nobody",
            "FROM /messages/modules/probe/outputs/nobody INTO BrokeredEndpoint(\"/modules/nobody/inputs/in\")",
        )]))
        .await?;
    let steps = [
        "route from output nobody to an input of module nobody, which does not exist".to_owned(),
        "module probe sends two messages on it".to_owned(),
    ];
    let mut history = History::begin();
    for _ in 0..2 {
        stage.send(&mut history, &probe(), &on("nobody")).await?;
    }
    if history.sent.iter().any(|sent| sent.acknowledged.is_none()) {
        return Ok(ended(Some(broken("ROUTE-SINK-04", "both messages are acknowledged", "no PUBACK", &steps))));
    }
    let labels = [("endpoint", "gw7/nobody/in")];
    let length = stage.metric("edgehub_queue_length", &labels, 2.0).await?;
    let found = (length < 2.0).then(|| {
        broken(
            "ROUTE-SINK-04",
            "a queue of that input with two messages",
            format!("edgehub_queue_length is {length}"),
            &steps,
        )
    });
    if found.is_none() {
        stage.configure(std::collections::BTreeMap::new()).await?;
    }
    Ok(ended(found))
}

/// The notification of a change of reported properties has no properties, so it is known by its body.
async fn twin_changes(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([
            ("everything", "FROM /* WHERE NOT is_defined(own) AND NOT is_defined(mark) INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
            ("messages", "FROM /messages/* WHERE NOT is_defined(own) AND NOT is_defined(mark) INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")"),
            ("changes", "FROM /twinChangeNotifications INTO BrokeredEndpoint(\"/modules/sink/inputs/i2\")"),
            ("up", "FROM /twinChangeNotifications/* INTO $upstream"),
        ]))
        .await?;
    let leaf = Identity::LeafDevice("leaf1".to_owned());
    let steps = ["leaf device leaf1 updates its reported properties".to_owned()];
    let mut history = History::begin();
    publish(stage, &mut history, &leaf, "$iothub/twin/PATCH/properties/reported/?$rid=1", "(none)", b"{\"level\":7}")
        .await?;
    settled(stage, &mut history, &[sink("i0"), sink("i1"), sink("i2")]).await?;
    let change = |delivered: &&Delivered| delivered.body.as_ref() == b"{\"level\":7}";
    let at: BTreeSet<Place> = history
        .delivered
        .iter()
        .filter(change)
        .map(|delivered| delivered.at.clone())
        .filter(|place| *place != Place::Upstream)
        .collect();
    for (input, takes, requirement) in
        [("i0", true, "ROUTE-SRC-02"), ("i1", false, "ROUTE-SRC-03"), ("i2", true, "ROUTE-SRC-03")]
    {
        if at.contains(&sink(input)) != takes {
            let expected = format!("sink/{input} {} the notification", if takes { "gets" } else { "does not get" });
            return Ok(ended(Some(broken(requirement, expected, format!("it reached {}", listed(&at)), &steps))));
        }
    }
    let upstream = |history: &History| {
        history
            .delivered
            .iter()
            .any(|delivered| delivered.at == Place::Upstream && delivered.body.as_ref() == b"{\"level\":7}")
    };
    if let Err(expired) = stage.collect(&mut history, deadline::ROUTING, "the notification upstream", upstream).await {
        return Ok(ended(Some(broken(
            "ROUTE-SRC-02",
            "the notification reaches $upstream",
            expired.to_string(),
            &steps,
        ))));
    }
    let sender = history
        .delivered
        .iter()
        .find(|delivered| delivered.at == Place::Upstream && change(delivered))
        .and_then(|delivered| delivered.connection.clone());
    let hub = Some(("gw7".to_owned(), Some("$edgeHub".to_owned())));
    Ok(ended((sender != hub).then(|| {
        broken("ROUTE-MSG-05", "the cloud gets it from the hub itself", format!("it got it from {sender:?}"), &steps)
    })))
}
