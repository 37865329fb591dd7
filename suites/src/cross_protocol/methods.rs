//! A call is the same, whatever the one called speaks. Covers CROSS-METHOD.

use std::sync::Arc;

use harness::client::iot_hub::MethodResult;
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::{CALLEES, CALLER, blueprint, module};
use crate::course::broken;
use crate::declare;
use crate::direct_methods::cloud::{invoke, not_found};
use crate::direct_methods::ground::{Callee, Calling, body, judged, payload, request};
use crate::generate::method::{argument, name};
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![declare::on(
        blueprint,
        declare::property(
            "cross_protocol",
            "cross_protocol::methods::callers_and_callees_need_not_speak_the_same",
            &["CROSS-METHOD-01", "CROSS-METHOD-02"],
            2,
            calls,
            |stage, calls| Box::pin(play(stage, calls)),
        ),
    )]
}

/// One call.
#[derive(Debug, Clone)]
struct Call {
    callee: usize,
    from_cloud: bool,
    name: String,
    argument: Value,
    status: i32,
    told: Value,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let status = prop_oneof![select(vec![200, 0, -1, 404, 501]), any::<i32>()];
    let call = (0..CALLEES.len(), any::<bool>(), name(), argument(), status, argument()).prop_map(
        |(callee, from_cloud, name, argument, status, told)| Call { callee, from_cloud, name, argument, status, told },
    );
    vec(call, 1..=4)
}

/// One call after the other, while every callee listens.
async fn play(stage: &mut Stage, calls: &[Call]) -> Result<Option<Violation>, StageError> {
    let environment = stage.environment();
    let mut callees = Vec::new();
    for (id, _) in CALLEES {
        if let Some(found) = not_found(environment, &module(id), &[]).await? {
            return Ok(Some(found));
        }
        callees.push(Callee::listen(environment, &module(id)).await?);
    }
    let mut steps = vec!["a module for each transport connects and listens for calls".to_owned()];
    for call in calls {
        let who = if call.from_cloud { "the cloud".to_owned() } else { format!("module {CALLER} (over HTTPS)") };
        steps.push(format!(
            "{who} calls {:?} of module {} with {}; the answer is status {} with {}",
            call.name, CALLEES[call.callee].0, call.argument, call.status, call.told
        ));
        if let Some(violation) = one(environment, &mut callees[call.callee], call, &steps).await? {
            return Ok(Some(violation));
        }
    }
    for callee in callees {
        callee.client.disconnect().await;
    }
    Ok(None)
}

async fn one(
    environment: &Environment,
    callee: &mut Callee,
    call: &Call,
    steps: &[String],
) -> Result<Option<Violation>, StageError> {
    let https = Arc::new(environment.https());
    let target = callee.identity.clone();
    let calling = async {
        if call.from_cloud {
            let result = invoke(environment, &target, &call.name, call.argument.clone()).await;
            let wanted = MethodResult { status: i64::from(call.status), payload: call.told.clone() };
            let right = result.as_ref().is_ok_and(|result| *result == wanted);
            (!right)
                .then(|| broken("CROSS-METHOD-02", format!("the cloud gets {wanted:?}"), format!("{result:?}"), steps))
        } else {
            let body = body(&call.name, &call.argument).to_string();
            let mut calling = Calling::begin(&https, request(environment, CALLER, &target, body), deadline::METHOD);
            let expected = answer::answered(&call.status.to_string(), call.told.to_string().as_bytes());
            judged("CROSS-METHOD-02", &expected, &calling.end().await, steps)
        }
    };
    let mut calling = std::pin::pin!(calling);
    let wrong = |observed: String| {
        let expected = format!("{} gets the request {:?} with {}", target, call.name, call.argument);
        Some(broken("CROSS-METHOD-01", expected, observed, steps))
    };
    let came = tokio::select! {
        biased;
        came = callee.next(deadline::METHOD) => came,
        found = &mut calling => {
            let found = found.map_or_else(|| "the caller got the answer".to_owned(), |found| found.observed);
            return Ok(wrong(format!("no request; the caller: {found}")));
        }
    };
    match came {
        Err(observed) => Ok(wrong(observed)),
        Ok(came) if came.name != call.name || payload(&came).as_ref() != Some(&call.argument) => {
            Ok(wrong(format!("{:?} with {}", came.name, came.payload.escape_ascii())))
        }
        Ok(came) => {
            callee.answer(&came.id, &call.status.to_string(), call.told.to_string()).await?;
            Ok(calling.await)
        }
    }
}
