//! A grammar of wrong MQTT packets: a valid packet, spoiled at up to three places.
//!
//! - [`packet`] and [`opening`]: `(seed, speaker) -> packet`, for a standing and for a fresh connection. The same seed
//!   gives the same bytes; nothing is looked up, so a million of them are made in a moment.
//! - [`MutatedPacket`]: what was drawn. It can be written, told to a reader, and made again with fewer mutations.
//! - `draft`, `mutation`: the packet in parts, and what can be done to them.
//!
//! What a hub must make of the bytes is not said here; [`crate::oracle::mqtt_stream`] reads them.
//!
//! Filters for direct methods are left out on purpose: a client that leaves soon after such a SUBSCRIBE can hang a
//! worker of the product that serves all clients, and every later verdict would be about that.

mod draft;
mod mutation;

use std::fmt;

use harness::client::raw_mqtt::Connect;

use draft::Draft;
pub use mutation::Mutation;

/// Who speaks: whose CONNECT and whose topics are spoiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// A CONNECT the hub accepts.
    pub connect: Connect,
    /// The device in topics.
    pub device: String,
    /// The module in topics; `None` for a leaf device.
    pub module: Option<String>,
}

/// A packet and what was done to it.
#[derive(Clone, PartialEq, Eq)]
pub struct MutatedPacket {
    base: Draft,
    mutations: Vec<Mutation>,
}

/// A packet for a connection that stands: any type, the wrong ones and a second CONNECT among them. One in eight is
/// left as it is, so that the connection has something to answer.
pub fn packet(seed: u64, speaker: &Speaker) -> MutatedPacket {
    let mut dice = Dice::new(seed);
    let base = draft::any(&mut dice, speaker);
    let count = if dice.below(8) == 0 { 0 } else { 1 + dice.below(3) };
    MutatedPacket::drawn(&mut dice, base, count)
}

/// The first packet of a connection: a CONNECT with one to three mutations.
pub fn opening(seed: u64, speaker: &Speaker) -> MutatedPacket {
    let mut dice = Dice::new(seed);
    let base = draft::connect(&speaker.connect);
    let count = 1 + dice.below(3);
    MutatedPacket::drawn(&mut dice, base, count)
}

impl MutatedPacket {
    fn drawn(dice: &mut Dice, base: Draft, count: usize) -> Self {
        let mutations = (0..count).map(|_| Mutation::draw(dice, &base)).collect();
        Self { base, mutations }
    }

    /// The packet on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut draft = self.base.clone();
        for mutation in &self.mutations {
            mutation.apply(&mut draft);
        }
        draft.bytes()
    }

    /// What was done to it.
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// The same packet, each time with one mutation fewer.
    pub fn simpler(&self) -> impl Iterator<Item = MutatedPacket> + '_ {
        (0..self.mutations.len()).map(|left_out| {
            let mut simpler = self.clone();
            simpler.mutations.remove(left_out);
            simpler
        })
    }
}

impl fmt::Display for MutatedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base.name)?;
        for (number, mutation) in self.mutations.iter().enumerate() {
            write!(f, "{} {mutation}", if number == 0 { " with" } else { "," })?;
        }
        write!(f, ": {}", shown(&self.bytes()))
    }
}

impl fmt::Debug for MutatedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Bytes in hexadecimal, the first of them when there are many.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 96;
    let hex: Vec<String> = bytes.iter().take(MOST).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > MOST { format!(" ... ({} bytes)", bytes.len()) } else { String::new() };
    format!("{}{more}", hex.join(" "))
}

/// Numbers from a seed (SplitMix64): quick, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).expect("less than a usize")
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker() -> Speaker {
        Speaker {
            connect: Connect {
                client_id: "d/m".to_owned(),
                user_name: Some("h/d/m/?api-version=1".to_owned()),
                password: Some(b"secret".to_vec()),
                ..Connect::default()
            },
            device: "d".to_owned(),
            module: Some("m".to_owned()),
        }
    }

    #[test]
    fn a_seed_always_gives_the_same_bytes() {
        for seed in 0..2_000 {
            assert_eq!(packet(seed, &speaker()).bytes(), packet(seed, &speaker()).bytes());
            assert_eq!(opening(seed, &speaker()).bytes(), opening(seed, &speaker()).bytes());
        }
    }

    #[test]
    fn without_mutations_a_connect_is_the_one_given() {
        assert_eq!(draft::connect(&speaker().connect).bytes(), speaker().connect.bytes());
    }

    #[test]
    fn every_type_of_packet_and_every_mutation_is_drawn() {
        let drawn: Vec<MutatedPacket> = (0..5_000).map(|seed| packet(seed, &speaker())).collect();
        let types: std::collections::BTreeSet<u8> = drawn.iter().map(|packet| packet.base.first >> 4).collect();
        assert_eq!(types.len(), 16, "{types:?}");
        let names: std::collections::BTreeSet<&str> =
            drawn.iter().flat_map(|packet| packet.mutations.iter().map(Mutation::name)).collect();
        assert_eq!(names.len(), Mutation::KINDS, "{names:?}");
    }

    #[test]
    fn a_simpler_packet_has_one_mutation_fewer() {
        let packet = (0..).map(|seed| packet(seed, &speaker())).find(|packet| packet.mutations.len() == 3);
        let packet = packet.expect("one in a few has three");
        assert_eq!(packet.simpler().map(|simpler| simpler.mutations.len()).collect::<Vec<_>>(), [2, 2, 2]);
    }
}
