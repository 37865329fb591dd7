//! The workload API: a small HTTP service on a socket that belongs to the module. It holds the module's key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::environment::{Environment, WorkloadUri};
use crate::property_bag::encode;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The certificates the module is to trust, PEM.
pub(crate) async fn trust_bundle(environment: &Environment) -> Result<String, WorkloadError> {
    let answer = call(environment, Method::GET, "/trust-bundle", None).await?;
    member(&answer, "certificate")
}

/// The signature of `text` by the module's key, base64.
pub(crate) async fn sign(environment: &Environment, text: &str) -> Result<String, WorkloadError> {
    let (module, generation) = (encode(&environment.module), encode(&environment.generation));
    let path = format!("/modules/{module}/genid/{generation}/sign");
    let request = json!({"keyId": "primary", "algo": "HMACSHA256", "data": STANDARD.encode(text)});
    let answer = call(environment, Method::POST, &path, Some(request)).await?;
    member(&answer, "digest")
}

fn member(answer: &Value, name: &'static str) -> Result<String, WorkloadError> {
    let text = answer[name].as_str().map(str::to_owned);
    text.ok_or(WorkloadError::Incomplete(name))
}

async fn call(
    environment: &Environment,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, WorkloadError> {
    let target = format!("{path}?api-version={}", encode(&environment.api_version));
    let exchange = async {
        match &environment.workload {
            WorkloadUri::Unix(socket) => {
                let stream = UnixStream::connect(socket).await?;
                exchange(stream, "workload", method, &target, body).await
            }
            WorkloadUri::Http(host) => {
                let stream = TcpStream::connect(host).await?;
                exchange(stream, host, method, &target, body).await
            }
        }
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(WorkloadError::Silent),
    }
}

/// One request on a connection of its own, as the service expects.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: Method,
    target: &str,
    body: Option<Value>,
) -> Result<Value, WorkloadError> {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Full::<Bytes>::from(body))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok::<_, hyper::Error>((head.status, body.collect().await?.to_bytes()))
    };
    // The connection does the work, and ends by itself once there is nobody to send requests any more.
    let (answer, _) = tokio::join!(answer, connection);
    let (status, body) = answer?;
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body).into_owned();
        return Err(WorkloadError::Refused { status, text });
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Why the workload API did not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkloadError {
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("did not answer in time")]
    Silent,
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("refused with {status}: {text}")]
    Refused { status: StatusCode, text: String },
    #[error("answered something else than JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("answered without `{0}`")]
    Incomplete(&'static str),
}
