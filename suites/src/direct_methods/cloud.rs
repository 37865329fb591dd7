//! Calls from the cloud. Covers METHOD-CLD, METHOD-RCV-05.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use harness::client::hub_client::methods::{MethodClient, MethodRequest};
use harness::client::hub_client::{self, HubClient};
use harness::client::iot_hub::{Concerns, MethodCall, MethodResult, ServiceError};
use harness::client::mqtt::methods::REQUESTS;
use harness::deadline::{self, Deadline};
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use harness::subject::Ability;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::ground::{
    Callee, Calling, FAN, METER, OPERATOR, PUMP, VALVE, body, device, judged, module, nothing_else, payload, request,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, over_mqtt, property, restarting, slow};
use crate::generate::method::{argument, name};
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        over_mqtt(restarting(
            "direct_methods",
            "direct_methods::cloud::calls_reach_a_client_wherever_it_has_been",
            &["METHOD-CLD-01", "METHOD-CLD-03"],
            |worker| Box::pin(comings_and_goings(worker)),
        )),
        property(
            "direct_methods",
            "direct_methods::cloud::a_call_is_relayed_both_ways",
            &["METHOD-CLD-01", "METHOD-RCV-03"],
            2,
            rounds,
            |stage, round| Box::pin(relayed(stage, round)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::cloud::only_the_client_that_is_meant_is_called",
            &["METHOD-RCV-05", "METHOD-CLD-01"],
            |worker| Box::pin(addressed(worker)),
        ),
        // Over AMQP there is no word for it: who detaches its link is called all the same.
        over_mqtt(fixed(
            "direct_methods",
            "direct_methods::cloud::who_does_not_listen_any_more_is_not_found",
            &["METHOD-CLD-03", "METHOD-CLD-04"],
            |worker| Box::pin(withdrawn(worker)),
        )),
        Test {
            needs: vec![Ability::Pause],
            ..over_mqtt(fixed(
                "direct_methods",
                "direct_methods::cloud::a_call_that_comes_too_late_is_answered_with_nothing",
                &["METHOD-CLD-04"],
                |worker| Box::pin(raced(worker)),
            ))
        },
        slow(fixed(
            "direct_methods",
            "direct_methods::cloud::the_hub_waits_as_long_as_the_cloud",
            &["METHOD-CLD-02"],
            |worker| Box::pin(patience(worker)),
        )),
    ]
}

/// How long the cloud waits for a client to listen: a hub may take a moment to say so.
const CONNECT_SECS: u64 = 10;

/// Device and module of a client, as the cloud names it.
fn named<'a>(environment: &'a Environment, identity: &'a Identity) -> (&'a str, Option<&'a str>) {
    match identity {
        Identity::Module(module) => (environment.blueprint().edge_device.as_str(), Some(module)),
        Identity::LeafDevice(leaf) => (leaf, None),
    }
}

/// Calls a method from the cloud, which waits for the client to listen.
pub(crate) async fn invoke(
    environment: &Environment,
    target: &Identity,
    name: &str,
    payload: Value,
) -> Result<MethodResult, ServiceError> {
    let (device, module) = named(environment, target);
    let call = MethodCall { connect_timeout_secs: Some(CONNECT_SECS), ..MethodCall::new(name, payload) };
    environment.iot_hub().invoke(device, module, &call.answered_within(10)).await
}

fn told(result: &Result<MethodResult, ServiceError>) -> String {
    match result {
        Ok(result) => format!("status {} and payload {}", result.status, result.payload),
        Err(error) => error.to_string(),
    }
}

/// A violation unless the cloud got this; what is wrong with the service side itself is an error.
fn judge(
    requirement: &str,
    (status, payload): (i64, Value),
    result: &Result<MethodResult, ServiceError>,
    steps: &[String],
) -> Option<Violation> {
    let right = result.as_ref().is_ok_and(|result| *result == MethodResult { status, payload: payload.clone() });
    (!right).then(|| {
        broken(requirement, format!("the cloud gets status {status} and payload {payload}"), told(result), steps)
    })
}

/// Calls side by side, from the cloud and by a module, and the order in which they are answered.
#[derive(Debug, Clone)]
struct Round {
    leaf: bool,
    name: String,
    calls: Vec<(bool, Value, i32, Option<Value>)>,
    order: Vec<usize>,
}

