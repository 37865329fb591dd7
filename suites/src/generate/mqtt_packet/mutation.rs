//! What can be done to a packet. Each mutation holds the numbers it was drawn with, so that it does the same again.

use std::fmt;

use super::Dice;
use super::draft::{Draft, Role};

/// One way to spoil a packet. Fields are counted from 0, modulo their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// A bit of the first byte is flipped.
    HeaderBit(u8),
    /// The lower half of the first byte is this.
    Flags(u8),
    /// The remaining length is off by this.
    LengthOff(i64),
    /// The remaining length is written in five bytes.
    LengthInFiveBytes,
    /// The remaining length is written with more bytes than it needs.
    LengthPadded,
    /// The remaining length is this, and nothing is there to fill it.
    LengthClaims(usize),
    /// Bytes are missing at the end, and the length does not know.
    Cut(usize),
    /// Bytes are missing at the end, and the length knows.
    Shortened(usize),
    /// Bytes stand behind the last field.
    Surplus(usize),
    /// The packet id is this.
    Id(u16),
    /// A field is left out.
    Omitted(usize),
    /// A field stands twice.
    Doubled(usize),
    /// Two neighbouring fields changed places.
    Swapped(usize),
    /// The length before a text is off by this.
    TextLengthOff(usize, i32),
    /// A text holds bytes that are no UTF-8: which text, where, which bytes.
    NotUtf8(usize, usize, &'static [u8]),
    /// A text holds U+0000: which text, where.
    Nul(usize, usize),
    /// A text is replaced.
    Text(usize, &'static str),
    /// A text of one letter, as long as this.
    LongText(usize, usize),
    /// A single byte (QoS, level, flags) is replaced: which, by what.
    Byte(usize, u8),
    /// A bit anywhere in the packet is flipped: where, modulo its size.
    AnyBit(usize, u8),
    /// The payload grows until the packet is longer than any hub takes.
    Oversized,
}

/// Texts that are wrong as a topic, as a filter, or as both; or odd.
const TEXTS: [&str; 16] = [
    "",
    " ",
    "#",
    "+",
    "a/#/b",
    "a#",
    "#a",
    "a/+b",
    "a+/b",
    "+/+/#",
    "/",
    "//",
    "$iothub/twin/",
    "$iothub/#",
    "devices/+/messages/events/",
    "MQIsdp",
];

const BROKEN_UTF8: [&[u8]; 5] = [&[0xff], &[0xc3, 0x28], &[0xed, 0xa0, 0x80], &[0xc0, 0xaf], &[0xf4, 0x90, 0x80, 0x80]];

/// One byte more than the product's limit of a packet, in payload alone.
const OVERSIZED: usize = 262_145;

impl Mutation {
    /// How many kinds there are.
    pub const KINDS: usize = 21;

    /// Draws a mutation that suits the packet.
    pub(super) fn draw(dice: &mut Dice, draft: &Draft) -> Mutation {
        let has = |role: Role| draft.fields.iter().any(|field| field.role == role);
        loop {
            let which = dice.below(28);
            let drawn = match which {
                0..=1 => Mutation::HeaderBit(dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7])),
                2 => Mutation::Flags(dice.pick(&[0, 1, 2, 3, 4, 6, 8, 10, 14, 15])),
                3..=4 => Mutation::LengthOff(dice.pick(&[-2, -1, -1, 1, 1, 2, 5])),
                5 => Mutation::LengthInFiveBytes,
                6 => Mutation::LengthPadded,
                7 => Mutation::LengthClaims(dice.pick(&[0, 1, 262_142, 262_143, 1_000_000, 268_435_455])),
                8 => Mutation::Cut(1 + dice.below(3)),
                9 => Mutation::Shortened(1 + dice.below(3)),
                10 => Mutation::Surplus(1 + dice.below(3)),
                11..=12 if has(Role::Id) => Mutation::Id(dice.pick(&[0, 0, 0, 1, 0xffff])),
                13 if !draft.fields.is_empty() => Mutation::Omitted(dice.below(8)),
                14 if !draft.fields.is_empty() => Mutation::Doubled(dice.below(8)),
                15 if draft.fields.len() > 1 => Mutation::Swapped(dice.below(8)),
                16..=17 if has(Role::Text) => {
                    Mutation::TextLengthOff(dice.below(8), dice.pick(&[-1, 1, 2, 255, 256, -256, 65_535]))
                }
                18 if has(Role::Text) => Mutation::NotUtf8(dice.below(8), dice.below(16), dice.pick(&BROKEN_UTF8)),
                19 if has(Role::Text) => Mutation::Nul(dice.below(8), dice.below(16)),
                20..=22 if has(Role::Text) => Mutation::Text(dice.below(8), dice.pick(&TEXTS)),
                23 if has(Role::Text) => Mutation::LongText(dice.below(8), dice.pick(&[300, 2_000, 65_535])),
                24..=25 if has(Role::Byte) => {
                    Mutation::Byte(dice.below(8), dice.pick(&[0, 1, 2, 3, 4, 5, 0x40, 0x80, 0x83, 0xc0, 0xff]))
                }
                26 => Mutation::AnyBit(dice.below(4_096), dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7])),
                27 if draft.first >> 4 == 3 && dice.below(6) == 0 => Mutation::Oversized,
                _ => continue,
            };
            return drawn;
        }
    }

    pub(super) fn apply(&self, draft: &mut Draft) {
        match self {
            Mutation::HeaderBit(bit) => draft.first ^= 1 << bit,
            Mutation::Flags(flags) => draft.first = draft.first & 0xf0 | flags,
            Mutation::LengthOff(off) => draft.length_off += off,
            Mutation::LengthInFiveBytes => draft.length_bytes = Some(vec![0x80, 0x80, 0x80, 0x80, 0x01]),
            Mutation::LengthPadded => {
                let plain = Draft { cut: 0, flips: Vec::new(), length_bytes: None, ..draft.clone() }.bytes();
                // Behind the first byte: the length as short as it can be, of which the last byte gets a follower.
                let end = 1 + plain[1..].iter().position(|byte| byte & 0x80 == 0).unwrap_or_default();
                let mut padded = plain[1..=end].to_vec();
                if let Some(last) = padded.last_mut() {
                    *last |= 0x80;
                }
                padded.push(0);
                draft.length_bytes = Some(padded);
            }
            Mutation::LengthClaims(claimed) => {
                draft.length_bytes = Some(harness::client::raw_mqtt::packet::length(*claimed));
            }
            Mutation::Cut(count) => draft.cut += count,
            Mutation::Shortened(count) => {
                let mut left = *count;
                for field in draft.fields.iter_mut().rev() {
                    let taken = left.min(field.bytes.len());
                    // The length before a text stays, so that the text reaches beyond the packet.
                    if field.role == Role::Text {
                        field.length_off += i32::try_from(taken).unwrap_or_default();
                    }
                    field.bytes.truncate(field.bytes.len() - taken);
                    left -= taken;
                }
            }
            Mutation::Surplus(count) => {
                draft.fields.push(super::draft::Field { role: Role::Rest, bytes: vec![0x61; *count], length_off: 0 })
            }
            Mutation::Id(id) => {
                draft
                    .fields
                    .iter_mut()
                    .filter(|field| field.role == Role::Id)
                    .for_each(|field| field.bytes = id.to_be_bytes().to_vec());
            }
            Mutation::Omitted(at) if !draft.fields.is_empty() => {
                let at = at % draft.fields.len();
                draft.fields.remove(at);
            }
            Mutation::Doubled(at) if !draft.fields.is_empty() => {
                let at = at % draft.fields.len();
                draft.fields.insert(at, draft.fields[at].clone());
            }
            Mutation::Swapped(at) if draft.fields.len() > 1 => {
                let at = at % (draft.fields.len() - 1);
                draft.fields.swap(at, at + 1);
            }
            Mutation::Omitted(_) | Mutation::Doubled(_) | Mutation::Swapped(_) => {}
            Mutation::TextLengthOff(at, off) => on(draft, Role::Text, *at, |field| field.length_off += off),
            Mutation::NotUtf8(at, place, bytes) => insert(draft, *at, *place, bytes),
            Mutation::Nul(at, place) => insert(draft, *at, *place, &[0]),
            Mutation::Text(at, text) => on(draft, Role::Text, *at, |field| field.bytes = text.as_bytes().to_vec()),
            Mutation::LongText(at, length) => on(draft, Role::Text, *at, |field| field.bytes = vec![b'a'; *length]),
            Mutation::Byte(at, value) => on(draft, Role::Byte, *at, |field| field.bytes = vec![*value]),
            Mutation::AnyBit(position, bit) => draft.flips.push((*position, *bit)),
            Mutation::Oversized => {
                draft.fields.push(super::draft::Field { role: Role::Rest, bytes: vec![0x62; OVERSIZED], length_off: 0 })
            }
        }
    }

    /// The kind's name.
    pub fn name(&self) -> &'static str {
        match self {
            Mutation::HeaderBit(_) => "a flipped bit in the first byte",
            Mutation::Flags(_) => "other flags",
            Mutation::LengthOff(_) => "a wrong remaining length",
            Mutation::LengthInFiveBytes => "a remaining length of five bytes",
            Mutation::LengthPadded => "a padded remaining length",
            Mutation::LengthClaims(_) => "another remaining length",
            Mutation::Cut(_) => "bytes cut off",
            Mutation::Shortened(_) => "a body that ends early",
            Mutation::Surplus(_) => "surplus bytes",
            Mutation::Id(_) => "another packet id",
            Mutation::Omitted(_) => "a field left out",
            Mutation::Doubled(_) => "a field doubled",
            Mutation::Swapped(_) => "two fields exchanged",
            Mutation::TextLengthOff(..) => "a wrong length before a text",
            Mutation::NotUtf8(..) => "a text that is no UTF-8",
            Mutation::Nul(..) => "a NUL in a text",
            Mutation::Text(..) => "another text",
            Mutation::LongText(..) => "a long text",
            Mutation::Byte(..) => "another byte",
            Mutation::AnyBit(..) => "a flipped bit",
            Mutation::Oversized => "a payload beyond the limit",
        }
    }
}

