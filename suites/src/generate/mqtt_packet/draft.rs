//! A packet in parts, as a client would build it before it is spoiled.

use harness::client::raw_mqtt::{Connect, packet};

use super::{Dice, Speaker};

/// What a field of a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Text with its length before it: topic, filter, client id, ...
    Text,
    /// A packet id.
    Id,
    /// One byte: level, flags, the QoS asked for.
    Byte,
    /// Anything else.
    Rest,
}

/// One field of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// What it is.
    pub role: Role,
    /// Its bytes, without a length.
    pub bytes: Vec<u8>,
    /// Added to the length that is written before a text.
    pub length_off: i32,
}

/// A packet in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its type, for readers.
    pub name: &'static str,
    /// First byte.
    pub first: u8,
    /// Body, field by field.
    pub fields: Vec<Field>,
    /// Added to the remaining length.
    pub length_off: i64,
    /// Bytes in the place of the remaining length.
    pub length_bytes: Option<Vec<u8>>,
    /// Bytes cut off the end, after the length was written.
    pub cut: usize,
    /// Bits to flip at the end: position (any number; it is taken modulo the size), bit.
    pub flips: Vec<(usize, u8)>,
}

impl Draft {
    fn new(first: u8, fields: Vec<Field>) -> Self {
        Self {
            name: harness::client::raw_mqtt::received::name(first),
            first,
            fields,
            length_off: 0,
            length_bytes: None,
            cut: 0,
            flips: Vec::new(),
        }
    }

    /// The packet on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for field in &self.fields {
            if field.role == Role::Text {
                let counted = field.bytes.len() as i64 + i64::from(field.length_off);
                body.extend((counted as u16).to_be_bytes());
            }
            body.extend(&field.bytes);
        }
        let mut bytes = vec![self.first];
        let length = usize::try_from(body.len() as i64 + self.length_off).unwrap_or_default();
        bytes.extend(self.length_bytes.clone().unwrap_or_else(|| packet::length(length)));
        bytes.extend(body);
        bytes.truncate(bytes.len().saturating_sub(self.cut).max(1));
        for (position, bit) in &self.flips {
            let at = position % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
        }
        bytes
    }
}

fn text(text: &str) -> Field {
    Field { role: Role::Text, bytes: text.as_bytes().to_vec(), length_off: 0 }
}

fn id(id: u16) -> Field {
    Field { role: Role::Id, bytes: id.to_be_bytes().to_vec(), length_off: 0 }
}

fn byte(byte: u8) -> Field {
    Field { role: Role::Byte, bytes: vec![byte], length_off: 0 }
}

fn rest(bytes: &[u8]) -> Field {
    Field { role: Role::Rest, bytes: bytes.to_vec(), length_off: 0 }
}

/// A CONNECT.
pub fn connect(connect: &Connect) -> Draft {
    let mut fields = vec![
        text(&connect.protocol),
        byte(connect.level),
        byte(connect.flags.unwrap_or_else(|| connect.own_flags())),
        rest(&connect.keep_alive.to_be_bytes()),
        text(&connect.client_id),
    ];
    if let Some(will) = &connect.will {
        fields.push(text(&will.topic));
        fields.push(Field { role: Role::Text, bytes: will.payload.clone(), length_off: 0 });
    }
    fields.extend(connect.user_name.as_deref().map(text));
    let password = connect.password.as_ref();
    fields.extend(password.map(|bytes| Field { role: Role::Text, bytes: bytes.clone(), length_off: 0 }));
    if !connect.surplus.is_empty() {
        fields.push(rest(&connect.surplus));
    }
    Draft::new(0x10, fields)
}

