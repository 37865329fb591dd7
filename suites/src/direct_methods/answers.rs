//! What the caller gets of a callee's answer. Covers METHOD-INV-01 to -04, -27, MQTT-DM-03 to -05.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use harness::deadline;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::ground::{Callee, Calling, METER, OPERATOR, PUMP, body, broken_by, device, judged, module, request};
use crate::course::{broken, ended};
use crate::declare::{fixed, over_mqtt, property};
use crate::generate::method::argument;
use crate::oracle::method::answer;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let tests = vec![
        property(
            "direct_methods",
            "direct_methods::answers::the_caller_gets_status_and_payload",
            &[
                "METHOD-INV-01",
                "METHOD-INV-02",
                "METHOD-INV-03",
                "METHOD-INV-04",
                "METHOD-INV-27",
                "MQTT-DM-03",
                "MQTT-DM-05",
            ],
            4,
            answers,
            |stage, answer| Box::pin(arrives(stage, answer)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::answers::every_kind_of_answer_is_relayed",
            &[
                "METHOD-INV-01",
                "METHOD-INV-02",
                "METHOD-INV-03",
                "METHOD-INV-04",
                "METHOD-INV-20",
                "METHOD-INV-27",
                "METHOD-INV-29",
                "MQTT-DM-03",
                "MQTT-DM-04",
                "MQTT-DM-05",
                "HTTP-02",
            ],
            |worker| Box::pin(one_by_one(worker)),
        ),
    ];
    tests.into_iter().map(over_mqtt).collect()
}

/// Status as the topic spells it, payload as bytes of text.
type Drawn = (String, String);

/// What the topic of an answer can say; `+` and `#` cannot stand in a topic.
const SPELLED: [&str; 16] = [
    "007",
    " 5",
    "5 ",
    "-0",
    "-1",
    "2147483647",
    "-2147483648",
    "2147483648",
    "%2B5",
    "1e3",
    "2.0",
    "0x10",
    "",
    "abc",
    " ",
    "-",
];

fn answers() -> impl Strategy<Value = Drawn> {
    let status = prop_oneof![
        4 => select(vec![200, 404, 0, 504]).prop_map(|status| status.to_string()),
        2 => any::<i32>().prop_map(|status| status.to_string()),
        3 => select(SPELLED.to_vec()).prop_map(str::to_owned),
    ];
    let payload = prop_oneof![
        6 => argument().prop_map(|payload| payload.to_string()),
        2 => Just(String::new()),
        1 => argument().prop_map(|payload| format!(" {payload:#}\n")),
        1 => select(vec![" ", "not json", "{\"a\":", "[1,]", "plain text with \"quotes\""]).prop_map(str::to_owned),
    ];
    (status, payload)
}

fn arrives<'a>(
    stage: &'a mut Stage,
    (status, payload): &'a Drawn,
) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let environment = stage.environment();
        let mut callee = Callee::listen(environment, &module(PUMP)).await?;
        relayed(stage, &mut callee, OPERATOR, None, status, payload, str::to_owned).await
    })
}

/// Calls, answers under an id that may be spelled otherwise, and judges what the caller gets. Without a requirement of
/// its own, the kind of difference says which one is broken.
async fn relayed(
    stage: &Stage,
    callee: &mut Callee,
    caller: &str,
    requirement: Option<&str>,
    status: &str,
    payload: &str,
    spell: fn(&str) -> String,
) -> Result<Option<Violation>, StageError> {
    let environment = stage.environment();
    let https = Arc::new(environment.https());
    let steps = [
        format!("module {caller} calls method \"ask\" of {}", callee.identity),
        format!("{} answers with status {status:?} and {} bytes: {}", callee.identity, payload.len(), cut(payload)),
    ];
    let body = body("ask", &json!({"n": 1})).to_string();
    let mut calling = Calling::begin(&https, request(environment, caller, &callee.identity, body), deadline::METHOD);
    let came = tokio::select! {
        biased;
        came = callee.next(deadline::METHOD) => came,
        answered = calling.end() => Err(format!("the caller got {}", super::ground::shown(&answered))),
    };
    let came = match came {
        Ok(came) => came,
        Err(observed) => {
            let requirement = requirement.unwrap_or("METHOD-RCV-01");
            return Ok(Some(broken(requirement, "the request comes", observed, &steps)));
        }
    };
    callee.answer(&spell(&came.id), status, Bytes::copy_from_slice(payload.as_bytes())).await?;
    let answered = calling.end().await;
    let requirement = requirement.unwrap_or_else(|| broken_by(status, payload, &answered));
    Ok(judged(requirement, &answer::answered(status, payload.as_bytes()), &answered, &steps))
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

async fn one_by_one(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let mut meter = Callee::listen(environment, &device(METER)).await?;
    let mut operator = Callee::listen(environment, &module(OPERATOR)).await?;
    let large = json!({ "text": "é".repeat(50_000) }).to_string();
    let payloads =
        ["{\"a\":[1,\"ü\",null]}", "\"text\"", "0", "-1.5", "true", "null", "[]", "", large.as_str(), "not json", " "];
    for payload in payloads {
        let found = relayed(stage, &mut pump, OPERATOR, None, "200", payload, str::to_owned).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    for status in SPELLED.into_iter().chain(["200", "0", "404", "500", "1000"]) {
        let payload = json!({ "told": status }).to_string();
        let found = relayed(stage, &mut meter, OPERATOR, None, status, &payload, str::to_owned).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    let shouted = |id: &str| id.to_uppercase();
    let found = relayed(stage, &mut pump, OPERATOR, Some("METHOD-INV-20"), "201", "1", shouted).await?;
    if found.is_some() {
        return Ok(ended(found));
    }
    let itself = relayed(stage, &mut operator, OPERATOR, Some("METHOD-INV-29"), "202", "null", str::to_owned);
    Ok(ended(itself.await?))
}
