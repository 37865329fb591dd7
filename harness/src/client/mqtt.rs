//! A well-behaved MQTT 3.1.1 client, on rumqttc: every PUBLISH can be followed to its PUBACK.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing,
    Packet, Publish, SubscribeReasonCode, TlsConfiguration, Transport,
};

/// Quality of service.
pub use rumqttc::QoS;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What clients fail with.
pub use super::error::{ConnectError, Unanswered};
use super::stream::Carrier;
use super::websocket;
use crate::deadline::{self, Expired};
use crate::observe::wire_log::{Direction, WireLog};

pub mod messages;
pub mod methods;
pub mod twin;

/// What a client presents in CONNECT, and where.
#[derive(Clone)]
pub struct Login {
    /// Client id.
    pub client_id: String,
    /// User name.
    pub user_name: String,
    /// Password, a shared access signature.
    pub password: String,
    /// CleanSession.
    pub clean_session: bool,
    /// Will: topic and payload.
    pub will: Option<(String, Bytes)>,
    /// What carries the packets.
    pub carrier: Carrier,
    /// Trust for the hub's certificate.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where its packets are noted.
    pub wire: WireLog,
}

/// A PUBLISH from the hub, as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it was read.
    pub at: Instant,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Bytes,
    /// Its QoS.
    pub qos: u8,
    /// RETAIN flag.
    pub retain: bool,
    /// DUP flag.
    pub dup: bool,
}

/// A connection that was accepted.
pub struct MqttClient {
    client: AsyncClient,
    waiting: Arc<Mutex<Waiting>>,
    received: Option<mpsc::UnboundedReceiver<Received>>,
    end: watch::Receiver<Option<String>>,
    task: JoinHandle<()>,
    /// `device`, or `device/module`.
    client_id: String,
    /// Whether the hub said it had a session.
    pub session_present: bool,
}

#[derive(Default)]
struct Waiting {
    /// Requests in the order they were handed to the event loop, which numbers them in that order.
    unsent: VecDeque<oneshot::Sender<Vec<u8>>>,
    /// Requests that are on the wire, by packet id.
    sent: HashMap<u16, oneshot::Sender<Vec<u8>>>,
}

/// A PUBLISH under way.
pub struct Pending {
    acknowledged: oneshot::Receiver<Vec<u8>>,
    end: watch::Receiver<Option<String>>,
    what: String,
}

