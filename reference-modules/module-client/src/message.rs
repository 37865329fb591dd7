//! Messages, as a module sees them.

use rumqttc::{AsyncClient, Publish};
use serde_json::Value;

/// A message: bytes, and what is said about them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The body.
    pub body: Vec<u8>,
    /// Properties; one without a value is null. Names that begin with `$.` are the system's, as they are written on
    /// the wire: `$.mid` is the message id, `$.ct` the content type, `$.ce` the content encoding.
    pub properties: Vec<(String, Option<String>)>,
}

impl Message {
    /// A message with a JSON body, marked as such: conditions of routes can look into it.
    pub fn json(body: &Value) -> Self {
        let mut message = Self { body: body.to_string().into_bytes(), properties: Vec::new() };
        message.set("$.ct", "application/json");
        message.set("$.ce", "utf-8");
        message
    }

    /// Sets a property. Property names that differ only in case are the same to the hub, so there is one afterwards.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.properties.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.properties.push((name.to_owned(), Some(value.into())));
    }

    /// The value of a property, its name in any case.
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut properties = self.properties.iter();
        let (_, value) = properties.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.as_deref()
    }
}

/// A message that came to an input. The hub keeps it until it is acknowledged, and sends no other before.
#[derive(Debug)]
pub struct Input {
    /// The input it came to.
    pub name: String,
    /// The message, ready to be sent on: nothing in it says where it came from.
    pub message: Message,
    /// Who sent it: a device, or `device/module`.
    pub sender: String,
    pub(crate) receipt: Receipt,
}

/// What an acknowledgement needs.
pub(crate) struct Receipt {
    pub(crate) client: AsyncClient,
    pub(crate) publish: Publish,
}

impl Input {
    /// Tells the hub that it can forget the message.
    ///
    /// When the connection it came over is gone the hub will not hear it, and sends the message again.
    pub async fn acknowledge(self) {
        let Receipt { client, publish } = self.receipt;
        if client.ack(&publish).await.is_err() {
            tracing::debug!(input = self.name, "acknowledged too late: the message will come again");
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Receipt({})", self.publish.pkid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_a_property_replaces_it_whatever_its_case() {
        let mut message = Message::default();
        message.set("messagetype", "Reading");
        message.set("other", "1");
        message.set("MessageType", "Alert");
        let expected = [("other", "1"), ("MessageType", "Alert")];
        assert_eq!(message.properties, expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))));
        assert_eq!(message.property("MESSAGETYPE"), Some("Alert"));
    }

    #[test]
    fn a_json_message_says_that_it_is_json_in_utf_8() {
        let message = Message::json(&serde_json::json!({"a": "é"}));
        assert_eq!(message.body, "{\"a\":\"é\"}".as_bytes());
        assert_eq!(message.property("$.ct"), Some("application/json"));
        assert_eq!(message.property("$.ce"), Some("utf-8"));
    }
}