fn rounds() -> impl Strategy<Value = Round> {
    let status = prop_oneof![select(vec![200, 0, -1, 404, 501]), any::<i32>()];
    let call = (any::<bool>(), argument(), status, proptest::option::weighted(0.8, argument()));
    let calls = proptest::collection::vec(call, 1..=4);
    (any::<bool>(), name(), calls).prop_flat_map(|(leaf, name, calls)| {
        let order: Vec<usize> = (0..=calls.len()).collect();
        Just(order).prop_shuffle().prop_map(move |order| Round {
            leaf,
            name: name.clone(),
            calls: calls.clone(),
            order,
        })
    })
}

fn relayed<'a>(stage: &'a mut Stage, round: &'a Round) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move { play(stage.environment(), round).await })
}

async fn play(environment: &Environment, round: &Round) -> Result<Option<Violation>, StageError> {
    let target = if round.leaf { device(METER) } else { module(PUMP) };
    let https = Arc::new(environment.https());
    let mut steps = vec![format!("{target} connects and subscribes to methods")];
    if let Some(found) = not_found(environment, &target, &[]).await? {
        return Ok(Some(found));
    }
    let mut callee = Callee::listen(environment, &target).await?;
    // Everybody calls once, the first from the cloud.
    let mut calls = vec![(true, Value::Null, 200, Some(json!("first")))];
    calls.extend(round.calls.iter().cloned());
    let mark = |number: usize, value: &Value| json!({ "call": number, "value": value });
    for (number, (from_cloud, argument, ..)) in calls.iter().enumerate() {
        let who = if *from_cloud { "the cloud".to_owned() } else { format!("module {OPERATOR}") };
        steps.push(format!("{who} calls {:?} with {}", round.name, mark(number, argument)));
    }
    steps.push(format!("the calls are answered in the order {:?}", round.order));
    let calling = calls.iter().enumerate().map(|(number, (from_cloud, argument, status, told))| {
        let (https, target, steps) = (&https, &target, &steps);
        async move {
            let answered = told.as_ref().map_or(Value::Null, |told| mark(number, told));
            if *from_cloud {
                let result = invoke(environment, target, &round.name, mark(number, argument)).await;
                judge("METHOD-CLD-01", (i64::from(*status), answered), &result, steps)
            } else {
                let body = body(&round.name, &mark(number, argument)).to_string();
                let calling = Calling::begin(https, request(environment, OPERATOR, target, body), deadline::METHOD);
                let expected = answer::answered(&status.to_string(), answered.to_string().as_bytes());
                let mut calling = calling;
                judged("METHOD-INV-21", &expected, &calling.end().await, steps)
            }
        }
    });
    let answering = async {
        let mut requests: Vec<Option<MethodRequest>> = vec![None; calls.len()];
        for _ in 0..calls.len() {
            let request = callee.next(PATIENT).await?;
            if request.name != round.name {
                return Err(format!("a request for {:?}", request.name));
            }
            let number = payload(&request).and_then(|payload| payload["call"].as_u64()).unwrap_or(u64::MAX) as usize;
            let slot = requests.get_mut(number).ok_or("a request with another payload")?;
            if payload(&request) != Some(mark(number, &calls[number].1)) {
                return Err(format!("a request with {}", String::from_utf8_lossy(&request.payload)));
            }
            if slot.replace(request).is_some() {
                return Err(format!("call {number} twice"));
            }
        }
        for number in &round.order {
            let request = requests[*number].as_ref().expect("each came once");
            let (_, _, status, told) = &calls[*number];
            let told = told.as_ref().map(|told| mark(*number, told).to_string()).unwrap_or_default();
            let answered = callee.answer(&request.id, &status.to_string(), Bytes::from(told)).await;
            answered.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    };
    let (found, answered) = tokio::join!(join_all(calling), answering);
    if let Err(observed) = answered {
        let expected = format!("each call comes to {target} as it was made, once");
        return Ok(Some(broken("METHOD-CLD-01", expected, observed, &steps)));
    }
    Ok(found.into_iter().flatten().next())
}

/// Time for the cloud to find out that a client listens.
const PATIENT: Deadline = deadline::DRAIN;

async fn addressed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let targets = [module(PUMP), module(VALVE), device(METER)];
    let mut callees = match listening(environment, &targets, &[]).await? {
        Ok(callees) => callees,
        Err(found) => return Ok(ended(Some(found))),
    };
    for at in 0..targets.len() {
        let steps = [
            "modules pump and valve and leaf device meter listen".to_owned(),
            format!("the cloud calls {}", targets[at]),
        ];
        if let Some(found) = called(environment, &mut callees[at], &steps).await? {
            return Ok(ended(Some(found)));
        }
        for callee in &mut callees {
            if let Err(observed) = nothing_else(environment, &https, callee).await? {
                let expected = format!("the call comes to {} alone", targets[at]);
                return Ok(ended(Some(broken("METHOD-RCV-05", expected, observed, &steps))));
            }
        }
    }
    Ok(Outcome::Conforms)
}

