//! Callees and callers, and how one reaches the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::client::http::HttpError;
use harness::client::https::{CALLER, HttpsAnswer, HttpsClient, HttpsRequest};
use harness::client::mqtt::MqttClient;
use harness::client::mqtt::methods::{MethodRequest, MethodRequests, REQUESTS};
use harness::client::sas;
use harness::deadline::{self, Deadline};
use harness::environment::{Credential, Environment};
use harness::observe::history::Identity;
use harness::outcome::Violation;
use harness::stage::StageError;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::course::broken;
use crate::oracle::method::{Answer, answer};

/// A module that is called.
pub const PUMP: &str = "pump";
/// Another one.
pub const VALVE: &str = "valve";
/// A third.
pub const FAN: &str = "fan";
/// A leaf device that is called.
pub const METER: &str = "meter";
/// A module that calls.
pub const OPERATOR: &str = "operator";
/// Another one.
pub const CLERK: &str = "clerk";

/// The module that may hand on certificates of others.
pub const PROXY: &str = "IoTEdgeAPIProxy";

/// Everybody above. No stage connects them.
pub fn guests() -> Vec<(Identity, Credential)> {
    let modules = [PUMP, VALVE, FAN, OPERATOR, CLERK, PROXY].map(module);
    modules.into_iter().chain([device(METER)]).map(|identity| (identity, Credential::Keys)).collect()
}

/// A module of the edge device.
pub fn module(id: &str) -> Identity {
    Identity::Module(id.to_owned())
}

/// A device downstream.
pub fn device(id: &str) -> Identity {
    Identity::LeafDevice(id.to_owned())
}

/// How soon a hub answers that has nothing to wait for.
pub const PROMPT: Duration = Duration::from_secs(2);

/// The id of a client, as the hub spells it.
pub fn client_id(environment: &Environment, identity: &Identity) -> String {
    match identity {
        Identity::Module(module) => format!("{}/{module}", environment.blueprint().edge_device),
        Identity::LeafDevice(leaf) => leaf.clone(),
    }
}

/// The path on which a client's methods are called.
pub fn path(environment: &Environment, target: &Identity) -> String {
    match target {
        Identity::Module(module) => {
            let device = sas::escape(&environment.blueprint().edge_device);
            format!("/twins/{device}/modules/{}/methods", sas::escape(module))
        }
        Identity::LeafDevice(leaf) => format!("/twins/{}/methods", sas::escape(leaf)),
    }
}

/// A body that leaves both times to the hub.
pub fn body(name: &str, payload: &Value) -> Value {
    json!({ "methodName": name, "payload": payload })
}

/// A body with a response timeout, and, if it is not 0, a connect timeout.
pub fn timed(name: &str, payload: &Value, response_secs: u64, connect_secs: u64) -> Value {
    let mut body = body(name, payload);
    body["responseTimeoutInSeconds"] = response_secs.into();
    if connect_secs > 0 {
        body["connectTimeoutInSeconds"] = connect_secs.into();
    }
    body
}

/// The request of a module that does everything right.
pub fn request(environment: &Environment, caller: &str, target: &Identity, body: impl Into<Bytes>) -> HttpsRequest {
    HttpsRequest::new("POST", format!("{}?api-version=2018-06-30", path(environment, target)))
        .token(environment.token(&module(caller)))
        .header(CALLER, client_id(environment, &module(caller)))
        .json(body)
}

/// A call under way.
pub struct Calling {
    /// When it began.
    pub began: Instant,
    task: JoinHandle<Result<HttpsAnswer, HttpError>>,
}

impl Calling {
    /// Sends a request, and does not wait for the answer.
    pub fn begin(https: &Arc<HttpsClient>, request: HttpsRequest, limit: Deadline) -> Self {
        let https = https.clone();
        Self { began: Instant::now(), task: tokio::spawn(async move { https.send(&request, limit).await }) }
    }

    /// Whether there is an answer already.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for the answer.
    pub async fn end(&mut self) -> Result<HttpsAnswer, HttpError> {
        (&mut self.task).await.expect("a request does not panic")
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every controller calls JSON.
const JSON: &str = "application/json; charset=utf-8";

/// What is wrong with an answer, if anything.
pub fn wrong(expected: &Answer, answered: &Result<HttpsAnswer, HttpError>) -> Option<String> {
    match answered {
        Err(error) => Some(error.to_string()),
        Ok(answer) => (!expected.is(answer.status, &answer.body)).then(|| answer.to_string()),
    }
}

/// The content type of an answer, when it has a body and does not say that it is JSON in UTF-8.
fn mistyped(answered: &Result<HttpsAnswer, HttpError>) -> Option<String> {
    let answer = answered.as_ref().ok().filter(|answer| !answer.body.is_empty())?;
    let kind = answer.header("content-type");
    (kind != Some(JSON)).then(|| format!("content type {kind:?}"))
}

/// The requirement that an answer breaks which is not that of a callee with this status and payload.
pub fn broken_by(status: &str, payload: &str, answered: &Result<HttpsAnswer, HttpError>) -> &'static str {
    let told = answered.as_ref().ok().filter(|answer| answer.status == 200);
    let json = told.and_then(HttpsAnswer::json);
    let read = answer::status_of(status);
    match json {
        _ if read.is_none() => "METHOD-INV-27",
        _ if payload.is_empty() => "METHOD-INV-02",
        None if told.is_some() && !payload.is_ascii() => "METHOD-INV-04",
        Some(body) if read.is_some() && body["status"].as_i64() == read.map(i64::from) => "METHOD-INV-03",
        _ => "METHOD-INV-01",
    }
}

/// A client whose methods are called.
pub struct Callee {
    /// Who it is.
    pub identity: Identity,
    /// Its connection.
    pub client: MqttClient,
    /// What comes to it.
    pub requests: MethodRequests,
}

impl Callee {
    /// Connects, in the place of an earlier connection if there is one.
    ///
    /// # Errors
    /// [`StageError::Connect`] when the hub refuses.
    pub async fn connect(environment: &Environment, identity: &Identity) -> Result<Self, StageError> {
        let connected = environment.connect_mqtt(identity).await;
        let mut client = connected.map_err(|source| StageError::Connect { who: identity.to_string(), source })?;
        let requests = MethodRequests::of(&mut client);
        Ok(Self { identity: identity.clone(), client, requests })
    }

