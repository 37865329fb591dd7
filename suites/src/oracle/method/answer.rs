//! What a caller gets for each end a call can have.
//!
//! Source: Azure/iotedge `Hub.Http/controllers/TwinsController.cs`, `Hub.Core/InvokeMethodHandler.cs`,
//! `Hub.Core/device/DeviceMessageHandler.cs`; statuses and texts as observed on a running hub.

use std::fmt;

use serde_json::{Value, json};

/// The status a caller is told when the one in the client's answer cannot be read.
pub const UNREADABLE_STATUS: i32 = 400_000;

/// How the text of a token that cannot be read is answered; what stands behind it names the cause and is not compared.
const UNPARSABLE: &str = "Cannot parse SharedAccessSignature because of the following error - ";

/// Status and body of an HTTP answer, as far as they are promised.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// This status and a body of this value.
    Exactly(u16, Value),
    /// Status 401 and a message that begins as that for a token that cannot be read.
    Unparsable,
    /// A refusal of the body: the product gives 500, a strict hub 400; any status from 400 on is right.
    RefusedBody,
    /// The client answered with this status and no JSON: the product hands that on as it is, so the whole is no JSON
    /// either. A hub may do better with the payload, but not with the status.
    NoJson(i32),
}

/// A refusal with a message.
pub(super) fn refused(status: u16, message: &str) -> Answer {
    Answer::Exactly(status, json!({ "message": message }))
}

/// The target does not listen to methods, or is not there.
pub fn not_found(target: &str) -> Answer {
    refused(404, &format!("Client {target} not found"))
}

/// The target did not answer the request of this id.
pub fn timed_out(request_id: &str) -> Answer {
    refused(504, &format!("Timed out waiting for device to respond to method request {request_id}"))
}

/// The caller shows no token.
pub fn without_token() -> Answer {
    refused(401, "Authorization header missing")
}

/// The caller does not prove that it is who it says.
pub fn not_authenticated(caller: &str) -> Answer {
    refused(401, &format!("Unable to authenticate device with Id {caller}"))
}

/// The hub itself has no such method.
pub fn not_supported(method: &str) -> Answer {
    refused(404, &format!("Method {method} is not supported"))
}

/// The client answered.
pub fn answered(status: &str, payload: &[u8]) -> Answer {
    let Some(status) = status_of(status) else {
        return Answer::Exactly(200, json!({ "status": UNREADABLE_STATUS, "payload": null }));
    };
    if payload.is_empty() {
        return Answer::Exactly(200, json!({ "status": status, "payload": null }));
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(payload) => Answer::Exactly(200, json!({ "status": status, "payload": payload })),
        Err(_) => Answer::NoJson(status),
    }
}

/// A status as the topic of an answer spells it: 32 bits, blanks around it, leading zeros, and `-` but not `+`.
pub fn status_of(text: &str) -> Option<i32> {
    let digits = text.trim();
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

impl Answer {
    /// The least status that is right.
    pub fn status(&self) -> u16 {
        match self {
            Answer::Exactly(status, _) => *status,
            Answer::Unparsable => 401,
            Answer::RefusedBody => 400,
            Answer::NoJson(_) => 200,
        }
    }

    /// Whether an answer is this one.
    pub fn is(&self, status: u16, body: &[u8]) -> bool {
        let json = || serde_json::from_slice::<Value>(body).ok();
        match self {
            Answer::Exactly(wanted, value) => status == *wanted && json().as_ref() == Some(value),
            Answer::Unparsable => {
                let message = json().and_then(|body| body["message"].as_str().map(str::to_owned));
                status == 401 && message.is_some_and(|message| message.starts_with(UNPARSABLE))
            }
            Answer::RefusedBody => status >= 400,
            Answer::NoJson(told) => {
                let begins = format!("{{\"status\":{told},\"payload\":");
                status == 200 && body.starts_with(begins.as_bytes())
            }
        }
    }
}

/// As a reader of reports sees it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Exactly(status, body) => write!(f, "status {status} with {body}"),
            Answer::Unparsable => write!(f, "status 401 with a message `{UNPARSABLE}..`"),
            Answer::RefusedBody => f.write_str("status 400 or above"),
            Answer::NoJson(status) => write!(f, "status 200 with {{\"status\":{status},\"payload\":.."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_32_bits_of_digits() {
        let read = [(" 5", 5), ("5 ", 5), ("007", 7), ("-0", 0), ("-2147483648", i32::MIN), ("2147483647", i32::MAX)];
        for (text, status) in read {
            assert_eq!(status_of(text), Some(status), "{text}");
        }
        for text in ["2147483648", "%2B5", "+5", "1e3", "2.0", "0x10", "", " ", "abc"] {
            assert_eq!(status_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_is_compared_by_value() {
        let answer = answered("200", br#"{"a": [1.50]}"#);
        assert!(answer.is(200, br#"{"payload":{"a":[1.5]},"status":200}"#));
        assert!(!answer.is(200, br#"{"payload":"{\"a\":[1.5]}","status":200}"#));
        assert!(!answer.is(201, br#"{"payload":{"a":[1.5]},"status":200}"#));
        assert!(answered("7", b"not json").is(200, br#"{"status":7,"payload":not json}"#));
        assert!(!answered("7", b"not json").is(200, br#"{"status":400000,"payload":null}"#));
    }
}
