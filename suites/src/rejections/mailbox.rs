//! A leaf device and the messages the cloud sends it. It acknowledges only what it is told to.

use std::fmt;

use harness::client::iot_hub::CloudMessage;
use harness::client::property_bag::{self, Properties};
use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline::{self, Deadline, Expired};
use harness::environment::Environment;
use harness::observe::history::{Identity, value_of};
use harness::stage::StageError;

use crate::mqtt_head::guest::enter;

/// The filter of answers to twin requests, which tell that nothing else is under way.
const ANSWERS: &str = "$iothub/twin/res/#";

/// A connected leaf device.
pub struct Mailbox {
    raw: RawMqtt,
    device: String,
    packets: u16,
    /// What came while something else was waited for.
    waiting: Vec<Mail>,
    hears_answers: bool,
    /// Whether the hub had kept a session for it.
    pub session_present: bool,
}

/// A message from the cloud.
#[derive(Debug, Clone)]
pub struct Mail {
    /// As it came.
    pub published: Published,
    /// Application properties.
    pub properties: Properties,
    /// System properties, named as route conditions name them.
    pub system: Properties,
}

impl Mailbox {
    /// Connects a leaf device, with a session that is kept or not. It subscribes to nothing from the cloud.
    ///
    /// # Errors
    /// [`StageError`] when the hub does not let it in.
    pub async fn open(environment: &Environment, device: &str, kept: bool) -> Result<Self, StageError> {
        let identity = Identity::LeafDevice(device.to_owned());
        let (raw, session_present) = enter(environment, &identity, |connect| connect.clean_session = !kept).await?;
        let device = device.to_owned();
        Ok(Self { raw, device, packets: 0, waiting: Vec::new(), hears_answers: false, session_present })
    }

    /// Id of the device.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The filter of this device's messages.
    pub fn filter(device: &str) -> String {
        format!("devices/{device}/messages/devicebound/#")
    }

    /// Subscribes to its messages.
    ///
    /// # Errors
    /// What came instead of SUBACK.
    pub async fn subscribe(&mut self, qos: u8) -> Result<(), String> {
        let filter = Self::filter(&self.device);
        self.subscribe_to(&filter, qos).await
    }

    /// Subscribes to a filter.
    ///
    /// # Errors
    /// What came instead of SUBACK.
    pub async fn subscribe_to(&mut self, filter: &str, qos: u8) -> Result<(), String> {
        let id = self.packet();
        self.raw.write(&packet::subscribe(id, &[(filter, qos)])).await;
        let granted =
            |packet: &Packet| packet.suback().filter(|(answered, _)| *answered == id).map(|(_, codes)| codes.to_vec());
        let granted = self.read_until(deadline::ACKNOWLEDGEMENT, "SUBACK", granted).await?;
        if granted == [qos.min(1)] { Ok(()) } else { Err(format!("SUBACK granting {granted:?}")) }
    }

    /// Takes the subscription to its messages back.
    ///
    /// # Errors
    /// What came instead of UNSUBACK.
    pub async fn unsubscribe(&mut self) -> Result<(), String> {
        let id = self.packet();
        self.raw.write(&packet::unsubscribe(id, &[&Self::filter(&self.device)])).await;
        let answered = |packet: &Packet| packet.unsuback().filter(|answered| *answered == id);
        self.read_until(deadline::ACKNOWLEDGEMENT, "UNSUBACK", answered).await.map(drop)
    }

    /// The next message from the cloud.
    ///
    /// # Errors
    /// What came instead.
    pub async fn next(&mut self, limit: Deadline) -> Result<Mail, String> {
        if self.waiting.is_empty() {
            let message = |packet: &Packet| packet.publish().and_then(Mail::read);
            return self.read_until(limit, "a message from the cloud", message).await;
        }
        Ok(self.waiting.remove(0))
    }