impl MqttClient {
    /// Connects, and waits for CONNACK.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] with the CONNACK code, or why there was no CONNACK.
    pub async fn connect(login: Login) -> Result<Self, ConnectError> {
        let tls = TlsConfiguration::Rustls(login.tls);
        let (broker, port, transport) = match login.carrier {
            Carrier::Tls(address) => (address.ip().to_string(), address.port(), Transport::tls_with_config(tls)),
            // The library asks for the sub-protocol `mqtt`, and insists on it.
            Carrier::WebSocket(address) => {
                let url = format!("wss://{address}{}", websocket::PATH);
                (url, address.port(), Transport::wss_with_config(tls))
            }
        };
        let mut options = MqttOptions::new(login.client_id.clone(), broker, port);
        options
            .set_transport(transport)
            .set_credentials(login.user_name, login.password)
            .set_clean_session(login.clean_session)
            .set_keep_alive(Duration::from_secs(30))
            .set_max_packet_size(1 << 20, 1 << 20)
            .set_inflight(100);
        if let Some((topic, payload)) = login.will {
            options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, false));
        }
        let (client, mut event_loop) = AsyncClient::new(options, 1_000);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        event_loop.set_network_options(network);
        let session_present =
            deadline::CONNECT.wait(format!("CONNACK for {}", login.client_id), first_event(&mut event_loop)).await??;
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (received_to, received) = mpsc::unbounded_channel();
        let (end_to, end) = watch::channel(None);
        let wire = Wire { client: login.client_id.clone(), log: login.wire };
        let task = tokio::spawn(run(event_loop, waiting.clone(), received_to, end_to, wire));
        Ok(Self { client, waiting, received: Some(received), end, task, client_id: login.client_id, session_present })
    }

    /// Hands a PUBLISH to the connection. Its fate is in the value returned.
    pub async fn publish(&self, topic: &str, payload: Bytes, qos: QoS) -> Pending {
        let (done, acknowledged) = oneshot::channel();
        let mut waiting = self.waiting.lock().await;
        waiting.unsent.push_back(done);
        if self.client.publish(topic, qos, false, payload.to_vec()).await.is_err() {
            waiting.unsent.pop_back();
        }
        Pending { acknowledged, end: self.end.clone(), what: format!("PUBACK of a PUBLISH to {topic}") }
    }

    /// Subscribes, and gives the SUBACK's return codes.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes first.
    pub async fn subscribe(&self, filter: &str) -> Result<Vec<u8>, Unanswered> {
        let (done, acknowledged) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().await;
            waiting.unsent.push_back(done);
            if self.client.subscribe(filter, QoS::AtLeastOnce).await.is_err() {
                waiting.unsent.pop_back();
            }
        }
        Pending { acknowledged, end: self.end.clone(), what: format!("SUBACK for {filter}") }.answer().await
    }

    /// Ends a subscription, and waits for UNSUBACK.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes first.
    pub async fn unsubscribe(&self, filter: &str) -> Result<(), Unanswered> {
        let (done, acknowledged) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().await;
            waiting.unsent.push_back(done);
            if self.client.unsubscribe(filter).await.is_err() {
                waiting.unsent.pop_back();
            }
        }
        let what = format!("UNSUBACK for {filter}");
        Pending { acknowledged, end: self.end.clone(), what }.answer().await.map(drop)
    }

    /// The stream of what the hub sends. It can be taken once.
    pub fn take_received(&mut self) -> mpsc::UnboundedReceiver<Received> {
        self.received.take().expect("the stream is taken once, by whoever made the client")
    }

    /// Whether the connection still stands, and if not, why.
    pub fn ended(&self) -> Option<String> {
        self.end.borrow().clone()
    }

    /// Waits until the hub closes the connection, and says how it was seen.
    ///
    /// # Errors
    /// [`Expired`] when it still stands at the deadline.
    pub async fn closed(&self, deadline: deadline::Deadline) -> Result<String, Expired> {
        let mut end = self.end.clone();
        deadline
            .wait("the hub to close the connection", async move {
                let ended = end.wait_for(Option::is_some).await;
                ended.ok().and_then(|reason| reason.clone()).unwrap_or_default()
            })
            .await
    }

    /// Leaves in good order: DISCONNECT, then close.
    pub async fn disconnect(mut self) {
        let _ = self.client.disconnect().await;
        // The event loop ends by itself once DISCONNECT is written; a hub that hangs must not hold up the test.
        let _ = deadline::STOP.wait("DISCONNECT to be written", &mut self.task).await;
    }
}

impl Drop for MqttClient {
    fn drop(&mut self) {
        // Without DISCONNECT: whoever wants an orderly end calls `disconnect`.
        self.task.abort();
    }
}

impl Pending {
    /// Waits for the PUBACK.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes first.
    pub async fn acknowledged(self) -> Result<(), Unanswered> {
        self.answer().await.map(drop)
    }

    async fn answer(self) -> Result<Vec<u8>, Unanswered> {
        let Self { acknowledged, mut end, what } = self;
        let answered = deadline::ACKNOWLEDGEMENT.wait(&what, async {
            tokio::select! {
                biased;
                Ok(codes) = acknowledged => Ok(codes),
                ended = end.wait_for(Option::is_some) => {
                    Err(ended.ok().and_then(|reason| reason.clone()).unwrap_or_default())
                }
            }
        });
        match answered.await {
            Ok(Ok(codes)) => Ok(codes),
            Ok(Err(reason)) => Err(Unanswered::Closed { what, reason }),
            Err(expired) => Err(Unanswered::Expired(expired)),
        }
    }
}

