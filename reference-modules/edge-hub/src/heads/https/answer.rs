//! What all answers have in common.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};

use crate::faults::planted;

/// An answer, complete.
pub type Answer = Response<Full<Bytes>>;

/// A status and nothing else.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

/// A JSON document.
pub fn json(status: StatusCode, document: impl Into<Bytes>) -> Answer {
    let kind =
        if planted("HTTP02-answers-have-no-charset") { "application/json" } else { "application/json; charset=utf-8" };
    let mut answer = Answer::new(Full::new(document.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Another verb is needed.
pub fn wrong_verb(allowed: &'static str) -> Answer {
    let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// More was announced, or came, than is read. What else comes on this connection is not read either.
pub fn too_large() -> Answer {
    let mut answer = empty(if planted("HTTP15-large-body-is-a-bad-request") {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::PAYLOAD_TOO_LARGE
    });
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Browsers are not to guess.
pub fn not_to_be_sniffed(mut answer: Answer) -> Answer {
    if !planted("HTTP01-answers-may-be-sniffed") {
        answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    answer
}
