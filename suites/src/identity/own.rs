//! Nobody gets at a twin over HTTPS, its own or another's. Covers TWIN-ISO-03; that a client reads and changes its own
//! twin alone over MQTT is for the suite on twins.

use harness::client::https::{CALLER, HttpsRequest};
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::mqtt_head::guest::{GUEST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed("identity", "identity::own::no_request_over_https_gets_at_a_twin", &["TWIN-ISO-03"], |worker| {
        Box::pin(out_of_reach(worker))
    })]
}

/// Whose twin, as paths name them.
const WHOSE: [&str; 4] = ["gw7/modules/guest", "gw7/modules/probe", "gw7", "visitor"];
/// What an IoT Hub has for its own callers, and what could pass for it.
const PATHS: [(&str, &str); 6] = [
    ("/twins/", ""),
    ("/twins/", "/properties/desired"),
    ("/twins/", "/properties/reported"),
    ("/devices/", "/twin"),
    ("/devices/", "/twin/properties/reported"),
    ("/devices/", "/properties/reported"),
];
const VERBS: [&str; 5] = ["GET", "PUT", "PATCH", "POST", "DELETE"];

async fn out_of_reach(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let before = twins(environment).await?;
    let callers = [(module(GUEST), "gw7/guest"), (device(VISITOR), "visitor")];
    for (who, client_id) in &callers {
        for whose in WHOSE {
            for (before, behind) in PATHS {
                for verb in VERBS {
                    let path = format!("{before}{whose}{behind}?api-version=2021-04-12");
                    let steps = [format!("{who} asks {verb} {path} over HTTPS, with its own token")];
                    let request = HttpsRequest::new(verb, path)
                        .token(environment.token(who))
                        .header(CALLER, *client_id)
                        .json(r#"{"forged":true,"properties":{"desired":{"forged":true},"reported":{"forged":true}}}"#);
                    let observed = match https.send(&request, deadline::CONNECT).await {
                        // A path with another purpose may say so by naming its verbs.
                        Ok(answer) if matches!(answer.status, 404 | 405) && answer.body.is_empty() => continue,
                        Ok(answer) => answer.to_string(),
                        Err(error) => error.to_string(),
                    };
                    let expected = "status 404 or 405, without a body";
                    return Ok(ended(Some(broken("TWIN-ISO-03", expected, observed, &steps))));
                }
            }
        }
    }
    let after = twins(environment).await?;
    let steps = ["module guest and leaf device visitor ask for twins over HTTPS in every way".to_owned()];
    Ok(ended(
        (before != after)
            .then(|| broken("TWIN-ISO-03", format!("in the cloud the twins stay {before}"), after.to_string(), &steps)),
    ))
}

/// The properties of all four twins, as the cloud has them.
async fn twins(environment: &Environment) -> Result<Value, StageError> {
    let mut all = json!({});
    for (device, module) in [("gw7", Some(GUEST)), ("gw7", Some("probe")), ("gw7", None), (VISITOR, None)] {
        let twin = environment.iot_hub().twin(device, module).await?;
        all[format!("{device}/{}", module.unwrap_or_default())] = twin["properties"].clone();
    }
    Ok(all)
}
