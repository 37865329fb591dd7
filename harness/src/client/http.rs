//! One HTTP/1.1 connection, opened again when the other side has closed it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::deadline::{self, Deadline, Expired};

/// Where requests go.
#[derive(Clone)]
pub struct Origin {
    /// The address dialled.
    pub address: SocketAddr,
    /// The name asked for: SNI and `Host`.
    pub host: String,
    /// Trust for TLS; without it the connection is in clear.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// A client of one origin. Requests go one after another over one connection.
pub struct HttpClient {
    origin: Origin,
    limit: Deadline,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
}

impl HttpClient {
    /// A client that dials when the first request is made.
    pub fn new(origin: Origin) -> Self {
        Self { origin, limit: deadline::CONNECT, connection: Mutex::new(None) }
    }

    /// The same client with another limit for each answer.
    #[must_use]
    pub fn waiting(self, limit: Deadline) -> Self {
        Self { limit, ..self }
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`HttpError`] when the origin cannot be reached or does not answer in time. A status of any kind is no error.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
        headers: &[(&'static str, &str)],
        body: Option<String>,
    ) -> Result<Answer, HttpError> {
        let what = || format!("{method} {path} at {}", self.origin.address);
        let request = || {
            let mut request = Request::builder().method(method.clone()).uri(path).header(HOST, &self.origin.host);
            if let Some(token) = authorization {
                request = request.header(AUTHORIZATION, token);
            }
            for (name, value) in headers {
                request = request.header(HeaderName::from_static(name), HeaderValue::from_str(value)?);
            }
            if body.is_some() {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            request.body(Full::new(Bytes::from(body.clone().unwrap_or_default())))
        };
        self.limit
            .wait(what(), async {
                let written = || request().map_err(|source| HttpError::Request { what: what(), source });
                let mut connection = self.connection.lock().await;
                // A connection kept from an earlier request may have been closed meanwhile: that is seen only by
                // using it, and then one fresh connection is tried.
                if let Some(kept) = connection.as_mut() {
                    if let Ok(answer) = exchange(kept, written()?).await {
                        return Ok(answer);
                    }
                }
                let dialled = self.dial().await.map_err(|source| HttpError::Dial { what: what(), source })?;
                exchange(connection.insert(dialled), written()?)
                    .await
                    .map_err(|source| HttpError::Exchange { what: what(), source })
            })
            .await?
    }

    async fn dial(&self) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.origin.address).await?;
        stream.set_nodelay(true)?;
        match &self.origin.tls {
            None => start(TokioIo::new(stream)).await,
            Some(tls) => {
                let name = ServerName::try_from(self.origin.host.clone()).map_err(std::io::Error::other)?;
                let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
                start(TokioIo::new(stream)).await
            }
        }
    }
}

async fn start<T>(io: T) -> std::io::Result<SendRequest<Full<Bytes>>>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(io).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, hyper::Error> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, body })
}

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request could not be written down.
    #[error("cannot make {what}: {source}")]
    Request {
        /// Method, path and address.
        what: String,
        /// Cause.
        source: hyper::http::Error,
    },
    /// Nobody listens there, or TLS failed.
    #[error("cannot connect for {what}: {source}")]
    Dial {
        /// Method, path and address.
        what: String,
        /// Cause.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("no answer to {what}: {source}")]
    Exchange {
        /// Method, path and address.
        what: String,
        /// Cause.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error(transparent)]
    Expired(#[from] Expired),
}
