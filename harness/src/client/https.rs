//! A client of an edgeHub's HTTPS head: any method, path, header and body, and the answer as it came.
//!
//! Requests run side by side, each on a connection of its own; one that became free is used again. What no library
//! would write goes out byte by byte: [`HttpsClient::raw`]. Whatever is asked is asked once: a request that may have
//! reached the hub is never sent again.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http::{HttpError, Origin};
use crate::deadline::{self, Deadline};

/// Header in which a module names itself when it calls a method.
pub const CALLER: &str = "x-ms-edge-moduleId";

/// A request, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsRequest {
    /// Verb.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers in order, `Host` and `Content-Length` aside.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct HttpsAnswer {
    /// When it had been read.
    pub at: Instant,
    /// Status code.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

/// A client of one origin, which shows the same certificate, or none, on every connection.
pub struct HttpsClient {
    origin: Origin,
    idle: Mutex<Vec<Sender>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl HttpsRequest {
    /// A request without headers and body.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.to_owned(), target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a token in `Authorization`.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.header(AUTHORIZATION.as_str(), token)
    }

    /// With a body of JSON, whether or not it is well-formed.
    #[must_use]
    pub fn json(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self.header(CONTENT_TYPE.as_str(), "application/json; charset=utf-8") }
    }

    fn written(&self, host: &str) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder().method(self.method.as_bytes()).uri(&self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str())) {
            request = request.header(HOST, host);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone()))
    }
}

impl fmt::Display for HttpsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

impl HttpsAnswer {
    /// The value of a header, by its name in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Status and body, the body shortened.
impl fmt::Display for HttpsAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        let text = String::from_utf8_lossy(&self.body);
        let shown: String = text.chars().take(SHOWN).collect();
        match self.body.len() {
            0 => write!(f, "status {} without a body", self.status),
            length if length > shown.len() => write!(f, "status {} with {shown}.. ({length} bytes)", self.status),
            _ => write!(f, "status {} with {shown}", self.status),
        }
    }
}

impl HttpsClient {
    /// A client that dials when there is something to ask.
    pub fn new(origin: Origin) -> Self {
        Self { origin, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`HttpError`] when the origin cannot be reached or does not answer in time. A status of any kind is no error.
    pub async fn send(&self, request: &HttpsRequest, limit: Deadline) -> Result<HttpsAnswer, HttpError> {
        let what = || format!("{request} at {}", self.origin.address);
        let written =
            request.written(&self.origin.host).map_err(|source| HttpError::Request { what: what(), source })?;
        limit
            .wait(format!("the answer to {request}"), async {
                let mut written = written;
                while let Some(mut sender) = self.take_idle() {
                    // The hub may have closed it meanwhile. A request that was not written yet comes back.
                    match sender.try_send_request(written).await {
                        Ok(response) => return self.read(sender, response, what()).await,
                        Err(mut error) => match error.take_message() {
                            Some(unsent) => written = unsent,
                            None => return Err(HttpError::Exchange { what: what(), source: error.into_error() }),
                        },
                    }
                }
                let mut sender = self.start().await.map_err(|source| HttpError::Dial { what: what(), source })?;
                let response = sender.send_request(written).await;
                let response = response.map_err(|source| HttpError::Exchange { what: what(), source })?;
                self.read(sender, response, what()).await
            })
            .await?
    }

    /// Writes bytes on a connection of their own, and reads until the hub closes it.
    ///
    /// # Errors
    /// [`HttpError`] when the origin cannot be reached or does not close in time.
    pub async fn raw(&self, bytes: &[u8]) -> Result<Vec<u8>, HttpError> {
        let what = || format!("{} bytes as they stand at {}", bytes.len(), self.origin.address);
        deadline::CONNECT
            .wait("the hub to answer and to close", async {
                let mut stream = self.dial().await?;
                stream.write_all(bytes).await?;
                let mut answer = Vec::new();
                match stream.read_to_end(&mut answer).await {
                    // A connection may end without a farewell of TLS.
                    Err(error) if answer.is_empty() => Err(error),
                    _ => Ok(answer),
                }
            })
            .await?
            .map_err(|source| HttpError::Dial { what: what(), source })
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|sender| !sender.is_closed())
    }

    async fn read(
        &self,
        sender: Sender,
        response: Response<hyper::body::Incoming>,
        what: String,
    ) -> Result<HttpsAnswer, HttpError> {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = response.into_body().collect().await.map_err(|source| HttpError::Exchange { what, source })?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(HttpsAnswer { at: Instant::now(), status, headers, body: body.to_bytes() })
    }

    async fn start(&self) -> std::io::Result<Sender> {
        let (sender, connection) = handshake(TokioIo::new(self.dial().await?)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn dial(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tls = self.origin.tls.clone().expect("an HTTPS origin has trust");
        let stream = TcpStream::connect(self.origin.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.origin.host.clone()).map_err(std::io::Error::other)?;
        TlsConnector::from(tls).connect(name, stream).await
    }
}
