//! Methods of the hub itself. Covers ENV-034.

use harness::deadline;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{OPERATOR, PUMP, body, judged, module, request, shown};
use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed("direct_methods", "direct_methods::own::the_hub_has_one_method", &["ENV-034"], |worker| {
        Box::pin(methods(worker))
    })]
}

const REFRESH: &str = "RefreshDeviceScopeIdentityCache";

async fn methods(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let edge = &environment.blueprint().edge_device;
    let target = module("$edgeHub");
    let ids = json!({ "deviceIds": [format!("{edge}/{PUMP}"), "meter"] });
    let done = answer::answered("200", b"");
    let rows = [
        (REFRESH, ids.clone(), done.clone()),
        ("refreshdevicescopeidentitycache", ids.clone(), done),
        ("Refresh", ids, answer::not_supported("Refresh")),
        ("ping", Value::Null, answer::not_supported("ping")),
        ("RestartModule", json!({"id": "pump"}), answer::not_supported("RestartModule")),
    ];
    for (name, payload, expected) in rows {
        for escaped in [true, false] {
            let mut request = request(environment, OPERATOR, &target, body(name, &payload).to_string());
            if !escaped {
                request.target = request.target.replace("%24", "$");
            }
            let steps = [format!("module {OPERATOR} calls {name} with {payload} on {}", request.target)];
            let answered = https.send(&request, deadline::METHOD).await;
            let found = judged("ENV-034", &expected, &answered, &steps);
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    for payload in [json!("meter"), json!(7), json!({ "deviceIds": 7 }), json!(["meter"])] {
        let request = request(environment, OPERATOR, &target, body(REFRESH, &payload).to_string());
        let steps = [format!("module {OPERATOR} calls {REFRESH} with {payload}")];
        let answered = https.send(&request, deadline::METHOD).await;
        let right = answered
            .as_ref()
            .is_ok_and(|answer| answer.status == 400 && answer.json().is_some_and(|body| body["message"].is_string()));
        if !right {
            let expected = "status 400 with a message";
            return Ok(ended(Some(broken("ENV-034", expected, shown(&answered), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}