fn insert(draft: &mut Draft, at: usize, place: usize, bytes: &[u8]) {
    on(draft, Role::Text, at, |field| {
        let place = place % (field.bytes.len() + 1);
        field.bytes.splice(place..place, bytes.iter().copied());
    });
}

/// Changes one of the fields of a role, if there is any.
fn on(draft: &mut Draft, role: Role, at: usize, change: impl FnOnce(&mut super::draft::Field)) {
    let mut fields: Vec<_> = draft.fields.iter_mut().filter(|field| field.role == role).collect();
    let count = fields.len();
    if count > 0 {
        change(fields[at % count]);
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Mutation::HeaderBit(bit) => write!(f, " (bit {bit})"),
            Mutation::Flags(flags) => write!(f, " (0x{flags:x})"),
            Mutation::LengthOff(off) => write!(f, " ({off:+})"),
            Mutation::LengthClaims(claimed) => write!(f, " ({claimed})"),
            Mutation::Cut(count) | Mutation::Shortened(count) | Mutation::Surplus(count) => write!(f, " ({count})"),
            Mutation::Id(id) => write!(f, " ({id})"),
            Mutation::TextLengthOff(_, off) => write!(f, " ({off:+})"),
            Mutation::Text(_, text) => write!(f, " ({text:?})"),
            Mutation::LongText(_, length) => write!(f, " ({length} bytes)"),
            Mutation::Byte(_, value) => write!(f, " (0x{value:02x})"),
            _ => Ok(()),
        }
    }
}
