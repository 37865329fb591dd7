//! Clients that no stage connects: tests of this suite connect them byte by byte, and break them as they like.

use std::fmt;

use harness::client::mqtt::ConnectError;
use harness::client::property_bag;
use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Connect, Packet, RawMqtt, packet};
use harness::deadline;
use harness::environment::{Credential, Environment};
use harness::observe::history::{Identity, MARK, value_of};
use harness::stage::{MARKER, Outgoing, Stage, StageError};

/// The module most cases connect as; its input `in` stands.
pub const GUEST: &str = "guest";
/// Another one, for cases of two.
pub const HOST: &str = "host";
/// And a third.
pub const THIRD: &str = "third";
/// A device that signs in with a token.
pub const VISITOR: &str = "visitor";
/// A device that is disabled.
pub const BANNED: &str = "banned";
/// A device with a certificate of its own.
pub const OWN_CERTIFICATE: &str = "selfmade";
/// A device whose certificate is the second of two that are known.
pub const SECOND_CERTIFICATE: &str = "selfmade2";
/// A device whose known certificate has expired.
pub const EXPIRED_CERTIFICATE: &str = "bygone";
/// A device with a certificate of an authority.
pub const ISSUED_CERTIFICATE: &str = "certified";

/// Everybody above.
pub fn guests() -> Vec<(Identity, Credential)> {
    let mut guests = vec![(module(GUEST), Credential::Keys), (module(HOST), Credential::Keys)];
    guests.push((module(THIRD), Credential::Keys));
    let devices = [
        (VISITOR, Credential::Keys),
        (BANNED, Credential::Disabled),
        (OWN_CERTIFICATE, Credential::Thumbprint),
        (SECOND_CERTIFICATE, Credential::SecondThumbprint),
        (EXPIRED_CERTIFICATE, Credential::ExpiredThumbprint),
        (ISSUED_CERTIFICATE, Credential::Authority),
    ];
    guests.extend(devices.map(|(id, credential)| (device(id), credential)));
    guests
}

/// Inputs of guests that stand.
pub const INPUTS: [(&str, &str); 3] = [(GUEST, "in"), (HOST, "in"), (THIRD, "in")];

/// A module of the edge device.
pub fn module(id: &str) -> Identity {
    Identity::Module(id.to_owned())
}

/// A device downstream.
pub fn device(id: &str) -> Identity {
    Identity::LeafDevice(id.to_owned())
}

/// What a hub says to a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// CONNACK with this code.
    Code(u8),
    /// The end of the connection, and nothing before it.
    Closed,
    /// Nothing in time.
    Silence,
    /// Another packet.
    Other(String),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seen::Code(code) => write!(f, "CONNACK 0x{code:02x}"),
            Seen::Closed => f.write_str("the end of the connection, without a CONNACK"),
            Seen::Silence => f.write_str("nothing, and the connection stands"),
            Seen::Other(packet) => f.write_str(packet),
        }
    }
}

/// The name of an identity's connection in the wire log.
fn named(identity: &Identity) -> &str {
    let (Identity::Module(id) | Identity::LeafDevice(id)) = identity;
    id
}

/// CONNECT as an identity writes it that does everything right.
pub fn proper(environment: &Environment, identity: &Identity) -> Connect {
    Connect::from(&environment.login(identity))
}

/// Sends CONNECT on a connection of its own, and says what came of it. After a refusal the hub must close.
///
/// # Errors
/// [`StageError::Raw`] when there is no TLS connection.
pub async fn ask(environment: &Environment, who: &str, connect: &Connect) -> Result<Seen, StageError> {
    let mut raw = environment.raw(who).await?;
    raw.write(&connect.bytes()).await;
    Ok(answer(&mut raw).await)
}

/// What the hub says to a CONNECT just sent; after a refusal, whether it closes too.
pub async fn answer(raw: &mut RawMqtt) -> Seen {
    let Ok(first) = raw.read(deadline::CONNECT).await else { return Seen::Silence };
    let Some(packet) = first else { return Seen::Closed };
    match packet.connack() {
        Some((_, 0)) => Seen::Code(0),
        Some((_, code)) => match raw.closed(deadline::CLOSED).await {
            Ok(more) if more.is_empty() => Seen::Code(code),
            Ok(more) => Seen::Other(format!("{packet}, and behind it {}", listed(&more))),
            Err(_) => Seen::Other(format!("{packet}, and the connection stands")),
        },
        None => Seen::Other(packet.to_string()),
    }
}

