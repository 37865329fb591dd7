//! What is read of a call's body, and what the callee gets. Covers METHOD-INV-03, -04, -13 to -17, -30, -32 and
//! METHOD-RCV-03.

use std::sync::Arc;

use harness::client::http::HttpError;
use harness::client::https::{HttpsAnswer, HttpsClient, HttpsRequest};
use harness::deadline;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::ground::{
    Callee, Calling, OPERATOR, PUMP, client_id, module, nothing_else, path, payload, request, shown, wrong,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use crate::generate::method::{argument, name};
use crate::oracle::method::body::{LARGEST_PAYLOAD, LONGEST_NAME};
use crate::oracle::method::{Answer, Reading, answer, body};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "direct_methods",
            "direct_methods::requests::a_body_is_read_by_its_rules",
            &[
                "METHOD-INV-03",
                "METHOD-INV-13",
                "METHOD-INV-14",
                "METHOD-INV-16",
                "METHOD-INV-17",
                "METHOD-RCV-03",
                "MQTT-DM-01",
            ],
            4,
            bodies,
            |stage, body| Box::pin(reads(stage, body)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::requests::limits_are_inclusive",
            &["METHOD-INV-13", "METHOD-INV-14", "METHOD-INV-15", "METHOD-INV-16", "METHOD-INV-17", "METHOD-INV-32"],
            |worker| Box::pin(limits(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::requests::malformed_bodies_are_refused",
            &["METHOD-INV-16", "METHOD-INV-17"],
            |worker| Box::pin(malformed(worker)),
        ),
        fixed("direct_methods", "direct_methods::requests::the_query_changes_nothing", &["METHOD-INV-30"], |worker| {
            Box::pin(queries(worker))
        }),
        fixed(
            "direct_methods",
            "direct_methods::requests::a_route_is_matched_whatever_its_spelling",
            &["HTTP-17", "METHOD-INV-07"],
            |worker| Box::pin(spellings(worker)),
        ),
    ]
}

/// A body in its parts.
fn bodies() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        6 => select(vec!["5", "300", "30", "0", "1"]),
        2 => select(vec!["4", "301", "-1", "2147483648", "-2147483649"]),
        2 => select(vec!["\"30\"", "\" 7 \"", "\"\"", "null"]),
        1 => select(vec!["30.0", "1e1", "true", "[]", "{}", "\"x\"", "\"5.0\""]),
    ];
    let name = prop_oneof![
        10 => name().prop_map(|name| json!(name).to_string()),
        1 => select(vec!["1", "true", "1.5", "-0.25"]).prop_map(str::to_owned),
        1 => select(vec!["null", "[]", "{}", "\"\"", "\" \"", "\"\\t\""]).prop_map(str::to_owned),
        1 => Just(json!("n".repeat(LONGEST_NAME + 1)).to_string()),
    ];
    let payload = prop_oneof![
        8 => argument().prop_map(|payload| payload.to_string()),
        1 => Just("\t{ \"a\" : [ 1 ,2 ] , \"b\":\r\n\"\\u00fc\\/\" }".to_owned()),
        1 => Just(r#"{"a":1,"a":2}"#.to_owned()),
    ];
    let spelled = |names: &'static [&'static str]| prop_oneof![5 => Just(names[0]), 2 => select(names)];
    let members = (
        (spelled(&["methodName", "MethodName", "METHODNAME", "\\u006dethodName"]), name),
        (spelled(&["payload", "Payload", "payl\\u006fad"]), payload),
        proptest::option::of((spelled(&["responseTimeoutInSeconds", "RESPONSETIMEOUTINSECONDS"]), number.clone())),
        proptest::option::of((spelled(&["connectTimeoutInSeconds", "connecttimeoutinseconds"]), number)),
        proptest::option::weighted(0.2, select(vec![("extra", "1"), ("methodname2", "\"no\""), ("", "{}")])),
        proptest::option::weighted(0.1, Just(("methodName", "\"last\""))),
    );
    let blank = select(vec!["", " ", "\n", "\t", " \r\n "]);
    (members, blank, 0..4_usize).prop_map(|((name, payload, response, connect, extra, again), blank, turn)| {
        let member = |name: &str, value: &str| format!("\"{name}\"{blank}:{blank}{value}");
        let mut members = vec![member(name.0, &name.1), member(payload.0, &payload.1)];
        members.extend(response.map(|(name, value)| member(name, value)));
        members.extend(connect.map(|(name, value)| member(name, value)));
        members.extend(extra.map(|(name, value)| member(name, value)));
        let count = members.len();
        members.rotate_left(turn % count);
        members.extend(again.map(|(name, value)| member(name, value)));
        format!("{{{blank}{}{blank}}}", members.join(&format!("{blank},{blank}")))
    })
}

