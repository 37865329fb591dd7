//! A well-behaved AMQP client, on fe2o3-amqp: SASL ANONYMOUS, a token put to `$cbs`, and a link for each thing it does.
//!
//! - [`AmqpClient`] connects, and sends telemetry whose outcome can be followed.
//! - [`receive`]: inputs of a module, messages of the cloud. [`twin`], [`methods`]: the pairs of links.
//! - [`message`]: messages as AMQP has them, to and from names that no protocol owns.
//!
//! For everything a library would not do there is [`super::raw_amqp`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::{
    AmqpValue, ApplicationProperties, Body, Message as Envelope, MessageId, Outcome, Properties as Section,
};
use fe2o3_amqp::types::primitives::{SimpleValue, Symbol, Value};
use fe2o3_amqp::{Connection, Receiver, Sender, Session};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use super::sas;
use super::stream::{self, ByteStream, Carrier};
use super::websocket::{Upgrade, WebSocket};
use crate::deadline::{self, Deadline, Expired};
use crate::observe::wire_log::{Direction, WireLog};
use message::Message;

pub mod message;
pub mod methods;
pub mod receive;
pub mod twin;

/// Credit a receiver keeps open.
const CREDIT: u32 = 200;
/// Longest frame that is read.
const LONGEST_FRAME: u32 = 65_536;

/// Who connects, and where.
#[derive(Debug, Clone)]
pub struct Login {
    /// What carries the frames.
    pub carrier: Carrier,
    /// Id of the device.
    pub device: String,
    /// Id of the module, for a module.
    pub module: Option<String>,
    /// A shared access signature.
    pub token: String,
    /// Trust for the hub's certificate.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where what it does is noted.
    pub wire: WireLog,
}

impl Login {
    /// The name of the client: its device, and its module behind a slash.
    pub fn name(&self) -> String {
        match &self.module {
            Some(module) => format!("{}/{module}", self.device),
            None => self.device.clone(),
        }
    }

    /// The address of something of this client.
    pub fn address(&self, what: &str) -> String {
        let device = sas::escape(&self.device);
        match &self.module {
            Some(module) => format!("/devices/{device}/modules/{}/{what}", sas::escape(module)),
            None => format!("/devices/{device}/{what}"),
        }
    }
}

/// A connection on which the hub knows this client.
pub struct AmqpClient {
    login: Login,
    session: Mutex<SessionHandle<()>>,
    tokens: Mutex<Tokens>,
    events: Mutex<Sender>,
    end: watch::Receiver<Option<String>>,
    leave: mpsc::Sender<()>,
    task: JoinHandle<()>,
    links: AtomicU64,
}

/// The pair of links to `$cbs`.
struct Tokens {
    requests: Sender,
    answers: Receiver,
    put: u64,
}

/// A message under way.
pub struct Pending {
    outcome: Pin<Box<dyn Future<Output = Result<Outcome, String>> + Send>>,
    end: watch::Receiver<Option<String>>,
    what: String,
}

impl AmqpClient {
    /// Connects, puts the token, and attaches the link for telemetry, which makes the client known to the hub.
    ///
    /// # Errors
    /// [`ConnectError`] says how far it came.
    pub async fn connect(login: Login) -> Result<Self, ConnectError> {
        let name = login.name();
        deadline::CONNECT.wait(format!("an AMQP connection of {name}"), Self::connected(login)).await?
    }

    async fn connected(login: Login) -> Result<Self, ConnectError> {
        let stream = carrier(&login).await?;
        let mut connection = Connection::builder()
            .container_id(login.name())
            .hostname("edgehub")
            .scheme("amqp")
            .max_frame_size(LONGEST_FRAME)
            .sasl_profile(SaslProfile::Anonymous)
            .open_with_stream(stream)
            .await
            .map_err(|error| ConnectError::Closed(error.to_string()))?;
        let mut session =
            Session::begin(&mut connection).await.map_err(|error| ConnectError::Closed(error.to_string()))?;
        let mut tokens = Tokens::open(&mut session).await?;
        let code = tokens.put(&login).await?;
        if code != 200 {
            return Err(ConnectError::Token(code));
        }
        let events = Sender::builder()
            .name("events")
            .target(login.address("messages/events"))
            .sender_settle_mode(SenderSettleMode::Mixed)
            .attach(&mut session)
            .await
            .map_err(|error| ConnectError::Refused { link: "events", why: error.to_string() })?;
        note(&login, Direction::FromHub, "connected, with a link for telemetry");
        let (end_to, end) = watch::channel(None);
        let (leave, left) = mpsc::channel(1);
        let task = tokio::spawn(watch(connection, left, end_to, login.clone()));
        Ok(Self {
            login,
            session: Mutex::new(session),
            tokens: Mutex::new(tokens),
            events: Mutex::new(events),
            end,
            leave,
            task,
            links: AtomicU64::new(0),
        })
    }

