//! Messages from everybody to everybody. Covers CROSS-MSG.

use std::collections::BTreeMap;

use harness::observe::history::{Delivered, History, Identity, Place, Sent, value_of};
use harness::outcome::{SmallestCase, Violation};
use harness::runner::Test;
use harness::stage::{Outgoing, Stage, StageError};
use harness::transport::Transport;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::mapping::{self, Receiver};
use super::{INPUT, MODULES, blueprint, speakers};
use crate::course::settled;
use crate::declare;
use crate::generate::letter;
use crate::scene::{Letter, shown};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![declare::on(
        blueprint,
        declare::property(
            "cross_protocol",
            "cross_protocol::messages::everybody_gets_what_anybody_sent",
            &["CROSS-MSG-01", "CROSS-MSG-02", "CROSS-MSG-03", "CROSS-MSG-04", "CROSS-MSG-05"],
            6,
            letters,
            |stage, letters| Box::pin(play(stage, letters)),
        ),
    )]
}

fn letters() -> impl Strategy<Value = Vec<Letter>> {
    let one = (select(speakers()), letter::properties(), letter::system(&mapping::NAMES), letter::body()).prop_map(
        |((by, _), properties, system, body)| {
            let output = matches!(by, Identity::Module(_)).then(|| "out".to_owned());
            (by, Outgoing { output, properties, system, body: body.into() })
        },
    );
    vec(one, 1..=4)
}

/// One route to each place that there is.
fn routes() -> BTreeMap<String, Value> {
    let to_module = |(module, _): (&str, Transport)| {
        let sink = format!("BrokeredEndpoint(\"/modules/{module}/inputs/{INPUT}\")");
        (format!("to-{module}"), json!(format!("FROM /messages/* WHERE NOT is_defined(own) INTO {sink}")))
    };
    let up = ("up".to_owned(), json!("FROM /messages/* WHERE NOT is_defined(own) INTO $upstream"));
    MODULES.map(to_module).into_iter().chain([up]).collect()
}

/// Every place, and who gets there what arrives.
fn places() -> Vec<(Place, Receiver)> {
    let input = |(module, transport): (&str, Transport)| {
        let place = Place::Input { module: module.to_owned(), input: INPUT.to_owned() };
        (place, Receiver::Module(transport))
    };
    MODULES.map(input).into_iter().chain([(Place::Upstream, Receiver::Cloud)]).collect()
}

async fn play(stage: &mut Stage, letters: &[Letter]) -> Result<Option<Violation>, StageError> {
    stage.configure(routes()).await?;
    let mut history = History::begin();
    for (by, message) in letters {
        stage.send(&mut history, by, message).await?;
    }
    let all: Vec<Place> = places().into_iter().map(|(place, _)| place).collect();
    let settled = settled(stage, &mut history, &all).await;
    let device = stage.environment().blueprint().edge_device.clone();
    let found = match (breach(&history, &device), settled) {
        (Some(found), _) => found,
        (None, Ok(true)) => return Ok(None),
        (None, Ok(false)) => Breach {
            requirement: "CROSS-MSG-05",
            expected: "a message behind all others arrives at every place".to_owned(),
            observed: "it does not".to_owned(),
            mark: String::new(),
        },
        (None, Err(error)) => return Err(error),
    };
    let Breach { requirement, expected, observed, mark } = found;
    Ok(Some(Violation {
        requirement: requirement.to_owned(),
        expected,
        observed,
        smallest_case: SmallestCase {
            routes: routes()
                .iter()
                .map(|(name, route)| format!("{name}: {}", route.as_str().unwrap_or_default()))
                .collect(),
            messages: letters.iter().map(|(by, message)| shown(by, message)).collect(),
            steps: Vec::new(),
        },
        timeline: history.timeline(|delivered| delivered.mark() == Some(&mark)),
        waited: None,
    }))
}

struct Breach {
    requirement: &'static str,
    expected: String,
    observed: String,
    mark: String,
}

/// The first way in which what arrived is not what was sent.
fn breach(history: &History, edge_device: &str) -> Option<Breach> {
    let speaks: BTreeMap<Identity, Transport> = speakers().into_iter().collect();
    for sent in &history.sent {
        let found = |requirement, expected: String, observed: String| {
            Some(Breach { requirement, expected, observed, mark: sent.mark.clone() })
        };
        if sent.acknowledged.is_none() {
            return found(
                "CROSS-MSG-05",
                format!("the hub takes {} of {}", sent.mark, sent.by),
                "it did not".to_owned(),
            );
        }
        let transport = speaks.get(&sent.by).copied()?;
        for (place, receiver) in places() {
            let here = |delivered: &&Delivered| delivered.at == place && delivered.mark() == Some(&sent.mark);
            let came: Vec<&Delivered> = history.delivered.iter().filter(here).collect();
            let way = format!("{} of {} (over {transport}) at {place}", sent.mark, sent.by);
            let [delivered] = came[..] else {
                return found("CROSS-MSG-05", format!("{way}: one copy"), format!("{} copies", came.len()));
            };
            if let Some((requirement, expected, observed)) = altered(sent, delivered, transport, receiver, edge_device)
            {
                return found(requirement, format!("{way}: {expected}"), observed);
            }
        }
    }
    None
}

/// How a message differs from what was sent, and what that breaks.
fn altered(
    sent: &Sent,
    delivered: &Delivered,
    sender: Transport,
    receiver: Receiver,
    edge_device: &str,
) -> Option<(&'static str, String, String)> {
    if sent.body != delivered.body {
        let observed = format!("{} bytes: {}", delivered.body.len(), delivered.body.escape_ascii());
        return Some(("CROSS-MSG-01", format!("its body of {} bytes", sent.body.len()), observed));
    }
    let application = |properties| mapping::application(properties, sender, receiver);
    let (wanted, got) = (application(&sent.properties), application(&delivered.properties));
    if wanted != got {
        return Some(("CROSS-MSG-02", format!("application properties {wanted:?}"), format!("{got:?}")));
    }
    let (wanted, got) = (mapping::system(&sent.system, receiver), mapping::seen_system(&delivered.system, receiver));
    if wanted != got {
        return Some(("CROSS-MSG-03", format!("system properties {wanted:?}"), format!("{got:?}")));
    }
    let named = |name| value_of(&delivered.system, name).map(str::to_owned);
    let got = match &delivered.connection {
        Some((device, module)) => (Some(device.clone()), module.clone()),
        None => (named("connectionDeviceId"), named("connectionModuleId")),
    };
    let wanted = match &sent.by {
        Identity::Module(module) => (Some(edge_device.to_owned()), Some(module.clone())),
        Identity::LeafDevice(leaf) => (Some(leaf.clone()), None),
    };
    (wanted != got).then(|| ("CROSS-MSG-04", format!("sent by {wanted:?}"), format!("sent by {got:?}")))
}