/// Connects an identity that must be let in, with a CONNECT changed by the test; also says whether there was a session.
///
/// # Errors
/// [`StageError::Connect`] when it is not.
pub async fn enter(
    environment: &Environment,
    identity: &Identity,
    change: impl FnOnce(&mut Connect),
) -> Result<(RawMqtt, bool), StageError> {
    let mut connect = proper(environment, identity);
    change(&mut connect);
    let mut raw = environment.raw(named(identity)).await?;
    raw.write(&connect.bytes()).await;
    let failed = |source| StageError::Connect { who: identity.to_string(), source };
    match raw.read(deadline::CONNECT).await?.as_ref().and_then(Packet::connack) {
        Some((present, 0)) => Ok((raw, present)),
        Some((_, code)) => Err(failed(ConnectError::Refused(code))),
        None => Err(failed(ConnectError::Closed("no CONNACK".to_owned()))),
    }
}

/// Packets, for a reader.
pub fn listed(packets: &[Packet]) -> String {
    if packets.is_empty() {
        return "nothing".to_owned();
    }
    packets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Reads until a packet is the one wanted; gives what came before it, or what came instead.
///
/// # Errors
/// Packets that came until the connection ended or the time was over, and how it ended.
pub async fn until<T>(
    raw: &mut RawMqtt,
    limit: deadline::Deadline,
    wanted: impl Fn(&Packet) -> Option<T>,
) -> Result<(Vec<Packet>, T), String> {
    let mut before = Vec::new();
    loop {
        match raw.read(limit).await {
            Ok(Some(packet)) => match wanted(&packet) {
                Some(found) => return Ok((before, found)),
                None => before.push(packet),
            },
            Ok(None) => return Err(format!("{}, then the end of the connection", listed(&before))),
            Err(expired) => return Err(format!("{}, then nothing: {expired}", listed(&before))),
        }
    }
}

/// Subscribes filters, and gives the codes of SUBACK.
///
/// # Errors
/// What came instead of SUBACK.
pub async fn subscribe(raw: &mut RawMqtt, id: u16, filters: &[(&str, u8)]) -> Result<Vec<u8>, String> {
    raw.write(&packet::subscribe(id, filters)).await;
    let suback =
        |packet: &Packet| packet.suback().filter(|(answered, _)| *answered == id).map(|(_, codes)| codes.to_vec());
    until(raw, deadline::ACKNOWLEDGEMENT, suback).await.map(|(_, codes)| codes)
}

/// Unsubscribes a filter.
///
/// # Errors
/// What came instead of UNSUBACK.
pub async fn unsubscribe(raw: &mut RawMqtt, id: u16, filter: &str) -> Result<(), String> {
    raw.write(&packet::unsubscribe(id, &[filter])).await;
    until(raw, deadline::ACKNOWLEDGEMENT, |packet| packet.unsuback().filter(|answered| *answered == id)).await.map(drop)
}

/// The filter of a module for all its inputs.
pub fn inputs_of(environment: &Environment, module: &str) -> String {
    format!("devices/{}/modules/{module}/inputs/#", environment.blueprint().edge_device)
}

/// The topic a module publishes to on an output, with this bag behind the output.
pub fn output_of(environment: &Environment, module: &str, output: &str, bag: &str) -> String {
    format!("devices/{}/modules/{module}/messages/events/%24.on={output}&{bag}", environment.blueprint().edge_device)
}

/// Sends a message to a standing input of a module, from the harness's own sender, and gives its mark.
///
/// # Errors
/// [`StageError`] when the hub does not take it.
pub async fn send_to(stage: &mut Stage, module: &str, input: &str) -> Result<String, StageError> {
    let mark = stage.mark();
    send_marked(stage, module, input, &mark).await?;
    Ok(mark)
}

/// As [`send_to`], under a mark of the stage.
///
/// # Errors
/// As [`send_to`].
pub async fn send_marked(stage: &Stage, module: &str, input: &str, mark: &str) -> Result<(), StageError> {
    let place = || StageError::Absent(format!("{module}/{input}"));
    let output = stage.environment().anchor_output(module, input).ok_or_else(place)?;
    let by = Identity::Module(MARKER.to_owned());
    let properties = vec![(MARK.to_owned(), Some(mark.to_owned()))];
    let message = Outgoing { output: Some(output), properties, ..Outgoing::default() };
    stage.hand_over(&by, &message).await?.acknowledged().await?;
    Ok(())
}

/// The value of a property of an input message.
pub fn property(published: &Published, name: &str) -> Option<String> {
    let bag = published.topic.splitn(7, '/').nth(6).unwrap_or_default();
    value_of(&property_bag::read(bag).0, name).map(str::to_owned)
}

/// The input message of a mark.
pub fn carrying<'a>(mark: &'a str) -> impl Fn(&Packet) -> Option<Published> + 'a {
    move |packet| packet.publish().filter(|published| property(published, MARK).as_deref() == Some(mark))
}

/// Acknowledges a message, if that is due.
pub async fn acknowledge(raw: &mut RawMqtt, published: &Published) {
    if let Some(id) = published.id {
        raw.write(&packet::puback(id)).await;
    }
}

/// The same CONNECT without a password.
pub fn without_password(connect: &Connect) -> Connect {
    Connect { password: None, ..connect.clone() }
}
