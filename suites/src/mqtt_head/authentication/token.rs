//! Tokens: how one is written, right and wrong, and whether it must be taken.

use harness::client::sas;
use harness::environment::Environment;
use harness::observe::history::Identity;
use proptest::prelude::*;
use proptest::sample::select;

/// Which key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The identity's first.
    Primary,
    /// The identity's second.
    Secondary,
    /// The first of the edge device, which stands for its modules.
    OfTheDevice,
    /// The first of another module.
    OfAnother,
}

/// The host in the audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The IoT Hub.
    IotHub,
    /// The IoT Hub in capital letters.
    Capitals,
    /// The edge device as clients reach it.
    Gateway,
    /// Another IoT Hub.
    Foreign,
}

/// Whom the audience names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The identity.
    Own,
    /// The identity in capital letters.
    Capitals,
    /// The device the identity is, or belongs to.
    Device,
    /// Another module, or device.
    Another,
    /// The identity, and a slash behind it.
    Slash,
}

/// What is wrong with the text, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Nothing.
    Plain,
    /// Field names in capital letters.
    Capitals,
    /// Empty fields, and one that nobody knows.
    Surplus,
    /// A tab in the place of the blank.
    Tab,
    /// Another word in front.
    Word,
    /// Two blanks.
    Blanks,
    /// A field is missing.
    Missing(usize),
    /// A field stands twice.
    Twice(usize),
    /// The signature is not escaped, and its `=` cuts it off.
    Unescaped,
    /// The expiry is no number.
    NoNumber,
}

/// A token to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whether it is for a module.
    pub module: bool,
    /// Key.
    pub key: Key,
    /// Host.
    pub host: Host,
    /// Whom it names.
    pub audience: Audience,
    /// How often the audience is percent-encoded.
    pub encoded: usize,
    /// Seconds from now until it expires.
    pub lifetime_secs: i64,
    /// Order of `sr`, `sig` and `se`.
    pub order: [usize; 3],
    /// How it is written.
    pub text: Text,
}

/// How long a token is good after it expired.
const GRACE_SECS: i64 = 300;

impl Token {
    /// A token nothing is wrong with.
    pub fn good(module: bool) -> Self {
        Self {
            module,
            key: Key::Primary,
            host: Host::IotHub,
            audience: Audience::Own,
            encoded: 1,
            lifetime_secs: 3600,
            order: [0, 1, 2],
            text: Text::Plain,
        }
    }

    /// Whether the hub must take it.
    pub fn is_good(&self) -> bool {
        let signed = match self.key {
            Key::Primary | Key::Secondary => true,
            Key::OfTheDevice => self.module,
            Key::OfAnother => false,
        };
        let named = match self.audience {
            Audience::Own | Audience::Capitals | Audience::Device => true,
            Audience::Another | Audience::Slash => false,
        };
        let readable = matches!(self.text, Text::Plain | Text::Capitals | Text::Surplus | Text::Tab);
        // The audience is decoded twice: what was encoded oftener has no slashes.
        signed
            && named
            && readable
            && self.host != Host::Foreign
            && self.encoded <= 2
            && self.lifetime_secs >= -GRACE_SECS
    }

