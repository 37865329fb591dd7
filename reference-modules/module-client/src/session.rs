//! One MQTT connection, from CONNECT to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS,
    TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connection::Stop;
use crate::environment::Environment;
use crate::message::{Input, Receipt};
use crate::methods::Requested;
use crate::outbox::{Outbox, Outgoing};
use crate::reserved_topic::{self, Reserved};
use crate::topic::{Arrived, Topics};
use crate::twin::FromTwin;

/// MQTT over TLS: the port is part of the contract.
pub(crate) const PORT: u16 = 8883;

const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long CONNACK may take. A hub that has to ask IoT Hub about the module needs a while.
const CONNECT_SECONDS: u64 = 30;

/// How long a departure may take: DISCONNECT has to be written, and nothing is waited for.
const DEPARTURE: Duration = Duration::from_secs(2);

/// The largest packet either side writes: the hub takes messages of 256 KiB.
const LARGEST_PACKET: usize = 1024 * 1024;

/// More than there can be requests at once: what the outbox has room for, an acknowledgement, SUBSCRIBE, DISCONNECT.
const REQUESTS: usize = 128;

/// One connection, accepted by the hub.
pub(crate) struct Session {
    client: AsyncClient,
    events: EventLoop,
    topics: Topics,
}

/// How a session ended.
pub(crate) enum End {
    /// Because it was asked to.
    Left,
    /// Because its password was getting old.
    Expired,
}

/// What flows through a session.
pub(crate) struct Flow<'a> {
    /// What the module sends.
    pub(crate) outgoing: &'a mut mpsc::Receiver<Outgoing>,
    /// What it has sent.
    pub(crate) outbox: &'a mut Outbox,
    /// Where to put what it receives.
    pub(crate) wants: &'a Wants,
}

/// What a module wants to receive, and where to put it.
#[derive(Default)]
pub(crate) struct Wants {
    /// Messages that come to its inputs.
    pub(crate) inputs: Option<mpsc::UnboundedSender<Input>>,
    /// Calls of its direct methods.
    pub(crate) calls: Option<mpsc::UnboundedSender<Requested>>,
    /// What comes about its twin.
    pub(crate) twin: Option<mpsc::UnboundedSender<FromTwin>>,
}

impl Wants {
    /// What to subscribe to.
    fn filters(&self, topics: &Topics) -> Vec<String> {
        let mut filters = Vec::new();
        if self.inputs.is_some() {
            filters.push(topics.inputs());
        }
        if self.calls.is_some() {
            filters.push(reserved_topic::METHODS.to_owned());
        }
        if self.twin.is_some() {
            filters.extend([reserved_topic::TWIN_ANSWERS, reserved_topic::DESIRED].map(str::to_owned));
        }
        filters
    }
}

