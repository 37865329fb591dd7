//! Faults of packets over MQTT.

/// Ids, each used at one place, mostly under `heads/mqtt/`.
pub(super) const IDS: &[&str] = &["QOS07-empty-qos-property-drops-the-receiver"];
