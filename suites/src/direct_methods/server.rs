//! The HTTPS head beside methods: paths, verbs, TLS, limits, credentials, metrics. Covers HTTP.
//!
//! - `registry`: what devices and hubs below this one ask for.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harness::client::http::HttpError;
use harness::client::https::{CALLER, HttpsAnswer, HttpsClient, HttpsRequest};
use harness::client::sas;
use harness::deadline;
use harness::environment::{DeviceCertificate, Environment, Handshake, StartError, TlsVersion};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ground::{
    Callee, METER, OPERATOR, PUMP, body, client_id, device, judged, module, nothing_else, path, request, shown,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, once};
use crate::oracle::method::answer;

mod registry;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        fixed("direct_methods", "direct_methods::server::what_has_no_route_is_not_found", &["HTTP-01"], |worker| {
            Box::pin(unknown(worker))
        }),
        fixed("direct_methods", "direct_methods::server::a_method_takes_no_other_verb", &["HTTP-14"], |worker| {
            Box::pin(verbs(worker))
        }),
        fixed("direct_methods", "direct_methods::server::nothing_is_served_in_clear", &["HTTP-03"], |worker| {
            Box::pin(tls(worker))
        }),
        fixed(
            "direct_methods",
            "direct_methods::server::too_much_and_nonsense_are_refused",
            &["HTTP-15", "HTTP-16"],
            |worker| Box::pin(limits(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::server::an_upgrade_to_nothing_known_is_refused",
            &["HTTP-05"],
            |worker| Box::pin(upgrades(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::server::a_certificate_comes_before_a_token",
            &["HTTP-06", "HTTP-07", "HTTP-08"],
            |worker| Box::pin(credentials(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::server::metrics_are_for_everybody",
            &["HTTP-13", "SEC-006"],
            |worker| Box::pin(metrics(worker)),
        ),
    ];
    tests.extend(registry::tests());
    tests.into_iter().map(once).collect()
}

type Answered = Result<HttpsAnswer, HttpError>;

/// What an answer must be.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    status: u16,
    /// A header and its value.
    header: Option<(&'static str, &'static str)>,
}

impl Wanted {
    /// This status and no body.
    const fn empty(status: u16) -> Self {
        Self { status, header: None }
    }

    const fn with(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    fn judge(self, requirement: &str, answered: &Answered, steps: &[String]) -> Option<Violation> {
        let right = answered.as_ref().is_ok_and(|answer| {
            let header = self.header.is_none_or(|(name, value)| answer.header(name) == Some(value));
            answer.status == self.status && answer.body.is_empty() && header
        });
        let headers = answered.as_ref().map(|answer| format!(", headers {:?}", answer.headers)).unwrap_or_default();
        (!right).then(|| broken(requirement, self.to_string(), format!("{}{headers}", shown(answered)), steps))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {} without a body", self.status)?;
        self.header.map_or(Ok(()), |(name, value)| write!(f, ", with {name}: {value}"))
    }
}

async fn unknown(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let wanted = Wanted::empty(404).with("x-content-type-options", "nosniff");
    let paths = [
        "/",
        "/nothing",
        "/twins",
        "/twins/gw7",
        "/twins/gw7/modules/pump",
        "/twins/gw7/modules/pump/methods/reset",
        "/twins/gw7/modules/methods",
        "/methods",
        "/devices/gw7",
        "/devices/gw7/modules/pump/messages/events",
        "/devices/meter/messages/events",
        "/devices/meter/twin",
        "/metrics/more",
        "/edgecert/conditions",
    ];
    for path in paths {
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            for token in [Some(environment.token(&module(OPERATOR))), None] {
                let mut request = HttpsRequest::new(verb, format!("{path}?api-version=2021-04-12"));
                if let Some(token) = token {
                    request = request.token(token).header(CALLER, client_id(environment, &module(OPERATOR)));
                }
                if verb != "GET" {
                    request = request.json("{}");
                }
                let with = if request.headers.iter().any(|(name, _)| name == CALLER) { "a good token" } else { "none" };
                let steps = [format!("{request}, with {with}")];
                let found = wanted.judge("HTTP-01", &https.send(&request, deadline::METHOD).await, &steps);
                if found.is_some() {
                    return Ok(ended(found));
                }
            }
        }
    }
    Ok(Outcome::Conforms)
}

async fn verbs(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let wanted = Wanted::empty(405).with("allow", "POST");
    for target in [module(PUMP), device(METER)] {
        for verb in ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"] {
            let good = request(environment, OPERATOR, &target, body("reset", &json!(1)).to_string());
            let mut request = HttpsRequest { method: verb.to_owned(), ..good };
            if verb == "HEAD" || verb == "GET" {
                request.body.clear();
            }
            let steps = [request.to_string()];
            let found = wanted.judge("HTTP-14", &https.send(&request, deadline::METHOD).await, &steps);
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    Ok(Outcome::Conforms)
}

async fn tls(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for (name, version) in [("TLS 1.2", TlsVersion::V1_2), ("TLS 1.3", TlsVersion::V1_3)] {
        let https = environment.https_with(Handshake { version: Some(version), certificate: None })?;
        let answered = https.send(&HttpsRequest::new("GET", "/nothing"), deadline::METHOD).await;
        let steps = [format!("GET /nothing over {name}")];
        let found = Wanted::empty(404).judge("HTTP-03", &answered, &steps);
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    let steps = ["GET /metrics in clear, on the port of HTTPS".to_owned()];
    let said = in_clear(environment.https_address(), "/metrics").await;
    let observed = match said {
        Ok(bytes) if !bytes.starts_with(b"HTTP/1.1 2") => None,
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).chars().take(80).collect()),
        Err(expired) => Some(expired.to_string()),
    };
    let expected = "the connection ends, and nothing was served";
    Ok(ended(observed.map(|observed: String| broken("HTTP-03", expected, observed, &steps))))
}

/// Asks in clear, and reads until the end of the connection.
async fn in_clear(address: SocketAddr, path: &str) -> Result<Vec<u8>, deadline::Expired> {
    let exchange = async {
        let mut answer = Vec::new();
        let Ok(mut socket) = TcpStream::connect(address).await else { return answer };
        let request = format!("GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
        // A connection that is refused or reset has served nothing.
        if socket.write_all(request.as_bytes()).await.is_ok() {
            let _ = socket.read_to_end(&mut answer).await;
        }
        answer
    };
    deadline::CLOSED.wait("the end of a connection in clear", exchange).await
}

/// Status, headers and body of an answer in bytes.
fn parsed(bytes: &[u8]) -> Option<(u16, String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, head.to_lowercase(), body.to_owned()))
}

async fn limits(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let (token, caller) = (environment.token(&module(OPERATOR)), client_id(environment, &module(OPERATOR)));
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: hub\r\nAuthorization: {token}\r\n{CALLER}: {caller}\r\nContent-Type: application/json\r\nContent-Length: 30000001\r\n\r\n",
        path(environment, &module(PUMP)),
    );
    let rows = [
        ("HTTP-15", 413, "a call that declares a body of 30000001 bytes", head.as_str()),
        ("HTTP-16", 400, "a line that is no request", "nonsense\r\n\r\n"),
        ("HTTP-16", 400, "a request line with a space too many", "GET / nothing HTTP/1.1\r\nHost: hub\r\n\r\n"),
        ("HTTP-16", 400, "a header without a colon", "GET /nothing HTTP/1.1\r\nHost: hub\r\nnonsense\r\n\r\n"),
    ];
    for (requirement, status, what, bytes) in rows {
        let answered = https.raw(bytes.as_bytes()).await;
        let seen = answered.as_ref().ok().and_then(|bytes| parsed(bytes));
        let right = seen
            .as_ref()
            .is_some_and(|(code, head, body)| *code == status && body.is_empty() && head.contains("connection: close"));
        if !right {
            let observed = match (seen, answered) {
                (Some((status, head, body)), _) => format!("status {status} with {body:?}; {head:?}"),
                (None, Ok(bytes)) => format!("{:?}", String::from_utf8_lossy(&bytes)),
                (None, Err(error)) => error.to_string(),
            };
            let expected = format!("status {status} without a body, with connection: close, and the end");
            return Ok(ended(Some(broken(requirement, expected, observed, &[what.to_owned()]))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn upgrades(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for path in ["/$iothub/websocket", "/", "/twins/gw7/modules/pump/methods"] {
        for protocol in [None, Some("chat"), Some("chat, xmqtt, AMQPWSB11")] {
            let mut request = HttpsRequest::new("GET", path)
                .header("connection", "Upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
            if let Some(protocol) = protocol {
                request = request.header("sec-websocket-protocol", protocol);
            }
            let steps = [format!("{request}, as an upgrade to WebSocket with sub-protocols {protocol:?}")];
            let answered = environment.https().send(&request, deadline::METHOD).await;
            let found = Wanted::empty(400).judge("HTTP-05", &answered, &steps);
            if found.is_some() {
                return Ok(ended(found));
            }
        }
    }
    Ok(Outcome::Conforms)
}

async fn credentials(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = Arc::new(environment.https());
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let good = request(environment, OPERATOR, &module(PUMP), body("reset", &json!(1)).to_string());
    let caller = client_id(environment, &module(OPERATOR));
    let unable = answer::not_authenticated(&caller);
    let stranger = certificate(OPERATOR).self_signed().map_err(|error| StageError::Start(StartError::Pki(error)))?;
    let issued = environment.issue(&certificate(OPERATOR))?;
    for (what, shown) in [("nobody knows", &stranger), ("the trusted authority issued", &issued)] {
        let with = environment.https_with(Handshake { version: None, certificate: Some(shown) })?;
        let steps = [format!("module {OPERATOR} calls with a good token, and a certificate in its name that {what}")];
        let answered = with.send(&good, deadline::METHOD).await;
        let found = judged("HTTP-06", &unable, &answered, &steps);
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    let found =
        in_query(environment, &https, &good).await.or(forwarded(&https, &good, &issued.certificate_chain_pem).await);
    if found.is_some() {
        return Ok(ended(found));
    }
    let steps = ["calls that were not authenticated".to_owned()];
    let nothing = nothing_else(environment, &https, &mut pump).await?;
    Ok(ended(nothing.err().map(|observed| broken("METHOD-AUTH-03", "nothing comes to module pump", observed, &steps))))
}

/// A token in the query, and none in the header.
async fn in_query(environment: &Environment, https: &HttpsClient, good: &HttpsRequest) -> Option<Violation> {
    let token = sas::escape(&environment.token(&module(OPERATOR)));
    let mut request = good.clone();
    request.headers.retain(|(name, _)| name != "authorization");
    request.target = format!("{}?authorization={token}", path(environment, &module(PUMP)));
    let steps = ["a call with a good token in the query, and none in the header".to_owned()];
    judged("HTTP-08", &answer::without_token(), &https.send(&request, deadline::METHOD).await, &steps)
}

/// A certificate in a header, from somebody who is not the proxy.
async fn forwarded(https: &HttpsClient, good: &HttpsRequest, certificate: &str) -> Option<Violation> {
    let forwarding = good.clone().header("x-ms-edge-clientcert", sas::escape(certificate));
    let mut anonymous = forwarding.clone();
    anonymous.headers.retain(|(name, _)| name != "authorization");
    for (with, request) in [("the token of module operator", forwarding), ("no token", anonymous)] {
        let steps = [format!("a call with a certificate in x-ms-edge-clientcert, and {with}")];
        let answered = https.send(&request, deadline::METHOD).await;
        if !answered.as_ref().is_ok_and(|answer| answer.status == 401) {
            return Some(broken("HTTP-07", "status 401", shown(&answered), &steps));
        }
    }
    None
}

fn certificate(name: &str) -> DeviceCertificate {
    DeviceCertificate { common_name: name.to_owned(), lifetime: Some(Duration::from_secs(3600)), is_authority: false }
}

async fn metrics(worker: &mut Worker) -> Result<Outcome, StageError> {
    const SERIES: &str = "edgehub_connected_clients";
    let environment = worker.stage().await?.environment();
    let steps = ["GET /metrics over HTTPS, without credentials".to_owned()];
    let answered = environment.https().send(&HttpsRequest::new("GET", "/metrics"), deadline::METHOD).await;
    let right = answered
        .as_ref()
        .is_ok_and(|answer| answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(SERIES));
    if !right {
        let expected = format!("status 200, and {SERIES} among the metrics");
        return Ok(ended(Some(broken("HTTP-13", expected, shown(&answered), &steps))));
    }
    let plain = SocketAddr::new(environment.hub_address(), 9600);
    for (path, requirement, statuses) in [
        ("/metrics", "HTTP-13", &[200_u16][..]),
        ("/twins/gw7/modules/pump/methods", "SEC-006", &[307, 403]),
        ("/nothing", "SEC-006", &[307, 403, 404]),
    ] {
        let steps = [format!("GET {path} on port 9600, in clear and without credentials")];
        let said = in_clear(plain, path).await;
        let seen = said.as_ref().ok().and_then(|bytes| parsed(bytes));
        let location = |head: &str| {
            let https = environment.https_address();
            let port = if https.port() == 443 { String::new() } else { format!(":{}", https.port()) };
            head.contains(&format!("location: https://hub{port}{path}"))
        };
        let right = seen
            .as_ref()
            .is_some_and(|(status, head, _)| statuses.contains(status) && (*status != 307 || location(head)));
        if !right {
            let expected = format!("one of the statuses {statuses:?}, 307 to the same path over HTTPS");
            let observed = seen.map(|(status, head, _)| format!("status {status}; {head:?}"));
            let observed = observed.unwrap_or_else(|| format!("{said:?}"));
            return Ok(ended(Some(broken(requirement, expected, observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}
