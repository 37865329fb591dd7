//! Messages: their sections, each of which may be there or not. Source: AMQP 1.0 (OASIS), part 3, section 3.2.

use super::value::{Value, composite, string, symbol};

/// Descriptor of a header.
pub const HEADER: u64 = 0x70;
/// Descriptor of message annotations.
pub const MESSAGE_ANNOTATIONS: u64 = 0x72;
/// Descriptor of properties.
pub const PROPERTIES: u64 = 0x73;
/// Descriptor of application properties.
pub const APPLICATION_PROPERTIES: u64 = 0x74;
/// Descriptor of a data section.
pub const DATA: u64 = 0x75;
/// Descriptor of an amqp-sequence section.
pub const AMQP_SEQUENCE: u64 = 0x76;
/// Descriptor of an amqp-value section.
pub const AMQP_VALUE: u64 = 0x77;

/// The message format of a batch: each data section of the outer message is an encoded message.
/// Source: `Microsoft.Azure.Amqp`, `AmqpConstants.AmqpBatchedMessageFormat`.
pub const BATCH: u32 = 0x8001_3700;

/// Fields of a properties section, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// message-id.
    MessageId,
    /// user-id.
    UserId,
    /// to.
    To,
    /// subject.
    Subject,
    /// reply-to.
    ReplyTo,
    /// correlation-id.
    CorrelationId,
    /// content-type.
    ContentType,
    /// content-encoding.
    ContentEncoding,
    /// absolute-expiry-time.
    AbsoluteExpiryTime,
    /// creation-time.
    CreationTime,
}

/// A message: sections in their order. The default has none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Descriptor and content of each section.
    pub sections: Vec<(u64, Value)>,
}

impl Message {
    /// A message with an empty properties section and one data section, as clients of a hub send at least.
    pub fn data(body: impl Into<Vec<u8>>) -> Self {
        Self::default().section(PROPERTIES, Value::List(Vec::new())).section(DATA, Value::Binary(body.into()))
    }

    /// The same with a further section at the end.
    #[must_use]
    pub fn section(mut self, descriptor: u64, content: Value) -> Self {
        self.sections.push((descriptor, content));
        self
    }

    /// The same with a field of its properties section, which is made when there is none.
    #[must_use]
    pub fn property(mut self, property: Property, value: impl Into<Value>) -> Self {
        let Value::List(fields) = self.own(PROPERTIES, Value::List(Vec::new())) else { return self };
        let position = property as usize;
        if fields.len() <= position {
            fields.resize(position + 1, Value::Null);
        }
        fields[position] = value.into();
        self
    }

    /// The same with an application property.
    #[must_use]
    pub fn application(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Value::Map(pairs) = self.own(APPLICATION_PROPERTIES, Value::Map(Vec::new())) {
            pairs.push((string(name), value.into()));
        }
        self
    }

    /// The same with a message annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Value::Map(pairs) = self.own(MESSAGE_ANNOTATIONS, Value::Map(Vec::new())) {
            pairs.push((symbol(name), value.into()));
        }
        self
    }

    /// The content of a section, put in its place when it is missing.
    fn own(&mut self, descriptor: u64, empty: Value) -> &mut Value {
        let at = match self.sections.iter().position(|(known, _)| *known == descriptor) {
            Some(at) => at,
            None => {
                let at = self.sections.iter().position(|(known, _)| *known > descriptor).unwrap_or(self.sections.len());
                self.sections.insert(at, (descriptor, empty));
                at
            }
        };
        &mut self.sections[at].1
    }

    /// Its encoding.
    pub fn bytes(&self) -> Vec<u8> {
        let section = |(descriptor, content): &(u64, Value)| {
            Value::Described(Box::new(Value::Ulong(*descriptor)), Box::new(content.clone())).bytes()
        };
        self.sections.iter().flat_map(section).collect()
    }

    /// The message that bytes are; `None` when they are not sections from end to end.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut sections = Vec::new();
        while !bytes.is_empty() {
            let Value::Described(descriptor, content) = Value::take(&mut bytes)? else { return None };
            let Value::Ulong(descriptor) = *descriptor else { return None };
            sections.push((descriptor, *content));
        }
        Some(Self { sections })
    }

    /// The content of the first section of a kind.
    pub fn first(&self, descriptor: u64) -> Option<&Value> {
        self.sections.iter().find(|(known, _)| *known == descriptor).map(|(_, content)| content)
    }

    /// A field of the properties section; null when it is not there.
    pub fn property_value(&self, property: Property) -> &Value {
        self.first(PROPERTIES)
            .and_then(Value::fields)
            .and_then(|fields| fields.get(property as usize))
            .unwrap_or(&Value::Null)
    }

    /// The value of an application property.
    pub fn application_value(&self, name: &str) -> Option<&Value> {
        self.first(APPLICATION_PROPERTIES)?.entry(name)
    }

    /// The value of a message annotation.
    pub fn annotation_value(&self, name: &str) -> Option<&Value> {
        self.first(MESSAGE_ANNOTATIONS)?.entry(name)
    }

    /// The bytes of its data sections, one behind the other.
    pub fn body(&self) -> Vec<u8> {
        let data = |(descriptor, content): &(u64, Value)| match content {
            Value::Binary(bytes) if *descriptor == DATA => Some(bytes.clone()),
            _ => None,
        };
        self.sections.iter().filter_map(data).flatten().collect()
    }

    /// How many sections of a kind it has.
    pub fn count(&self, descriptor: u64) -> usize {
        self.sections.iter().filter(|(known, _)| *known == descriptor).count()
    }
}

/// A batch of messages. Its outer message has nothing but them.
pub fn batch(messages: &[Message]) -> Message {
    messages.iter().fold(Message::default(), |outer, inner| outer.section(DATA, Value::Binary(inner.bytes())))
}

/// A message to `$cbs` that puts a token. `name` is what the token is said to be for.
pub fn put_token(id: impl Into<Value>, name: &str, token: &str) -> Message {
    Message::default()
        .section(AMQP_VALUE, string(token))
        .property(Property::MessageId, id)
        .application("operation", "put-token")
        .application("type", "azure-devices.net:sastoken")
        .application("name", name)
}

/// A request to the twin.
pub fn twin_request(operation: &str, correlation_id: impl Into<Value>, body: &[u8]) -> Message {
    Message::data(body).annotation("operation", operation).property(Property::CorrelationId, correlation_id)
}

/// Whether a composite is an outcome of this code.
pub fn is_state(value: &Value, code: u64) -> bool {
    matches!(value, Value::Described(descriptor, _) if **descriptor == Value::Ulong(code))
}

/// An outcome without fields.
pub fn state(code: u64) -> Value {
    composite(code, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_stand_in_their_order_whatever_order_they_are_asked_for() {
        let message = put_token("1", "n", "t").annotation("a", Value::Int(1));
        let order: Vec<u64> = message.sections.iter().map(|(descriptor, _)| *descriptor).collect();
        assert_eq!(order, [MESSAGE_ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES, AMQP_VALUE]);
        assert_eq!(Message::read(&message.bytes()), Some(message));
    }

    #[test]
    fn an_empty_properties_section_is_three_bytes_and_a_list() {
        assert_eq!(Message::data("").bytes(), [0, 0x53, 0x73, 0x45, 0, 0x53, 0x75, 0xa0, 0]);
    }
}