/// Calls a client from the cloud once, and answers.
async fn called(
    environment: &Environment,
    callee: &mut Callee,
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let target = callee.identity.clone();
    let (result, answered) = tokio::join!(invoke(environment, &target, "ask", json!({"n": 1})), async {
        let request = callee.next(PATIENT).await?;
        let answered = callee.answer(&request.id, "207", "{\"told\":true}").await;
        answered.map_err(|error| error.to_string())
    });
    Ok(judge("METHOD-CLD-01", (207, json!({"told": true})), &result, steps).map(|found| {
        let at_callee = answered.err().map(|observed| format!("; at the client: {observed}")).unwrap_or_default();
        Violation { observed: format!("{}{at_callee}", found.observed), ..found }
    }))
}

/// How late a slow cloud does what it is asked: a call comes before it knows of what has changed.
const LATE: Duration = Duration::from_millis(100);

/// A client that leaves, returns, is replaced, loses its hub, and comes back with a session that the hub remembers.
async fn comings_and_goings(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = worker.blueprint().clone();
    blueprint.inputs.clear();
    let mut environment = worker.environment(&blueprint).await?;
    let found = journey(&mut environment).await;
    environment.stop().await;
    Ok(ended(found?))
}

async fn journey(environment: &mut Environment) -> Result<Option<Violation>, StageError> {
    let targets = [module(PUMP), device(METER)];
    let mut steps = vec!["module pump and leaf device meter connect and subscribe to methods".to_owned()];
    let mut callees = match listening(environment, &targets, &[]).await? {
        Ok(callees) => callees,
        Err(found) => return Ok(Some(found)),
    };
    if let Some(found) = all_called(environment, &mut callees, &steps).await? {
        return Ok(Some(found));
    }
    steps.push("both break their connections, connect and subscribe again".to_owned());
    callees.clear();
    let mut callees = match listening(environment, &targets, &steps).await? {
        Ok(callees) => callees,
        Err(found) => return Ok(Some(found)),
    };
    if let Some(found) = all_called(environment, &mut callees, &steps).await? {
        return Ok(Some(found));
    }
    steps.push("the cloud takes its time; both connect in the place of their connections, and subscribe".to_owned());
    let slow = environment.iot_hub().impose("delay", Concerns::Everyone, LATE).await?;
    let mut newer = all_listen(environment, &targets).await?;
    drop(callees);
    let found = all_called(environment, &mut newer, &steps).await?;
    environment.iot_hub().lift(slow).await?;
    if found.is_some() {
        return Ok(found);
    }
    drop(newer);
    steps.push("module fan connects with a session to be kept, and subscribes".to_owned());
    let mut fan = lasting(environment).await?;
    fan.subscribe().await?;
    steps.push("the hub is stopped and started again; all connect, and only module fan does not subscribe".to_owned());
    environment.stop_hub().await;
    environment.start_hub().await?;
    environment.ready().await?;
    let mut callees = all_listen(environment, &targets).await?;
    let fan = lasting(environment).await?;
    let present = fan.client.mqtt().session_present;
    callees.push(fan);
    if let Some(found) = all_called(environment, &mut callees, &steps).await? {
        return Ok(Some(Violation { observed: format!("{} (session present: {present})", found.observed), ..found }));
    }
    Ok(None)
}

