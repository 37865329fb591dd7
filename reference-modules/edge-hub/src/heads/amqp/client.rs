//! One of the identities on a connection: its links, and what they ask for.
//!
//! Source: Azure/iotedge, `Hub.Amqp/ClientConnectionHandler.cs`, `Hub.Amqp/AmqpConnectionUtils.cs`.

use std::collections::BTreeMap;

use fe2o3_amqp_types::performatives::Attach;
use serde_amqp::Value;
use tokio::task::AbortHandle;

use super::address::LinkType;
use super::peer::link::LinkId;
use crate::core::{ConnectionId, Listening};
use crate::faults::planted;
use crate::identity::ClientId;

/// What both halves of a pair of links must say alike.
const CORRELATION: &str = "com.microsoft:channel-correlation-id";

/// An identity that has proved itself on a connection.
#[derive(Debug)]
pub struct Client {
    /// What the core knows it by.
    pub connection: ConnectionId,
    /// Looks at its credentials from time to time.
    pub doubts: AbortHandle,
    /// Whether it takes input messages.
    pub inputs: bool,
    /// What it is to be told that comes from IoT Hub.
    pub listening: Listening,
    /// One of a type, and what correlates it.
    links: BTreeMap<LinkType, (LinkId, String)>,
}

impl Client {
    /// An identity without links.
    pub fn new(connection: ConnectionId, doubts: AbortHandle) -> Client {
        Client { connection, doubts, inputs: false, listening: Listening::default(), links: BTreeMap::new() }
    }

    /// The link of a type.
    pub fn link(&self, kind: LinkType) -> Option<LinkId> {
        self.links.get(&kind).map(|(link, _)| *link)
    }

    /// Notes a link; returns those that have to make way for it: an older one of its type, and the other half of its pair
    /// when that names another correlation.
    pub fn register(&mut self, kind: LinkType, link: LinkId, correlation: String) -> Vec<LinkId> {
        let mut displaced: Vec<LinkId> = Vec::new();
        let other = kind.other_half().and_then(|other| self.links.get(&other));
        let strangers = |known: &str| {
            let nameless = known.is_empty() && correlation.is_empty() && planted("LNK13-halves-need-a-correlation");
            known != correlation && !planted("LNK12-any-halves-make-a-pair") || nameless
        };
        displaced.extend(other.filter(|(_, known)| strangers(known)).map(|(link, _)| *link));
        displaced.extend(self.links.insert(kind, (link, correlation)).map(|(link, _)| link));
        displaced
    }

    /// A link is gone. Whether it is found by its type, as in the product, even if another one has taken its place,
    /// depends.
    pub fn unregister(&mut self, kind: LinkType, link: LinkId, by_type: bool) {
        if by_type || self.link(kind) == Some(link) {
            self.links.remove(&kind);
        }
    }

    /// Whether it has no link left.
    pub fn is_idle(&self) -> bool {
        self.links.is_empty()
    }

    /// A link stands. What it asks for is asked for as long as the connection lives; true when that is more than before.
    pub fn subscribe(&mut self, kind: LinkType, identity: &ClientId) -> bool {
        let before = (self.inputs, self.listening);
        match kind {
            LinkType::ModuleMessages => self.inputs = true,
            LinkType::CloudToDevice => self.listening.cloud_to_device = identity.module.is_none(),
            LinkType::TwinSending => self.listening.desired = !planted("TWN06-receiver-is-no-subscription"),
            LinkType::MethodSending => self.listening.methods = true,
            LinkType::Events | LinkType::TwinReceiving | LinkType::MethodReceiving => {}
        }
        before != (self.inputs, self.listening)
    }
}

/// What correlates a link: what stands behind the first colon, unless the text begins with it.
pub fn correlation(attach: &Attach) -> String {
    let named = attach.properties.as_ref().and_then(|properties| properties.get(CORRELATION));
    match named {
        Some(Value::String(text)) => match text.split_once(':') {
            Some((kind, id)) if !kind.is_empty() => id.to_owned(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Client::new(ConnectionId(1), runtime.spawn(async {}).abort_handle())
    }

    #[test]
    fn halves_of_a_pair_belong_together() {
        let mut client = client();
        let text = |text: &str| text.to_owned();
        assert!(client.register(LinkType::TwinSending, LinkId(1), text("a")).is_empty());
        assert!(client.register(LinkType::MethodSending, LinkId(2), text("b")).is_empty());
        assert!(client.register(LinkType::TwinReceiving, LinkId(3), text("a")).is_empty());
        assert_eq!(client.register(LinkType::TwinReceiving, LinkId(4), text("c")), [LinkId(1), LinkId(3)]);
    }

    #[test]
    fn a_link_that_was_replaced_takes_nothing_along() {
        let mut client = client();
        client.register(LinkType::Events, LinkId(1), String::new());
        assert_eq!(client.register(LinkType::Events, LinkId(2), String::new()), [LinkId(1)]);
        client.unregister(LinkType::Events, LinkId(1), false);
        assert_eq!(client.link(LinkType::Events), Some(LinkId(2)));
        client.unregister(LinkType::Events, LinkId(1), true);
        assert!(client.is_idle());
    }
}
