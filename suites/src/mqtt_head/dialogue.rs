//! Raw conversations with the MQTT head: to connect as somebody, to write bytes, and to hold what comes back against the
//! model of packets.

use bytes::Bytes;
use harness::client::mqtt::{ConnectError, QoS};
use harness::client::property_bag;
use harness::client::raw::RawError;
use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Connect, Packet, RawMqtt, packet};
use harness::deadline::{self, Deadline, Expired};
use harness::environment::Environment;
use harness::observe::history::{self, Identity};
use harness::outcome::Violation;
use harness::stage::{Stage, StageError};

use crate::course::broken;
use crate::generate::mqtt_packet::{Speaker, shown};
use crate::oracle::mqtt_stream::{Reaction, Stream};

/// The size of packet a hub takes, settings aside.
pub const LARGEST_PACKET: usize = 262_144;

/// A module.
pub fn module(name: &str) -> Identity {
    Identity::Module(name.to_owned())
}

/// Opens a connection without a word on it.
///
/// # Errors
/// [`StageError::Connect`] when there is none.
pub async fn unopened(environment: &Environment, identity: &Identity) -> Result<RawMqtt, StageError> {
    environment.raw(&identity.to_string()).await.map_err(|error| StageError::Connect {
        who: identity.to_string(),
        source: match error {
            RawError::Expired(expired) => ConnectError::Expired(expired),
            other => ConnectError::Closed(other.to_string()),
        },
    })
}

/// Connects as somebody, with a clean session.
///
/// # Errors
/// [`StageError::Connect`] when the hub does not accept.
pub async fn connected(environment: &Environment, identity: &Identity) -> Result<RawMqtt, StageError> {
    connected_with(environment, identity, &Connect::from(&environment.login(identity))).await
}

/// As [`connected`], with a CONNECT of the test's own.
///
/// # Errors
/// As [`connected`].
pub async fn connected_with(
    environment: &Environment,
    identity: &Identity,
    connect: &Connect,
) -> Result<RawMqtt, StageError> {
    let mut connection = unopened(environment, identity).await?;
    let source = match connection.connect(connect).await {
        // A hub may write CONNACK before it knows the connection; one that is answered is known.
        Ok(Some(0)) => match connection.ping().await {
            Ok(Some(_)) => return Ok(connection),
            Ok(None) => ConnectError::Closed("closed by the hub behind CONNACK".to_owned()),
            Err(expired) => ConnectError::Expired(expired),
        },
        Ok(Some(code)) => ConnectError::Refused(code),
        Ok(None) => ConnectError::Closed("closed by the hub".to_owned()),
        Err(expired) => ConnectError::Expired(expired),
    };
    Err(StageError::Connect { who: identity.to_string(), source })
}

/// Puts the stage's own client back in the place of one that took its identity, and waits until the hub knows it: whoever
/// takes over next must find it there.
///
/// # Errors
/// [`StageError`] when it is not accepted or not answered.
pub async fn put_back(stage: &mut Stage, identity: Identity) -> Result<(), StageError> {
    stage.connect(identity.clone()).await?;
    let answered = stage.mqtt(&identity)?.publish("foo/bar", Bytes::new(), QoS::AtLeastOnce).await;
    Ok(answered.acknowledged().await?)
}

/// Who speaks as this identity.
pub fn speaker(environment: &Environment, identity: &Identity) -> Speaker {
    let edge_device = environment.blueprint().edge_device.clone();
    let (device, module) = match identity {
        Identity::Module(module) => (edge_device, Some(module.clone())),
        Identity::LeafDevice(leaf) => (leaf.clone(), None),
    };
    Speaker { connect: Connect::from(&environment.login(identity)), device, module }
}

/// Subscribes, and waits for the SUBACK; gives the grants. What comes before it is dropped.
///
/// # Errors
/// [`StageError::Expired`] when there is none in time; a hub that closes grants nothing.
pub async fn subscribed(connection: &mut RawMqtt, filters: &[(&str, u8)]) -> Result<Option<Vec<u8>>, StageError> {
    connection.write(&packet::subscribe(1, filters)).await;
    while let Some(packet) = connection.read(deadline::ACKNOWLEDGEMENT).await? {
        if let Some((1, granted)) = packet.suback() {
            return Ok(Some(granted.to_vec()));
        }
    }
    Ok(None)
}

/// One connection of a client that writes whatever it likes, and the model of what must come back.
pub struct Dialogue {
    connection: RawMqtt,
    stream: Stream,
    due: Due,
    /// What was written since the connection was opened, one line a packet.
    pub steps: Vec<String>,
}