    /// Connects and subscribes.
    ///
    /// # Errors
    /// [`StageError`] when the hub refuses.
    pub async fn listen(environment: &Environment, identity: &Identity) -> Result<Self, StageError> {
        let callee = Self::connect(environment, identity).await?;
        callee.subscribe().await?;
        Ok(callee)
    }

    /// Subscribes to methods.
    ///
    /// # Errors
    /// [`StageError::Unanswered`].
    pub async fn subscribe(&self) -> Result<(), StageError> {
        self.client.subscribe(REQUESTS).await?;
        Ok(())
    }

    /// The next request.
    ///
    /// # Errors
    /// Why there is none, for a reader.
    pub async fn next(&mut self, limit: Deadline) -> Result<MethodRequest, String> {
        match limit.wait(format!("a request for {}", self.identity), self.requests.next()).await {
            Ok(Some(request)) => Ok(request),
            Ok(None) => Err(format!("the connection of {} ended", self.identity)),
            Err(expired) => Err(expired.to_string()),
        }
    }

    /// Answers, and waits for the acknowledgement.
    ///
    /// # Errors
    /// [`StageError::Unanswered`].
    pub async fn answer(&self, id: &str, status: &str, payload: impl Into<Bytes>) -> Result<(), StageError> {
        self.client.answer_method(id, status, payload).await.acknowledged().await?;
        Ok(())
    }

    /// Answers every request with 200 and its own payload, for ever.
    pub async fn echo(&mut self) {
        while let Some(request) = self.requests.next().await {
            // A connection that ends is seen by the loop.
            let _ = self.answer(&request.id, "200", request.payload).await;
        }
    }
}

/// Calls a method whose request must come next to a callee, and answers it: nothing sent to the callee before is still
/// under way then, and what else came is what it must not have got.
///
/// # Errors
/// [`StageError`] when nothing can be said.
pub async fn nothing_else(
    environment: &Environment,
    https: &Arc<HttpsClient>,
    callee: &mut Callee,
) -> Result<Result<(), String>, StageError> {
    const MARKER: &str = "marker";
    let body = body(MARKER, &Value::Null).to_string();
    let mut calling = Calling::begin(https, request(environment, CLERK, &callee.identity, body), deadline::METHOD);
    let came = tokio::select! {
        came = callee.next(deadline::METHOD) => came,
        answered = calling.end() => Err(format!("a call to show that nothing came got {}", shown(&answered))),
    };
    let observed = match came {
        Ok(request) if request.name == MARKER => {
            callee.answer(&request.id, "200", "null").await?;
            if let Some(observed) = wrong(&answer::answered("200", b"null"), &calling.end().await) {
                return Ok(Err(format!("a call that {} answered got {observed}", callee.identity)));
            }
            match (callee.requests.drain().first(), callee.requests.others.first()) {
                (Some(other), _) => format!("{} got a request for {:?}", callee.identity, other.name),
                (None, Some(other)) => format!("{} got a message on {:?}", callee.identity, other.topic),
                (None, None) => return Ok(Ok(())),
            }
        }
        Ok(request) => format!("{} got a request for {:?}", callee.identity, request.name),
        Err(observed) => observed,
    };
    Ok(Err(observed))
}

/// An answer or its absence, for a reader.
pub fn shown(answered: &Result<HttpsAnswer, HttpError>) -> String {
    match answered {
        Ok(answer) => answer.to_string(),
        Err(error) => error.to_string(),
    }
}

/// The payload of a request as JSON.
pub fn payload(request: &MethodRequest) -> Option<Value> {
    serde_json::from_slice(&request.payload).ok()
}

/// A violation unless an answer is the expected one.
pub fn judged(
    requirement: &str,
    expected: &Answer,
    answered: &Result<HttpsAnswer, HttpError>,
    steps: &[String],
) -> Option<Violation> {
    let wrong = wrong(expected, answered).map(|observed| broken(requirement, expected.to_string(), observed, steps));
    let mistyped = || mistyped(answered).map(|observed| broken("HTTP-02", "JSON in UTF-8", observed, steps));
    wrong.or_else(mistyped)
}
