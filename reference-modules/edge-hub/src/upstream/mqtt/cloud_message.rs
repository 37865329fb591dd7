//! A cloud-to-device message as IoT Hub sends it.

use bytes::Bytes;

use crate::core::CloudMessage;
use crate::heads::mqtt::bag;

/// Reads a message whose topic ends with this bag. A property of the system without a value is as good as none.
pub fn read(bag: &str, body: Bytes) -> CloudMessage {
    // IoT Hub writes no bag that cannot be read.
    let (properties, mut system) = bag::classify(bag::read(bag).unwrap_or_default());
    system.retain(|(_, value)| value.is_some());
    CloudMessage { properties, system, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::mqtt::topics;
    use crate::identity::ClientId;

    #[test]
    fn a_device_sees_what_iot_hub_sent() {
        let bag = "%24.mid=1&%24.to=%2Fdevices%2Fleaf4%2Fmessages%2Fdevicebound&iothub-ack=none&%24.cid=\
                   &color=r%C3%A9d%20x&k=v";
        let message = read(bag, Bytes::from_static(b"x"));
        assert_eq!(
            topics::cloud_to_device(&ClientId::device("leaf4"), &message.properties, &message.system),
            "devices/leaf4/messages/devicebound/iothub-ack=none&color=r%C3%A9d%20x&k=v&%24.mid=1&%24.to=%2Fdevices\
             %2Fleaf4%2Fmessages%2Fdevicebound"
        );
    }
}
