//! A connection after CONNACK: packets in, engine's words out.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::acknowledge::{Due, Pending};
use super::bag::Pairs;
use super::connect::{self, Accepted};
use super::listener::Head;
use super::subscriptions::Subscriptions;
use super::topics::{self, Class, METHOD_REQUEST, Publish};
use crate::core::methods::request::MethodRequest;
use crate::core::{
    CloudMessage, ConnectionId, DeliveryId, DeliveryOutcome, Envelope, Input, Listening, PublishId, Telemetry,
    TwinChange,
};
use crate::engine::ToClient;
use crate::faults::{any_planted, planted};
use crate::heads::Stream;
use crate::identity::ClientId;
use crate::wire::{self, Incoming, Packet};

/// PUBLISHes that may wait; with more the socket is not read.
const MAX_PENDING: usize = 100;

/// The id of every PUBLISH to a client, as the product has it.
const PACKET_ID: u16 = 1;

fn packet_id() -> u16 {
    if planted("QOS08-packets-carry-another-id") { PACKET_ID + 1 } else { PACKET_ID }
}

/// Faults of all connections so far, and whose they were: only planted faults look at them.
static FAULTS: Mutex<Vec<ClientId>> = Mutex::new(Vec::new());

fn faults() -> MutexGuard<'static, Vec<ClientId>> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a client that did wrong before is to be kept out.
pub fn is_barred(client: &ClientId) -> bool {
    planted("ERR05-fault-bars-the-identity") && faults().contains(client)
}

/// Where devices ask IoT Hub, but no edgeHub, for leave to upload a file.
const UPLOADS: &str = "$iothub/files/POST/";

/// Where a planted fault cuts bodies.
const LARGE_BODY_BYTES: usize = 200_000;

/// Why a connection ends.
enum End {
    /// DISCONNECT.
    Orderly,
    /// The hub wants it so; the will stays unsaid.
    ByHub,
    /// Anything else.
    Abrupt,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Abrupt
    }
}

struct Connection<'a> {
    head: &'a Head,
    id: ConnectionId,
    client: ClientId,
    subscriptions: Subscriptions,
    stored: bool,
    takes_inputs: bool,
    listening: Listening,
    /// Whether the client ever did without messages of the cloud after it had wanted them.
    resigned: bool,
    pending: Pending,
    unacknowledged: VecDeque<Option<DeliveryId>>,
    /// Twin requests that are not answered: their ids, and the filters that were there.
    twin_requests: HashMap<u64, (String, Subscriptions)>,
    out: Vec<u8>,
    /// A message of QoS 0 that waits for what comes behind it: only a planted fault holds one.
    held: Option<Incoming>,
    faults_before: usize,
}

/// Serves a client until its connection ends, says its will if need be, and takes its leave.
pub async fn run<S: Stream>(head: &Head, accepted: Accepted<S>, doubted: Pin<&mut (dyn Future<Output = ()> + Send)>) {
    let Accepted {
        connection: id,
        mut stream,
        mut received,
        client,
        credentials: _,
        connect,
        subscriptions,
        mut inbox,
    } = accepted;
    let mut connection = Connection {
        head,
        id,
        client,
        subscriptions,
        stored: !connect.clean_session(),
        takes_inputs: false,
        listening: Listening::default(),
        resigned: false,
        pending: Pending::default(),
        unacknowledged: VecDeque::new(),
        twin_requests: HashMap::new(),
        out: Vec::new(),
        held: None,
        faults_before: faults().len(),
    };
    if planted("C2D04-stored-filter-is-not-listened-for") {
        connection.subscriptions.turn_off(Class::CloudToDevice);
    }
    if !planted("T02-restored-filters-are-not-told") {
        connection.tell_wants();
    }
    let limit = keep_alive(connect.keep_alive(), head.settings.mqtt.max_keep_alive);
    let served = connection.serve(&mut stream, &mut received, &mut inbox, limit);
    let end = tokio::select! {
        end = served => end,
        () = doubted => End::ByHub,
    };
    let speaks = match end {
        End::Orderly => planted("WILL03-disconnect-says-the-will"),
        End::ByHub => planted("WILL05-takeover-says-the-will"),
        End::Abrupt => !planted("WILL01-will-is-forgotten"),
    };
    if let Some(topic) = connect.will_topic().filter(|_| connect.will_flag() && speaks) {
        let will = Incoming {
            topic: topic.to_owned(),
            qos: 1,
            id: None,
            dup: false,
            retain: connect.will_retain(),
            payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
        };
        let mark = (!planted("WILL02-will-is-not-marked")).then_some("Will");
        connection.published(will, mark);
    }
    head.engine.detach(id);
    // The other side sees the end of the connection in any case. In a WebSocket it may take its time to say good-bye.
    let _ = stream.shutdown().await;
}