    /// The requirement that says so.
    pub fn requirement(&self) -> &'static str {
        match self {
            _ if !self.is_good() => "MQTT-AUTH-01",
            _ if self.lifetime_secs < 0 => "MQTT-AUTH-02",
            Token { module: true, audience: Audience::Device, .. } => "MQTT-AUTH-04",
            Token { key: Key::OfTheDevice, .. } => "MQTT-AUTH-04",
            Token { key: Key::Secondary, .. } => "MQTT-AUTH-03",
            Token { module: true, .. } => "MQTT-CONN-02",
            _ => "MQTT-CONN-01",
        }
    }

    /// The token of `identity`, which is a module as the token says.
    pub fn write(&self, environment: &Environment, identity: &Identity) -> String {
        let device = environment.blueprint().edge_device.clone();
        let key = match self.key {
            Key::Primary => environment.keys(identity).map(|(primary, _)| primary),
            Key::Secondary => environment.keys(identity).map(|(_, secondary)| secondary),
            Key::OfTheDevice => environment.keys(&Identity::LeafDevice(device.clone())).map(|(primary, _)| primary),
            Key::OfAnother => environment.keys(&Identity::Module("probe".to_owned())).map(|(primary, _)| primary),
        };
        let host = match self.host {
            Host::IotHub => environment.iot_hub_host().to_owned(),
            Host::Capitals => environment.iot_hub_host().to_uppercase(),
            Host::Gateway => environment.hub_address().to_string(),
            Host::Foreign => "other.azure-devices.net".to_owned(),
        };
        let own = match identity {
            Identity::Module(module) => format!("{device}/modules/{module}"),
            Identity::LeafDevice(device) => device.clone(),
        };
        let whom = match (self.audience, identity) {
            (Audience::Own, _) => own,
            (Audience::Capitals, _) => own.to_uppercase(),
            (Audience::Slash, _) => format!("{own}/"),
            (Audience::Device, Identity::Module(_)) => device,
            (Audience::Device, Identity::LeafDevice(device)) => device.clone(),
            (Audience::Another, Identity::Module(_)) => format!("{device}/modules/probe"),
            (Audience::Another, Identity::LeafDevice(_)) => "leaf1".to_owned(),
        };
        let plain = format!("{host}/devices/{whom}");
        let resource = (0..self.encoded).fold(plain, |text, _| sas::escape(&text));
        let expiry = match self.text {
            Text::NoNumber => "tomorrow".to_owned(),
            _ => (i64::try_from(sas::now_secs()).expect("the year is not that late") + self.lifetime_secs).to_string(),
        };
        let signature = sas::signature(key.unwrap_or_default(), &resource, &expiry).unwrap_or_default();
        let signature = if self.text == Text::Unescaped { signature } else { sas::escape(&signature) };
        self.joined(&[format!("sr={resource}"), format!("sig={signature}"), format!("se={expiry}")])
    }

    fn joined(&self, fields: &[String; 3]) -> String {
        let mut ordered: Vec<String> = self.order.iter().map(|at| fields[*at].clone()).collect();
        let mut start = "SharedAccessSignature ";
        match self.text {
            Text::Capitals => ordered.iter_mut().for_each(|field| {
                let (name, value) = field.split_once('=').expect("every field has a value");
                *field = format!("{}={value}", name.to_uppercase());
            }),
            Text::Surplus => {
                ordered.insert(0, String::new());
                ordered.push("skn=".to_owned());
                ordered.push("nobody=knows".to_owned());
                ordered.push(String::new());
            }
            Text::Tab => start = "SharedAccessSignature\t",
            Text::Word => start = "sharedaccesssignature ",
            Text::Blanks => start = "SharedAccessSignature  ",
            Text::Missing(at) => drop(ordered.remove(at)),
            Text::Twice(at) => ordered.push(ordered[at].clone()),
            Text::Plain | Text::Unescaped | Text::NoNumber => {}
        }
        format!("{start}{}", ordered.join("&"))
    }
}

/// Tokens with up to three things odd about them, half of them good.
pub fn tokens() -> impl Strategy<Value = Token> {
    let key = prop_oneof![4 => Just(Key::Primary), 2 => Just(Key::Secondary), 1 => Just(Key::OfTheDevice), 1 => Just(Key::OfAnother)];
    let host = prop_oneof![4 => Just(Host::IotHub), 1 => Just(Host::Capitals), 1 => Just(Host::Gateway), 1 => Just(Host::Foreign)];
    let audience = prop_oneof![
        6 => Just(Audience::Own),
        1 => Just(Audience::Capitals),
        2 => Just(Audience::Device),
        1 => Just(Audience::Another),
        1 => Just(Audience::Slash),
    ];
    let encoded = prop_oneof![5 => Just(1_usize), 2 => Just(0), 2 => Just(2), 1 => Just(3)];
    let lifetime = prop_oneof![6 => Just(3600_i64), 1 => select(vec![-200, -280]), 1 => select(vec![-320, -4000])];
    let order = select(vec![[0, 1, 2], [2, 1, 0], [1, 0, 2]]);
    let text = prop_oneof![
        8 => Just(Text::Plain),
        3 => select(vec![Text::Capitals, Text::Surplus, Text::Tab]),
        3 => select(vec![Text::Word, Text::Blanks, Text::Unescaped, Text::NoNumber]),
        1 => (0..3_usize).prop_map(Text::Missing),
        1 => (0..3_usize).prop_map(Text::Twice),
    ];
    (any::<bool>(), key, host, audience, encoded, lifetime, order, text).prop_map(
        |(module, key, host, audience, encoded, lifetime_secs, order, text)| {
            // What a key of the device says of a module by name is not specified.
            let audience = if key == Key::OfTheDevice { Audience::Device } else { audience };
            Token { module, key, host, audience, encoded, lifetime_secs, order, text }
        },
    )
}
