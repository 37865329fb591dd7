//! What the hub does before it serves, and what it says of its clients. Covers ROUTE-CFG-16 to -19.

use std::time::Duration;

use harness::client::amqp::message::Message;
use harness::client::iot_hub::{Concerns, Condition, Kind, Operation};
use harness::deadline;
use harness::environment::Environment;
use harness::observe::history::{History, Identity, MARK};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use serde_json::{Value, json};

use crate::course::{broken, ended, on, probe, reached, routes, sink};
use crate::declare::{fixed, restarting};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "routing",
            "routing::start_up::clients_are_reported_as_they_come_and_go",
            &["ROUTE-CFG-16", "ROUTE-CFG-17"],
            |worker| Box::pin(clients(worker)),
        ),
        restarting(
            "routing",
            "routing::start_up::the_clients_of_an_earlier_run_are_forgotten",
            &["ROUTE-CFG-16"],
            |worker| Box::pin(forgotten(worker)),
        ),
        restarting(
            "routing",
            "routing::start_up::without_any_configuration_the_hub_does_not_serve",
            &["ROUTE-CFG-18"],
            |worker| Box::pin(no_configuration(worker)),
        ),
        restarting(
            "routing",
            "routing::start_up::the_first_message_finds_the_routes_in_force",
            &["ROUTE-CFG-18"],
            |worker| Box::pin(first_message(worker)),
        ),
        restarting(
            "routing",
            "routing::start_up::with_a_remembered_configuration_the_hub_routes_offline",
            &["ROUTE-CFG-19"],
            |worker| Box::pin(offline(worker)),
        ),
    ]
}

/// Whether a reported entry is as it should be.
type State = dyn Fn(&Value) -> bool + Sync;