async fn reads(stage: &mut Stage, text: &str) -> Result<Option<Violation>, StageError> {
    Ground::stand(stage).await?.judge("METHOD-INV-16", text).await
}

/// A callee, and a client to call it.
struct Ground<'a> {
    stage: &'a Stage,
    https: Arc<HttpsClient>,
    callee: Callee,
}

impl<'a> Ground<'a> {
    async fn stand(stage: &'a Stage) -> Result<Self, StageError> {
        let environment = stage.environment();
        Ok(Self {
            stage,
            https: Arc::new(environment.https()),
            callee: Callee::listen(environment, &module(PUMP)).await?,
        })
    }

    /// Sends a body as it stands, and judges what becomes of it.
    async fn judge(&mut self, requirement: &str, text: &str) -> Result<Option<Violation>, StageError> {
        let request = request(self.stage.environment(), OPERATOR, &self.callee.identity, text.to_owned());
        self.judge_request(requirement, &request, body::read(text), &cut(text)).await
    }

    async fn judge_request(
        &mut self,
        requirement: &str,
        request: &HttpsRequest,
        reading: Reading,
        told: &str,
    ) -> Result<Option<Violation>, StageError> {
        let steps = vec![format!("module {OPERATOR} calls {} with {told}", self.callee.identity)];
        let mut calling = Calling::begin(&self.https, request.clone(), deadline::METHOD);
        let came = tokio::select! {
            biased;
            came = self.callee.next(deadline::METHOD) => came.map_err(Err),
            answered = calling.end() => Err(Ok(answered)),
        };
        match (reading, came) {
            (Reading::Call(call), Ok(came)) => {
                let wanted: Option<Value> = call.payload.as_deref().and_then(|json| serde_json::from_str(json).ok());
                let difference = if came.name == call.name {
                    (payload(&came) != wanted).then(|| {
                        let observed = cut(&String::from_utf8_lossy(&came.payload));
                        (
                            "METHOD-INV-03",
                            format!("the payload {}", cut(&wanted.unwrap_or_default().to_string())),
                            observed,
                        )
                    })
                } else {
                    Some(("METHOD-RCV-03", format!("a request for {:?}", call.name), format!("{:?}", came.name)))
                };
                self.callee.answer(&came.id, "200", "true").await?;
                let answered = calling.end().await;
                if let Some((requirement, expected, observed)) = difference {
                    return Ok(Some(broken(requirement, expected, observed, &steps)));
                }
                let expected = answer::answered("200", b"true");
                Ok(wrong(&expected, &answered)
                    .map(|observed| broken(requirement, expected.to_string(), observed, &steps)))
            }
            (Reading::Call(call), Err(observed)) => {
                let observed = observed.map_or_else(|observed| observed, |answered| shown(&answered));
                Ok(Some(broken(requirement, format!("a request for {:?}", call.name), observed, &steps)))
            }
            (Reading::Open, Ok(came)) => {
                self.callee.answer(&came.id, "200", "true").await?;
                let _ = calling.end().await;
                Ok(None)
            }
            (Reading::Refused, Ok(came)) => {
                self.callee.answer(&came.id, "200", "true").await?;
                // A hub that takes such a body is one thing, one that refuses it and calls all the same another.
                let refused = wrong(&Answer::RefusedBody, &calling.end().await).is_none();
                let requirement = if refused { "METHOD-INV-17" } else { requirement };
                let expected = format!("{}, and nothing comes to {}", Answer::RefusedBody, self.callee.identity);
                Ok(Some(broken(requirement, expected, format!("a request for {:?}", came.name), &steps)))
            }
            (Reading::Refused | Reading::Open, Err(Err(observed))) => {
                Ok(Some(broken("METHOD-INV-16", Answer::RefusedBody.to_string(), observed, &steps)))
            }
            (Reading::Refused | Reading::Open, Err(Ok(answered))) => self.refused(&answered, &steps).await,
        }
    }

    async fn refused(
        &mut self,
        answered: &Result<HttpsAnswer, HttpError>,
        steps: &[String],
    ) -> Result<Option<Violation>, StageError> {
        if let Some(observed) = wrong(&Answer::RefusedBody, answered) {
            return Ok(Some(broken("METHOD-INV-16", Answer::RefusedBody.to_string(), observed, steps)));
        }
        let nothing = nothing_else(self.stage.environment(), &self.https, &mut self.callee).await?;
        let expected = format!("nothing comes to {}", self.callee.identity);
        Ok(nothing.err().map(|observed| broken("METHOD-INV-17", expected, observed, steps)))
    }
}