    /// Who this is.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Puts another token for the client, and gives the status of the answer.
    ///
    /// # Errors
    /// [`ConnectError`] when there is none.
    pub async fn renew(&self, token: &str) -> Result<i32, ConnectError> {
        let login = Login { token: token.to_owned(), ..self.login.clone() };
        let mut tokens = self.tokens.lock().await;
        deadline::ACKNOWLEDGEMENT.wait("the answer to a token", tokens.put(&login)).await?
    }

    /// Hands a message to the link for telemetry. Its fate is in the value returned.
    pub async fn send(&self, message: &Message) -> Pending {
        let what = format!("outcome of a message of {}", self.login.name());
        note(&self.login, Direction::ToHub, &format!("a message of {} bytes", message.body.len()));
        let mut events = self.events.lock().await;
        let sending = events.send_batchable(Sendable::builder().message(message.envelope()).build());
        // Without credit the library waits.
        let sent = deadline::ACKNOWLEDGEMENT.wait("credit for a message", sending).await;
        let outcome: Pin<Box<dyn Future<Output = _> + Send>> = match sent {
            Ok(Ok(delivery)) => Box::pin(async move { delivery.await.map_err(|error| error.to_string()) }),
            Ok(Err(error)) => Box::pin(std::future::ready(Err(error.to_string()))),
            Err(expired) => Box::pin(std::future::ready(Err(expired.to_string()))),
        };
        Pending { outcome, end: self.end.clone(), what }
    }

    /// Whether the connection still stands, and if not, why.
    pub fn ended(&self) -> Option<String> {
        self.end.borrow().clone()
    }

    /// Waits until the connection is closed, and says how that was seen.
    ///
    /// # Errors
    /// [`Expired`] when it still stands at the deadline.
    pub async fn closed(&self, deadline: Deadline) -> Result<String, Expired> {
        let mut end = self.end.clone();
        deadline
            .wait("the hub to close the connection", async move {
                let ended = end.wait_for(Option::is_some).await;
                ended.ok().and_then(|reason| reason.clone()).unwrap_or_default()
            })
            .await
    }

    /// Leaves in good order.
    pub async fn disconnect(mut self) {
        let _ = self.leave.send(()).await;
        // A hub that hangs must not hold up the test.
        let _ = deadline::STOP.wait("CLOSE to be answered", &mut self.task).await;
    }

    /// A name no other link of this connection has.
    fn link_name(&self, what: &str) -> String {
        format!("{what}-{}", self.links.fetch_add(1, Ordering::Relaxed))
    }

    /// Attaches a link on which the client sends, settled.
    async fn settled_sender(&self, link: &'static str, what: &str, correlation: &str) -> Result<Sender, ConnectError> {
        let builder = Sender::builder()
            .name(self.link_name(link))
            .target(self.login.address(what))
            .sender_settle_mode(SenderSettleMode::Settled)
            .properties(link_properties(correlation));
        let mut session = self.session.lock().await;
        builder.attach(&mut session).await.map_err(|error| ConnectError::Refused { link, why: error.to_string() })
    }

    /// Attaches a link on which the client receives.
    async fn receiver(
        &self,
        link: &'static str,
        what: &str,
        modes: (SenderSettleMode, ReceiverSettleMode),
        correlation: &str,
    ) -> Result<Receiver, ConnectError> {
        let builder = Receiver::builder()
            .name(self.link_name(link))
            .source(self.login.address(what))
            .sender_settle_mode(modes.0)
            .receiver_settle_mode(modes.1)
            .credit_mode(CreditMode::Auto(CREDIT))
            .properties(link_properties(correlation));
        let mut session = self.session.lock().await;
        builder.attach(&mut session).await.map_err(|error| ConnectError::Refused { link, why: error.to_string() })
    }
}

impl Drop for AmqpClient {
    fn drop(&mut self) {
        // Without CLOSE: whoever wants an orderly end calls `disconnect`.
        self.task.abort();
    }
}

impl Tokens {
    async fn open(session: &mut SessionHandle<()>) -> Result<Self, ConnectError> {
        let refused = |why: String| ConnectError::Refused { link: "$cbs", why };
        let requests = Sender::attach(session, "cbs-requests", "$cbs").await;
        let requests = requests.map_err(|error| refused(error.to_string()))?;
        let answers = Receiver::attach(session, "cbs-answers", "$cbs").await;
        let answers = answers.map_err(|error| refused(error.to_string()))?;
        Ok(Self { requests, answers, put: 0 })
    }