/// Waits until the hub reports a client in a state; `Err` holds what it reports instead.
async fn client_is(
    environment: &Environment,
    key: &str,
    state: impl Fn(&Value) -> bool,
) -> Result<Result<(), Value>, StageError> {
    let device = &environment.blueprint().edge_device;
    let began = std::time::Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let twin = environment.iot_hub().twin(device, Some("$edgeHub")).await?;
        let clients = &twin["properties"]["reported"]["clients"];
        if state(&clients[key]) {
            return Ok(Ok(()));
        }
        if began.elapsed() > deadline::REPORTED.limit {
            return Ok(Err(clients.clone()));
        }
        // The service side offers no way to wait for a twin, so it is asked again, less often each time.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

async fn clients(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let (module, leaf) = (Identity::Module("dot.ted".to_owned()), Identity::LeafDevice("leaf2".to_owned()));
    let connected = |entry: &Value| entry["status"] == "Connected" && entry["lastConnectedTimeUtc"].is_string();
    let disconnected =
        |entry: &Value| entry["status"] == "Disconnected" && entry["lastDisconnectedTimeUtc"].is_string();
    let steps =
        ["module dot.ted and leaf device leaf2 are connected".to_owned(), "both break their connections".to_owned()];
    let waits: [(&str, &str, bool, &State); 4] = [
        ("ROUTE-CFG-17", "gw7/dot%2Eted", false, &connected),
        ("ROUTE-CFG-16", "leaf2", false, &connected),
        ("ROUTE-CFG-16", "gw7/dot%2Eted", true, &disconnected),
        ("ROUTE-CFG-16", "leaf2", true, &Value::is_null),
    ];
    for (requirement, key, gone, state) in waits {
        if gone {
            stage.drop_client(&module).await?;
            stage.drop_client(&leaf).await?;
        }
        if let Err(clients) = client_is(stage.environment(), key, state).await? {
            let expected = match (gone, key) {
                (false, _) => format!("clients has `{key}` as Connected"),
                (true, "leaf2") => "clients has no `leaf2` any more".to_owned(),
                (true, _) => format!("clients has `{key}` as Disconnected"),
            };
            return Ok(ended(Some(broken(requirement, expected, format!("clients is {clients}"), &steps))));
        }
    }
    stage.connect(module).await?;
    stage.connect(leaf).await?;
    Ok(Outcome::Conforms)
}

async fn forgotten(worker: &mut Worker) -> Result<Outcome, StageError> {
    let blueprint = worker.blueprint().clone();
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    let seen = client_is(stage.environment(), "gw7/probe", |entry| entry["status"] == "Connected").await?;
    stage.environment_mut().kill_hub().await;
    stage.environment_mut().start_hub().await?;
    stage.environment_mut().ready().await?;
    let forgotten = client_is(stage.environment(), "gw7/probe", Value::is_null).await?;
    let steps = [
        "module probe is connected".to_owned(),
        "the hub is killed and started again; module probe stays away".to_owned(),
    ];
    let found = match (seen, forgotten) {
        (Err(clients), _) => Some(broken(
            "ROUTE-CFG-16",
            "clients has `gw7/probe` as Connected",
            format!("clients is {clients}"),
            &steps,
        )),
        (_, Err(clients)) => {
            Some(broken("ROUTE-CFG-16", "clients has no `gw7/probe` any more", format!("clients is {clients}"), &steps))
        }
        _ => None,
    };
    stage.close().await;
    Ok(ended(found))
}

/// Ways to have no configuration. The hub ends by itself, and never listens before.
async fn no_configuration(worker: &mut Worker) -> Result<Outcome, StageError> {
    let document = |routes: Value| json!({"schemaVersion": "1.1", "routes": routes, "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}});
    let twins = [
        ("an empty twin", Some(json!({}))),
        ("a twin with a route that does not parse", Some(document(json!({"r": "FROM nowhere"})))),
        (
            "a twin with a condition that does not compile",
            Some(document(json!({"r": "FROM /messages WHERE nothing() INTO $upstream"}))),
        ),
        // Here it has to wait, so that there is time to see whether it listens; but not as long as the product waits.
        ("a twin that the IoT Hub does not hand out", None),
    ];
    for (what, desired) in twins {
        let mut blueprint = worker.blueprint().clone();
        let unanswered = desired.is_none();
        blueprint.desired = desired;
        if unanswered {
            blueprint.settings.push(("CloudOperationTimeoutSecs".to_owned(), "1".to_owned()));
        }
        let mut environment = worker.world(&blueprint).await?;
        if unanswered {
            let hub = Concerns::Identity(&blueprint.edge_device, Some("$edgeHub"));
            let silence = Condition::new(Kind::Unanswered, hub).on(Operation::TwinGet);
            environment.iot_hub().impose_condition(&silence).await?;
        }
        environment.start_hub().await?;
        let steps = [format!("the first start of a hub with {what}")];
        let found = ends_unheard(&mut environment)
            .await
            .map(|observed| broken("ROUTE-CFG-18", "the hub ends without having listened", observed, &steps));
        environment.stop().await;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn ends_unheard(environment: &mut Environment) -> Option<String> {
    let began = std::time::Instant::now();
    while began.elapsed() < deadline::READY.limit {
        if environment.listens().await {
            return Some("it listens on its MQTT port".to_owned());
        }
        if environment.hub_ends(deadline::GLANCE).await.is_ok() {
            return None;
        }
    }
    Some(format!("it still runs after {} s", deadline::READY.limit.as_secs()))
}

/// The listener opens with the routes, not before them.
async fn first_message(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = worker.blueprint().clone();
    blueprint.desired = Some(json!({
        "schemaVersion": "1.1",
        "routes": routes([("first", "FROM /messages/modules/probe/outputs/first INTO $upstream")]),
        "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
    }));
    let mut environment = worker.world(&blueprint).await?;
    environment.start_hub().await?;
    environment.ready().await?;
    let mut feed = environment.iot_hub().telemetry();
    let client = environment
        .connect(&probe())
        .await
        .map_err(|source| StageError::Connect { who: probe().to_string(), source })?;
    let message = Message {
        properties: vec![(MARK.to_owned(), Some("first".to_owned()))],
        system: vec![("outputName".to_owned(), Some("first".to_owned()))],
        ..Message::default()
    };
    client.send(&message).await.acknowledged().await?;
    let arrived = deadline::ROUTING.wait("the first message upstream", feed.next()).await;
    drop(client);
    environment.stop().await;
    let steps = [
        "a hub starts with a route from output first to $upstream".to_owned(),
        "module probe sends on it as soon as the hub lets it in".to_owned(),
    ];
    Ok(ended(
        arrived
            .err()
            .map(|expired| broken("ROUTE-CFG-18", "the message reaches $upstream", expired.to_string(), &steps)),
    ))
}

async fn offline(worker: &mut Worker) -> Result<Outcome, StageError> {
    let blueprint = worker.blueprint().clone();
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    stage
        .configure(routes([(
            "offline",
            "FROM /messages/modules/probe/outputs/offline INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    stage.environment_mut().kill_hub().await;
    stage.environment().iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    stage.environment_mut().start_hub().await?;
    let steps = [
        "a hub has had its configuration, and a route from output offline to sink/i0".to_owned(),
        "it is killed, the IoT Hub becomes unreachable, and it is started again".to_owned(),
        "module probe sends a message on output offline".to_owned(),
    ];
    if let Err(error) = stage.environment_mut().ready().await {
        let found = broken("ROUTE-CFG-19", "the hub serves", error.to_string(), &steps);
        stage.close().await;
        return Ok(ended(Some(found)));
    }
    for module in [probe(), Identity::Module("sink".to_owned())] {
        stage.connect(module).await?;
    }
    let mut history = History::begin();
    let mark = stage.send(&mut history, &probe(), &on("offline")).await?;
    let arrived = stage
        .collect(&mut history, deadline::ROUTING, "the message at sink/i0", |history| {
            reached(history, &mark).contains(&sink("i0"))
        })
        .await;
    stage.close().await;
    Ok(ended(
        arrived.err().map(|expired| broken("ROUTE-CFG-19", "the message reaches sink/i0", expired.to_string(), &steps)),
    ))
}
