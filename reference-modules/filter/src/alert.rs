//! Which readings are alerts.

use module_client::Message;
use serde_json::Value;

/// The alert a reading gives rise to: the reading, marked. Nothing when its temperature does not exceed `threshold`, or
/// when it has none.
pub fn alert(reading: &Message, threshold: f64) -> Option<Message> {
    let body: Value = serde_json::from_slice(&reading.body).ok()?;
    let temperature = body.get("temperature")?.as_f64()?;
    (temperature > threshold).then(|| {
        let mut alert = reading.clone();
        alert.set("MessageType", "Alert");
        alert
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(body: &str) -> Message {
        Message {
            body: body.into(),
            properties: vec![("sequence".to_owned(), Some("7".to_owned())), ("bare".to_owned(), None)],
        }
    }

    #[test]
    fn a_reading_above_the_threshold_is_an_alert_and_otherwise_unchanged() {
        let reading = reading(r#" {"temperature": 25.1, "more": [1]}"#);
        let alert = alert(&reading, 25.0).unwrap();
        assert_eq!(alert.body, reading.body);
        let mark = ("MessageType".to_owned(), Some("Alert".to_owned()));
        assert_eq!(alert.properties, [&reading.properties[..], &[mark]].concat());
    }

    #[test]
    fn a_reading_at_or_below_the_threshold_is_not() {
        for temperature in ["25", "25.0", "24.9", "-40"] {
            let body = format!(r#"{{"temperature":{temperature}}}"#);
            assert_eq!(alert(&reading(&body), 25.0), None, "{body}");
        }
    }

    #[test]
    fn what_has_no_temperature_is_not() {
        let bodies = [
            "",
            "no JSON",
            "[]",
            "30",
            "{}",
            r#"{"temperature":"30"}"#,
            r#"{"Temperature":30}"#,
            r#"{"temperature":null}"#,
        ];
        for body in bodies {
            assert_eq!(alert(&reading(body), 25.0), None, "{body}");
        }
        assert_eq!(alert(&Message { body: vec![0xFF], properties: vec![] }, 25.0), None);
    }

    #[test]
    fn an_alert_that_was_marked_as_something_else_is_marked_once() {
        let mut reading = reading(r#"{"temperature":30}"#);
        reading.set("messagetype", "Reading");
        let alert = alert(&reading, 25.0).unwrap();
        let marks = alert.properties.iter().filter(|(name, _)| name.eq_ignore_ascii_case("MessageType"));
        assert_eq!(marks.count(), 1);
        assert_eq!(alert.property("MessageType"), Some("Alert"));
    }
}
