//! Addresses of links: which link is for what, and for whom.
//!
//! Source: Azure/iotedge, `Hub.Amqp/Templates.cs`, `Hub.Amqp/UriPathTemplate.cs`, `Hub.Amqp/linkhandlers/
//! LinkHandlerProvider.cs`.

use std::fmt;

use fe2o3_amqp_types::definitions::{ReceiverSettleMode, Role, SenderSettleMode};

use super::peer::Modes;
use super::uri::{NoAddress, segments};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::form_decode;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkType {
    /// Telemetry.
    Events,
    /// Messages for the inputs of a module.
    ModuleMessages,
    /// Messages of the cloud.
    CloudToDevice,
    /// Requests about the client's twin.
    TwinReceiving,
    /// Answers to these, and changes of desired properties.
    TwinSending,
    /// Answers of the client's methods.
    MethodReceiving,
    /// Calls of the client's methods.
    MethodSending,
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// To the node that takes tokens.
    Cbs,
    /// To what the hub does for a client.
    Link(LinkType, ClientId),
}

impl Address {
    /// Reads the address a client of this role names. Words ignore letter case, ids are decoded as in a form, and
    /// anything may stand in front. `host` completes an address that is relative.
    ///
    /// # Errors
    /// [`NoAddress`] when the role has no such address.
    pub fn read(text: &str, role: &Role, host: &str) -> Result<Address, NoAddress> {
        let segments = segments(text, host)?;
        let exact = planted("LNK02-letter-case-matters");
        let lower =
            |segment: &String| if exact { segment.replace("deviceB", "deviceb") } else { segment.to_lowercase() };
        let lower: Vec<String> = segments.iter().map(lower).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let sends = *role == Role::Sender;
        if words.last() == Some(&"$cbs") {
            return Ok(Address::Cbs);
        }
        let (behind, kind) = match &words[..] {
            [before @ .., "messages", "events"] => (before.len(), Kind::Messages),
            [before @ .., "messages", "devicebound"] if !sends => (before.len(), Kind::CloudToDevice),
            [before @ .., "methods", "devicebound"] => (before.len(), Kind::Methods),
            [before @ .., "twin"] => (before.len(), Kind::Twin),
            _ => return Err(NoAddress),
        };
        let client = client(&words[..behind], &segments[..behind])?;
        let of_module = client.module.is_some();
        let link = match kind {
            Kind::Messages if sends => LinkType::Events,
            Kind::Messages if of_module => LinkType::ModuleMessages,
            Kind::Messages => return Err(NoAddress),
            Kind::CloudToDevice => LinkType::CloudToDevice,
            Kind::Twin if sends => LinkType::TwinReceiving,
            Kind::Twin => LinkType::TwinSending,
            Kind::Methods if sends => LinkType::MethodReceiving,
            Kind::Methods => LinkType::MethodSending,
        };
        Ok(Address::Link(link, client))
    }
}

enum Kind {
    Messages,
    CloudToDevice,
    Methods,
    Twin,
}

/// The client that stands at the end of a path.
fn client(words: &[&str], segments: &[String]) -> Result<ClientId, NoAddress> {
    let decoded = |segment: &String| {
        if planted("LNK15-ids-are-not-decoded") { segment.clone() } else { form_decode(segment) }
    };
    let (device, module) = match words {
        [.., "devices", _, "modules", _] => {
            (decoded(&segments[segments.len() - 3]), segments.last().map(decoded).unwrap_or_default())
        }
        [.., "devices", _] => (segments.last().map(decoded).unwrap_or_default(), String::new()),
        _ => return Err(NoAddress),
    };
    // A slash in the id of a device makes it the id of a module, as in the product.
    let device = ClientId::parse(&device);
    let module = device.module.clone().or(Some(module)).filter(|module| !module.trim().is_empty());
    let empty = device.device.trim().is_empty();
    if empty { Err(NoAddress) } else { Ok(ClientId { device: device.device, module }) }
}

