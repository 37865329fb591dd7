//! Who is let in while the cloud is out of reach. Covers AUTH-011.

use std::time::Duration;

use harness::client::https::{CALLER, HttpsRequest};
use harness::client::iot_hub::Concerns;
use harness::deadline;
use harness::environment::{Credential, Environment};
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use crate::course::{broken, ended};
use crate::declare::restarting;
use crate::mqtt_head::guest::{GUEST, Seen, VISITOR, ask, device, module, proper};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![restarting("identity", "identity::offline::the_known_are_let_in_without_the_cloud", &["AUTH-011"], |worker| {
        Box::pin(let_in(worker))
    })]
}

async fn let_in(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = super::newcomer::blueprint();
    blueprint.guests = vec![(module(GUEST), Credential::Keys), (device(VISITOR), Credential::Keys)];
    blueprint.settings.push(("CloudOperationTimeoutSecs".to_owned(), "3".to_owned()));
    let mut environment = worker.environment(&blueprint).await?;
    let mut steps = vec!["the hub has read its scope; then the cloud is out of reach".to_owned()];
    environment.iot_hub().impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    let mut found = everybody(&environment, &steps).await?;
    if found.is_none() {
        steps.push("the hub is stopped and started again, the cloud still out of reach".to_owned());
        environment.stop_hub().await;
        environment.start_hub().await?;
        found = match environment.ready().await {
            Ok(()) => everybody(&environment, &steps).await?,
            Err(error) => {
                let expected = "the hub starts, and lets the modules in that it knows";
                Some(broken("AUTH-011", expected, error.to_string(), &steps))
            }
        };
    }
    environment.stop().await;
    Ok(ended(found))
}

/// The known are let in, over MQTT and HTTPS; a thief is not.
async fn everybody(environment: &Environment, steps: &[String]) -> Result<Option<Violation>, StageError> {
    let known = [module(GUEST), device(VISITOR)];
    for who in &known {
        let seen = ask(environment, "known", &proper(environment, who)).await?;
        if seen != Seen::Code(0) {
            return Ok(Some(broken("AUTH-011", format!("CONNACK 0x00 for {who}"), seen.to_string(), steps)));
        }
    }
    let [guest, visitor] = &known;
    let mut thief = proper(environment, guest);
    thief.password = Some(environment.token(visitor).into_bytes());
    let seen = ask(environment, "thief", &thief).await?;
    if seen != Seen::Code(5) {
        let expected = format!("CONNACK 0x05 for {guest} with the token of {visitor}");
        return Ok(Some(broken("AUTH-011", expected, seen.to_string(), steps)));
    }
    Ok(called(environment, guest).await.map(|observed| {
        let expected = format!("{guest} is believed over HTTPS: status 404, since nobody is there to be called");
        broken("AUTH-011", expected, observed, steps)
    }))
}

/// What is wrong with the answer to a call of a method of somebody who is not there.
async fn called(environment: &Environment, caller: &Identity) -> Option<String> {
    let request = HttpsRequest::new("POST", "/twins/gw7/modules/nobody/methods?api-version=2018-06-30")
        .token(environment.token(caller))
        .header(CALLER, environment.login(caller).client_id)
        .json(r#"{"methodName":"ask","payload":null}"#);
    match environment.https().send(&request, deadline::METHOD).await {
        Ok(answer) if answer.status == 404 && !answer.body.is_empty() => None,
        Ok(answer) => Some(answer.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
