//! Conditions on the device side, such as outages.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::{IotHub, ServiceError};

/// Which upstream connections a condition is about.
#[derive(Debug, Clone, Copy)]
pub enum Concerns<'a> {
    /// All of them.
    Everyone,
    /// Those of one identity.
    Identity(&'a str, Option<&'a str>),
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Connections are cut and new ones closed at once.
    Outage,
    /// CONNECT is answered "server unavailable".
    Refuse,
    /// CONNECT is answered "not authorized", and standing connections are closed.
    Unauthorized,
    /// Answers come late.
    Delay,
    /// PUBLISH is taken and not acknowledged.
    DropAcks,
    /// An operation is answered 429 and not carried out.
    Throttled,
    /// An operation is swallowed: neither carried out nor answered.
    Unanswered,
    /// An operation is carried out, and its answer is lost.
    AnswerLost,
}

/// An operation that a condition can single out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A device reads its twin. For [`Kind::Throttled`], [`Kind::Unanswered`], [`Kind::AnswerLost`].
    TwinGet,
    /// A device reports properties. For the same kinds.
    Reported,
    /// The service calls a direct method. For [`Kind::Throttled`].
    Method,
    /// A device answers a direct method. For [`Kind::Unanswered`].
    MethodResponse,
    /// A device is told of changed desired properties. For [`Kind::Unanswered`].
    DesiredNotice,
    /// A device connects. For [`Kind::Unanswered`].
    Connect,
    /// An edgeHub asks for its identity scope. For [`Kind::Throttled`], [`Kind::Unanswered`].
    Scope,
}

/// A condition to impose.
#[derive(Debug, Clone, Serialize)]
pub struct Condition {
    kind: Kind,
    device_id: Option<String>,
    module_id: Option<String>,
    operation: Option<Operation>,
    delay_ms: u64,
    strikes: Option<u64>,
}

impl Condition {
    /// A condition on every operation that its kind is about, until it is lifted.
    pub fn new(kind: Kind, concerns: Concerns<'_>) -> Self {
        let (device, module) = named(concerns);
        Self {
            kind,
            device_id: device.map(str::to_owned),
            module_id: module.map(str::to_owned),
            operation: None,
            delay_ms: 0,
            strikes: None,
        }
    }

    /// The same on one operation only.
    #[must_use]
    pub fn on(self, operation: Operation) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// The same, over after it has struck so many times. For the kinds that name operations.
    #[must_use]
    pub fn times(self, strikes: u64) -> Self {
        Self { strikes: Some(strikes), ..self }
    }
}

fn named(concerns: Concerns<'_>) -> (Option<&str>, Option<&str>) {
    match concerns {
        Concerns::Everyone => (None, None),
        Concerns::Identity(device, module) => (Some(device), module),
    }
}

impl IotHub {
    /// Sets a condition on the device side (`outage`, `refuse`, `delay`, `unauthorized`, `drop_acks`), and gives the
    /// number under which it is lifted.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn impose(&self, kind: &str, concerns: Concerns<'_>, delay: Duration) -> Result<u64, ServiceError> {
        let (device, module) = named(concerns);
        self.impose_written(json!({
            "kind": kind, "device_id": device, "module_id": module, "delay_ms": delay.as_millis() as u64,
        }))
        .await
    }

    /// Sets a condition of any kind, and gives the number under which it is lifted.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn impose_condition(&self, condition: &Condition) -> Result<u64, ServiceError> {
        self.impose_written(serde_json::to_value(condition).expect("a condition is plain data")).await
    }

    /// Lifts a condition. One that is over already may be lifted too.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn lift(&self, condition: u64) -> Result<(), ServiceError> {
        self.call(Method::DELETE, &format!("/edgecert/conditions/{condition}"), None).await.map(drop)
    }

    async fn impose_written(&self, condition: Value) -> Result<u64, ServiceError> {
        let answer = self.call(Method::POST, "/edgecert/conditions", Some(condition)).await?;
        Ok(answer["id"].as_u64().unwrap_or_default())
    }
}