async fn first_event(event_loop: &mut EventLoop) -> Result<bool, ConnectError> {
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(accepted))) => return Ok(accepted.session_present),
            Ok(_) => {}
            Err(ConnectionError::ConnectionRefused(code)) => return Err(ConnectError::Refused(code_of(code))),
            Err(error) => return Err(ConnectError::Closed(error.to_string())),
        }
    }
}

/// Notes the packets of one client.
struct Wire {
    client: String,
    log: WireLog,
}

impl Wire {
    fn note(&self, event: &Result<Event, ConnectionError>) {
        let (direction, what) = match event {
            Ok(Event::Outgoing(sent)) => (Direction::ToHub, format!("{sent:?}")),
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let Publish { qos, pkid, topic, payload, .. } = publish;
                let what =
                    format!("PUBLISH at QoS {} with id {pkid} on {topic:?}, {} bytes", *qos as u8, payload.len());
                (Direction::FromHub, what)
            }
            Ok(Event::Incoming(packet)) => (Direction::FromHub, format!("{packet:?}")),
            Err(error) => (Direction::FromHub, format!("end of the connection: {error}")),
        };
        self.log.tell(&self.client, direction, what);
    }
}

async fn run(
    mut event_loop: EventLoop,
    waiting: Arc<Mutex<Waiting>>,
    received: mpsc::UnboundedSender<Received>,
    end: watch::Sender<Option<String>>,
    wire: Wire,
) {
    let reason = loop {
        let event = event_loop.poll().await;
        wire.note(&event);
        match event {
            Ok(Event::Outgoing(Outgoing::Publish(id) | Outgoing::Subscribe(id) | Outgoing::Unsubscribe(id))) => {
                let mut waiting = waiting.lock().await;
                let done = waiting.unsent.pop_front().expect("each request was noted before it was handed over");
                if id == 0 {
                    // QoS 0 is done when it is written.
                    let _ = done.send(Vec::new());
                } else {
                    waiting.sent.insert(id, done);
                }
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) => break "the client left".to_owned(),
            Ok(Event::Incoming(Packet::PubAck(puback))) => settle(&waiting, puback.pkid, Vec::new()).await,
            Ok(Event::Incoming(Packet::UnsubAck(unsuback))) => settle(&waiting, unsuback.pkid, Vec::new()).await,
            Ok(Event::Incoming(Packet::SubAck(suback))) => {
                let codes = suback.return_codes.iter().map(granted).collect();
                settle(&waiting, suback.pkid, codes).await;
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let _ = received.send(Received {
                    at: Instant::now(),
                    topic: publish.topic,
                    payload: publish.payload,
                    qos: publish.qos as u8,
                    retain: publish.retain,
                    dup: publish.dup,
                });
            }
            Ok(_) => {}
            Err(error) => break error.to_string(),
        }
    };
    end.send_replace(Some(reason));
}

async fn settle(waiting: &Mutex<Waiting>, id: u16, codes: Vec<u8>) {
    if let Some(done) = waiting.lock().await.sent.remove(&id) {
        let _ = done.send(codes);
    }
}

fn granted(code: &SubscribeReasonCode) -> u8 {
    match code {
        SubscribeReasonCode::Success(qos) => *qos as u8,
        SubscribeReasonCode::Failure => 0x80,
    }
}

fn code_of(code: ConnectReturnCode) -> u8 {
    match code {
        ConnectReturnCode::Success => 0,
        ConnectReturnCode::RefusedProtocolVersion => 1,
        ConnectReturnCode::BadClientId => 2,
        ConnectReturnCode::ServiceUnavailable => 3,
        ConnectReturnCode::BadUserNamePassword => 4,
        ConnectReturnCode::NotAuthorized => 5,
    }
}
