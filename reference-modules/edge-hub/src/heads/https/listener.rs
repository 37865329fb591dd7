//! Reads requests, and sends each where it belongs.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::{Answer, empty, not_to_be_sniffed, too_large, wrong_verb};
use super::routes::Route;
use super::{device_scope, methods, nowhere, registry, websocket};
use crate::authenticate::Authenticator;
use crate::certificate::Shown;
use crate::engine::Engine;
use crate::faults::planted;
use crate::heads::listen::listen;
use crate::heads::{amqp, mqtt};
use crate::metrics::Metrics;
use crate::scope::client::Scope;
use crate::settings::Settings;
use crate::upstream::Upstream;

/// Most that is read of a request's body.
const MAX_BODY_BYTES: usize = 30_000_000;

/// What every request needs.
pub struct Head {
    /// Settings.
    pub settings: Arc<Settings>,
    /// Decides what becomes of a call.
    pub engine: Engine,
    /// Says whether a caller is who it says it is.
    pub authenticator: Arc<Authenticator>,
    /// Who may come in, as children are told.
    pub scope: Arc<Scope>,
    /// Takes calls of the registry on.
    pub upstream: Upstream,
    /// The page of metrics.
    pub metrics: Metrics,
    /// Speaks TLS.
    pub tls: TlsAcceptor,
    /// Takes WebSockets for connections, unless it is turned off.
    pub mqtt: Option<Arc<mqtt::listener::Head>>,
    /// And so does this one.
    pub amqp: Option<Arc<amqp::listener::Head>>,
}

/// A request whose body is still to come, and what its sender showed in the handshake.
pub struct Asked {
    /// Verb, path, headers.
    pub parts: Parts,
    /// Certificates.
    pub shown: Option<Shown>,
    body: Incoming,
}

impl Head {
    /// Binds, and returns what accepts connections for ever.
    ///
    /// # Errors
    /// When the address is taken, or needs rights that are not there.
    pub async fn listen(self, address: SocketAddr) -> io::Result<impl Future<Output = ()>> {
        let head = Arc::new(self);
        listen(address, move |socket| head.clone().serve(socket)).await
    }

    async fn serve(self: Arc<Head>, socket: TcpStream) {
        if planted("HTTP03-plain-requests-are-answered") && !speaks_tls(&socket).await {
            let answer = service_fn(move |request| {
                let head = self.clone();
                async move { Ok::<_, Infallible>(head.answer(request, None).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
            return;
        }
        let handshake = async {
            socket.set_nodelay(true)?;
            self.tls.accept(socket).await
        };
        let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(10), handshake).await else { return };
        if planted("HTTP16-what-is-no-request-gets-no-answer") {
            return self.serve_requests_alone(stream).await;
        }
        let shown = stream.get_ref().1.peer_certificates().map(|chain| Shown(chain.to_vec()));
        let answer = service_fn(move |request| {
            let (head, shown) = (self.clone(), shown.clone());
            async move { Ok::<_, Infallible>(head.answer(request, shown).await) }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer);
        // A client that breaks off, or speaks something else, has had its answer.
        let _ = connection.with_upgrades().await;
    }

    /// Hangs up on what begins with no verb: only a planted fault does.
    async fn serve_requests_alone(self: Arc<Head>, mut stream: TlsStream<TcpStream>) {
        let mut first = [0; 4];
        let verb = |first: &[u8; 4]| [b"GET ", b"POST", b"PUT ", b"DELE", b"HEAD", b"OPTI", b"PATC"].contains(&first);
        if stream.read_exact(&mut first).await.is_err() || !verb(&first) {
            return;
        }
        let (rest, sink) = tokio::io::split(stream);
        let stream = tokio::io::join(AsyncReadExt::chain(std::io::Cursor::new(first), rest), sink);
        let answer = service_fn(move |request| {
            let head = self.clone();
            async move { Ok::<_, Infallible>(head.answer(request, None).await) }
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    }

    async fn answer(&self, request: Request<Incoming>, shown: Option<Shown>) -> Answer {
        if websocket::is_upgrade(&request) {
            return websocket::answer(self, request, shown);
        }
        let (parts, body) = request.into_parts();
        let asked = Asked { parts, shown, body };
        match Route::find(asked.parts.uri.path()) {
            Some(Route::Metrics) => metrics(&self.metrics),
            found => not_to_be_sniffed(self.routed(found, asked).await),
        }
    }

    async fn routed(&self, found: Option<Route>, asked: Asked) -> Answer {
        let Some(route) = found else {
            if asked.parts.headers.get(AUTHORIZATION).is_none() && planted("HTTP01-unknown-path-needs-credentials") {
                return empty(StatusCode::UNAUTHORIZED);
            }
            return nowhere::answer(self, &asked).await;
        };
        if !route.takes(&asked.parts.method) {
            return wrong_verb(route.verbs().unwrap_or_default());
        }
        match route {
            Route::Methods(target) => methods::call(self, asked, target).await,
            Route::WholeScope(actor) => device_scope::whole(self, asked, &actor).await,
            Route::OneIdentity(actor) => device_scope::one(self, asked, &actor).await,
            Route::Module(module) => registry::module(self, asked, module).await,
            Route::Modules(device) => registry::modules(self, asked, &device).await,
            Route::OnBehalfOf(actor, call) => registry::on_behalf_of(self, asked, &actor, call).await,
            Route::Metrics => metrics(&self.metrics),
        }
    }
}

impl Asked {
    /// A header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the query has a parameter, in any letter case.
    pub fn has_parameter(&self, name: &str) -> bool {
        let pairs = self.parts.uri.query().unwrap_or_default().split('&');
        pairs.map(|pair| pair.split('=').next().unwrap_or_default()).any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Reads the body of a request that is JSON, whatever it is that its reader makes of it.
    ///
    /// # Errors
    /// The answer, when it says that it is something else, or is too large, or breaks off.
    pub async fn document(&mut self) -> Result<Bytes, Answer> {
        let kind = self.header(CONTENT_TYPE.as_str()).unwrap_or_default().split(';').next().unwrap_or_default();
        let kind = kind.trim().to_lowercase();
        let is_json = matches!(kind.as_str(), "application/json" | "text/json")
            || kind.starts_with("application/") && kind.ends_with("+json");
        if !is_json && !planted("INV16-any-content-type-will-do") {
            return Err(empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if self.body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(too_large());
        }
        match Limited::new(&mut self.body, MAX_BODY_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(_) => Err(empty(StatusCode::BAD_REQUEST)),
        }
    }
}

/// Only a planted fault speaks without TLS.
async fn speaks_tls(socket: &TcpStream) -> bool {
    let mut first = [0];
    socket.peek(&mut first).await.is_ok() && first == [0x16]
}

fn metrics(metrics: &Metrics) -> Answer {
    if planted("HTTP13-metrics-need-credentials") {
        return empty(StatusCode::UNAUTHORIZED);
    }
    let mut page = Answer::new(Full::from(metrics.page()));
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    page
}
