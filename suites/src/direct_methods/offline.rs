//! Calls while the cloud is out of reach, and when it is back. Covers METHOD-INV-28.

use std::sync::Arc;
use std::time::Duration;

use harness::client::iot_hub::{Concerns, Condition, Kind, MethodCall, MethodResult, Operation};
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{Callee, Calling, FAN, METER, OPERATOR, PUMP, body, client_id, device, judged, module, request};
use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "direct_methods",
            "direct_methods::offline::modules_call_each_other_without_the_cloud",
            &["METHOD-INV-28", "METHOD-CLD-01"],
            |worker| Box::pin(without_the_cloud(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::offline::the_cloud_reaches_who_came_as_its_connection_broke",
            &["METHOD-CLD-01"],
            |worker| Box::pin(as_it_broke(worker)),
        ),
    ]
}

async fn without_the_cloud(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let cut = environment.iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    let found = offline(environment, &mut pump).await;
    environment.iot_hub().lift(cut).await?;
    if let Some(found) = found? {
        return Ok(ended(Some(found)));
    }
    let steps = [
        "module pump listens; the cloud is out of reach, and then within reach again".to_owned(),
        "the cloud calls module pump, which did nothing meanwhile".to_owned(),
    ];
    called(environment, &mut pump, Duration::from_secs(20), &steps).await
}

/// The cloud has the hub's request to let pump in, says nothing to it, and is gone. How long a hub waits for an answer on a
/// connection that stands has no part in this.
async fn as_it_broke(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let iot_hub = environment.iot_hub();
    let edge = environment.blueprint().edge_device.as_str();
    let silent = Condition::new(Kind::Unanswered, Concerns::Identity(edge, Some(PUMP))).on(Operation::Connect);
    let silent = iot_hub.impose_condition(&silent).await?;
    // Whatever connection the hub had for pump is gone.
    break_connections(environment).await?;
    let from = iot_hub.next_call().await?;
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let steps = [
        "module pump listens; the cloud gets the hub's request to let it in, and does not answer".to_owned(),
        "the hub's connections to the cloud break; new ones are answered".to_owned(),
        "the cloud calls module pump".to_owned(),
    ];
    let id = client_id(environment, &module(PUMP));
    let asked = |call: &Value| call["call"] == "connect" && call["client_id"] == id;
    let asked = iot_hub.call_that(from, deadline::REPORTED, "a request to let module pump in", asked).await;
    iot_hub.lift(silent).await?;
    if let Err(why) = asked {
        return Ok(ended(Some(broken("METHOD-CLD-01", "the hub connects module pump", why.to_string(), &steps[..1]))));
    }
    break_connections(environment).await?;
    called(environment, &mut pump, Duration::from_secs(15), &steps).await
}

async fn break_connections(environment: &Environment) -> Result<(), StageError> {
    let cut = environment.iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    environment.iot_hub().lift(cut).await?;
    Ok(())
}

/// The cloud calls pump, which answers once the hub has let the cloud know of it.
async fn called(
    environment: &Environment,
    pump: &mut Callee,
    within: Duration,
    steps: &[String],
) -> Result<Outcome, StageError> {
    let edge = environment.blueprint().edge_device.clone();
    let call = MethodCall { connect_timeout_secs: Some(within.as_secs()), ..MethodCall::new("ask", json!(1)) };
    let call = call.answered_within(10);
    let result = tokio::select! {
        result = environment.iot_hub().invoke(&edge, Some(PUMP), &call) => result,
        () = pump.echo() => {
            return Ok(ended(Some(broken("METHOD-CLD-01", "its connection stands", "it ended", steps))));
        }
    };
    let right = matches!(&result, Ok(MethodResult { status: 200, payload }) if *payload == json!(1));
    let observed = || result.map_or_else(|error| error.to_string(), |result| format!("{result:?}"));
    Ok(ended((!right).then(|| broken("METHOD-CLD-01", "the cloud gets status 200 and payload 1", observed(), steps))))
}

/// Clients that were there before and others that come now are called, and those are not found who are not there.
async fn offline(environment: &Environment, pump: &mut Callee) -> Result<Option<Violation>, StageError> {
    let https = Arc::new(environment.https());
    let mut fan = Callee::listen(environment, &module(FAN)).await?;
    let mut meter = Callee::listen(environment, &device(METER)).await?;
    for callee in [pump, &mut fan, &mut meter] {
        let steps = [
            "the cloud is out of reach".to_owned(),
            format!("module {OPERATOR} calls {}, which answers", callee.identity),
        ];
        let body = body("ask", &json!({"n": 1})).to_string();
        let mut calling =
            Calling::begin(&https, request(environment, OPERATOR, &callee.identity, body), deadline::METHOD);
        let answered = tokio::select! {
            answered = calling.end() => answered,
            () = callee.echo() => {
                return Ok(Some(broken("METHOD-INV-28", "the callee's connection stands", "it ended", &steps)));
            }
        };
        let expected = answer::answered("200", br#"{"n":1}"#);
        let found = judged("METHOD-INV-28", &expected, &answered, &steps);
        if found.is_some() {
            return Ok(found);
        }
    }
    let steps = ["the cloud is out of reach".to_owned(), "a call to a module that is not there".to_owned()];
    let target = module("nobody");
    let request = request(environment, OPERATOR, &target, body("ask", &Value::Null).to_string());
    let answered = https.send(&request, deadline::METHOD).await;
    Ok(judged("METHOD-INV-07", &answer::not_found(&client_id(environment, &target)), &answered, &steps))
}