/// Answers that must come, in order within each kind.
#[derive(Debug, Default)]
struct Due {
    pubacks: Vec<u16>,
    /// SUBACK with grants, UNSUBACK without.
    others: Vec<(u16, Option<Vec<u8>>)>,
    pingresps: usize,
    /// The connection may be closed.
    may_close: bool,
    /// The connection must be closed: why.
    close: Option<&'static str>,
    /// What comes behind the packet that closes may still be answered.
    in_turn: bool,
    left: bool,
    /// What the latest packet was about, for violations that name nothing better.
    about: &'static str,
}

/// How a look at a dialogue ended.
pub enum Look {
    /// As it should be, and the connection stands.
    Stands,
    /// As it should be, and the connection is gone, or nothing can be said on it any more.
    Over,
}

impl Dialogue {
    /// A dialogue on a connection just accepted.
    pub fn on(connection: RawMqtt) -> Self {
        Self { connection, stream: Stream::new(LARGEST_PACKET), due: Due::default(), steps: Vec::new() }
    }

    /// Writes a packet. True when what comes of it should be looked at before anything else is written.
    pub async fn write(&mut self, what: &str, bytes: &[u8]) -> bool {
        self.steps.push(what.to_owned());
        self.connection.write(bytes).await;
        self.expect(bytes)
    }

    /// Writes in pieces what is told as one step.
    pub async fn write_split(&mut self, what: &str, bytes: &[u8], at: &[usize]) -> bool {
        self.steps.push(what.to_owned());
        self.connection.write_split(bytes, at).await;
        self.expect(bytes)
    }

    fn expect(&mut self, bytes: &[u8]) -> bool {
        for reaction in self.stream.feed(bytes) {
            self.due.add(reaction);
        }
        self.due.close.is_some() || self.due.may_close || self.due.left || self.stream.missing() > 0
    }

    /// Reads what is due, and sees that nothing else comes. `Err` is what was wrong.
    ///
    /// # Errors
    /// [`StageError`] when nothing can be said.
    pub async fn look(&mut self) -> Result<Result<Look, Violation>, StageError> {
        if self.due.left {
            return Ok(Ok(Look::Over));
        }
        // A packet that is not whole is filled up, so that the hub has to say what it makes of it.
        while self.due.close.is_none() && self.stream.missing() > 0 {
            let missing = self.stream.missing();
            if missing > LARGEST_PACKET / 2 {
                return Ok(Ok(Look::Over));
            }
            self.write(&format!("{missing} bytes 0x00, to fill up the packet before"), &vec![0; missing]).await;
            if self.due.left {
                return Ok(Ok(Look::Over));
            }
        }
        // Either the hub answers this, or it has closed. PINGRESP may overtake PUBACKs, not the other way round.
        self.connection.write(&packet::PINGREQ).await;
        self.due.pingresps += 1;
        loop {
            let read = match self.connection.read(deadline::ACKNOWLEDGEMENT).await {
                Ok(read) => read,
                Err(expired) => return Ok(Err(self.violation(expired.to_string()))),
            };
            let Some(packet) = read else {
                if self.due.close.is_some() || self.due.may_close {
                    return Ok(Ok(Look::Over));
                }
                return Ok(Err(self.violation("the hub closed the connection".to_owned())));
            };
            if let Some(wrong) = self.due.take(&packet) {
                return Ok(Err(self.violation(wrong)));
            }
            if self.due.pingresps == 0 && self.due.close.is_some() && !self.due.in_turn {
                return Ok(Err(self.violation("the connection stands: a PINGREQ behind it is answered".to_owned())));
            }
            if self.due.nothing() && self.due.close.is_none() {
                self.due = Due::default();
                return Ok(Ok(Look::Stands));
            }
        }
    }

    fn violation(&self, observed: String) -> Violation {
        let expected = match (self.due.close, self.due.may_close) {
            (Some(_), _) => "the hub closes the connection without an answer to the last packet".to_owned(),
            (None, true) => format!("{}, or the connection is closed", self.due.told()),
            (None, false) => self.due.told(),
        };
        broken(self.due.close.unwrap_or(self.due.about), expected, observed, &self.steps)
    }
}

impl Due {
    fn add(&mut self, reaction: Reaction) {
        match reaction {
            Reaction::Silent => self.about = "MQTT-ERR-03",
            Reaction::Puback(id) => {
                self.about = "MQTT-PUB-05";
                self.pubacks.push(id);
            }
            Reaction::Suback(id, granted) => {
                self.about = "MQTT-SUB-01";
                self.others.push((id, Some(granted)));
            }
            Reaction::Unsuback(id) => {
                self.about = "MQTT-SUB-06";
                self.others.push((id, None));
            }
            Reaction::Pingresp => {
                self.about = "MQTT-ERR-04";
                self.pingresps += 1;
            }
            Reaction::Close(requirement) => self.close = Some(requirement),
            Reaction::CloseInTurn(requirement) => {
                self.close = Some(requirement);
                self.in_turn = true;
            }
            Reaction::Left => self.left = true,
            Reaction::Open(settled) => {
                self.add(*settled);
                self.about = "MQTT-ERR-01";
                self.may_close = true;
            }
        }
    }