impl Session {
    /// Connects, and waits until the hub accepts.
    pub(crate) async fn open(
        environment: &Environment,
        port: u16,
        password: String,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, ConnectionError> {
        let Environment { iot_hub_host, gateway_host, device, module, .. } = environment;
        let user_name =
            format!("{iot_hub_host}/{device}/{module}/?api-version=2021-04-12&DeviceClientType=module-client");
        let mut options = MqttOptions::new(format!("{device}/{module}"), gateway_host, port);
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)))
            .set_credentials(user_name, password)
            // The hub then keeps the subscriptions, and between CONNACK and SUBSCRIBE nothing is lost.
            .set_clean_session(false)
            .set_keep_alive(KEEP_ALIVE)
            .set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET)
            .set_manual_acks(true);
        let (client, mut events) = AsyncClient::new(options, REQUESTS);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECONDS);
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        loop {
            if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await? {
                let topics = Topics::of(device, module);
                return Ok(Self { client, events, topics });
            }
        }
    }

    /// Sends and receives until told to stop, or the password gets old, or the connection ends.
    pub(crate) async fn run(self, flow: Flow<'_>, stop: &mut Stop, expires: Instant) -> Result<End, Lost> {
        let Self { client, mut events, topics } = self;
        for filter in flow.wants.filters(&topics) {
            client.try_subscribe(filter, QoS::AtLeastOnce)?;
        }
        if let Some(twin) = &flow.wants.twin {
            // A module that does not take its news any more is about to leave.
            let _ = twin.send(FromTwin::Connected);
        }
        for outgoing in flow.outbox.again() {
            publish(&client, outgoing)?;
        }
        let mut leaving: Option<(End, Instant)> = None;
        loop {
            let event = {
                // Kept until it is done: dropped half-way, it would take with it what it has read or begun to write.
                let mut event = pin!(events.poll());
                loop {
                    let now = Instant::now();
                    let expired = expires <= now;
                    if leaving.is_none() && expired && flow.outbox.is_empty() {
                        client.try_disconnect()?;
                        leaving = Some((End::Expired, now + DEPARTURE));
                    }
                    let departure = leaving.as_ref().map(|(_, latest)| *latest);
                    let sends = leaving.is_none() && !expired && flow.outbox.has_room();
                    tokio::select! {
                        event = &mut event => break event,
                        () = stop.asked(), if leaving.is_none() => {
                            client.try_disconnect()?;
                            leaving = Some((End::Left, now + DEPARTURE));
                        }
                        Some(outgoing) = flow.outgoing.recv(), if sends => {
                            publish(&client, flow.outbox.add(outgoing))?;
                        }
                        () = tokio::time::sleep_until(expires), if leaving.is_none() && !expired => {}
                        () = tokio::time::sleep_until(departure.unwrap_or(now)), if departure.is_some() => {
                            return Ok(leaving.map_or(End::Left, |(end, _)| end));
                        }
                    }
                }
            };
            match event {
                Ok(Event::Incoming(Packet::Publish(publish))) => arrived(&client, &topics, flow.wants, publish)?,
                Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => {
                    return Ok(leaving.map_or(End::Left, |(end, _)| end));
                }
                Ok(event) => settle(flow.outbox, &event),
                Err(reason) => {
                    // What came together with the end still counts: these messages need not be sent again.
                    events.state.events.iter().for_each(|event| settle(flow.outbox, event));
                    return Err(reason.into());
                }
            }
        }
    }
}

/// Keeps the outbox up with what was written and what was acknowledged.
fn settle(outbox: &mut Outbox, event: &Event) {
    match event {
        Event::Outgoing(rumqttc::Outgoing::Publish(packet_id)) => outbox.written(*packet_id),
        Event::Incoming(Packet::PubAck(puback)) => outbox.acknowledged(puback.pkid),
        _ => {}
    }
}

/// Hands a message over to be written. There is always room: see [`REQUESTS`].
fn publish(client: &AsyncClient, outgoing: &Outgoing) -> Result<(), ClientError> {
    client.try_publish(&outgoing.topic, QoS::AtLeastOnce, false, outgoing.payload.clone())
}

/// Passes on to the module what came. The module acknowledges inputs; everything else is acknowledged here.
fn arrived(client: &AsyncClient, topics: &Topics, wants: &Wants, publish: Publish) -> Result<(), ClientError> {
    let Some((arrived, inputs)) = topics.arrived(&publish.topic, &publish.payload).zip(wants.inputs.as_ref()) else {
        let payload = publish.payload.to_vec();
        match (reserved_topic::read(&publish.topic), &wants.calls, &wants.twin) {
            (Some(Reserved::Call { name, id }), Some(calls), _) => drop(calls.send(Requested { name, id, payload })),
            (Some(Reserved::TwinAnswer { status, id }), _, Some(twin)) => {
                drop(twin.send(FromTwin::Answer { status, id, body: payload }));
            }
            (Some(Reserved::Desired), _, Some(twin)) => drop(twin.send(FromTwin::Desired(payload))),
            _ => tracing::warn!(topic = publish.topic, "passed over a message that nobody waits for"),
        }
        return client.try_ack(&publish);
    };
    let Arrived { input: name, message, sender } = arrived;
    let client = client.clone();
    let receipt = Receipt { client, publish };
    // A module that does not take its inputs any more is about to leave. The hub keeps them.
    let _ = inputs.send(Input { name, message, sender, receipt });
    Ok(())
}

/// Why a session ended that should have gone on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the connection ended: {0}")]
    Connection(#[from] ConnectionError),
    #[error("the connection takes nothing any more: {0}")]
    Client(#[from] ClientError),
}
