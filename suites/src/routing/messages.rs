//! Size and identity of messages on their way through routing. Covers ROUTE-MSG.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use harness::observe::history::{History, Identity, MARK, Place, value_of};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};
use proptest::prelude::*;

use crate::course::{arrival, broken, ended, listed, on, probe, reached, routes, settled, sink};
use crate::declare::{fixed, property};
use crate::{model, oracle, scenes};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        property("routing", "routing::messages::the_size_limit_is_exact", &["ROUTE-MSG-01"], 1, sizes, size_holds),
        fixed(
            "routing",
            "routing::messages::the_cloud_gets_what_the_product_carries_and_nothing_else",
            &["ROUTE-MSG-04"],
            |worker| Box::pin(upstream_mapping(worker)),
        ),
        fixed(
            "routing",
            "routing::messages::a_forged_sender_is_an_application_property",
            &["ROUTE-MSG-06", "MQTT-BAG-07"],
            |worker| Box::pin(forged_sender(worker)),
        ),
        fixed(
            "routing",
            "routing::messages::a_malformed_creation_time_is_discarded_and_holds_nothing_up",
            &["ROUTE-MSG-07"],
            |worker| Box::pin(malformed_creation_time(worker)),
        ),
    ];
    tests.extend(scenes::tests("routing::messages", "ROUTE-MSG"));
    tests
}

/// How far over the limit, an output name, and the value of one property.
#[derive(Debug, Clone)]
struct Sized {
    over: isize,
    output: String,
    value: String,
}

/// Names of outputs, none of which is a word of the route language.
const OUTPUT: &str = "x[a-z]{0,11}";

fn sizes() -> impl Strategy<Value = Sized> {
    (-2..=2_isize, OUTPUT, "[a-z0-9]{0,40}").prop_map(|(over, output, value)| Sized { over, output, value })
}

fn size_holds<'a>(stage: &'a mut Stage, case: &'a Sized) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let route = format!(
            "FROM /messages/modules/probe/outputs/{} INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
            case.output
        );
        stage.configure(routes([("sized", &route)])).await?;
        let mut history = History::begin();
        // The first message tells how large one with an empty body is, mark included.
        let mut message = Outgoing { properties: vec![("p".to_owned(), Some(case.value.clone()))], ..on(&case.output) };
        stage.send(&mut history, &probe(), &message).await?;
        let empty = oracle::size(&model::routed(&history.sent[0], &stage.environment().blueprint().edge_device));
        let room = oracle::LARGEST - empty;
        message.body = Bytes::from(vec![b'x'; room.saturating_add_signed(case.over)]);
        let mark = stage.send(&mut history, &probe(), &message).await?;
        // Marks are numbered, so the second may be a digit longer than the first.
        let size = oracle::size(&model::routed(&history.sent[1], &stage.environment().blueprint().edge_device));
        settled(stage, &mut history, &[sink("i0")]).await?;
        let arrived = !reached(&history, &mark).is_empty();
        let acknowledged = history.sent[1].acknowledged.is_some();
        let steps = [format!(
            "module probe sends {} bytes on output {}, with one property; {size} by the product's count",
            message.body.len(),
            case.output
        )];
        // MQTT has no word for a refusal.
        let refused = !stage.environment().transport().is_mqtt();
        Ok(match (size <= oracle::LARGEST, arrived, acknowledged) {
            (false, _, true) if refused => {
                Some(broken("ROUTE-MSG-01", "the message is refused: the limit is 262144", "it was accepted", &steps))
            }
            (fits, _, false) if fits || !refused => {
                Some(broken("ROUTE-MSG-01", "the message is acknowledged", "it was not", &steps))
            }
            (true, false, _) => Some(broken(
                "ROUTE-MSG-01",
                "the message is delivered: the limit is 262144",
                "it did not arrive",
                &steps,
            )),
            (false, true, _) => Some(broken(
                "ROUTE-MSG-01",
                "the message is discarded: the limit is 262144",
                "it was delivered",
                &steps,
            )),
            _ => None,
        })
    })
}

