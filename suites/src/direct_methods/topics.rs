//! The MQTT side of a call. Covers MQTT-DM-01, -02, -06, -10, METHOD-RCV-01, -02, -06.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use harness::client::http::HttpError;
use harness::client::https::HttpsAnswer;
use harness::client::mqtt::QoS;
use harness::deadline;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{
    Callee, Calling, METER, OPERATOR, PUMP, VALVE, body, device, judged, module, nothing_else, payload, request, timed,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, over_mqtt};
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let tests = vec![
        fixed(
            "direct_methods",
            "direct_methods::topics::each_request_has_an_id_of_its_own",
            &["MQTT-DM-01", "MQTT-DM-02", "METHOD-RCV-01", "METHOD-RCV-02", "MQTT-DM-11"],
            |worker| Box::pin(ids(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::topics::answers_to_nothing_are_acknowledged_and_ignored",
            &["MQTT-DM-06", "METHOD-INV-18", "METHOD-INV-19", "METHOD-INV-22"],
            |worker| Box::pin(ignored(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::topics::a_name_that_makes_no_topic_disturbs_nobody",
            &["METHOD-RCV-06"],
            |worker| Box::pin(no_topic(worker)),
        ),
        fixed("direct_methods", "direct_methods::topics::nobody_is_called_over_mqtt", &["MQTT-DM-10"], |worker| {
            Box::pin(published(worker))
        }),
    ];
    tests.into_iter().map(over_mqtt).collect()
}

/// Whether a text is a GUID as the product writes it: 8-4-4-4-12 hexadecimal digits, in lower case.
fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.into_iter().all(digits)
}

async fn ids(worker: &mut Worker) -> Result<Outcome, StageError> {
    const CALLS: usize = 30;
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let mut callees =
        [Callee::listen(environment, &module(PUMP)).await?, Callee::listen(environment, &device(METER)).await?];
    let mut seen = BTreeSet::new();
    for callee in &mut callees {
        let steps = [format!(
            "{} is called {CALLS} times side by side, and answers from the last to the first",
            callee.identity
        )];
        let mut calls: Vec<(Value, Calling)> = Vec::new();
        for number in 0..CALLS {
            let argument = json!({ "n": number });
            let body = body("count", &argument).to_string();
            let request = request(environment, OPERATOR, &callee.identity, body);
            calls.push((argument, Calling::begin(&https, request, deadline::METHOD)));
        }
        let mut requests = Vec::new();
        for _ in 0..CALLS {
            match callee.next(deadline::METHOD).await {
                Ok(request) => requests.push(request),
                Err(observed) => {
                    let topics = callee.client.others();
                    let requirement = if topics.is_empty() { "METHOD-RCV-01" } else { "MQTT-DM-01" };
                    let expected = "a request for each call, on $iothub/methods/POST/{name}/?$rid={id}";
                    let observed = format!("{observed}; other messages came on {topics:?}");
                    return Ok(ended(Some(broken(requirement, expected, observed, &steps))));
                }
            }
        }
        for request in requests.iter().rev() {
            let found = if !seen.insert(request.id.clone()) {
                Some(broken(
                    "METHOD-RCV-02",
                    "each request has an id of its own",
                    format!("{} again", request.id),
                    &steps,
                ))
            } else if !is_guid(&request.id) {
                Some(broken("MQTT-DM-02", "the id is a GUID in lower case", request.id.clone(), &steps))
            } else if !calls.iter().any(|(argument, _)| payload(request).as_ref() == Some(argument)) {
                let observed = format!("{:?}", String::from_utf8_lossy(&request.payload));
                Some(broken("MQTT-DM-01", "the argument of a call", observed, &steps))
            } else if request.qos != 1 {
                let observed = format!("QoS {}", request.qos);
                Some(broken("MQTT-DM-01", "a request at QoS 1, as subscribed", observed, &steps))
            } else {
                None
            };
            if found.is_some() {
                return Ok(ended(found));
            }
            callee.answer(&request.id, "200", request.payload.clone()).await?;
        }
        for (argument, mut calling) in calls {
            let expected = answer::answered("200", argument.to_string().as_bytes());
            let found = judged("MQTT-DM-11", &expected, &calling.end().await, &steps);
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    Ok(Outcome::Conforms)
}

async fn ignored(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let valve = Callee::listen(environment, &module(VALVE)).await?;
    let mut steps = vec!["module pump is called, and answers with 200, then with 201".to_owned()];
    let request_of =
        |number: u64| request(environment, OPERATOR, &module(PUMP), body("ask", &json!(number)).to_string());
    let mut twice = Calling::begin(&https, request_of(0), deadline::METHOD);
    match pump.next(deadline::METHOD).await {
        Ok(request) => {
            pump.answer(&request.id, "200", "1").await?;
            if let Err(error) = pump.answer(&request.id, "201", "2").await {
                return Ok(ended(Some(broken("MQTT-DM-06", "PUBACK", error.to_string(), &steps))));
            }
        }
        Err(observed) => return Ok(ended(Some(broken("METHOD-RCV-01", "a request", observed, &steps)))),
    }
    let found = judged("METHOD-INV-19", &answer::answered("200", b"1"), &twice.end().await, &steps);
    if found.is_some() {
        return Ok(ended(found));
    }
    steps.push("it is called twice, and answers nothing yet".to_owned());
    let mut calls = Vec::new();
    for number in 1..=2 {
        let calling = Calling::begin(&https, request_of(number), deadline::METHOD);
        match pump.next(deadline::METHOD).await {
            Ok(request) => calls.push((calling, request)),
            Err(observed) if pump.client.mqtt().ended().is_some() => {
                return Ok(ended(Some(broken("MQTT-DM-06", "it stays connected", observed, &steps))));
            }
            Err(observed) => return Ok(ended(Some(broken("METHOD-RCV-01", "a request", observed, &steps)))),
        }
    }
    let (mut second, second_request) = calls.pop().expect("two calls were made");
    let (mut first, first_request) = calls.pop().expect("two calls were made");
    let deceits = [
        (&valve, first_request.id.clone(), "METHOD-INV-22"),
        (&valve, second_request.id.clone(), "METHOD-INV-22"),
        (&pump, "01234567-89ab-4cde-8f01-23456789abcd".to_owned(), "MQTT-DM-06"),
        (&pump, "7".to_owned(), "MQTT-DM-06"),
        (&pump, String::new(), "MQTT-DM-06"),
        (&pump, format!("{}&more=1", first_request.id), "MQTT-DM-06"),
    ];
    let mut last = "MQTT-DM-06";
    for (by, id, requirement) in deceits {
        steps.push(format!("{} answers {id:?} with status 299", by.identity));
        last = if requirement == "METHOD-INV-22" { requirement } else { last };
        if let Err(error) = by.answer(&id, "299", "\"deceit\"").await {
            return Ok(ended(Some(broken("MQTT-DM-06", "PUBACK", error.to_string(), &steps))));
        }
    }
    steps.push("module pump answers the first call with 200, then with 201, then the second with 202".to_owned());
    let answers = [(&first_request.id, "200"), (&first_request.id, "201"), (&second_request.id, "202")];
    for (id, status) in answers {
        if let Err(error) = pump.answer(id, status, "1").await {
            return Ok(ended(Some(broken("MQTT-DM-06", "PUBACK", error.to_string(), &steps))));
        }
    }
    let answered = (first.end().await, second.end().await);
    // A caller that got the deceit was deceived; one that got another answer of its callee got the wrong one.
    let of = |answered: &Result<HttpsAnswer, HttpError>| {
        let deceived = answered.as_ref().ok().and_then(HttpsAnswer::json).is_some_and(|body| body["status"] == 299);
        if deceived { last } else { "METHOD-INV-19" }
    };
    let found = judged(of(&answered.0), &answer::answered("200", b"1"), &answered.0, &steps)
        .or_else(|| judged(of(&answered.1), &answer::answered("202", b"1"), &answered.1, &steps));
    if found.is_some() {
        return Ok(ended(found));
    }
    steps.push("module pump answers the second call once more, and is called a third time".to_owned());
    if let Err(error) = pump.answer(&second_request.id, "203", "1").await {
        return Ok(ended(Some(broken("MQTT-DM-06", "PUBACK", error.to_string(), &steps))));
    }
    let nothing = nothing_else(environment, &https, &mut pump).await;
    if let Some(why) = pump.client.mqtt().ended().or_else(|| valve.client.mqtt().ended()) {
        return Ok(ended(Some(broken("MQTT-DM-06", "both stay connected", why, &steps))));
    }
    Ok(ended(
        nothing?.err().map(|observed| broken("METHOD-INV-18", "the third call is as any other", observed, &steps)),
    ))
}

async fn no_topic(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let names = ["a#", "a/+/b"];
    let calls = names.map(|name| {
        let body = timed(name, &Value::Null, 5, 0).to_string();
        Calling::begin(&https, request(environment, OPERATOR, &pump.identity, body), deadline::METHOD)
    });
    for mut calling in calls {
        // How this ends is the hub's affair; that it is over shows that nothing more comes of it.
        let _ = calling.end().await;
    }
    let steps = names.map(|name| format!("method {name:?} of module pump is called"));
    let nothing = nothing_else(environment, &https, &mut pump).await?;
    let expected = "module pump is still connected, and can be called";
    Ok(ended(nothing.err().map(|observed| broken("METHOD-RCV-06", expected, observed, &steps))))
}

/// Topics that name a method, as a client might hope to call one.
const HOPEFUL: [&str; 5] = [
    "$iothub/methods/POST/reset/?$rid=1",
    "$iothub/methods/POST/reset/?$rid=",
    "$iothub/methods/POST/reset",
    "$iothub/methods/PUT/reset/?$rid=1",
    "devices/gw7/modules/valve/methods/POST/reset/?$rid=1",
];

async fn published(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let mut valve = Callee::listen(environment, &module(VALVE)).await?;
    for topic in HOPEFUL {
        let steps = [format!("module pump publishes to {topic}; pump and valve listen to methods")];
        let pending = pump.client.mqtt().publish(topic, Bytes::from_static(b"{}"), QoS::AtLeastOnce).await;
        if let Err(error) = pending.acknowledged().await {
            return Ok(ended(Some(broken("MQTT-DM-10", "PUBACK", error.to_string(), &steps))));
        }
        for callee in [&mut pump, &mut valve] {
            let found: Option<Violation> = nothing_else(environment, &https, callee).await?.err().map(|observed| {
                broken("MQTT-DM-10", format!("nothing comes to {}", callee.identity), observed, &steps)
            });
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    Ok(Outcome::Conforms)
}
