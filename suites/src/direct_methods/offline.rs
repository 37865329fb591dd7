//! Calls while the cloud is out of reach, and when it is back. Covers METHOD-INV-28.

use std::sync::Arc;
use std::time::Duration;

use harness::client::iot_hub::{Concerns, MethodCall, MethodResult};
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
    vec![fixed(
        "direct_methods",
        "direct_methods::offline::modules_call_each_other_without_the_cloud",
        &["METHOD-INV-28", "METHOD-CLD-01"],
        |worker| Box::pin(without_the_cloud(worker)),
    )]
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
    let edge = environment.blueprint().edge_device.clone();
    let call = MethodCall { connect_timeout_secs: Some(20), ..MethodCall::new("ask", json!(1)) };
    let call = call.answered_within(10);
    let result = tokio::select! {
        result = environment.iot_hub().invoke(&edge, Some(PUMP), &call) => result,
        () = pump.echo() => {
            return Ok(ended(Some(broken("METHOD-CLD-01", "its connection stands", "it ended", &steps))));
        }
    };
    let right = matches!(&result, Ok(MethodResult { status: 200, payload }) if *payload == json!(1));
    let observed = || result.map_or_else(|error| error.to_string(), |result| format!("{result:?}"));
    Ok(ended((!right).then(|| broken("METHOD-CLD-01", "the cloud gets status 200 and payload 1", observed(), &steps))))
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
