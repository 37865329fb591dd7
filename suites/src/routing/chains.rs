//! Modules that take messages of others, and send new ones on: chains of any length.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use harness::deadline;
use harness::observe::history::{History, Identity, Place};
use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Outgoing, Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::course::broken;
use crate::declare;
use crate::generate;
use crate::scene::{self, Scene};

const CLAIM: &str = "ROUTE-CHAIN-01";

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![declare::property(
        "routing",
        "routing::chains::what_a_module_makes_of_the_messages_of_others_goes_on_as_its_own",
        &[CLAIM],
        8,
        chains,
        |stage, chain| Box::pin(passes_on(stage, chain)),
    )]
}

/// Who begins, and the inputs on the way. Whoever owns an input sends a message of its own when one arrives there.
#[derive(Debug, Clone)]
struct Chain {
    first: Identity,
    inputs: Vec<(&'static str, &'static str)>,
    /// One for each link; the last link leads to IoT Hub.
    messages: Vec<Outgoing>,
}

const LONGEST: usize = 6;
const INPUTS: [(&str, &str); 6] =
    [("sink", "i0"), ("sink", "i1"), ("other", "in"), ("sink", "i2"), ("other", "IN"), ("sink", "i3")];

fn chains() -> impl Strategy<Value = Chain> {
    let first = select(vec![
        Identity::LeafDevice("leaf1".to_owned()),
        Identity::LeafDevice("leaf2".to_owned()),
        Identity::Module("probe".to_owned()),
        Identity::Module("cam".to_owned()),
    ]);
    let inputs = vec(select(&INPUTS[..]), 1..LONGEST);
    (first, inputs, vec(generate::message(), LONGEST)).prop_map(|(first, inputs, messages)| Chain {
        first,
        inputs,
        messages,
    })
}

impl Chain {
    fn sender(&self, link: usize) -> Identity {
        match link.checked_sub(1) {
            None => self.first.clone(),
            Some(before) => Identity::Module(self.inputs[before].0.to_owned()),
        }
    }

    fn end_of(&self, link: usize) -> Place {
        self.inputs.get(link).map_or(Place::Upstream, |(module, input)| Place::Input {
            module: (*module).to_owned(),
            input: (*input).to_owned(),
        })
    }

    /// What is sent over a link: it says which, since an input may stand in the chain more than once.
    fn message(&self, link: usize) -> Outgoing {
        let mut message = self.messages[link].clone();
        message.output = matches!(self.sender(link), Identity::Module(_)).then(|| "on".to_owned());
        message.properties.push(("link".to_owned(), Some(link.to_string())));
        message
    }

    fn route(&self, link: usize) -> String {
        let source = match self.sender(link) {
            Identity::Module(module) => format!("/messages/modules/{module}/outputs/on"),
            Identity::LeafDevice(_) => "/messages".to_owned(),
        };
        let to = match self.end_of(link) {
            Place::Upstream => "$upstream".to_owned(),
            Place::Input { module, input } => format!("BrokeredEndpoint(\"/modules/{module}/inputs/{input}\")"),
        };
        format!("FROM {source} WHERE link = '{link}' INTO {to}")
    }

    fn scene(&self) -> Scene {
        let links = 0..=self.inputs.len();
        let letters = links.clone().map(|link| (self.sender(link), self.message(link))).collect();
        Scene::of(links.map(|link| self.route(link)), letters)
    }
}

fn passes_on<'a>(stage: &'a mut Stage, chain: &'a Chain) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let scene = chain.scene();
        let routes: BTreeMap<String, Value> = scene.routes.clone();
        stage.configure(routes).await?;
        let mut history = History::begin();
        let mut expected: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
        for (link, (by, message)) in scene.letters.iter().enumerate() {
            let mark = stage.send(&mut history, by, message).await?;
            let end = chain.end_of(link);
            let arrived = |history: &History| history.places_of(&mark).contains(&&end);
            let what = format!("the message of link {link} at {end}");
            if let Err(expired) = stage.collect(&mut history, deadline::ROUTING, &what, arrived).await {
                let mut found = broken(CLAIM, format!("{mark} from {by} reaches {end}"), expired.to_string(), &[]);
                found.timeline = history.timeline(|_| false);
                found.smallest_case = scene.shown();
                return Ok(Some(found));
            }
            expected.insert(mark, BTreeSet::from([end]));
        }
        let places: BTreeSet<Place> = expected.values().flatten().cloned().collect();
        let settled = stage.settle(&mut history, &Vec::from_iter(places), deadline::ROUTING).await;
        let verdict = scene::judge(CLAIM, &history, &expected, &stage.environment().blueprint().edge_device);
        match verdict {
            Some(found) => Ok(Some(Violation { smallest_case: scene.shown(), ..found })),
            None => settled.map(|()| None),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chain_has_a_route_for_each_link() {
        let chain = Chain {
            first: Identity::LeafDevice("leaf1".to_owned()),
            inputs: vec![INPUTS[0], INPUTS[2]],
            messages: vec![Outgoing::default(); LONGEST],
        };
        let routes: Vec<Value> = chain.scene().routes.into_values().collect();
        assert_eq!(
            routes,
            [
                json!("FROM /messages WHERE link = '0' INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
                json!(
                    "FROM /messages/modules/sink/outputs/on WHERE link = '1' INTO BrokeredEndpoint(\"/modules/other/inputs/in\")"
                ),
                json!("FROM /messages/modules/other/outputs/on WHERE link = '2' INTO $upstream"),
            ]
        );
    }
}
