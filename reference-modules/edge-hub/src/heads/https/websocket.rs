//! WebSocket upgrades: taken on any path, before routes are looked at. Who speaks in one is found out by the protocol
//! that is spoken there.

use hyper::header::{CONNECTION, HeaderMap, HeaderName, UPGRADE};
use hyper::{Method, Request, StatusCode};

use super::answer::{Answer, empty};
use crate::faults::planted;

/// Whether a request is the begin of a WebSocket.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    let has = |name, word: &str| words(request.headers(), &name).any(|known| known.eq_ignore_ascii_case(word));
    request.method() == Method::GET && has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}

/// The first sub-protocol offered that a head serves wins. None of the heads takes a WebSocket for a connection, so
/// none is served: `mqtt` and `AMQPWSB10` belong here.
pub fn answer() -> Answer {
    if planted("HTTP05-unknown-sub-protocol-is-no-path") {
        return empty(StatusCode::NOT_FOUND);
    }
    empty(StatusCode::BAD_REQUEST)
}

/// The words of a list that may be spread over several headers.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("/any/path");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("well-formed")
    }

    #[test]
    fn only_a_handshake_is_an_upgrade() {
        assert!(is_upgrade(&request(&[("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")])));
        assert!(!is_upgrade(&request(&[("Upgrade", "websocket")])));
        assert!(!is_upgrade(&request(&[("Connection", "Upgrade"), ("Upgrade", "h2c")])));
    }
}
