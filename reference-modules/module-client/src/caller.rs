//! Direct methods of others: a module calls them over HTTPS, at the hub it is connected to.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connection::credentials;
use crate::environment::Environment;
use crate::property_bag::encode;

/// The port of HTTPS, part of the contract.
pub const HTTPS_PORT: u16 = 443;

/// Header in which a module says who it is.
const CALLER: &str = "x-ms-edge-moduleId";

/// How much longer than the call itself its way there and back may take.
const GRACE: Duration = Duration::from_secs(15);

/// Calls direct methods of other modules of the device.
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) environment: Environment,
    pub(crate) port: u16,
}

/// What the module that was called answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Its status.
    pub status: i64,
    /// Its payload.
    pub payload: Value,
}

impl Caller {
    /// Calls a method, and waits for the answer up to `patience`, which is whole seconds from 5 to 300.
    ///
    /// # Errors
    /// [`CallError::Refused`] when the hub did not find the module, or did not hear from it in time.
    pub async fn call(
        &self,
        module: &str,
        method: &str,
        argument: &Value,
        patience: Duration,
    ) -> Result<Answered, CallError> {
        let Environment { device, module: own, gateway_host, .. } = &self.environment;
        let call = json!({
            "methodName": method, "payload": argument, "responseTimeoutInSeconds": patience.as_secs(),
        });
        let (tls, token) =
            credentials(&self.environment).await.map_err(|error| CallError::NotReady(error.to_string()))?;
        let path = format!("/twins/{}/modules/{}/methods?api-version=2018-06-30", encode(device), encode(module));
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, gateway_host)
            .header(header::AUTHORIZATION, token)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header(CALLER, format!("{device}/{own}"))
            .body(Full::<Bytes>::from(call.to_string()))?;
        let exchange = async {
            let name = ServerName::try_from(gateway_host.clone()).map_err(std::io::Error::other)?;
            let stream = TcpStream::connect((gateway_host.as_str(), self.port)).await?;
            let stream = TlsConnector::from(tls).connect(name, stream).await?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let answer = async move {
                let (head, body) = sender.send_request(request).await?.into_parts();
                Ok::<_, hyper::Error>((head.status, body.collect().await?.to_bytes()))
            };
            let (answer, _) = tokio::join!(answer, connection);
            Ok::<_, CallError>(answer?)
        };
        let answered = tokio::time::timeout(patience + GRACE, exchange).await;
        let (status, body) = answered.map_err(|_| CallError::Silent)??;
        read(status, &body)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Answered, CallError> {
    let text = || String::from_utf8_lossy(body).into_owned();
    if !status.is_success() {
        return Err(CallError::Refused { status: status.as_u16(), text: text() });
    }
    let answer: Value = serde_json::from_slice(body)?;
    let status =
        answer["status"].as_i64().ok_or_else(|| CallError::Refused { status: status.as_u16(), text: text() })?;
    Ok(Answered { status, payload: answer["payload"].clone() })
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The workload API did not help.
    #[error("not ready to call: {0}")]
    NotReady(String),
    /// The hub cannot be reached.
    #[error("the hub cannot be reached: {0}")]
    Unreachable(#[from] std::io::Error),
    /// The connection broke.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
    /// The hub did not answer in time.
    #[error("the hub did not answer in time")]
    Silent,
    /// The hub refused: 404 when nobody listens, 504 when nobody answered.
    #[error("the hub answered {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What else it said.
        text: String,
    },
    /// The hub said something else than JSON.
    #[error("this is no answer of a method: {0}")]
    NotJson(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_of_its_own() {
        let answered = read(StatusCode::OK, br#"{"status":404,"payload":null}"#).expect("an answer");
        assert_eq!(answered, Answered { status: 404, payload: Value::Null });
        let refused = read(StatusCode::NOT_FOUND, br#"{"message":"Client edge1/m not found"}"#);
        assert!(matches!(refused, Err(CallError::Refused { status: 404, .. })));
    }
}