impl LinkType {
    /// What the hub's ATTACH says, whatever the client asked for.
    pub fn modes(self) -> Modes {
        let snd = match self {
            LinkType::Events | LinkType::ModuleMessages | LinkType::CloudToDevice => SenderSettleMode::Mixed,
            LinkType::TwinReceiving | LinkType::TwinSending | LinkType::MethodReceiving | LinkType::MethodSending => {
                SenderSettleMode::Settled
            }
        };
        let second = match self {
            LinkType::CloudToDevice => !planted("C2D01-receiver-settles-first"),
            LinkType::ModuleMessages => planted("A02-module-receiver-settles-second"),
            _ => false,
        };
        Modes { snd, rcv: if second { ReceiverSettleMode::Second } else { ReceiverSettleMode::First } }
    }

    /// The link of the same pair, of which both must name the same correlation.
    pub fn other_half(self) -> Option<LinkType> {
        match self {
            LinkType::TwinReceiving => Some(LinkType::TwinSending),
            LinkType::TwinSending => Some(LinkType::TwinReceiving),
            LinkType::MethodReceiving => Some(LinkType::MethodSending),
            LinkType::MethodSending => Some(LinkType::MethodReceiving),
            LinkType::Events | LinkType::ModuleMessages | LinkType::CloudToDevice => None,
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkType::Events => "Events",
            LinkType::ModuleMessages => "ModuleMessages",
            LinkType::CloudToDevice => "C2D",
            LinkType::TwinReceiving => "TwinReceiving",
            LinkType::TwinSending => "TwinSending",
            LinkType::MethodReceiving => "MethodReceiving",
            LinkType::MethodSending => "MethodSending",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, role: Role) -> Option<(LinkType, String)> {
        match Address::read(text, &role, "").ok()? {
            Address::Link(kind, client) => Some((kind, client.to_string())),
            Address::Cbs => panic!("{text} leads to $cbs"),
        }
    }

    #[test]
    fn every_address_has_its_roles() {
        use LinkType::*;
        for (text, sender, receiver) in [
            ("/devices/d/messages/events", Some(Events), None),
            ("/devices/d/modules/m/messages/events", Some(Events), Some(ModuleMessages)),
            ("/devices/d/messages/deviceBound", None, Some(CloudToDevice)),
            ("/devices/d/modules/m/messages/devicebound", None, Some(CloudToDevice)),
            ("/devices/d/twin", Some(TwinReceiving), Some(TwinSending)),
            ("/devices/d/modules/m/twin", Some(TwinReceiving), Some(TwinSending)),
            ("/devices/d/methods/deviceBound", Some(MethodReceiving), Some(MethodSending)),
            ("/devices/d/modules/m/methods/deviceBound", Some(MethodReceiving), Some(MethodSending)),
            ("/devices/d/modules/m/inputs/in1", None, None),
            ("/devices/d/files", None, None),
            ("/devices/d/twin/", None, None),
            ("/devices//twin", None, None),
        ] {
            let whose = if text.contains("modules") { "d/m" } else { "d" };
            let expected = |kind: Option<LinkType>| kind.map(|kind| (kind, whose.to_owned()));
            assert_eq!(read(text, Role::Sender), expected(sender), "{text}, sender");
            assert_eq!(read(text, Role::Receiver), expected(receiver), "{text}, receiver");
        }
    }

    #[test]
    fn ids_are_decoded_and_words_ignore_case() {
        for (text, client) in [
            ("amqps://h/DEVICES/De%2Bv/Modules/M%40/TWIN", "De+v/M@"),
            ("x/y/devices/a+b/twin?z", "a b"),
            ("devices/d%2Fm/twin", "d/m"),
            ("devices/d/modules/%20/twin", "d"),
        ] {
            assert_eq!(read(text, Role::Sender), Some((LinkType::TwinReceiving, client.to_owned())), "{text}");
        }
    }

    #[test]
    fn tokens_are_taken_wherever_a_path_ends_so() {
        for text in ["$cbs", "/$CBS", "amqps://h/x/$cbs"] {
            assert_eq!(Address::read(text, &Role::Receiver, ""), Ok(Address::Cbs), "{text}");
        }
        assert_eq!(Address::read("%24cbs", &Role::Receiver, ""), Err(NoAddress));
    }
}
