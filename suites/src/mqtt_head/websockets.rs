//! MQTT over WebSocket: the upgrade at the HTTPS port, and what messages of a WebSocket mean. Covers MQTT-WS, and HTTP-04
//! as far as MQTT goes.
//!
//! The clients of the stage speak as ever; each test opens WebSockets of its own. That everything else holds over
//! WebSocket too is seen by running the suites over `mqtt-ws`.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use harness::client::raw_mqtt::{Packet, packet};
use harness::client::websocket::{MQTT, Message, PATH, Upgrade, UpgradeError, WebSocket};
use harness::deadline::{self, Deadline, Expired};
use harness::environment::Environment;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::guest::{GUEST, carrying, inputs_of, module, output_of, proper, send_to};
use crate::course::{broken, ended};
use crate::declare::{fixed, once, slow};

/// How long a hub is listened to that must not ping: longer than the two minutes after which servers do so unasked.
const WITHOUT_PINGS: Duration = Duration::from_secs(130);

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        once(fixed(
            "mqtt_head",
            "mqtt_head::websockets::an_upgrade_leads_to_mqtt_on_any_path",
            &["MQTT-WS-01", "MQTT-WS-03", "HTTP-04"],
            |worker| Box::pin(upgraded(worker)),
        )),
        once(fixed(
            "mqtt_head",
            "mqtt_head::websockets::without_a_known_sub_protocol_there_is_no_upgrade",
            &["MQTT-WS-02"],
            |worker| Box::pin(refused(worker)),
        )),
        once(fixed(
            "mqtt_head",
            "mqtt_head::websockets::borders_of_messages_mean_nothing",
            &["MQTT-WS-04"],
            |worker| Box::pin(borders(worker)),
        )),
        once(fixed(
            "mqtt_head",
            "mqtt_head::websockets::a_text_message_ends_the_connection",
            &["MQTT-WS-05"],
            |worker| Box::pin(text(worker)),
        )),
        slow(once(fixed("mqtt_head", "mqtt_head::websockets::the_hub_does_not_ping", &["MQTT-WS-06"], |worker| {
            Box::pin(idle(worker))
        }))),
    ]
}

/// A WebSocket in which packets are looked for, across the borders of its messages.
struct Tunnel {
    socket: WebSocket,
    /// The sub-protocol of the answer.
    protocol: Option<String>,
    buffer: BytesMut,
}

/// What comes next.
enum Next {
    Packet(Packet),
    /// A message that no packet can be in.
    Foreign(String),
    End,
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Next::Packet(packet) => packet.fmt(f),
            Next::Foreign(message) => f.write_str(message),
            Next::End => f.write_str("the end of the connection"),
        }
    }
}

impl Tunnel {
    async fn open(environment: &Environment, path: &str, protocols: &str) -> Result<Self, UpgradeError> {
        let (socket, protocol) = environment.websocket(Upgrade { path, protocols }).await?;
        Ok(Self { socket, protocol, buffer: BytesMut::new() })
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.socket.send_message(Message::binary(bytes.to_vec())).await;
    }

