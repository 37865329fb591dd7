//! The security daemon's workload API: certificates, trust, and signatures with the module's key.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use crate::core::Timestamp;
use crate::dial;
use crate::percent::escape;
use crate::settings::Identity;

/// The newest version the product's client knows.
const NEWEST: &str = "2020-07-07";

/// Versions the product's client knows, in order.
const KNOWN: [&str; 5] = ["2018-06-28", "2019-01-30", "2019-10-22", "2019-11-05", NEWEST];

/// Retries of a call that failed on the daemon's side.
const RETRIES: u32 = 3;

/// Lifetime asked for certificates.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// A client of the workload API.
#[derive(Clone, Debug)]
pub struct Workload {
    socket: Socket,
    module: String,
    generation: String,
    version: String,
}

#[derive(Clone, Debug)]
enum Socket {
    Unix(PathBuf),
    Tcp(String),
}

/// A server certificate with its key, in PEM.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerCertificate {
    /// Private key.
    #[serde(rename = "privateKey")]
    pub key: PrivateKey,
    /// Leaf first, then its issuers.
    pub certificate: String,
}

/// A private key.
#[derive(Clone, Deserialize)]
pub struct PrivateKey {
    /// PEM.
    pub bytes: String,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

impl Workload {
    /// A client for what the daemon said.
    ///
    /// # Errors
    /// When the address is neither `unix://` nor `http://`.
    pub fn new(identity: &Identity) -> io::Result<Workload> {
        let uri = &identity.workload_uri;
        let socket = if let Some(path) = uri.strip_prefix("unix://") {
            Socket::Unix(PathBuf::from(path))
        } else if let Some(authority) = uri.strip_prefix("http://") {
            Socket::Tcp(authority.trim_end_matches('/').to_owned())
        } else {
            return Err(io::Error::other(format!("{uri} is neither unix:// nor http://")));
        };
        let version = KNOWN.iter().find(|known| **known == identity.workload_api_version).unwrap_or(&NEWEST);
        Ok(Workload {
            socket,
            module: escape(&identity.module_id),
            generation: escape(&identity.generation_id),
            version: (*version).to_owned(),
        })
    }

    /// A certificate to serve clients with.
    ///
    /// # Errors
    /// When the daemon refuses, or is not there.
    pub async fn server_certificate(&self, common_name: &str, now: Timestamp) -> io::Result<ServerCertificate> {
        let body = json!({"commonName": common_name, "expiration": (now + LIFETIME).to_text()});
        let answer = self.call("POST", &self.of_module("certificate/server"), Some(body)).await?;
        serde_json::from_value(answer).map_err(io::Error::other)
    }

    /// Roots to trust, in PEM.
    ///
    /// # Errors
    /// When the daemon refuses, or is not there.
    pub async fn trust_bundle(&self) -> io::Result<String> {
        let answer = self.call("GET", "/trust-bundle", None).await?;
        text(&answer, "certificate")
    }

    /// Signature of some data with the hub's own key, in base64.
    ///
    /// # Errors
    /// When the daemon refuses, or is not there.
    pub async fn sign(&self, data: &str) -> io::Result<String> {
        let body = json!({"keyId": "primary", "algo": "HMACSHA256", "data": STANDARD.encode(data)});
        let answer = self.call("POST", &self.of_module("sign"), Some(body)).await?;
        text(&answer, "digest")
    }

    /// Encrypts under a key only this module gets.
    ///
    /// # Errors
    /// When the daemon refuses, or is not there.
    pub async fn encrypt(&self, vector: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
        let body = json!({"plaintext": STANDARD.encode(plain), "initializationVector": STANDARD.encode(vector)});
        let answer = self.call("POST", &self.of_module("encrypt"), Some(body)).await?;
        STANDARD.decode(text(&answer, "ciphertext")?).map_err(io::Error::other)
    }

    /// Decrypts what [`Workload::encrypt`] gave for the same vector.
    ///
    /// # Errors
    /// When the daemon refuses, or is not there.
    pub async fn decrypt(&self, vector: &[u8], sealed: &[u8]) -> io::Result<Vec<u8>> {
        let body = json!({"ciphertext": STANDARD.encode(sealed), "initializationVector": STANDARD.encode(vector)});
        let answer = self.call("POST", &self.of_module("decrypt"), Some(body)).await?;
        STANDARD.decode(text(&answer, "plaintext")?).map_err(io::Error::other)
    }

    fn of_module(&self, call: &str) -> String {
        format!("/modules/{}/genid/{}/{call}", self.module, self.generation)
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> io::Result<Value> {
        let mut attempt = 0;
        loop {
            let (status, answer) = self.exchange(method, path, body.as_ref()).await?;
            if status.is_success() {
                return serde_json::from_slice(&answer).map_err(io::Error::other);
            }
            if !status.is_server_error() || attempt == RETRIES {
                let answer = String::from_utf8_lossy(&answer);
                return Err(io::Error::other(format!("workload API, {method} {path}: {status} {answer}")));
            }
            tokio::time::sleep(Duration::from_secs(1) * 2_u32.pow(attempt).min(3)).await;
            attempt += 1;
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<(hyper::StatusCode, Bytes)> {
        let host = match &self.socket {
            Socket::Unix(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Socket::Tcp(authority) => authority.clone(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?api-version={}", self.version))
            .header("Host", host)
            .header("Connection", "close")
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))
            .map_err(io::Error::other)?;
        match &self.socket {
            Socket::Unix(path) => dial::exchange(UnixStream::connect(path).await?, request).await,
            Socket::Tcp(authority) => dial::exchange(TcpStream::connect(authority).await?, request).await,
        }
    }
}

fn text(answer: &Value, name: &str) -> io::Result<String> {
    answer[name]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("the workload API's answer has no `{name}`")))
}