    /// A message from the cloud, if one comes before long.
    ///
    /// # Errors
    /// That the hub closed the connection.
    pub async fn glance(&mut self) -> Result<Option<Mail>, String> {
        while self.waiting.is_empty() {
            match deadline::GLANCE.wait("a message from the cloud", self.raw.next()).await {
                Ok(Some(packet)) => self.waiting.extend(packet.publish().and_then(Mail::read)),
                Ok(None) => return Err("the hub closed the connection".to_owned()),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(self.waiting.remove(0)))
    }

    /// Reads its twin from the cloud; whatever the cloud had for it before would have come before the answer. Gives
    /// what did.
    ///
    /// # Errors
    /// What came instead of the answer.
    pub async fn look(&mut self) -> Result<Vec<Mail>, String> {
        if !self.hears_answers {
            self.subscribe_to(ANSWERS, 0).await?;
            self.hears_answers = true;
        }
        let id = self.packet();
        self.raw.write(&packet::publish(id, &format!("$iothub/twin/GET/?$rid={id}"), b"")).await;
        let answer = format!("$iothub/twin/res/200/?$rid={id}");
        let answered = |packet: &Packet| packet.publish().filter(|published| published.topic == answer).map(drop);
        self.read_until(deadline::ROUTING, "the answer to GET", answered).await?;
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Acknowledges a message, if that is due.
    pub async fn acknowledge(&mut self, mail: &Mail) {
        if let Some(id) = mail.published.id {
            self.raw.write(&packet::puback(id)).await;
        }
    }

    /// Waits for the answer to a PINGREQ: what was written before it has been read.
    ///
    /// # Errors
    /// What came instead.
    pub async fn ping(&mut self) -> Result<(), String> {
        self.raw.write(&packet::PINGREQ).await;
        let answered = |packet: &Packet| packet.is_pingresp().then_some(());
        self.read_until(deadline::ACKNOWLEDGEMENT, "PINGRESP", answered).await
    }

    /// Says DISCONNECT, and waits for the end; gives what came before it.
    ///
    /// # Errors
    /// That the hub does not end its part.
    pub async fn leave(self) -> Result<Vec<Mail>, String> {
        let Self { raw, waiting, .. } = self;
        Self::left(waiting, raw.disconnect().await)
    }

    /// Ends the connection without a word, and waits for the hub's end; gives what came before it.
    ///
    /// # Errors
    /// That the hub does not end its part.
    pub async fn break_off(self) -> Result<Vec<Mail>, String> {
        let Self { raw, waiting, .. } = self;
        Self::left(waiting, raw.break_off().await)
    }

    fn left(mut mail: Vec<Mail>, packets: Result<Vec<Packet>, Expired>) -> Result<Vec<Mail>, String> {
        let packets = packets.map_err(|expired| expired.to_string())?;
        mail.extend(packets.iter().filter_map(Packet::publish).filter_map(Mail::read));
        Ok(mail)
    }

    fn packet(&mut self) -> u16 {
        self.packets += 1;
        self.packets
    }

    /// Reads until a packet is the one wanted. Messages from the cloud are kept, unless one of them is it.
    async fn read_until<T>(
        &mut self,
        limit: Deadline,
        what: &str,
        wanted: impl Fn(&Packet) -> Option<T>,
    ) -> Result<T, String> {
        let Self { raw, waiting, device, .. } = self;
        let found = limit.wait(format!("{what} on the connection of leaf device {device}"), async {
            while let Some(packet) = raw.next().await {
                if let Some(found) = wanted(&packet) {
                    return Some(found);
                }
                waiting.extend(packet.publish().and_then(Mail::read));
            }
            None
        });
        match found.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(format!("the hub closed the connection; {what} did not come")),
            Err(expired) => Err(expired.to_string()),
        }
    }
}

impl Mail {
    /// A message from the cloud; anything else that is published is none.
    fn read(published: Published) -> Option<Self> {
        if published.topic.starts_with("$iothub/") {
            return None;
        }
        let bag = published.topic.split_once("/messages/devicebound/").map_or("", |(_, bag)| bag);
        let (properties, system) = property_bag::read(bag);
        Some(Self { published, properties, system })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        value_of(&self.system, "messageId").unwrap_or_default()
    }

    /// Whether it is on the topic of this device, and is the message the cloud sent: id, properties and body.
    pub fn is(&self, device: &str, message: &CloudMessage) -> bool {
        let topic = format!("devices/{device}/messages/devicebound");
        let on_topic = self.published.topic == topic || self.published.topic.starts_with(&format!("{topic}/"));
        let sorted = |properties: &Properties| {
            let mut sorted = properties.clone();
            sorted.sort();
            sorted
        };
        let own: Properties =
            self.properties.iter().filter(|(name, _)| !ADDED.contains(&name.as_str())).cloned().collect();
        let system = message.system.iter().all(|pair| self.system.contains(pair));
        on_topic
            && system
            && self.id() == message.message_id
            && sorted(&own) == sorted(&message.properties)
            && self.published.payload == message.body
    }
}

/// Properties that the cloud adds.
const ADDED: [&str; 1] = ["iothub-ack"];

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leaf device {}", self.device)
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Published { topic, qos, payload, .. } = &self.published;
        write!(f, "{} bytes at QoS {qos} on {topic}", payload.len())
    }
}