    fn nothing(&self) -> bool {
        self.pubacks.is_empty() && self.others.is_empty() && self.pingresps == 0
    }

    /// Strikes out what came; says what is wrong with it, if it was not due.
    fn take(&mut self, packet: &Packet) -> Option<String> {
        let other = packet.suback().map(|(id, granted)| (id, Some(granted.to_vec())));
        let other = other.or_else(|| packet.unsuback().map(|id| (id, None)));
        if packet.puback().is_some() && self.pubacks.first().copied() == packet.puback() {
            self.pubacks.remove(0);
        } else if other.is_some() && self.others.first() == other.as_ref() {
            self.others.remove(0);
        } else if packet.is_pingresp() && self.pingresps > 0 {
            self.pingresps -= 1;
        } else {
            // Answers to twin requests come as PUBLISH, to whoever subscribed to them.
            let sound = |publish: &Published| {
                publish.id.is_none_or(|id| id != 0) && publish.qos < 2 && !publish.dup && !publish.retain
            };
            if !packet.publish().as_ref().is_some_and(sound) {
                return Some(format!("the hub wrote {packet}: {}", shown(&packet.bytes)));
            }
        }
        None
    }

    fn told(&self) -> String {
        let mut told: Vec<String> = self.pubacks.iter().map(|id| format!("PUBACK {id}")).collect();
        told.extend(self.others.iter().map(|(id, granted)| match granted {
            Some(granted) => format!("SUBACK {id} granting {granted:?}"),
            None => format!("UNSUBACK {id}"),
        }));
        if told.is_empty() {
            return "the connection stands, and nothing but PINGREQ is answered".to_owned();
        }
        format!("the connection stands, and there is still to come: {}", told.join(", "))
    }
}

/// The next PUBLISH of the hub; `None` when it closed the connection.
///
/// # Errors
/// [`Expired`] when neither comes in time.
pub async fn next_message(connection: &mut RawMqtt, deadline: Deadline) -> Result<Option<Published>, Expired> {
    let next = async {
        loop {
            match connection.next().await {
                Some(packet) => {
                    if let Some(published) = packet.publish() {
                        return Some(published);
                    }
                }
                None => return None,
            }
        }
    };
    deadline.wait("a PUBLISH from the hub", next).await
}

/// As [`next_message`], acknowledged at once, by its mark; what came instead otherwise.
pub async fn next_mark(connection: &mut RawMqtt, deadline: Deadline) -> Result<String, String> {
    match next_message(connection, deadline).await {
        Ok(Some(published)) => {
            if let Some(id) = published.id {
                connection.write(&packet::puback(id)).await;
            }
            Ok(mark_of(&published))
        }
        Ok(None) => Err("the hub closed the connection".to_owned()),
        Err(expired) => Err(expired.to_string()),
    }
}

/// Whether a module's connection stands and the hub has sent nothing; says what is wrong otherwise.
///
/// A message of the module's own goes all the way through the hub first: what was on its way to the module before that
/// has come by then.
pub async fn quiet(connection: &mut RawMqtt, name: &str) -> Result<(), String> {
    const ID: u16 = 0x7a7a;
    let topic = format!("devices/gw7/modules/{name}/messages/events/%24.on=nowhere");
    connection.write(&packet::publish(ID, &topic, b"")).await;
    match connection.read(deadline::ACKNOWLEDGEMENT).await {
        Ok(Some(packet)) if packet.puback() == Some(ID) => {}
        Ok(Some(packet)) => return Err(format!("the hub wrote {packet}")),
        Ok(None) => return Err("the hub closed the connection".to_owned()),
        Err(expired) => return Err(expired.to_string()),
    }
    match connection.ping().await {
        Ok(Some(before)) => match before.first() {
            None => Ok(()),
            Some(packet) => Err(format!("the hub wrote {packet}")),
        },
        Ok(None) => Err("the hub closed the connection".to_owned()),
        Err(expired) => Err(expired.to_string()),
    }
}

/// The mark a delivered message carries; its whole topic when it carries none.
pub fn mark_of(published: &Published) -> String {
    let bag = published.topic.splitn(7, '/').nth(6).unwrap_or_default();
    let (properties, _) = property_bag::read(bag);
    history::value_of(&properties, history::MARK).map_or_else(|| published.topic.clone(), str::to_owned)
}
