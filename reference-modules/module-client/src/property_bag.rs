//! The property bag: properties in the last segment of a topic, `name=value&name=value`, percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Properties in their order; one without a value is null.
pub(crate) type Properties = Vec<(String, Option<String>)>;

pub(crate) fn write(properties: &[(String, Option<String>)]) -> String {
    let pairs: Vec<String> = properties
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{}={}", encode(name), encode(value)),
            None => encode(name),
        })
        .collect();
    pairs.join("&")
}

pub(crate) fn read(bag: &str) -> Properties {
    bag.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (decode(name), Some(decode(value))),
            None => (decode(pair), None),
        })
        .collect()
}

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// What does not decode stays as it is written.
fn decode(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, Option<&str>)]) -> Properties {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn a_bag_is_written_with_everything_reserved_encoded() {
        let pairs =
            properties(&[("$.mid", Some("a/b")), ("né e", Some("1=2&3+%")), ("bare", None), ("empty", Some(""))]);
        assert_eq!(write(&pairs), "%24.mid=a%2Fb&n%C3%A9%20e=1%3D2%263%2B%25&bare&empty=");
    }

    #[test]
    fn a_bag_is_read_with_plus_as_plus_and_odd_escapes_as_text() {
        let expected = properties(&[
            ("$.cdid", Some("edge1")),
            ("a", Some("1+1")),
            ("bare", None),
            ("e", Some("")),
            ("x%zz", Some("%FF")),
        ]);
        assert_eq!(read("%24.cdid=edge1&a=1+1&bare&e=&x%zz=%FF"), expected);
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let every_ascii: String = (1..128_u8).map(char::from).collect();
        let pairs = properties(&[(&every_ascii, Some("straße ☃")), ("null", None), ("x", Some(&every_ascii))]);
        assert_eq!(read(&write(&pairs)), pairs);
    }
}