fn cut(text: &str) -> String {
    const SHOWN: usize = 300;
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() { format!("{shown}.. ({} bytes)", text.len()) } else { shown }
}

async fn limits(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let mut ground = Ground::stand(stage).await?;
    let mut rows: Vec<(&str, String)> = Vec::new();
    for (member, values) in
        [("responseTimeoutInSeconds", ["5", "300", "4", "301"]), ("connectTimeoutInSeconds", ["0", "300", "-1", "301"])]
    {
        for value in values {
            rows.push(("METHOD-INV-13", format!(r#"{{"methodName":"n","payload":1,"{member}":{value}}}"#)));
        }
    }
    let letters = [("n", 100), ("n", 101), ("é", 100), ("é", 101), ("😀", 50), ("😀", 51), (" ", 1), ("", 1)];
    for (letter, count) in letters {
        rows.push(("METHOD-INV-14", json!({"methodName": letter.repeat(count), "payload": 1}).to_string()));
    }
    let largest = LARGEST_PAYLOAD - 2;
    for payload in ["x".repeat(largest), "x".repeat(largest + 1), "é".repeat(largest / 2), "é".repeat(largest / 2 + 1)]
    {
        rows.push(("METHOD-INV-15", json!({"methodName": "n", "payload": payload}).to_string()));
    }
    // White space that does not count.
    let padded = format!(r#"{{"methodName":"n","payload":[{}1]}}"#, " ".repeat(LARGEST_PAYLOAD));
    rows.push(("METHOD-INV-15", padded));
    rows.push(("METHOD-INV-32", json!({"methodName": "n", "payload": null}).to_string()));
    for (requirement, text) in rows {
        let found = ground.judge(requirement, &text).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn malformed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let mut ground = Ground::stand(stage).await?;
    let bodies = [
        "",
        " ",
        "null",
        "true",
        "[]",
        "\"reset\"",
        "{}",
        r#"{"payload":1}"#,
        r#"{"methodName":"reset","payload":"#,
        r#"{"methodName":"reset" "payload":1}"#,
        r#"{"methodName":reset,"payload":1}"#,
        "methodName=reset&payload=1",
        "<methodName>reset</methodName>",
    ];
    for text in bodies {
        let found = ground.judge("METHOD-INV-16", text).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    let environment = stage.environment();
    let good = super::ground::body("reset", &json!(1)).to_string();
    for kind in [None, Some("text/plain"), Some("application/xml"), Some("application/x-www-form-urlencoded")] {
        let mut request = request(environment, OPERATOR, &module(PUMP), good.clone());
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        request.headers.extend(kind.map(|kind| ("content-type".to_owned(), kind.to_owned())));
        let told = format!("content type {kind:?}");
        let found = ground.judge_request("METHOD-INV-16", &request, Reading::Refused, &told).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn queries(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let mut ground = Ground::stand(stage).await?;
    let environment = stage.environment();
    let text = super::ground::body("reset", &json!({"a": 1})).to_string();
    for query in ["", "?", "?api-version=2021-04-12", "?api-version=", "?api-version=nonsense&x=%zz", "?API-VERSION"] {
        let mut request = request(environment, OPERATOR, &module(PUMP), text.clone());
        request.target = format!("{}{query}", path(environment, &module(PUMP)));
        let told = format!("the query {query:?}");
        let found = ground.judge_request("METHOD-INV-30", &request, body::read(&text), &told).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

async fn spellings(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let mut ground = Ground::stand(stage).await?;
    let environment = stage.environment();
    let edge = environment.blueprint().edge_device.clone();
    let text = super::ground::body("reset", &json!({"a": 1})).to_string();
    let targets = [
        format!("/TWINS/{edge}/Modules/{PUMP}/METHODS"),
        format!("/twins/{edge}/modules/{PUMP}/methods/"),
        format!("/twins/{edge}/modules/%70ump/methods"),
        format!("/twins/{edge}/modules/%2570ump/methods"),
    ];
    for target in targets {
        let mut request = request(environment, OPERATOR, &module(PUMP), text.clone());
        request.target.clone_from(&target);
        let found = ground.judge_request("HTTP-17", &request, body::read(&text), &format!("the path {target}")).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    // Ids match to the letter, other than the words between them.
    let target = format!("/twins/{edge}/modules/PUMP/methods");
    let stranger = HttpsRequest { target, ..request(environment, OPERATOR, &module(PUMP), text) };
    let answered = ground.https.send(&stranger, deadline::METHOD).await;
    let expected = answer::not_found(&client_id(environment, &module("PUMP")));
    let steps = [format!("module {OPERATOR} calls on path {}", stranger.target)];
    Ok(ended(super::ground::judged("METHOD-INV-07", &expected, &answered, &steps)))
}