    /// Puts the token of a login, and gives the status of the answer.
    async fn put(&mut self, login: &Login) -> Result<i32, ConnectError> {
        let lost = |why: String| ConnectError::Refused { link: "$cbs", why };
        self.put += 1;
        let id = MessageId::Ulong(self.put);
        let request = Envelope::builder()
            .properties(Section { message_id: Some(id), ..Section::default() })
            .application_properties(
                ApplicationProperties::builder()
                    .insert("operation", "put-token")
                    .insert("type", "azure-devices.net:sastoken")
                    .insert("name", login.address(""))
                    .build(),
            )
            .body(AmqpValue(login.token.clone()))
            .build();
        self.requests.send(request).await.map_err(|error| lost(error.to_string()))?;
        let answer = self.answers.recv::<Body<Value>>().await.map_err(|error| lost(error.to_string()))?;
        self.answers.accept(&answer).await.map_err(|error| lost(error.to_string()))?;
        let status = answer.message().application_properties.as_ref().and_then(|all| all.0.get("status-code"));
        match status {
            Some(SimpleValue::Int(code)) => Ok(*code),
            other => Err(lost(format!("an answer with status {other:?}"))),
        }
    }
}

/// What clients say about their links: an API version, and which two belong together.
fn link_properties(correlation: &str) -> Fields {
    let mut properties = Fields::new();
    let mut insert = |key: &str, value: &str| {
        properties.insert(Symbol::from(key), Value::String(value.to_owned()));
    };
    insert("com.microsoft:client-version", "edgecert");
    insert("com.microsoft:api-version", "2021-04-12");
    if !correlation.is_empty() {
        insert("com.microsoft:channel-correlation-id", correlation);
    }
    properties
}

async fn carrier(login: &Login) -> Result<Box<dyn ByteStream>, ConnectError> {
    let closed = |why: String| ConnectError::Closed(why);
    Ok(match login.carrier {
        Carrier::Tls(address) => {
            Box::new(stream::tls(address, login.tls.clone()).await.map_err(|error| closed(error.to_string()))?)
        }
        Carrier::WebSocket(address) => {
            let opened = WebSocket::open(address, login.tls.clone(), Upgrade::default()).await;
            Box::new(opened.map_err(|error| closed(error.to_string()))?.0)
        }
    })
}

fn note(login: &Login, direction: Direction, what: &str) {
    login.wire.tell(&login.name(), direction, what.to_owned());
}

/// Watches over the connection until either side ends it.
async fn watch(
    mut connection: ConnectionHandle<()>,
    mut leave: mpsc::Receiver<()>,
    end: watch::Sender<Option<String>>,
    login: Login,
) {
    let reason = tokio::select! {
        closed = connection.on_close() => match closed {
            Ok(()) => "closed without an error".to_owned(),
            Err(error) => error.to_string(),
        },
        Some(()) = leave.recv() => {
            let _ = connection.close().await;
            "the client left".to_owned()
        }
    };
    note(&login, Direction::FromHub, &format!("end of the connection: {reason}"));
    end.send_replace(Some(reason));
}

impl Pending {
    /// Waits until the message is accepted.
    ///
    /// # Errors
    /// [`Unaccepted`] when it is not, or nothing is said in time.
    pub async fn acknowledged(self) -> Result<(), Unaccepted> {
        match self.outcome().await? {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Rejected(rejected) => Err(Unaccepted::Rejected(
                rejected.error.map_or_else(|| "without an error".to_owned(), |error| error.to_string()),
            )),
            other => Err(Unaccepted::Rejected(format!("{other:?}"))),
        }
    }

    /// What the hub settled the message with.
    ///
    /// # Errors
    /// [`Unaccepted`] when it did not.
    pub async fn outcome(self) -> Result<Outcome, Unaccepted> {
        let Self { outcome, mut end, what } = self;
        let settled = deadline::ACKNOWLEDGEMENT.wait(&what, async {
            tokio::select! {
                biased;
                outcome = outcome => outcome,
                ended = end.wait_for(Option::is_some) => {
                    Err(ended.ok().and_then(|reason| reason.clone()).unwrap_or_default())
                }
            }
        });
        settled.await?.map_err(|reason| Unaccepted::Closed { what, reason })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The token was refused with this status.
    #[error("the token was answered with {0}")]
    Token(i32),
    /// A link was refused.
    #[error("link {link}: {why}")]
    Refused {
        /// The link.
        link: &'static str,
        /// How that was seen.
        why: String,
    },
    /// The connection did not come about.
    #[error("closed before it was open: {0}")]
    Closed(String),
    /// Nothing came.
    #[error(transparent)]
    Expired(#[from] Expired),
}

/// A message that was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unaccepted {
    /// Another outcome.
    #[error("rejected: {0}")]
    Rejected(String),
    /// The link or the connection ended first.
    #[error("no {what}: {reason}")]
    Closed {
        /// The answer that was due.
        what: String,
        /// How the end was seen.
        reason: String,
    },
    /// Nothing came.
    #[error(transparent)]
    Expired(#[from] Expired),
}
