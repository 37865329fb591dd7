//! Two connections of one identity: the later one takes over with nothing of the earlier, and a request over HTTPS is no
//! connection. Covers CONN-01 and -02; over MQTT alone, MQTT-CONN-16 to -18 have the rest.

use harness::client::https::{CALLER, HttpsRequest};
use harness::client::raw_mqtt::{Packet, RawMqtt};
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::mqtt_head::guest::{
    GUEST, acknowledge, carrying, enter, inputs_of, listed, module, send_to, subscribe, until,
};

const METHODS: &str = "$iothub/methods/POST/#";

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed("identity", "identity::connections::a_request_over_https_displaces_nobody", &["CONN-01"], |worker| {
            Box::pin(beside(worker))
        }),
        fixed(
            "identity",
            "identity::connections::what_was_under_way_ends_with_its_connection",
            &["CONN-01"],
            |worker| Box::pin(under_way(worker)),
        ),
        fixed(
            "identity",
            "identity::connections::a_clean_connection_wants_nothing_of_itself",
            &["CONN-02"],
            |worker| Box::pin(clean(worker)),
        ),
    ]
}

/// A call of a method, by a module that signs for itself.
fn call(environment: &Environment, caller: &str, callee: &str, response_secs: u64) -> HttpsRequest {
    HttpsRequest::new("POST", format!("/twins/gw7/modules/{callee}/methods?api-version=2018-06-30"))
        .token(environment.token(&module(caller)))
        .header(CALLER, format!("gw7/{caller}"))
        .json(format!(r#"{{"methodName":"ask","payload":null,"responseTimeoutInSeconds":{response_secs}}}"#))
}

/// What a call is answered, in words.
async fn answered(environment: &Environment, request: &HttpsRequest) -> Result<u16, String> {
    match environment.https().send(request, deadline::METHOD).await {
        Ok(answer) => Ok(answer.status),
        Err(error) => Err(error.to_string()),
    }
}

async fn beside(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let filter = inputs_of(stage.environment(), GUEST);
    let mut steps = Vec::new();
    let mut earlier: Option<RawMqtt> = None;
    for number in 1..=2_u16 {
        steps.push("module guest connects over MQTT and subscribes to its inputs".to_owned());
        let (mut raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
        if let Some(mut earlier) = earlier.take() {
            if let Err(expired) = earlier.closed(deadline::CLOSED).await {
                return Ok(ended(Some(broken("CONN-01", "its earlier connection ends", expired.to_string(), &steps))));
            }
        }
        if let Err(observed) = subscribe(&mut raw, number, &[(&filter, 1)]).await {
            return Ok(ended(Some(broken("CONN-01", "SUBACK", observed, &steps))));
        }
        steps.push("it calls a method of a module that is not there, over HTTPS".to_owned());
        let request = call(stage.environment(), GUEST, "nobody", 5);
        let seen = answered(stage.environment(), &request).await;
        if seen != Ok(404) {
            return Ok(ended(Some(broken("CONN-01", "status 404", format!("{seen:?}"), &steps))));
        }
        steps.push("a message for its input is sent".to_owned());
        let mark = send_to(stage, GUEST, "in").await?;
        match until(&mut raw, deadline::ROUTING, carrying(&mark)).await {
            Ok((_, published)) => acknowledge(&mut raw, &published).await,
            Err(observed) => {
                let expected = "it comes over the connection that stands";
                return Ok(ended(Some(broken("CONN-01", expected, observed, &steps))));
            }
        }
        earlier = Some(raw);
    }
    if let Some(raw) = earlier {
        let _ = raw.disconnect().await;
    }
    Ok(Outcome::Conforms)
}

/// The caller waits far longer than this test does.
async fn under_way(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let (mut older, _) = enter(environment, &module(GUEST), |_| {}).await?;
    let mut steps = vec!["module guest connects and subscribes to methods".to_owned()];
    if let Err(observed) = subscribe(&mut older, 1, &[(METHODS, 1)]).await {
        return Ok(ended(Some(broken("CONN-01", "SUBACK", observed, &steps))));
    }
    steps.push("module probe calls it, and would wait for 60 s".to_owned());
    let request = call(environment, "probe", GUEST, 60);
    let asked = |packet: &Packet| packet.publish().filter(|published| published.topic.starts_with("$iothub/methods/"));
    let taken_over = async {
        let request = until(&mut older, deadline::ROUTING, asked).await;
        let newer = enter(environment, &module(GUEST), |_| {}).await;
        (request, newer)
    };
    let (answer, (requested, newer)) = tokio::join!(answered(environment, &request), taken_over);
    steps.push("when it has the request, module guest connects anew".to_owned());
    let (newer, _) = newer?;
    let _ = newer.disconnect().await;
    if let Err(observed) = requested {
        return Ok(ended(Some(broken("CONN-01", "module guest gets the request", observed, &steps))));
    }
    let expected = "the call ends with the connection: status 504";
    Ok(ended((answer != Ok(504)).then(|| broken("CONN-01", expected, format!("{answer:?}"), &steps))))
}

/// A change of desired properties comes before the one that shows there was none: the first while nothing is subscribed.
async fn clean(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let inputs = inputs_of(stage.environment(), GUEST);
    let filters = [(inputs.as_str(), 1), (METHODS, 1), ("$iothub/twin/PATCH/properties/desired/#", 1)];
    let mut steps = vec!["module guest connects and subscribes to inputs, methods and desired properties".to_owned()];
    let (mut older, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    if let Err(observed) = subscribe(&mut older, 1, &filters).await {
        return Ok(ended(Some(broken("CONN-02", "SUBACK", observed, &steps))));
    }
    let (mut newer, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
    steps.push("it connects anew, with a clean session, and subscribes to nothing".to_owned());
    // Whoever is answered is known: from here on the newcomer is module guest.
    if let Err(observed) = subscribe(&mut newer, 1, &[("$iothub/twin/res/#", 1)]).await {
        return Ok(ended(Some(broken("CONN-02", "SUBACK for the newcomer", observed, &steps))));
    }
    steps.push("module probe calls a method of it".to_owned());
    let request = call(stage.environment(), "probe", GUEST, 5);
    let seen = answered(stage.environment(), &request).await;
    if seen != Ok(404) {
        return Ok(ended(Some(broken("CONN-02", "status 404", format!("{seen:?}"), &steps))));
    }
    steps.push("its desired properties change, and a message for its input is sent".to_owned());
    let change = serde_json::json!({ "n": stage.mark() });
    stage.environment().iot_hub().patch_desired("gw7", Some(GUEST), change).await?;
    let mark = send_to(stage, GUEST, "in").await?;
    steps.push("it reads its twin, and then subscribes to its inputs".to_owned());
    newer.write(&harness::client::raw_mqtt::packet::publish(2, "$iothub/twin/GET/?$rid=1", b"")).await;
    let answer =
        |packet: &Packet| packet.publish().filter(|published| published.topic.starts_with("$iothub/twin/res/200/"));
    let strays = match until(&mut newer, deadline::ROUTING, answer).await {
        Ok((before, answer)) => {
            acknowledge(&mut newer, &answer).await;
            before.into_iter().filter(|packet| packet.publish().is_some()).collect::<Vec<_>>()
        }
        Err(observed) => return Ok(ended(Some(broken("CONN-02", "an answer to GET", observed, &steps)))),
    };
    if !strays.is_empty() {
        let expected = "nothing comes that was not subscribed to on this connection";
        return Ok(ended(Some(broken("CONN-02", expected, listed(&strays), &steps))));
    }
    if let Err(observed) = subscribe(&mut newer, 3, &[(&inputs, 1)]).await {
        return Ok(ended(Some(broken("CONN-02", "SUBACK", observed, &steps))));
    }
    let found = match until(&mut newer, deadline::RETRY_AFTER_ABSENCE, carrying(&mark)).await {
        Ok((_, published)) => {
            acknowledge(&mut newer, &published).await;
            None
        }
        Err(observed) => Some(broken("CONN-02", "the message comes once it is subscribed to", observed, &steps)),
    };
    let _ = newer.disconnect().await;
    Ok(ended(found))
}
