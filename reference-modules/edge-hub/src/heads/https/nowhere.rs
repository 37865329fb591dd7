//! Paths that lead nowhere. An IoT Hub has some of them, for messages, files and twins; the product has none of those,
//! and says so before it looks at who asks.

use hyper::header::AUTHORIZATION;
use hyper::{Method, StatusCode};

use super::answer::{Answer, empty, json};
use super::listener::{Asked, Head};
use crate::faults::planted;

/// What is said on a path that leads nowhere.
pub async fn answer(head: &Head, asked: &Asked) -> Answer {
    let path = asked.parts.uri.path().to_lowercase();
    let files = path.contains("/files");
    let of_module = path.contains("/modules/");
    let token = asked.header(AUTHORIZATION.as_str());
    if files && !of_module && token.is_none() && planted("FILE01-upload-of-a-device-needs-a-token") {
        return empty(StatusCode::UNAUTHORIZED);
    }
    if files && of_module && planted("FILE02-upload-of-a-module-is-granted") {
        return json(StatusCode::OK, r#"{"correlationId":"1","sasToken":"?sig=1"}"#);
    }
    if files && planted("FILE04-upload-is-passed-on") {
        head.upstream.pass_on(asked.parts.method.clone(), asked.parts.uri.path(), token.unwrap_or_default()).await;
    }
    if path.starts_with("/twins/") && asked.parts.method == Method::GET && planted("ISO03-twins-are-read-over-https") {
        return json(StatusCode::OK, r#"{"properties":{"desired":{"$version":1},"reported":{"$version":1}}}"#);
    }
    if path.contains("/messages/") && asked.parts.method == Method::GET && planted("C2D12-messages-can-be-asked-for") {
        return empty(StatusCode::NO_CONTENT);
    }
    empty(StatusCode::NOT_FOUND)
}
