//! WebSocket upgrades: taken on any path, before routes are looked at. Who speaks in one is found out by the protocol
//! that is spoken there, from which it is a stream of bytes as any other.
//!
//! Source: Azure/iotedge, `Hub.Http/middleware/WebSocketHandlingMiddleware.cs`, `Hub.Http/WebSocketListenerRegistry.cs`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub mod byte_stream;

use super::answer::{Answer, empty};
use super::listener::Head;
use crate::certificate::Shown;
use crate::faults::planted;
use crate::heads::{amqp, mqtt};
use byte_stream::{ByteStream, Text, small_buffers};

/// Sub-protocol of MQTT.
const MQTT: &str = "mqtt";
/// Sub-protocol of AMQP.
const AMQP: &str = "AMQPWSB10";

/// The path that Microsoft's clients ask for.
const SDK_PATH: &str = "/$iothub/websocket";

/// Whether a request is the begin of a WebSocket.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    let has = |name, word: &str| words(request.headers(), &name).any(|known| known.eq_ignore_ascii_case(word));
    request.method() == Method::GET
        && has(CONNECTION, "upgrade")
        && has(UPGRADE, "websocket")
        && has(SEC_WEBSOCKET_VERSION, "13")
        && key(request.headers()).is_some()
}

/// A head that takes a WebSocket for a connection.
enum Spoken {
    /// MQTT, in binary messages.
    Mqtt(Arc<mqtt::listener::Head>),
    /// AMQP, in messages of any kind.
    Amqp(Arc<amqp::listener::Head>),
}

impl Spoken {
    /// The head behind the name of a sub-protocol, in any letter case.
    fn find(head: &Head, name: &str) -> Option<Spoken> {
        let amqp = name.eq_ignore_ascii_case(AMQP) && !planted("TR03-amqp-is-not-upgraded");
        if amqp || name.eq_ignore_ascii_case("amqp") && planted("TR04-amqp-is-a-sub-protocol") {
            return head.amqp.clone().map(Spoken::Amqp);
        }
        let mqtt = name.eq_ignore_ascii_case(MQTT) || planted("WS02-unknown-sub-protocol-is-taken-for-mqtt");
        head.mqtt.clone().filter(|_| mqtt && !planted("WS01-mqtt-is-not-upgraded")).map(Spoken::Mqtt)
    }

    /// The name of the sub-protocol, as the answer has it.
    fn name(&self) -> &'static str {
        match self {
            Spoken::Mqtt(_) => MQTT,
            Spoken::Amqp(_) => AMQP,
        }
    }

    async fn serve(self, socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>, shown: Option<Shown>) {
        match self {
            Spoken::Mqtt(head) => head.serve_opened(ByteStream::new(socket, Text::Refused), shown).await,
            Spoken::Amqp(head) => head.serve(ByteStream::new(socket, Text::Taken), shown).await,
        }
    }
}

/// The first sub-protocol offered that a head serves wins, and is named in the answer. Nobody signs in here: that is for
/// the protocol within.
pub fn answer(head: &Head, mut request: Request<Incoming>, shown: Option<Shown>) -> Answer {
    let spoken = words(request.headers(), &SEC_WEBSOCKET_PROTOCOL).find_map(|name| Spoken::find(head, name));
    let (Some(spoken), Some(key)) = (spoken, key(request.headers())) else {
        if planted("HTTP05-unknown-sub-protocol-is-no-path") {
            return empty(StatusCode::NOT_FOUND);
        }
        return empty(StatusCode::BAD_REQUEST);
    };
    if request.uri().path() != SDK_PATH && planted("WS03-only-the-path-of-the-sdks-is-upgraded") {
        return empty(StatusCode::NOT_FOUND);
    }
    let answer = switching(&key, spoken.name());
    tokio::spawn(async move {
        // A client that has left meanwhile wants nothing more.
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(small_buffers())).await;
        spoken.serve(socket, shown).await;
    });
    answer
}

fn switching(key: &str, sub_protocol: &'static str) -> Answer {
    let mut answer = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("Base64 is a header's value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    if !planted("HTTP04-sub-protocol-is-not-named") {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(sub_protocol));
    }
    answer
}

/// The client's nonce: 16 bytes in Base64.
fn key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    BASE64.decode(key).is_ok_and(|nonce| nonce.len() == 16).then(|| key.to_owned())
}

/// The words of a list that may be spread over several headers.
fn words<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 4] = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "WebSocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn request<'a>(headers: impl IntoIterator<Item = &'a (&'static str, &'static str)>) -> Request<()> {
        let mut request = Request::get("/any/path");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("well-formed")
    }

    #[test]
    fn only_a_whole_handshake_is_an_upgrade() {
        assert!(is_upgrade(&request(&WHOLE)));
        for missing in WHOLE {
            assert!(!is_upgrade(&request(WHOLE.iter().filter(|header| **header != missing))), "{missing:?}");
        }
        for wrong in [("Upgrade", "h2c"), ("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Key", "c2hvcnQ=")] {
            let headers = WHOLE.map(|header| if header.0 == wrong.0 { wrong } else { header });
            assert!(!is_upgrade(&request(&headers)), "{wrong:?}");
        }
    }

    #[test]
    fn an_upgrade_answers_the_nonce() {
        // The example of RFC 6455, section 1.3.
        let answer = switching("dGhlIHNhbXBsZSBub25jZQ==", "mqtt");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()[SEC_WEBSOCKET_PROTOCOL], "mqtt");
    }
}
