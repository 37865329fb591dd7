//! What can be done to a frame. Each mutation holds the numbers it was drawn with, so that it does the same again.

use harness::client::raw_amqp::Value;
use harness::client::raw_amqp::value::{string, symbol};

use super::{Dice, Draft};

/// One way to spoil a frame. Fields are counted from 0, modulo their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// The size is off by this.
    SizeOff(i64),
    /// The header is said to be this many words long.
    Doff(u8),
    /// The type is this.
    Kind(u8),
    /// The channel is this.
    Channel(u16),
    /// The descriptor is this code.
    Descriptor(u64),
    /// The descriptor is a symbol.
    Named(&'static str),
    /// A field is left out.
    Omitted(usize),
    /// A field stands twice.
    Doubled(usize),
    /// A field is replaced: which, by which of the odd values.
    Replaced(usize, usize),
    /// Fields are missing from here on.
    Ended(usize),
    /// Odd values stand behind the last field.
    Surplus(usize),
    /// The payload is cut after this many bytes.
    PayloadCut(usize),
    /// The payload is this many bytes without meaning.
    PayloadReplaced(usize),
    /// A byte anywhere is replaced: where, modulo the size, and by what.
    AnyByte(usize, u8),
    /// A bit anywhere is flipped.
    AnyBit(usize, u8),
    /// The last bytes are missing, and the size does not know.
    Cut(usize),
}

/// Values that are wrong or odd wherever they stand.
fn odd(number: usize) -> Value {
    let encoded = |bytes: &[u8]| Value::Encoded(bytes.to_vec());
    let all: [fn() -> Value; 14] = [
        || Value::Null,
        || Value::Boolean(true),
        || Value::Uint(u32::MAX),
        || Value::Ulong(u64::MAX),
        || Value::Int(-1),
        || string(""),
        || string("x".repeat(300)),
        || symbol("x"),
        || Value::Binary(vec![0; 40]),
        || Value::Map(vec![(Value::Null, Value::Null)]),
        || Value::Array(vec![symbol("a"), symbol("b")]),
        || Value::Described(Box::new(Value::Ulong(0x99)), Box::new(Value::List(Vec::new()))),
        || Value::Uuid([7; 16]),
        || Value::Double(f64::NAN),
    ];
    let broken: [&[u8]; 8] = [
        // A list of 4 GiB, and one of four billion items of no width.
        &[0xd0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40],
        // A text that is longer than what is left, and one that is no UTF-8.
        &[0xb1, 0x7f, 0xff, 0xff, 0xff, b'x'],
        &[0xa1, 2, 0xc3, 0x28],
        // A map of three items, and constructors that nobody has defined.
        &[0xc1, 4, 3, 0x40, 0x40, 0x40],
        &[0x01],
        &[0xff, 0xff],
        // Descriptors of descriptors of descriptors.
        &[0; 200],
    ];
    let number = number % (all.len() + broken.len());
    match all.get(number) {
        Some(value) => value(),
        None => encoded(broken[number - all.len()]),
    }
}

impl Mutation {
    /// How many kinds there are.
    pub const KINDS: usize = 16;

    /// Draws a mutation.
    pub(super) fn draw(dice: &mut Dice) -> Self {
        match dice.below(24) {
            0..=1 => Mutation::SizeOff(dice.pick(&[-9, -8, -2, -1, 1, 2, 8, 70_000, 4_000_000_000])),
            2 => Mutation::Doff(dice.pick(&[0, 1, 3, 4, 255])),
            3 => Mutation::Kind(dice.pick(&[0, 1, 2, 255])),
            4 => Mutation::Channel(dice.pick(&[0, 1, 7, 8_191, 8_192, 65_535])),
            5 => Mutation::Descriptor(
                dice.pick(&[0, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x30, 0x40, 0x44]),
            ),
            6 => Mutation::Named(dice.pick(&["amqp:open:list", "amqp:transfer:list", "nobody:knows"])),
            7..=8 => Mutation::Omitted(dice.below(14)),
            9 => Mutation::Doubled(dice.below(14)),
            10..=14 => Mutation::Replaced(dice.below(14), dice.below(22)),
            15 => Mutation::Ended(dice.below(6)),
            16 => Mutation::Surplus(dice.below(22)),
            17 => Mutation::PayloadCut(dice.below(40)),
            18 => Mutation::PayloadReplaced(dice.pick(&[1, 3, 50, 2_000])),
            19..=20 => {
                Mutation::AnyByte(dice.below(4_096), dice.pick(&[0, 1, 0x40, 0x45, 0x7f, 0x80, 0xd0, 0xf0, 0xff]))
            }
            21..=22 => Mutation::AnyBit(dice.below(4_096), dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7])),
            _ => Mutation::Cut(1 + dice.below(8)),
        }
    }

    /// Does it to the parts, or leaves it for the bytes.
    pub(super) fn apply(&self, draft: &mut Draft) {
        let count = draft.fields.len();
        let at = |field: usize| field % count.max(1);
        match self {
            Mutation::SizeOff(off) => draft.size_off = *off,
            Mutation::Doff(doff) => draft.doff = *doff,
            Mutation::Kind(kind) => draft.kind = *kind,
            Mutation::Channel(channel) => draft.channel = *channel,
            Mutation::Descriptor(code) => draft.descriptor = Value::Ulong(*code),
            Mutation::Named(name) => draft.descriptor = symbol(*name),
            Mutation::Omitted(field) if count > 0 => drop(draft.fields.remove(at(*field))),
            Mutation::Doubled(field) if count > 0 => {
                let value = draft.fields[at(*field)].clone();
                draft.fields.insert(at(*field), value);
            }
            Mutation::Replaced(field, by) if count > 0 => draft.fields[at(*field)] = odd(*by),
            Mutation::Omitted(_) | Mutation::Doubled(_) | Mutation::Replaced(..) => {}
            Mutation::Ended(field) => draft.fields.truncate(*field),
            Mutation::Surplus(by) => draft.fields.push(odd(*by)),
            Mutation::PayloadCut(length) => draft.payload.truncate(*length),
            Mutation::PayloadReplaced(length) => draft.payload = vec![0x53; *length],
            Mutation::AnyByte(..) | Mutation::AnyBit(..) | Mutation::Cut(_) => draft.spoiled.push(self.clone()),
        }
    }

    /// Does it to the bytes.
    pub(super) fn spoil(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len().max(1);
        match self {
            Mutation::AnyByte(at, by) => bytes[at % size] = *by,
            Mutation::AnyBit(at, bit) => bytes[at % size] ^= 1 << bit,
            Mutation::Cut(count) => bytes.truncate(bytes.len().saturating_sub(*count).max(1)),
            _ => {}
        }
    }

    /// A number for each kind.
    #[cfg(test)]
    pub(super) fn kind(&self) -> usize {
        match self {
            Mutation::SizeOff(_) => 0,
            Mutation::Doff(_) => 1,
            Mutation::Kind(_) => 2,
            Mutation::Channel(_) => 3,
            Mutation::Descriptor(_) => 4,
            Mutation::Named(_) => 5,
            Mutation::Omitted(_) => 6,
            Mutation::Doubled(_) => 7,
            Mutation::Replaced(..) => 8,
            Mutation::Ended(_) => 9,
            Mutation::Surplus(_) => 10,
            Mutation::PayloadCut(_) => 11,
            Mutation::PayloadReplaced(_) => 12,
            Mutation::AnyByte(..) => 13,
            Mutation::AnyBit(..) => 14,
            Mutation::Cut(_) => 15,
        }
    }
}
