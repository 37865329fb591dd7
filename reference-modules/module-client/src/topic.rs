//! The topics of a module: where its outputs go, and how its inputs come.

use crate::message::Message;
use crate::property_bag;

/// The topics of one module. Its ids stand in them as they are, not encoded.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    module: String,
}

/// Says which output a message leaves by.
const OUTPUT_NAME: &str = "$.on";

/// Who sent a message. Only the hub may say so.
const SENDER_DEVICE: &str = "$.cdid";
const SENDER_MODULE: &str = "$.cmid";

/// A message from an input, taken out of its topic and payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) input: String,
    pub(crate) message: Message,
    pub(crate) sender: String,
}

impl Topics {
    pub(crate) fn of(device: &str, module: &str) -> Self {
        let module = format!("devices/{device}/modules/{module}");
        Self { module }
    }

    /// Where a message goes that leaves by `output`.
    pub(crate) fn output(&self, output: &str, message: &Message) -> String {
        let mut properties = vec![(OUTPUT_NAME.to_owned(), Some(output.to_owned()))];
        let own = message.properties.iter().filter(|(name, _)| name != OUTPUT_NAME);
        properties.extend(own.cloned());
        format!("{}/messages/events/{}", self.module, property_bag::write(&properties))
    }

    /// What to subscribe to: all inputs at once, since the hub drops what comes to an input without a subscription.
    pub(crate) fn inputs(&self) -> String {
        format!("{}/inputs/#", self.module)
    }

    /// A message out of the topic and the payload it came with; nothing when it did not come to an input.
    pub(crate) fn arrived(&self, topic: &str, payload: &[u8]) -> Option<Arrived> {
        let rest = topic.strip_prefix(&self.module)?.strip_prefix("/inputs/")?;
        let (input, bag) = rest.split_once('/').unwrap_or((rest, ""));
        let mut properties = property_bag::read(bag);
        let mut take = |name: &str| {
            let at = properties.iter().position(|(known, _)| known == name)?;
            properties.remove(at).1
        };
        let sender: Vec<String> = [SENDER_DEVICE, SENDER_MODULE].into_iter().filter_map(&mut take).collect();
        Some(Arrived {
            input: input.to_owned(),
            sender: sender.join("/"),
            message: Message { body: payload.to_vec(), properties },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(pairs: &[(&str, Option<&str>)]) -> Message {
        let pairs = pairs.iter();
        Message {
            body: b"body".to_vec(),
            properties: pairs.map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
        }
    }

    #[test]
    fn an_output_is_a_property_of_the_message() {
        let topics = Topics::of("edge 1", "relay");
        let topic =
            topics.output("alert/s", &message(&[("$.on", Some("old")), ("level", Some("high")), ("bare", None)]));
        assert_eq!(topic, "devices/edge 1/modules/relay/messages/events/%24.on=alert%2Fs&level=high&bare");
    }

    #[test]
    fn an_input_is_a_segment_of_the_topic() {
        let topics = Topics::of("edge1", "filter");
        let topic = "devices/edge1/modules/filter/inputs/in1/level=high&%24.mid=7&%24.cdid=edge1&%24.cmid=sensor";
        let expected = Arrived {
            input: "in1".to_owned(),
            message: message(&[("level", Some("high")), ("$.mid", Some("7"))]),
            sender: "edge1/sensor".to_owned(),
        };
        assert_eq!(topics.arrived(topic, b"body"), Some(expected));
    }

    #[test]
    fn a_leaf_device_sends_without_a_module() {
        let arrived =
            Topics::of("edge1", "filter").arrived("devices/edge1/modules/filter/inputs/in1/%24.cdid=leaf", b"");
        assert_eq!(arrived.unwrap().sender, "leaf");
    }

    #[test]
    fn what_did_not_come_to_an_input_is_nothing() {
        let topics = Topics::of("edge1", "filter");
        for topic in [
            "",
            "devices/edge1/modules/filter/messages/x",
            "devices/edge1/modules/filter2/inputs/i/a=b",
            "$iothub/twin/res/200",
        ] {
            assert_eq!(topics.arrived(topic, b""), None, "{topic}");
        }
    }
}
