//! System properties: under which name a client spells them in a bag, and under which the hub keeps them.
//!
//! Source: Azure/iotedge `Hub.Core/SystemProperties.cs`, `Hub.Mqtt/ProtocolGatewayMessageConverter.cs`, as recorded in
//! `fixtures/vectors/mqtt-topics.jsonl`.

/// From whom to whom a system property goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From clients and to clients.
    Both,
    /// Taken from clients, shown to none.
    In,
    /// Set by the hub; what a client sends under this name is a property of its own.
    Out,
}

use Way::{Both, In, Out};

/// Name in a bag, name in the hub, way. Names are case-sensitive: `$.MID` is nobody's system property.
const TABLE: [(&str, &str, Way); 18] = [
    ("$.mid", "messageId", Both),
    ("$.cid", "cid", Both),
    ("$.uid", "userId", Both),
    ("$.to", "to", Both),
    ("$.exp", "absolute-expiry-time", Both),
    ("$.ct", "contentType", Both),
    ("$.ce", "contentEncoding", Both),
    ("$.schema", "messageSchema", Both),
    ("$.ctime", "creationTime", Both),
    ("$.sub", "dt-subject", Both),
    ("ack", "ack", Both),
    ("iothub-operation", "operation", Both),
    ("$.on", "outputName", In),
    ("$.ifid", "iothub-interface-id", In),
    ("$.cdid", "connectionDeviceId", Out),
    ("$.cmid", "connectionModuleId", Out),
    // The sender of a notification, by older names.
    ("$.cdid", "rpSenderDeviceId", Out),
    ("$.cmid", "rpSenderModuleId", Out),
];

/// The system property a client means by a name in a bag.
pub fn taken(wire: &str) -> Option<&'static str> {
    TABLE.iter().find(|(name, _, way)| *name == wire && *way != Out).map(|(_, internal, _)| *internal)
}

/// The name under which a client sees a system property, if it does.
pub fn shown(internal: &str) -> Option<&'static str> {
    TABLE.iter().find(|(_, name, way)| *name == internal && *way != In).map(|(wire, _, _)| *wire)
}
