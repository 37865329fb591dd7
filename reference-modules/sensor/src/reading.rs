//! What the sensor says. There is no chance in it: whoever sees a reading can tell whether it is the right one.

use module_client::Message;
use serde_json::json;

/// The reading with this number, from 1.
///
/// Temperatures climb from 20 to 30 in half degrees and start over, so a filter at 25 lets pass 10 of 21.
pub fn reading(sequence: u64) -> Message {
    let step = (sequence.saturating_sub(1) % 21) as f64;
    let mut message = Message::json(&json!({
        "temperature": 20.0 + step / 2.0,
        "humidity": 40.0 + step,
        "sequence": sequence,
    }));
    message.set("sequence", sequence.to_string());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(sequence: u64) -> serde_json::Value {
        serde_json::from_slice(&reading(sequence).body).unwrap()
    }

    #[test]
    fn a_reading_carries_its_number_in_body_and_property() {
        for sequence in [1, 2, 21, 22, u64::MAX] {
            assert_eq!(body(sequence)["sequence"], sequence);
            assert_eq!(reading(sequence).property("sequence"), Some(sequence.to_string().as_str()));
        }
    }

    #[test]
    fn temperatures_climb_from_20_to_30_and_start_over() {
        assert_eq!(body(1)["temperature"], 20.0);
        assert_eq!(body(12)["temperature"], 25.5);
        assert_eq!(body(21)["temperature"], 30.0);
        assert_eq!(body(22)["temperature"], 20.0);
        assert_eq!(body(22)["humidity"], 40.0);
    }

    #[test]
    fn conditions_can_look_into_a_reading() {
        assert_eq!(reading(1).property("$.ct"), Some("application/json"));
        assert_eq!(reading(1).property("$.ce"), Some("utf-8"));
    }
}