impl Connection<'_> {
    async fn serve(
        &mut self,
        stream: &mut impl Stream,
        received: &mut BytesMut,
        inbox: &mut mpsc::UnboundedReceiver<ToClient>,
        limit: Option<Duration>,
    ) -> End {
        let mut heard = Instant::now();
        loop {
            match self.take_all(received).await {
                Ok(0) => {}
                Ok(_) if planted("KA03-only-pings-count") && self.out.is_empty() => {}
                Ok(_) => heard = Instant::now(),
                Err(end) => return self.last_words(stream, end).await,
            }
            let stalled = !self.has_room();
            while let Ok(told) = inbox.try_recv() {
                match self.told(told) {
                    Ok(true) => heard = Instant::now(),
                    Ok(false) => {}
                    Err(end) => return self.last_words(stream, end).await,
                }
            }
            if !self.pending.write(&mut self.out) {
                return self.last_words(stream, End::Abrupt).await;
            }
            if let Err(error) = self.flush(stream).await {
                return End::from(error);
            }
            let reads = self.has_room();
            if stalled && reads {
                continue;
            }
            let silent_until = limit.map(|limit| heard + limit);
            tokio::select! {
                told = inbox.recv() => match told.map(|told| self.told(told)) {
                    Some(Ok(true)) => heard = Instant::now(),
                    Some(Ok(false)) => {}
                    Some(Err(end)) => return self.last_words(stream, end).await,
                    None => return End::ByHub,
                },
                read = stream.read_buf(received), if reads => match read {
                    Ok(0) | Err(_) => return End::Abrupt,
                    Ok(_) => {}
                },
                () = tokio::time::sleep_until(silent_until.unwrap_or(heard)), if silent_until.is_some() => {
                    let quiet = planted("WILL04-expiry-keeps-the-will-back");
                    return if quiet { End::ByHub } else { End::Abrupt };
                }
            }
        }
    }

    /// Deals with every whole packet that was received, as far as they may wait; returns how many.
    async fn take_all(&mut self, received: &mut BytesMut) -> Result<usize, End> {
        let mut taken = 0;
        if planted("ERR04-fault-closes-the-neighbours") && faults().len() > self.faults_before {
            return Err(End::Abrupt);
        }
        while self.has_room() {
            let before = received.len();
            let packet = match wire::take(received, self.max_bytes()) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(_) if planted("ERR01-undecodable-packet-is-skipped") && received.len() < before => continue,
                Err(_) => {
                    // They would pile up for ever.
                    if any_planted() {
                        faults().push(self.client.clone());
                    }
                    return Err(End::Abrupt);
                }
            };
            taken += 1;
            self.packet(packet).await?;
        }
        Ok(taken)
    }

    async fn packet(&mut self, packet: Packet) -> Result<(), End> {
        if let Some(held) = self.held.take().filter(|_| !matches!(packet, Packet::Disconnect)) {
            self.published(held, None);
        }
        match packet {
            Packet::Publish(publish) if publish.qos == 0 && planted("PUB06-disconnect-discards-what-came-before") => {
                self.held = Some(publish);
            }
            Packet::Publish(publish) => self.published(publish, None),
            Packet::Puback(id) if id == packet_id() || planted("Q11-any-puback-completes-the-oldest") => {
                self.acknowledged();
            }
            Packet::Stray if planted("ERR03-stray-pubrec-closes-the-connection") => return Err(End::Abrupt),
            Packet::Pubrel if planted("ERR03-pubrel-is-ignored") => {}
            Packet::Connect(_) if planted("CONN13-second-connect-is-ignored") => {}
            Packet::Puback(_) | Packet::Stray => {
                if self.head.settings.mqtt.abort_on_out_of_order_puback {
                    return Err(End::Abrupt);
                }
            }
            Packet::Subscribe(_, filters)
                if planted("Q25-wildcard-behind-a-dollar-closes-the-connection")
                    && filters.iter().any(|(filter, _)| filter == "$iothub/#") =>
            {
                return Err(End::Abrupt);
            }
            Packet::Subscribe(_, filters)
                if planted("C2D02-devicebound-filter-closes-the-module")
                    && filters.iter().any(|(filter, _)| self.oversteps(filter)) =>
            {
                return Err(End::Abrupt);
            }
            Packet::Subscribe(id, filters) => {
                if planted("B03-devicebound-filter-replaces-the-others")
                    && filters.iter().any(|(filter, _)| self.oversteps(filter))
                {
                    self.subscriptions = Subscriptions::default();
                }
                let mut granted: Vec<u8> =
                    filters.iter().map(|(filter, qos)| self.subscriptions.subscribe(filter, *qos)).collect();
                for ((filter, _), granted) in filters.iter().zip(&mut granted) {
                    if topics::class(filter).is_none() && planted("SUB01-filter-without-a-use-is-refused")
                        || self.oversteps(filter) && planted("C2D02-devicebound-filter-of-a-module-is-refused")
                    {
                        *granted = wire::REFUSED;
                    }
                }
                self.subscribed().await;
                self.out.extend(wire::write_suback(id, &granted));
            }
            Packet::Unsubscribe(id, filters) => {
                let known = filters.iter().filter(|filter| self.subscriptions.unsubscribe(filter)).count();
                if planted("SESS05-unsubscribe-is-not-stored") {
                    self.tell_wants();
                } else {
                    self.subscribed().await;
                }
                if known > 0 || !planted("SUB06-unknown-filter-is-not-confirmed") {
                    self.out.extend(wire::write_unsuback(id));
                }
            }
            Packet::Pingreq if self.pending.len() > 0 && planted("KA04-ping-waits-for-publishes") => {
                let due = Due { before: wire::PINGRESP.to_vec(), ..Due::default() };
                let number = self.pending.expect(due);
                self.pending.settle_with(number, |_| {});
            }
            Packet::Pingreq => self.out.extend(wire::PINGRESP),
            Packet::Disconnect => return Err(End::Orderly),
            _ => return Err(End::Abrupt),
        }
        Ok(())
    }

    /// Whether a module asks for messages of the cloud, which it does not get: only planted faults mind.
    fn oversteps(&self, filter: &str) -> bool {
        self.client.module.is_some() && topics::class(filter) == Some(Class::CloudToDevice)
    }

    /// Returns when the core knows the client and what it wants, and what is to be kept of that is kept: SUBACK and
    /// UNSUBACK come behind both. From then on no message goes to an older connection of the client.
    async fn subscribed(&mut self) {
        self.tell_wants();
        if self.stored {
            let document = serde_json::to_vec(&self.subscriptions).expect("filters are plain data");
            self.head.engine.remember(connect::document(&self.client), Some(document)).await;
        } else {
            self.head.engine.heard().await;
        }
    }

    fn tell_wants(&mut self) {
        let inputs = self.subscriptions.wants(Class::Inputs);
        let listening = Listening {
            desired: self.subscriptions.wants(Class::Desired) || self.listens_always(),
            methods: self.subscriptions.wants(Class::Methods),
            cloud_to_device: self.takes_cloud_to_device(),
        };
        if (inputs, listening) != (self.takes_inputs, self.listening) {
            (self.takes_inputs, self.listening) = (inputs, listening);
            self.head.engine.tell(Input::Subscribed { connection: self.id, inputs, listening });
        }
    }

    fn published(&mut self, publish: Incoming, message_type: Option<&str>) {
        let read = topics::read(&publish.topic);
        let second = publish.qos == 2 && !planted("QOS02-qos-2-stays-connected");
        let faulty = matches!(read, Publish::Fault) || second;
        let acknowledge = publish.id.or_else(|| planted("QOS01-qos-0-is-acknowledged").then_some(PACKET_ID));
        let number = self.pending.expect(Due { before: Vec::new(), acknowledge, close: faulty });
        if publish.dup && planted("RET02-dup-is-suppressed") {
            self.pending.settle_with(number, |_| {});
            return;
        }
        match read {
            Publish::Telemetry { sender, mut application, system } => {
                let mut mark = |name: &str, value: &str| set(&mut application, name, value);
                if publish.retain {
                    mark("mqtt-retain", "true");
                }
                if publish.dup {
                    mark("mqtt-dup", "true");
                }
                if let Some(message_type) = message_type {
                    mark("MessageType", message_type);
                }
                self.head.engine.tell(Input::Published {
                    publish: self.publish_id(number),
                    telemetry: Telemetry {
                        sender,
                        properties: application,
                        system,
                        body: publish.payload,
                        edge_message_id: uuid::Uuid::new_v4().to_string(),
                    },
                });
            }
            Publish::TwinGet { rid } => {
                self.twin_request(number, rid);
                self.head.engine.tell(Input::TwinGet { publish: self.publish_id(number), client: self.client.clone() });
                if planted("PUB11-twin-request-holds-nothing-back") {
                    self.pending.settle_with(number, |_| {});
                }
            }
            Publish::TwinPatch { rid } if rid.is_empty() && planted("RPT02-update-without-a-request-id-is-lost") => {
                self.pending.settle_with(number, |_| {});
            }
            Publish::TwinPatch { rid } => {
                self.twin_request(number, rid);
                self.head.engine.tell(Input::TwinChanged {
                    publish: self.publish_id(number),
                    change: TwinChange {
                        reporter: self.client.clone(),
                        patch: publish.payload,
                        edge_message_id: uuid::Uuid::new_v4().to_string(),
                    },
                });
            }
            Publish::MethodResponse { status, rid } => {
                let connection = self.id;
                self.head.engine.tell(Input::MethodAnswered { connection, rid, status, payload: publish.payload });
                self.pending.settle_with(number, |_| {});
            }
            Publish::Dropped if publish.topic.starts_with(UPLOADS) && planted("FILE03-upload-is-granted") => {
                let topic = publish.topic.replacen("POST", "res/200", 1);
                let granted = br#"{"correlationId":"1","sasToken":"?sig=x"}"#;
                self.out.extend(wire::write_publish(&topic, None, granted).unwrap_or_default());
                self.pending.settle_with(number, |_| {});
            }
            Publish::Dropped
                if publish.topic.starts_with(UPLOADS) && planted("FILE03-upload-topic-closes-the-connection") =>
            {
                self.pending.settle_with(number, |due| due.close = true);
            }
            Publish::Dropped if planted("PUB07-unknown-topic-closes-the-connection") => {
                self.pending.settle_with(number, |due| due.close = true);
            }
            Publish::Dropped
                if publish.topic.starts_with(METHOD_REQUEST) && planted("DM10-clients-call-each-other") =>
            {
                let request = MethodRequest {
                    name: String::from("forged"),
                    payload: publish.payload,
                    response_timeout: Duration::from_secs(5),
                    connect_timeout: Duration::ZERO,
                };
                let (engine, client) = (self.head.engine.clone(), self.client.clone());
                tokio::spawn(async move { engine.call(client, request).await });
                self.pending.settle_with(number, |_| {});
            }
            Publish::Dropped | Publish::Fault => self.pending.settle_with(number, |_| {}),
        }
    }

    /// The client asks something about its twin; how it is told the answer depends on its filters of now.
    fn twin_request(&mut self, number: u64, rid: String) {
        if !rid.trim().is_empty() || planted("RPT02-update-without-a-request-id-is-answered") {
            self.twin_requests.insert(number, (rid, self.subscriptions.clone()));
        }
    }

    fn twin_response(&mut self, number: u64, status: u16, document: &[u8]) {
        let Some((rid, subscriptions)) = self.twin_requests.remove(&number) else { return };
        let mut response = response(&subscriptions, status, &rid, document);
        self.in_flight(&response);
        if planted("GET01-answer-comes-twice") {
            response.extend_from_within(..);
        }
        self.pending.prepare(number, response);
    }

    fn desired_changed(&mut self, version: Option<i64>, patch: &[u8]) -> bool {
        let topic = topics::desired(version);
        let Some(granted) = self.subscriptions.granted(&topic).or(self.listens_always().then_some(0)) else {
            return false;
        };
        match wire::write_publish(&topic, (granted > 0).then(packet_id), patch) {
            Ok(publish) => {
                self.in_flight(&publish);
                self.out.extend(publish);
                true
            }
            Err(error) => {
                tracing::warn!("Cannot tell {} of its desired properties: {error}", self.client);
                false
            }
        }
    }

    /// Whether changes of desired properties are told without a filter: only planted faults want that.
    fn listens_always(&self) -> bool {
        planted("DES04-changes-are-told-without-a-subscription")
            || (self.listening.desired && planted("DES15-changes-are-told-behind-unsubscribe"))
    }

    /// Does what the engine says; true when something was sent to the client.
    fn told(&mut self, told: ToClient) -> Result<bool, End> {
        match told {
            ToClient::Answer { number, verdict } => {
                self.pending.settle(number, verdict);
                Ok(false)
            }
            ToClient::TwinResponse { number, status, document } => {
                self.twin_response(number, status, &document);
                Ok(false)
            }
            ToClient::Desired { version, patch } => Ok(self.desired_changed(version, &patch)),
            ToClient::Deliver { delivery, input, envelope } => self.deliver(delivery, &input, &envelope),
            ToClient::CallMethod { rid, name, payload } => self.call_method(&rid, &name, &payload),
            ToClient::DeliverFromCloud { delivery, to, message } => {
                Ok(self.deliver_from_cloud(delivery, &to, &message))
            }
            ToClient::Close => Err(End::ByHub),
        }
    }

    fn deliver(&mut self, delivery: DeliveryId, input: &str, envelope: &Arc<Envelope>) -> Result<bool, End> {
        let message = &envelope.message;
        let topic = topics::input(&self.client, input, &message.properties, &message.system);
        let wanted = match message.properties.iter().find(|(name, _)| name == "mqtt-qos") {
            // The product fails on a value that is empty, and with it the receiver's connection, for ever.
            Some((_, None)) if planted("QOS07-empty-qos-property-drops-the-receiver") => return Err(End::Abrupt),
            _ if planted("QOS06-mqtt-qos-is-ignored") => 1,
            _ => wanted_qos(&message.properties),
        };
        let Some(granted) = self.subscriptions.granted(&topic) else {
            self.settled(delivery, DeliveryOutcome::Rejected);
            return Ok(false);
        };
        let id = (granted.min(wanted) > 0).then(packet_id);
        let mut body = message.body.clone();
        if planted("LIM03-large-body-is-cut") {
            body.truncate(LARGE_BODY_BYTES);
        }
        match wire::write_publish(&topic, id, &body) {
            Ok(mut publish) => {
                // One at a time: what is still unacknowledged is the copy before.
                if planted("Q12-copies-are-marked-as-duplicates") && !self.unacknowledged.is_empty() {
                    publish[0] |= 0x08;
                }
                let retained = message.properties.iter().any(|(name, _)| name == "mqtt-retain");
                publish[0] |= u8::from(retained && planted("RET01-retain-flag-is-delivered"));
                self.out.extend(publish);
            }
            Err(_) if planted("LIM05-topic-length-wraps") => self.out.extend(wire::write_wrapped(&topic, &body)),
            Err(error) => {
                tracing::warn!("Cannot deliver a message to {}: {error}", self.client);
                self.settled(delivery, DeliveryOutcome::Rejected);
                return Ok(false);
            }
        }
        match id {
            Some(_) => self.unacknowledged.push_back(Some(delivery)),
            None if planted("DLV11-qos-0-waits-for-an-acknowledgement") => {
                self.unacknowledged.push_back(Some(delivery));
            }
            None => self.settled(delivery, DeliveryOutcome::Delivered),
        }
        Ok(true)
    }

    /// A request that no filter takes is dropped, and so is one whose name makes no topic.
    fn call_method(&mut self, rid: &str, name: &str, payload: &[u8]) -> Result<bool, End> {
        let topic = topics::method_request(name, rid);
        let Some(granted) = self.subscriptions.granted(&topic) else { return Ok(false) };
        let request = match wire::write_publish(&topic, (granted > 0).then(packet_id), payload) {
            Ok(request) => request,
            Err(_) if planted("O10-name-with-a-wildcard-closes-the-connection") => return Err(End::Abrupt),
            Err(error) => {
                tracing::warn!("Cannot call method {name} of {}: {error}", self.client);
                return Ok(false);
            }
        };
        self.in_flight(&request);
        self.out.extend(request);
        Ok(true)
    }

    /// Sends a message of the cloud; true when it was sent.
    fn deliver_from_cloud(&mut self, delivery: DeliveryId, to: &ClientId, message: &CloudMessage) -> bool {
        let topic = topics::cloud_to_device(to, &message.properties, &message.system);
        let Some(granted) = self.subscriptions.granted(&topic) else {
            self.settled(delivery, DeliveryOutcome::Failed);
            return false;
        };
        let id = (granted.min(wanted_qos(&message.properties)) > 0).then(packet_id);
        let Ok(publish) = wire::write_publish(&topic, id, &message.body) else {
            self.settled(delivery, DeliveryOutcome::Rejected);
            return false;
        };
        self.out.extend(publish);
        match id {
            Some(_) => self.unacknowledged.push_back(Some(delivery)),
            None if planted("C2D07-qos-0-is-not-completed") => {}
            None => self.settled(delivery, DeliveryOutcome::Delivered),
        }
        true
    }

    fn takes_cloud_to_device(&mut self) -> bool {
        let takes = self.subscriptions.wants_cloud_to_device(&self.client);
        self.resigned |= self.listening.cloud_to_device && !takes;
        takes && !(self.resigned && planted("O07-resubscribing-does-not-resume"))
    }

    /// Notes a PUBLISH that is no input message: its acknowledgement settles nothing else.
    fn in_flight(&mut self, publish: &[u8]) {
        if publish.first().is_some_and(|first| first & 0x06 != 0) {
            self.unacknowledged.push_back(None);
        }
    }

    fn acknowledged(&mut self) {
        if let Some(Some(delivery)) = self.unacknowledged.pop_front() {
            self.settled(delivery, DeliveryOutcome::Delivered);
        }
    }

    fn settled(&self, delivery: DeliveryId, outcome: DeliveryOutcome) {
        self.head.engine.tell(Input::Settled { delivery, outcome });
    }

    fn publish_id(&self, number: u64) -> PublishId {
        PublishId { connection: self.id, number }
    }

    async fn flush(&mut self, stream: &mut impl Stream) -> io::Result<()> {
        if !self.out.is_empty() {
            stream.write_all(&self.out).await?;
            stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    async fn last_words(&mut self, stream: &mut impl Stream, end: End) -> End {
        match self.flush(stream).await {
            Ok(()) => end,
            Err(error) => End::from(error),
        }
    }

    fn max_bytes(&self) -> usize {
        self.head.settings.mqtt.max_inbound_message_bytes
    }

    fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING || planted("LIM04-reading-never-stops")
    }
}

