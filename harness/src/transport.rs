//! What clients of the harness speak, and over what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A protocol, in TLS or in a WebSocket within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// MQTT 3.1.1.
    Mqtt,
    /// MQTT 3.1.1 over WebSocket.
    MqttWs,
    /// AMQP 1.0.
    Amqp,
    /// AMQP 1.0 over WebSocket.
    AmqpWs,
}

/// Whatever clients can speak.
pub const EACH: &[Transport] = &Transport::ALL;

/// Both ways to speak MQTT: where a test writes packets itself, or means what only MQTT has.
pub const OVER_MQTT: &[Transport] = &[Transport::Mqtt, Transport::MqttWs];

/// Both ways to speak AMQP: where a test writes frames itself.
pub const OVER_AMQP: &[Transport] = &[Transport::Amqp, Transport::AmqpWs];

/// For tests in which what clients speak has no part, or which need TLS and nothing between it and the packets.
pub const ONCE: &[Transport] = &[Transport::Mqtt];

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 4] = [Transport::Mqtt, Transport::MqttWs, Transport::Amqp, Transport::AmqpWs];

    /// The word for it in commands and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Mqtt => "mqtt",
            Transport::MqttWs => "mqtt-ws",
            Transport::Amqp => "amqp",
            Transport::AmqpWs => "amqp-ws",
        }
    }

    /// The product's name for it as the way to the cloud.
    pub fn as_upstream(self) -> &'static str {
        match self {
            Transport::Mqtt => "Mqtt",
            Transport::MqttWs => "MqttWs",
            Transport::Amqp => "Amqp",
            Transport::AmqpWs => "AmqpWs",
        }
    }

    /// Whether the protocol is MQTT.
    pub fn is_mqtt(self) -> bool {
        matches!(self, Transport::Mqtt | Transport::MqttWs)
    }

    /// Whether a WebSocket lies between the protocol and TLS.
    pub fn in_websocket(self) -> bool {
        matches!(self, Transport::MqttWs | Transport::AmqpWs)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no transport.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no transport; there are mqtt, mqtt-ws, amqp and amqp-ws")]
pub struct UnknownTransport(String);

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Transport::ALL.into_iter().find(|transport| transport.as_str() == text);
        found.ok_or_else(|| UnknownTransport(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_word() {
        for transport in Transport::ALL {
            assert_eq!(transport.to_string().parse::<Transport>().ok(), Some(transport));
        }
        assert!("http".parse::<Transport>().is_err());
    }
}