/// Everything a client may set, and which of it the cloud must see.
async fn upstream_mapping(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("up", "FROM /messages/modules/probe/outputs/mapped INTO $upstream")])).await?;
    let carried = [
        ("messageId", "id-1"),
        ("cid", "c 1"),
        ("userId", "u=1"),
        ("contentType", "application/json"),
        ("contentEncoding", "utf-8"),
        ("to", "/to"),
        ("messageSchema", "schema"),
        ("dt-subject", "part"),
    ];
    let mut held_back = vec![
        ("absolute-expiry-time", "2031-02-03T04:05:06Z"),
        ("operation", "op"),
        ("iothub-interface-id", "urn:other:1"),
    ];
    // Over AMQP no message to the cloud has it.
    held_back.extend(stage.environment().transport().is_mqtt().then_some(("ack", "full")));
    let pairs = carried.iter().chain(&held_back).map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let message = Outgoing {
        properties: vec![("p".to_owned(), Some("ü &=/".to_owned()))],
        system: pairs.chain([("creationTime".to_owned(), Some("2031-02-03T04:05:06Z".to_owned()))]).collect(),
        body: "{}".into(),
        ..on("mapped")
    };
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &message).await?;
    settled(stage, &mut history, &[Place::Upstream]).await?;
    let steps =
        ["module probe sends a message with every system property a client may set, routed to $upstream".to_owned()];
    let Some(arrived) = arrival(&history, &mark, &Place::Upstream) else {
        return Ok(ended(Some(broken("ROUTE-MSG-04", "the message reaches $upstream", "it did not", &steps))));
    };
    let mut wanted: BTreeMap<&str, &str> = carried.into_iter().collect();
    wanted.insert("creationTime", "2031-02-03T04:05:06.0000000+00:00");
    let got: BTreeMap<&str, &str> =
        arrived.system.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default())).collect();
    let application: Vec<&str> =
        arrived.properties.iter().map(|(name, _)| name.as_str()).filter(|name| *name != MARK && *name != "p").collect();
    let found = if got != wanted {
        Some(broken("ROUTE-MSG-04", format!("system properties {wanted:?}"), format!("{got:?}"), &steps))
    } else if !application.is_empty() {
        Some(broken(
            "ROUTE-MSG-04",
            "application properties as sent",
            format!("besides those sent: {application:?}"),
            &steps,
        ))
    } else {
        None
    };
    Ok(ended(found))
}

async fn forged_sender(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([
            ("true-sender", "FROM /messages/modules/probe/outputs/forged WHERE $connectionDeviceId = 'gw7' AND $connectionModuleId = 'probe' INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")"),
            ("forged-sender", "FROM /messages/* WHERE $connectionDeviceId = 'leaf1' OR $connectionModuleId = 'cam' INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")"),
            ("up", "FROM /messages/modules/probe/outputs/forged INTO $upstream"),
        ]))
        .await?;
    let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let message = Outgoing { properties: vec![pair("$.cdid", "leaf1"), pair("$.cmid", "cam")], ..on("forged") };
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &message).await?;
    settled(stage, &mut history, &[sink("i0"), sink("i1"), Place::Upstream]).await?;
    let steps = ["module probe sends a message with the properties $.cdid=leaf1 and $.cmid=cam".to_owned()];
    let wanted = std::collections::BTreeSet::from([sink("i0"), Place::Upstream]);
    let got = reached(&history, &mark);
    if got != wanted {
        let expected = format!("conditions see the true sender: the message reaches {}", listed(&wanted));
        return Ok(ended(Some(broken("ROUTE-MSG-06", expected, format!("it reached {}", listed(&got)), &steps))));
    }
    let shown = arrival(&history, &mark, &sink("i0")).map(|arrived| {
        (
            value_of(&arrived.system, "connectionDeviceId").map(str::to_owned),
            value_of(&arrived.system, "connectionModuleId").map(str::to_owned),
        )
    });
    if shown != Some((Some("gw7".to_owned()), Some("probe".to_owned()))) {
        return Ok(ended(Some(broken(
            "MQTT-BAG-07",
            "the input sees device gw7 and module probe",
            format!("it sees {shown:?}"),
            &steps,
        ))));
    }
    let connection = arrival(&history, &mark, &Place::Upstream).and_then(|arrived| arrived.connection.clone());
    let found = (connection != Some(("gw7".to_owned(), Some("probe".to_owned())))).then(|| {
        broken("ROUTE-MSG-06", "the cloud gets it from module probe", format!("it got it from {connection:?}"), &steps)
    });
    Ok(ended(found))
}

async fn malformed_creation_time(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage.configure(routes([("up", "FROM /messages/modules/probe/outputs/dated INTO $upstream")])).await?;
    let dated =
        |time: &str| Outgoing { system: vec![("creationTime".to_owned(), Some(time.to_owned()))], ..on("dated") };
    let by: Identity = probe();
    for malformed in ["yesterday", "2031-02-03 04:05:06", "2031-13-03T04:05:06Z"] {
        let mut history = History::begin();
        let bad = stage.send(&mut history, &by, &dated(malformed)).await?;
        // What goes upstream together is discarded together; so the next message waits until the first has gone.
        let passed = settled(stage, &mut history, &[Place::Upstream]).await?;
        let good = stage.send(&mut history, &by, &dated("2031-02-03T04:05:06Z")).await?;
        let steps = [format!("module probe sends a message with creationTime `{malformed}`, then one with a good one")];
        let settled_again = settled(stage, &mut history, &[Place::Upstream]).await?;
        let found = if !reached(&history, &bad).is_empty() {
            Some(broken("ROUTE-MSG-07", "the first message is discarded", "it reached $upstream", &steps))
        } else if reached(&history, &good).is_empty() || !settled_again {
            let observed = if passed { "it did not arrive" } else { "nothing arrives any more" };
            Some(broken("ROUTE-MSG-07", "the second message reaches $upstream", observed, &steps))
        } else {
            None
        };
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}