/// The limit is half as long again as what was asked for; none asked for is the upper bound.
fn keep_alive(asked_secs: u16, bound: Option<Duration>) -> Option<Duration> {
    if planted("Q13-silent-client-stays") {
        return None;
    }
    let bound = bound.filter(|_| !planted("KA02-zero-disables-the-limit"));
    let asked = Duration::from_millis(u64::from(asked_secs) * 1500);
    match bound {
        Some(bound) if asked.is_zero() => Some(bound),
        Some(bound) => Some(asked.min(bound)),
        None => Some(asked).filter(|asked| !asked.is_zero()),
    }
}

/// The QoS a message asks for itself.
fn wanted_qos(properties: &Pairs) -> u8 {
    let named = properties.iter().find(|(name, _)| name == "mqtt-qos");
    u8::from(named.is_none_or(|(_, value)| value.as_deref() != Some("0")))
}

fn set(pairs: &mut Pairs, name: &str, value: &str) {
    pairs.retain(|(known, _)| known != name);
    pairs.push((name.to_owned(), Some(value.to_owned())));
}

/// The answer to a twin request, if a filter takes it.
fn response(subscriptions: &Subscriptions, status: u16, rid: &str, document: &[u8]) -> Vec<u8> {
    let topic = topics::twin_response(status, rid);
    let unasked = planted("TWIN09-answer-needs-no-filter").then_some(0);
    let Some(granted) = subscriptions.granted(&topic).or(unasked) else { return Vec::new() };
    let id = (granted > 0).then(packet_id);
    wire::write_publish(&topic, id, document).unwrap_or_default()
}