async fn lasting(environment: &Environment) -> Result<Callee, StageError> {
    let identity = module(FAN);
    let mut login = environment.login(&identity);
    login.clean_session = false;
    let connected = HubClient::connect(hub_client::Login::Mqtt(login)).await;
    let client = connected.map_err(|source| StageError::Connect { who: identity.to_string(), source })?;
    Ok(Callee { identity, client: MethodClient::of(client) })
}

/// Connects clients and subscribes, once the cloud finds nobody in their places.
async fn listening(
    environment: &Environment,
    targets: &[Identity],
    steps: &[String],
) -> Result<Result<Vec<Callee>, Violation>, StageError> {
    for target in targets {
        if let Some(found) = not_found(environment, target, steps).await? {
            return Ok(Err(found));
        }
    }
    Ok(Ok(all_listen(environment, targets).await?))
}

async fn all_listen(environment: &Environment, targets: &[Identity]) -> Result<Vec<Callee>, StageError> {
    let mut callees = Vec::new();
    for target in targets {
        callees.push(Callee::listen(environment, target).await?);
    }
    Ok(callees)
}

async fn all_called(
    environment: &Environment,
    callees: &mut [Callee],
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    for callee in callees {
        let mut steps = steps.to_vec();
        steps.push(format!("the cloud calls {}", callee.identity));
        if let Some(found) = called(environment, callee, &steps).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// How long a hub stands still, so that what is sent to it meanwhile is there all at once.
const STANDSTILL: Duration = Duration::from_millis(50);
/// How soon the cloud hears of a call that is answered at all.
const HEARD: Duration = Duration::from_millis(700);
/// How often a client unsubscribes while a call from the cloud is on its way: which of both a hub sees first is chance.
const RACES: usize = 5;

/// A call from the cloud that reaches the hub as the client unsubscribes is answered by the client, or with nothing.
async fn raced(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for target in [module(PUMP), device(METER)] {
        if let Some(found) = not_found(environment, &target, &[]).await? {
            return Ok(ended(Some(found)));
        }
        let mut callee = Callee::listen(environment, &target).await?;
        // A client that wants this too keeps its connection to the cloud, over which the answer goes.
        callee.client.mqtt().subscribe("$iothub/twin/PATCH/properties/desired/#").await?;
        for _ in 0..RACES {
            let steps = [
                format!("{target} listens to methods and to changes of desired properties"),
                "it unsubscribes from methods, and at the same moment the cloud calls it".to_owned(),
            ];
            if let Some(found) = called(environment, &mut callee, &steps).await? {
                return Ok(ended(Some(found)));
            }
            let found = race(environment, &target, &mut callee, &steps).await?;
            if found.is_some() {
                return Ok(ended(found));
            }
            callee.subscribe().await?;
        }
    }
    Ok(Outcome::Conforms)
}

async fn race(
    environment: &Environment,
    target: &Identity,
    callee: &mut Callee,
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let (device, id) = named(environment, target);
    let call = MethodCall::new("ask", json!(1)).answered_within(5);
    let MethodClient::Mqtt { client, requests } = &mut callee.client else {
        return Err(StageError::NotMqtt(target.to_string()));
    };
    environment.pause_hub();
    let sent = async {
        let (result, unsubscribed, ()) =
            tokio::join!(environment.iot_hub().invoke(device, id, &call), client.unsubscribe(REQUESTS), async {
                // A hub that stands still cannot tell that bytes have come.
                tokio::time::sleep(STANDSTILL).await;
                environment.resume_hub();
            });
        unsubscribed.map(|()| result)
    };
    let answering = async {
        while let Some(request) = requests.next().await {
            let _ = client.answer_method(&request.id, "200", "1").await.acknowledged().await;
        }
        std::future::pending::<()>().await;
    };
    let result = tokio::select! {
        sent = tokio::time::timeout(HEARD, sent) => match sent {
            Ok(sent) => sent?,
            // The request met nobody on its last few steps, and nobody will answer it: this race tells nothing.
            Err(_) => return Ok(None),
        },
        () = answering => unreachable!("it has no end"),
    };
    let right = match &result {
        Ok(MethodResult { status: 0, payload }) => payload.is_null(),
        Ok(MethodResult { status: 200, payload }) => *payload == json!(1),
        Ok(_) => false,
        // The call came when all was over.
        Err(error) => error.code().as_deref() == Some("404103"),
    };
    let expected = "the client's answer, or status 0 and no payload, or nobody found (404103), or nothing";
    Ok((!right).then(|| broken("METHOD-CLD-04", expected, told(&result), steps)))
}

/// After a client unsubscribed or left, a call that still reaches the hub is answered with nothing, and before long
/// none does.
async fn withdrawn(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for target in [module(PUMP), device(METER)] {
        for leaves in [false, true] {
            if let Some(found) = not_found(environment, &target, &[]).await? {
                return Ok(ended(Some(found)));
            }
            let mut callee = Callee::listen(environment, &target).await?;
            let mut steps = vec![format!("{target} listens, and the cloud calls it")];
            if let Some(found) = called(environment, &mut callee, &steps).await? {
                return Ok(ended(Some(found)));
            }
            let gone = if leaves {
                steps.push(format!("{target} disconnects, and the cloud calls again and again"));
                callee.client.disconnect().await;
                None
            } else {
                steps.push(format!("{target} unsubscribes, and the cloud calls again and again"));
                callee.unsubscribe().await?;
                Some(callee)
            };
            let mut found = not_found(environment, &target, &steps).await?;
            if let Some(mut callee) = gone {
                if let Some(request) = callee.client.drain().first() {
                    let observed = format!("a request for {:?}", request.name);
                    found = found.or(Some(broken("METHOD-RCV-04", "nothing more comes to it", observed, &steps)));
                }
            }
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    Ok(Outcome::Conforms)
}

/// The cloud comes to find nobody who listens in somebody's place.
///
/// A test that calls from the cloud begins with it: while an earlier connection of the same client is about to end, the
/// cloud may send a call its way, where it is lost.
///
/// # Errors
/// [`StageError`] when the cloud cannot be asked.
pub(crate) async fn not_found(
    environment: &Environment,
    target: &Identity,
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let (device, module) = named(environment, target);
    let withdrawn = deadline::CLOSED.wait("the cloud to find nobody", async {
        loop {
            let call = MethodCall::new("ask", json!({"n": 2})).answered_within(5);
            match environment.iot_hub().invoke(device, module, &call).await {
                Err(error) if error.code().as_deref() == Some("404103") => return None,
                Ok(MethodResult { status: 0, payload: Value::Null }) => {}
                // Its connection may have been given up while the call was on its way, which nobody can answer then.
                Err(error) if error.code().as_deref() == Some("504101") => {}
                other => {
                    let expected = "status 0 and no payload, or nobody found (404103)";
                    return Some(broken("METHOD-CLD-04", expected, told(&other), steps));
                }
            }
            // The cloud has no way to be waited on for somebody's absence.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    Ok(match withdrawn.await {
        Ok(found) => found,
        Err(expired) => Some(broken("METHOD-CLD-03", "the cloud finds nobody (404103)", expired.to_string(), steps)),
    })
}

/// How long the client of a patient cloud takes: longer than any time a hub might choose for calls between modules.
const TAKES_ITS_TIME: Duration = Duration::from_secs(40);

async fn patience(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    if let Some(found) = not_found(environment, &module(PUMP), &[]).await? {
        return Ok(ended(Some(found)));
    }
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let steps = [
        "the cloud calls module pump, and waits up to 60 s".to_owned(),
        format!("module pump answers after {TAKES_ITS_TIME:?}"),
    ];
    let (device, id) = named(environment, &pump.identity);
    let (device, id) = (device.to_owned(), id.map(str::to_owned));
    let call = MethodCall { connect_timeout_secs: Some(CONNECT_SECS), ..MethodCall::new("ask", json!(1)) };
    let call = call.answered_within(60);
    let (result, ()) = tokio::join!(environment.iot_hub().invoke(&device, id.as_deref(), &call), async {
        if let Ok(request) = pump.next(PATIENT).await {
            // A hub that gives up would say so to the cloud meanwhile.
            tokio::time::sleep(TAKES_ITS_TIME).await;
            let _ = pump.answer(&request.id, "200", "\"at last\"").await;
        }
    });
    Ok(ended(judge("METHOD-CLD-02", (200, json!("at last")), &result, &steps)))
}
