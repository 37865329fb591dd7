//! A workload API with one trust bundle and one signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What it signs everything with, and how that is written in a token.
const SIGNATURE: &str = "s+g/n=";
pub(super) const SIGNATURE_ENCODED: &str = "s%2Bg%2Fn%3D";

pub(super) struct FakeDaemon {
    address: String,
    signed: mpsc::UnboundedReceiver<String>,
    failures_due: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FakeDaemon {
    pub(super) async fn start(trust_bundle: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (signed_to, signed) = mpsc::unbounded_channel();
        let failures_due = Arc::new(AtomicUsize::new(0));
        let due = failures_due.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let fails = due.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |due| due.checked_sub(1)).is_ok();
                answer(stream, &trust_bundle, &signed_to, fails).await;
            }
        });
        Self { address, signed, failures_due, task }
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// The text it was asked to sign.
    pub(super) async fn signed(&mut self) -> String {
        self.signed.recv().await.unwrap()
    }

    /// Answers the next call with an error.
    pub(super) fn fail_once(&mut self) {
        self.failures_due.store(1, Ordering::SeqCst);
    }

    /// Whether no error is due any more.
    pub(super) fn failed(&self) -> bool {
        self.failures_due.load(Ordering::SeqCst) == 0
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: TcpStream, trust_bundle: &str, signed: &mpsc::UnboundedSender<String>, fails: bool) {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await.unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let (status, answer) = if fails {
        ("500 Internal Server Error", json!({"message": "not ready"}))
    } else if request.starts_with("GET /trust-bundle?api-version=2022-08-03 ") {
        ("200 OK", json!({"certificate": trust_bundle}))
    } else if request.starts_with("POST /modules/relay/genid/7/sign?api-version=2022-08-03 ") {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = STANDARD.decode(body["data"].as_str().unwrap()).unwrap();
        // Only one test listens.
        let _ = signed.send(String::from_utf8(text).unwrap());
        ("200 OK", json!({"digest": SIGNATURE}))
    } else {
        ("404 Not Found", json!({"message": "not found"}))
    };
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.len());
    stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
}
