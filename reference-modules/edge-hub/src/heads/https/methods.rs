//! Direct methods: modules of this device call them, of anybody who is connected.
//!
//! What is wrong with a body is told with 400; the product fails with 500 there, which nobody meant. Source:
//! Azure/iotedge, `Hub.Http/controllers/TwinsController.cs`.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{Answer, empty, json};
use super::credentials;
use super::listener::{Asked, Head};
use crate::core::methods::request::Body;
use crate::core::{MethodFailure, MethodOutcome};
use crate::faults::planted;
use crate::identity::ClientId;

/// The caller, as `{device}/{module}`.
const ACTOR: &str = "x-ms-edge-moduleId";

/// Calls a method, and answers with what became of it. The body is looked at first, then who sent it.
pub async fn call(head: &Head, mut asked: Asked, target: ClientId) -> Answer {
    let document = match asked.document().await {
        Ok(document) => document,
        Err(answer) => return answer,
    };
    let body = match Body::read(&document) {
        Ok(body) => body,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, &why.to_string()),
    };
    if let Err(why) = body.validate() {
        if planted("INV17-refused-call-goes-out-all-the-same") {
            let engine = head.engine.clone();
            tokio::spawn(async move { engine.call(target, body.into()).await });
        }
        return refusal(StatusCode::BAD_REQUEST, &why.to_string());
    }
    let caller = match may_call(head, &asked).await {
        Ok(caller) => caller,
        Err(answer) => return answer,
    };
    if let Some(answer) = refused_by_a_fault(head, &asked, &caller, &target).await {
        return answer;
    }
    match head.engine.call(target, body.into()).await {
        Some(outcome) => told(outcome),
        None => empty(StatusCode::SERVICE_UNAVAILABLE),
    }
}

async fn may_call(head: &Head, asked: &Asked) -> Result<ClientId, Answer> {
    let nameless = if planted("MAUTH01-nameless-caller-is-unauthorized") {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::BAD_REQUEST
    };
    let ill_formed = || refusal(nameless, &format!("Invalid header value for {ACTOR}"));
    if planted("MAUTH06-devices-may-call") {
        let device = ClientId::device(asked.header(ACTOR).unwrap_or_default());
        if credentials::prove(head, asked, &device).await.is_ok() {
            return Ok(device);
        }
    }
    let actor = asked.header(ACTOR).and_then(actor).ok_or_else(ill_formed)?;
    let here = actor.device == head.settings.identity.device_id;
    if !here && !planted("D08-caller-of-another-device-is-let-in") {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Only modules on the same device can invoke DirectMethods"));
    }
    match credentials::prove(head, asked, &actor).await {
        _ if planted("MAUTH03-callers-need-no-credentials") => Ok(actor),
        Ok(()) => Ok(actor),
        Err(why) => Err(refusal(StatusCode::UNAUTHORIZED, &why)),
    }
}

/// What some planted faults refuse.
async fn refused_by_a_fault(head: &Head, asked: &Asked, caller: &ClientId, target: &ClientId) -> Option<Answer> {
    let not_found = || refusal(StatusCode::NOT_FOUND, &format!("Client {target} not found"));
    if planted("INV28-callers-are-looked-up-in-the-cloud")
        && head.scope.refresh_now(std::slice::from_ref(caller)).await.is_err()
    {
        return Some(refusal(StatusCode::UNAUTHORIZED, "IoT Hub does not answer"));
    }
    if planted("INV29-no-module-calls-itself") && caller == target {
        return Some(not_found());
    }
    if planted("INV30-api-version-is-needed") && !asked.has_parameter("api-version") {
        return Some(empty(StatusCode::BAD_REQUEST));
    }
    (planted("MAUTH05-devices-cannot-be-called") && target.module.is_none()).then(not_found)
}

/// Two parts; a further slash belongs to the second.
fn actor(header: &str) -> Option<ClientId> {
    let (device, module) = header.split_once('/')?;
    (!device.is_empty() && !module.is_empty()).then(|| ClientId::module(device, module))
}

fn told(outcome: MethodOutcome) -> Answer {
    match outcome {
        MethodOutcome::Answered { status, payload } => answered(status, &payload),
        MethodOutcome::Failed { message, .. } if planted("D02-failures-are-told-with-200") => {
            refusal(StatusCode::OK, &message)
        }
        MethodOutcome::Failed { failure, message } => refusal(status_of(failure), &message),
    }
}

fn status_of(failure: MethodFailure) -> StatusCode {
    match failure {
        MethodFailure::BadRequest => StatusCode::BAD_REQUEST,
        MethodFailure::NotFound => StatusCode::NOT_FOUND,
        MethodFailure::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        MethodFailure::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The payload goes into the answer as it came; what is no JSON goes in as text.
fn answered(status: i32, payload: &Bytes) -> Answer {
    let text = String::from_utf8_lossy(payload);
    let payload = match serde_json::from_slice::<&RawValue>(payload) {
        Ok(_) if planted("D01-payload-of-an-answer-is-text") => json!(text).to_string(),
        Err(_) if planted("D17-answer-that-is-no-json-fails") => return empty(StatusCode::INTERNAL_SERVER_ERROR),
        _ if payload.is_empty() && planted("INV02-empty-answer-is-an-object") => String::from("{}"),
        _ if payload.is_empty() => String::from("null"),
        Ok(_) => text.into_owned(),
        Err(_) => json!(text).to_string(),
    };
    let mut document = format!(r#"{{"status":{status},"payload":{payload}}}"#).into_bytes();
    if planted("INV04-length-counts-characters") {
        document.truncate(String::from_utf8_lossy(&document).chars().count());
    }
    let of_client = u16::try_from(status).ok().filter(|_| planted("INV01-status-of-the-answer-is-the-clients"));
    json(of_client.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK), document)
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    json(status, json!({ "message": why }).to_string())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn body_of(status: i32, payload: &'static str) -> String {
        let answer = answered(status, &Bytes::from(payload));
        let body = answer.into_body().collect().await.expect("complete").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn an_answer_holds_the_payload_as_it_came() {
        for (payload, shown) in [
            (r#"{"a": 1.50}"#, r#"{"a": 1.50}"#),
            ("", "null"),
            ("null", "null"),
            ("not json", r#""not json""#),
            (" ", r#"" ""#),
        ] {
            assert_eq!(body_of(-1, payload).await, format!(r#"{{"status":-1,"payload":{shown}}}"#));
        }
    }

    #[test]
    fn a_caller_is_named_in_two_parts() {
        assert_eq!(actor("edge1/a"), Some(ClientId::module("edge1", "a")));
        assert_eq!(actor("edge1/a/b"), Some(ClientId::module("edge1", "a/b")));
        for header in ["", "edge1", "/a", "edge1/", "/"] {
            assert_eq!(actor(header), None, "{header}");
        }
    }
}
