//! Whose messages a route takes, and to which input they go. Covers ROUTE-SRC and ROUTE-SINK.

use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, StageError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::course::{broken, ended, on, probe, routes};
use crate::declare::{fixed, property};
use crate::scene::{self, Scene};
use crate::{generate, oracle, scenes};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        property("routing", "routing::sources::a_route_takes_the_messages_of_its_source", &["ROUTE-SRC-04", "ROUTE-SRC-05", "ROUTE-SRC-06", "ROUTE-SRC-07", "ROUTE-SRC-08", "ROUTE-SRC-09"], 20, sources, |stage, scene| {
            Box::pin(scene::play(stage, "ROUTE-SRC-08", scene))
        }),
        fixed("routing", "routing::sources::messages_for_a_module_that_does_not_exist_are_kept", &["ROUTE-SINK-04"], |worker| Box::pin(kept_for_nobody(worker))),
    ];
    tests.extend(scenes::tests("routing::sources", "ROUTE-SRC"));
    tests.extend(scenes::tests("routing::sinks", "ROUTE-SINK"));
    tests
}

/// A few sources, each towards an input of its own, and a few senders.
fn sources() -> impl Strategy<Value = Scene> {
    (vec(generate::source(), 1..=6), vec(generate::sender(), 1..=4)).prop_map(|(sources, senders)| {
        let routes = sources.iter().enumerate().map(|(number, source)| format!("FROM {source} INTO BrokeredEndpoint(\"/modules/sink/inputs/i{number}\")"));
        let accepted = routes.filter(|route| oracle::route(route).is_ok_and(|route| route.compiles()));
        let letters = senders.into_iter().map(|(by, output)| {
            (
                by,
                Outgoing {
                    output,
                    ..Outgoing::default()
                },
            )
        });
        Scene::of(accepted, letters.collect())
    })
}

/// Queues are seen from outside by their length on the metrics page.
async fn kept_for_nobody(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("nobody", "FROM /messages/modules/probe/outputs/nobody INTO BrokeredEndpoint(\"/modules/nobody/inputs/in\")")])).await?;
    let steps = ["route from output nobody to an input of module nobody, which does not exist".to_owned(), "module probe sends two messages on it".to_owned()];
    let mut history = harness::observe::history::History::begin();
    for _ in 0..2 {
        stage.send(&mut history, &probe(), &on("nobody")).await?;
    }
    if history.sent.iter().any(|sent| sent.acknowledged.is_none()) {
        return Ok(ended(Some(broken("ROUTE-SINK-04", "both messages are acknowledged", "no PUBACK", &steps))));
    }
    let labels = [("endpoint", "gw7/nobody/in")];
    let length = stage.environment().metrics().await.map(|page| harness::observe::metrics::sum(&page, "edgehub_queue_length", &labels))?;
    let found = (length < 2.0).then(|| broken("ROUTE-SINK-04", "a queue of that input with two messages", format!("edgehub_queue_length is {length}"), &steps));
    stage.configure(std::collections::BTreeMap::new()).await?;
    Ok(ended(found))
}
