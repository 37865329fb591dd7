//! A grammar of wrong AMQP frames: a valid frame of a connection that stands, spoiled at up to three places.
//!
//! - [`frame()`]: `(seed, speaker) -> frame`. The same seed gives the same bytes.
//! - `mutation`: what can be done to a frame.

mod mutation;

use std::fmt;

use harness::client::raw_amqp::Value;
use harness::client::raw_amqp::frame::{self, TYPE_AMQP, TYPE_SASL};
use harness::client::raw_amqp::message::{Message, batch};
use harness::client::raw_amqp::performative::{self, Attach, Begin, Open, Transfer};

use super::mqtt_packet::{Dice, shown};
pub use mutation::Mutation;

/// Who speaks, and what stands on its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// The channel of its session.
    pub channel: u16,
    /// The handle of its link for telemetry.
    pub handle: u32,
    /// The address of its links, up to what they are for.
    pub address: String,
}

/// A frame in parts.
#[derive(Debug, Clone, PartialEq)]
struct Draft {
    name: &'static str,
    kind: u8,
    channel: u16,
    doff: u8,
    /// What the size says beyond the truth.
    size_off: i64,
    descriptor: Value,
    fields: Vec<Value>,
    payload: Vec<u8>,
    /// Done to the bytes, at last.
    spoiled: Vec<Mutation>,
}

/// A frame and what was done to it.
#[derive(Clone, PartialEq)]
pub struct MutatedFrame {
    base: Draft,
    mutations: Vec<Mutation>,
}

/// A frame for a connection that stands: of any kind. One in eight is left as it is, so that the connection has
/// something to answer.
pub fn frame(seed: u64, speaker: &Speaker) -> MutatedFrame {
    let mut dice = Dice::new(seed);
    let base = any(&mut dice, speaker);
    let count = if dice.below(8) == 0 { 0 } else { 1 + dice.below(3) };
    let mutations = (0..count).map(|_| Mutation::draw(&mut dice)).collect();
    MutatedFrame { base, mutations }
}

impl MutatedFrame {
    /// The frame on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut draft = self.base.clone();
        for mutation in &self.mutations {
            mutation.apply(&mut draft);
        }
        draft.bytes()
    }
}

impl fmt::Display for MutatedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {:?}: {}", self.base.name, self.mutations, shown(&self.bytes()))
    }
}

impl fmt::Debug for MutatedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Draft {
    /// A frame of the AMQP layer.
    fn of(name: &'static str, channel: u16, performative: Value, payload: Vec<u8>) -> Self {
        let (descriptor, fields) = match performative {
            Value::Described(descriptor, value) => (*descriptor, value.fields().unwrap_or_default().to_vec()),
            other => (other, Vec::new()),
        };
        let spoiled = Vec::new();
        Self { name, kind: TYPE_AMQP, channel, doff: 2, size_off: 0, descriptor, fields, payload, spoiled }
    }

    fn bytes(&self) -> Vec<u8> {
        let list = Value::List(self.fields.clone());
        let mut body = Value::Described(Box::new(self.descriptor.clone()), Box::new(list)).bytes();
        body.extend(&self.payload);
        let mut bytes = frame::frame(self.kind, self.channel, &body);
        bytes[4] = self.doff;
        let size = i64::try_from(bytes.len()).unwrap_or_default() + self.size_off;
        let size = u32::try_from(size.clamp(0, i64::from(u32::MAX))).unwrap_or_default();
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        for mutation in &self.spoiled {
            mutation.spoil(&mut bytes);
        }
        bytes
    }
}

/// A valid frame of any kind.
fn any(dice: &mut Dice, speaker: &Speaker) -> Draft {
    let channel = speaker.channel;
    let address = |what: &str| format!("{}/{what}", speaker.address);
    let number = dice.below(1_000);
    let name = format!("l{number}");
    let handle = 10 + u32::try_from(dice.below(5)).unwrap_or_default();
    let attach = |attach: Attach| Draft::of("ATTACH", channel, Attach { handle, ..attach }.value(), Vec::new());
    let transfer = |message: Message, message_format: u32, more: bool| {
        let tag = u64::try_from(number).unwrap_or_default().to_be_bytes().to_vec();
        let transfer = Transfer {
            handle: speaker.handle,
            delivery_id: None,
            delivery_tag: tag,
            message_format,
            settled: true,
            more,
        };
        Draft::of("TRANSFER", channel, transfer.value(), message.bytes())
    };
    match dice.below(20) {
        0 => Draft::of("OPEN", 0, Open::default().value(), Vec::new()),
        1..=2 => Draft::of("BEGIN", 1 + handle as u16, Begin::default().value(), Vec::new()),
        3 => attach(Attach::sender(&name, &address("messages/events"))),
        4 => attach(Attach::receiver(&name, &address("messages/events"))),
        5 => attach(Attach::receiver(&name, &address("twin")).with("com.microsoft:channel-correlation-id", "twin:1")),
        6 => attach(Attach::sender(&name, "$cbs")),
        7 => attach(Attach::receiver(&name, "$cbs")),
        8..=9 => Draft::of("FLOW", channel, performative::credit(handle, 0, 100), Vec::new()),
        10..=12 => transfer(Message::data("a body").application("name", "value").annotation("note", "text"), 0, false),
        13 => transfer(batch(&[Message::data("1"), Message::data("2")]), 0x8001_3700, false),
        14 => transfer(Message::data("a piece"), 0, true),
        15..=16 => {
            let id = u32::try_from(number).unwrap_or_default();
            let disposition = performative::disposition(id, dice.below(2) == 0, Some(performative::ACCEPTED));
            Draft::of("DISPOSITION", channel, disposition, Vec::new())
        }
        17 => Draft::of("DETACH", channel, performative::detach(handle), Vec::new()),
        18 => Draft::of("END", 1 + handle as u16, performative::end(), Vec::new()),
        _ => Draft {
            kind: TYPE_SASL,
            ..Draft::of("sasl-init", 0, performative::sasl_init("ANONYMOUS", Some(b"x")), Vec::new())
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker() -> Speaker {
        Speaker { channel: 0, handle: 0, address: "/devices/d/modules/m".to_owned() }
    }

    #[test]
    fn a_seed_gives_the_same_bytes_and_others_give_many() {
        let bytes = |seed| frame(seed, &speaker()).bytes();
        let all: std::collections::BTreeSet<Vec<u8>> = (0..5_000).map(bytes).collect();
        assert!((0..5_000).all(|seed| bytes(seed) == bytes(seed)));
        assert!(all.len() > 3_500, "{}", all.len());
    }

    #[test]
    fn every_kind_of_mutation_changes_some_frame() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20_000 {
            let mutated = frame(seed, &speaker());
            if let [mutation] = mutated.mutations.as_slice() {
                if mutated.bytes() != mutated.base.bytes() {
                    seen.insert(mutation.kind());
                }
            }
        }
        assert_eq!(seen.len(), Mutation::KINDS, "{seen:?}");
    }
}