/// Any packet: mostly those a client sends all day, sometimes one that only a hub sends, or none at all.
pub fn any(dice: &mut Dice, speaker: &Speaker) -> Draft {
    match dice.below(32) {
        0..=9 => publish(dice, speaker),
        10..=14 => subscribe(dice, speaker),
        15..=18 => unsubscribe(dice, speaker),
        19..=20 => Draft::new(0x40, vec![id(any_id(dice))]),
        21 => Draft::new(0x50, vec![id(any_id(dice))]),
        22 => Draft::new(0x62, vec![id(any_id(dice))]),
        23 => Draft::new(0x70, vec![id(any_id(dice))]),
        24..=26 => Draft::new(0xc0, Vec::new()),
        27 => Draft::new(0xe0, Vec::new()),
        28 => connect(&speaker.connect),
        _ => only_from_a_hub(dice),
    }
}

fn any_id(dice: &mut Dice) -> u16 {
    let choices = [1, 2, 3, 255, 256, 0x7fff, 0xffff];
    dice.pick(&choices)
}

fn publish(dice: &mut Dice, speaker: &Speaker) -> Draft {
    let device = &speaker.device;
    let own = match &speaker.module {
        Some(module) => format!("devices/{device}/modules/{module}/messages/events"),
        None => format!("devices/{device}/messages/events"),
    };
    let topic = match dice.below(9) {
        0 => own,
        1 => format!("{own}/"),
        2 => format!("{own}/%24.on=nowhere&level=high"),
        3 => format!("{own}/%24.mid=7&a=%C3%BC&b&c="),
        4 => format!("{own}/a=b&/"),
        5 => "some/where/else".to_owned(),
        6 => "$iothub/methods/res/200/?$rid=1".to_owned(),
        7 => "$iothub/twin/PATCH/properties/reported/".to_owned(),
        _ => format!("x/{own}/name=v%20w"),
    };
    let qos = dice.pick(&[0, 1, 1, 1]);
    let flags = dice.pick(&[0, 0, 0, 1, 8]);
    let mut fields = vec![text(&topic)];
    if qos > 0 {
        fields.push(id(any_id(dice)));
    }
    let payload = dice.pick(&[b"".as_slice(), b"{}", b"{\"n\":1}", &[0xff; 40], &[0; 130]]);
    fields.push(rest(payload));
    Draft::new(0x30 | qos << 1 | flags, fields)
}

fn filter(dice: &mut Dice, speaker: &Speaker) -> String {
    let device = &speaker.device;
    let own = match &speaker.module {
        Some(module) => format!("devices/{device}/modules/{module}"),
        None => format!("devices/{device}"),
    };
    match dice.below(8) {
        0 => format!("{own}/inputs/#"),
        1 => format!("{own}/#"),
        2 => "devices/+/modules/+/inputs/#".to_owned(),
        3 => "$iothub/twin/res/#".to_owned(),
        4 => "$iothub/twin/PATCH/properties/desired/#".to_owned(),
        5 => "#".to_owned(),
        6 => "foo/+/bar".to_owned(),
        _ => format!("{own}/inputs/in1"),
    }
}

fn subscribe(dice: &mut Dice, speaker: &Speaker) -> Draft {
    let mut fields = vec![id(any_id(dice))];
    for _ in 0..=dice.below(3) {
        fields.push(text(&filter(dice, speaker)));
        fields.push(byte(dice.pick(&[0, 1, 1, 2])));
    }
    Draft::new(0x82, fields)
}

fn unsubscribe(dice: &mut Dice, speaker: &Speaker) -> Draft {
    let mut fields = vec![id(any_id(dice))];
    for _ in 0..=dice.below(3) {
        fields.push(text(&filter(dice, speaker)));
    }
    Draft::new(0xa2, fields)
}

fn only_from_a_hub(dice: &mut Dice) -> Draft {
    match dice.below(6) {
        0 => Draft::new(0x20, vec![byte(0), byte(0)]),
        1 => Draft::new(0x90, vec![id(any_id(dice)), byte(1)]),
        2 => Draft::new(0xb0, vec![id(any_id(dice))]),
        3 => Draft::new(0xd0, Vec::new()),
        4 => Draft::new(0x00, Vec::new()),
        _ => Draft::new(0xf0, Vec::new()),
    }
}
