//! Callees that are not there, or do not listen. Covers METHOD-INV-05 to -08, -25, METHOD-RCV-04, -05, MQTT-DM-07.

use std::sync::Arc;
use std::time::Instant;

use harness::client::https::HttpsClient;
use harness::deadline;
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{
    Callee, FAN, METER, OPERATOR, PROMPT, PUMP, VALVE, body, client_id, device, judged, module, nothing_else, request,
    timed,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, over_mqtt};
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "direct_methods",
            "direct_methods::absence::who_is_not_there_is_not_found_at_once",
            &["METHOD-INV-05", "METHOD-INV-07", "METHOD-INV-08", "MQTT-DM-07", "HTTP-02"],
            |worker| Box::pin(nobody(worker)),
        ),
        over_mqtt(fixed(
            "direct_methods",
            "direct_methods::absence::who_does_not_listen_is_not_found_at_once",
            &["METHOD-INV-06", "METHOD-INV-08", "METHOD-INV-25", "METHOD-RCV-04", "METHOD-RCV-05", "MQTT-DM-07"],
            |worker| Box::pin(deaf(worker)),
        )),
    ]
}

/// Calls somebody who must not be found.
async fn missing(
    environment: &Environment,
    https: &Arc<HttpsClient>,
    requirement: &str,
    target: &Identity,
    body: &Value,
    steps: &[String],
) -> Option<Violation> {
    let mut steps = steps.to_vec();
    steps.push(format!("module {OPERATOR} calls {target} with {body}"));
    let request = request(environment, OPERATOR, target, body.to_string());
    let began = Instant::now();
    let answered = https.send(&request, deadline::METHOD).await;
    let expected = answer::not_found(&client_id(environment, target));
    judged(requirement, &expected, &answered, &steps).or_else(|| {
        let took = began.elapsed();
        (took > PROMPT)
            .then(|| broken("METHOD-INV-08", format!("an answer within {PROMPT:?}"), format!("{took:?}"), &steps))
    })
}

async fn nobody(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let edge = environment.blueprint().edge_device.clone();
    let rows = [
        ("METHOD-INV-07", module("nobody")),
        ("METHOD-INV-07", module("no body's ünit")),
        ("METHOD-INV-07", device("nothing")),
        ("METHOD-INV-07", device(&edge)),
        ("METHOD-INV-05", module(FAN)),
        ("METHOD-INV-05", module("$edgeAgent")),
    ];
    for (requirement, target) in rows {
        let ask = json!({"a": 1});
        for body in [body("ask", &ask), timed("ask", &ask, 300, 0)] {
            let found = missing(environment, &https, requirement, &target, &body, &[]).await;
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    Ok(Outcome::Conforms)
}

/// Filters that are granted and ask for no methods.
const OTHERS: [&str; 4] =
    ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/#", "$iothub/methods/res/#"];

async fn deaf(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let ask = body("ask", &json!({"a": 1}));
    // One who listens, to whom nothing of all this may come.
    let mut valve = Callee::listen(environment, &module(VALVE)).await?;
    for identity in [module(PUMP), device(METER)] {
        let mut callee = Callee::connect(environment, &identity).await?;
        let mut steps = vec![format!("{identity} connects")];
        for filter in OTHERS {
            callee.client.mqtt().subscribe(filter).await?;
            steps.push(format!("and subscribes to {filter}"));
            let found = missing(environment, &https, "METHOD-INV-06", &identity, &ask, &steps).await;
            if found.is_some() {
                return Ok(ended(found));
            }
        }
        for round in 0..2 {
            callee.subscribe().await?;
            steps.push(format!("{identity} subscribes to methods, and is called"));
            let marker = nothing_else(environment, &https, &mut callee).await?;
            if let Err(observed) = marker {
                return Ok(ended(Some(broken("METHOD-RCV-04", "that call, and nothing before it", observed, &steps))));
            }
            callee.unsubscribe().await?;
            steps.push(format!("{identity} unsubscribes, for the {}. time", round + 1));
            let found = missing(environment, &https, "METHOD-INV-25", &identity, &ask, &steps).await;
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    let steps = ["others are called, who do not listen".to_owned()];
    let found = nothing_else(environment, &https, &mut valve).await?.err();
    let expected = format!("nothing comes to module {VALVE}");
    Ok(ended(found.map(|observed| broken("METHOD-RCV-05", expected, observed, &steps))))
}