    async fn next(&mut self, limit: Deadline) -> Result<Next, Expired> {
        loop {
            if let Some(packet) = Packet::take(&mut self.buffer) {
                return Ok(Next::Packet(packet));
            }
            match self.socket.next_message(limit).await? {
                Some(Message::Binary(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
                Some(other) => return Ok(Next::Foreign(format!("a WebSocket message of another kind: {other:?}"))),
                None => return Ok(Next::End),
            }
        }
    }

    /// Reads until a packet is the one wanted. Messages that come before are acknowledged.
    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<(), String> {
        loop {
            let packet = match self.next(deadline::ACKNOWLEDGEMENT).await {
                Ok(Next::Packet(packet)) => packet,
                Ok(other) => return Err(other.to_string()),
                Err(expired) => return Err(expired.to_string()),
            };
            let published = packet.publish();
            if let Some(id) = published.as_ref().and_then(|published| published.id) {
                self.send(&packet::puback(id)).await;
            }
            if wanted(&packet) {
                return Ok(());
            }
            if published.is_none() {
                return Err(packet.to_string());
            }
        }
    }

    /// Sends CONNECT of the guest, and waits until it is accepted.
    async fn enter(&mut self, environment: &Environment) -> Result<(), String> {
        self.send(&proper(environment, &module(GUEST)).bytes()).await;
        self.until(accepted).await
    }
}

fn accepted(packet: &Packet) -> bool {
    packet.connack().is_some_and(|(_, code)| code == 0)
}

async fn upgraded(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for (requirement, path, offered) in [
        ("MQTT-WS-01", PATH, MQTT),
        ("MQTT-WS-01", PATH, "MQTT"),
        ("MQTT-WS-01", PATH, "chat, mqttv3, mqtt"),
        ("MQTT-WS-03", "/$iothub/websocket?iothub-no-client-cert=true", MQTT),
        ("MQTT-WS-03", "/other", MQTT),
        ("MQTT-WS-03", "/", MQTT),
        ("MQTT-WS-03", "/twins/gw7/modules/pump/methods", MQTT),
    ] {
        let steps = [
            format!("an upgrade to WebSocket at {path}, with sub-protocols {offered}"),
            "in it, CONNECT of module guest".to_owned(),
        ];
        let expected = "status 101 with sub-protocol mqtt, then CONNACK 0x00";
        if let Err(observed) = speaks(environment, path, offered).await {
            return Ok(ended(Some(broken(requirement, expected, observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn speaks(environment: &Environment, path: &str, offered: &str) -> Result<(), String> {
    let mut tunnel = Tunnel::open(environment, path, offered).await.map_err(|error| error.to_string())?;
    match tunnel.protocol.as_deref() {
        Some(MQTT) => {}
        Some(other) => return Err(format!("status 101 with sub-protocol {other}")),
        None => return Err("status 101 without a sub-protocol".to_owned()),
    }
    tunnel.enter(environment).await
}

async fn refused(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for offered in ["", "chat", "mqttv3.1, xmqtt, AMQPWSB11"] {
        let steps = [format!("an upgrade to WebSocket with sub-protocols {offered:?}")];
        let observed = match Tunnel::open(environment, PATH, offered).await {
            Err(UpgradeError::Status(400)) => continue,
            Err(other) => other.to_string(),
            Ok(tunnel) => format!("status 101 with sub-protocol {:?}", tunnel.protocol),
        };
        return Ok(ended(Some(broken("MQTT-WS-02", "status 400", observed, &steps))));
    }
    Ok(Outcome::Conforms)
}

/// A dialogue whose packets are cut and joined. A message of the hub is read across borders, wherever they are.
async fn borders(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let connect = proper(environment, &module(GUEST)).bytes();
    let mut rest = packet::subscribe(1, &[(&inputs_of(environment, GUEST), 1)]);
    rest.extend(packet::publish(2, &output_of(environment, GUEST, "nowhere", ""), &[b'x'; 70_000]));
    let whole = [connect.clone(), rest.clone()].concat();
    let early: Vec<usize> = (1..200).chain((200..whole.len()).step_by(4_096)).collect();
    let mut thirds = cut(&connect, &[connect.len() / 3, connect.len() / 3, 2 * connect.len() / 3]);
    thirds.push(rest);
    for (what, messages) in [
        ("CONNECT in three messages and an empty one, the rest in one", thirds),
        ("all of them in one message", vec![whole.clone()]),
        ("the first 200 bytes in a message each, the rest in messages of 4,096 bytes", cut(&whole, &early)),
    ] {
        let steps = [
            "a WebSocket for MQTT".to_owned(),
            format!("CONNECT, SUBSCRIBE and a PUBLISH of 70,000 bytes: {what}"),
            "a message to the input subscribed".to_owned(),
        ];
        if let Err(observed) = dialogue(stage, &messages).await? {
            let expected = "CONNACK 0x00, SUBACK, PUBACK, and the message";
            return Ok(ended(Some(broken("MQTT-WS-04", expected, observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn dialogue(stage: &mut Stage, messages: &[Vec<u8>]) -> Result<Result<(), String>, StageError> {
    let mut tunnel = match Tunnel::open(stage.environment(), PATH, MQTT).await {
        Ok(tunnel) => tunnel,
        Err(error) => return Ok(Err(error.to_string())),
    };
    for message in messages {
        tunnel.send(message).await;
    }
    let steps: [fn(&Packet) -> bool; 3] =
        [accepted, |packet| packet.suback().is_some(), |packet| packet.puback() == Some(2)];
    for wanted in steps {
        if let Err(observed) = tunnel.until(wanted).await {
            return Ok(Err(observed));
        }
    }
    let mark = send_to(stage, GUEST, "in").await?;
    let message = carrying(&mark);
    Ok(tunnel.until(|packet| message(packet).is_some()).await)
}

/// Bytes in pieces that end at these places.
fn cut(bytes: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut from = 0;
    let mut pieces = Vec::new();
    for end in at.iter().copied().chain([bytes.len()]) {
        pieces.push(bytes[from..end].to_vec());
        from = end;
    }
    pieces
}

async fn text(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    // PINGREQ is text as well as binary.
    let pingreq = String::from_utf8(packet::PINGREQ.to_vec());
    let steps = [
        "a WebSocket for MQTT, and CONNECT of module guest in it".to_owned(),
        "a text message, then PINGREQ in a binary one".to_owned(),
    ];
    for text in ["hello".to_owned(), pingreq.unwrap_or_default()] {
        if let Some(observed) = stands(environment, &text).await {
            let steps = [steps.as_slice(), &[format!("the text is {text:?}")]].concat();
            return Ok(ended(Some(broken("MQTT-WS-05", "the end of the connection", observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

/// What shows that a connection outlives a text.
async fn stands(environment: &Environment, text: &str) -> Option<String> {
    let mut tunnel = match Tunnel::open(environment, PATH, MQTT).await {
        Ok(tunnel) => tunnel,
        Err(error) => return Some(error.to_string()),
    };
    if let Err(observed) = tunnel.enter(environment).await {
        return Some(observed);
    }
    tunnel.socket.send_message(Message::text(text)).await;
    tunnel.send(&packet::PINGREQ).await;
    match tunnel.next(deadline::CLOSED).await {
        Ok(Next::End) => None,
        Ok(other) => Some(other.to_string()),
        Err(expired) => Some(expired.to_string()),
    }
}

/// The connection is shown to be alive by PINGRESP, which comes behind whatever the hub sent before.
async fn idle(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let steps = [
        "a WebSocket for MQTT, and CONNECT of module guest in it".to_owned(),
        format!("PINGREQ every ten seconds, for {} s", WITHOUT_PINGS.as_secs()),
    ];
    let observed = pinged(environment).await.err();
    Ok(ended(observed.map(|observed| -> Violation {
        broken("MQTT-WS-06", "PINGRESP to each PINGREQ, and no WebSocket ping", observed, &steps)
    })))
}

async fn pinged(environment: &Environment) -> Result<(), String> {
    let mut tunnel = Tunnel::open(environment, PATH, MQTT).await.map_err(|error| error.to_string())?;
    tunnel.enter(environment).await?;
    let began = Instant::now();
    while began.elapsed() < WITHOUT_PINGS {
        // The test is about time that passes.
        tokio::time::sleep(Duration::from_secs(10)).await;
        tunnel.send(&packet::PINGREQ).await;
        tunnel.until(Packet::is_pingresp).await?;
    }
    match tunnel.socket.pings().load(Ordering::Relaxed) {
        0 => Ok(()),
        pings => Err(format!("{pings} WebSocket pings in {:.0} s", began.elapsed().as_secs_f64())),
    }
}
