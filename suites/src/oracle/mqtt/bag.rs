//! The property bag: `pair *( "&" pair )` with `pair = key [ "=" value ]`, percent-escaped.
//!
//! Source: Azure/azure-iot-sdk-csharp `iothub/device/src/Common/UrlEncodedDictionarySerializer.cs` (LTS), as recorded in
//! `fixtures/vectors/mqtt-property-bag.jsonl`.

use super::escape::{decode, encode};
use super::{Pairs, put};

/// A text that is no bag: an empty key, a doubled, leading or trailing `&`, or a second `=` in a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reads a bag: names in order of first appearance, each with its last value.
///
/// A bare key and an empty value both read as no value. A raw `/` ends the bag, a leading `?` belongs to the first
/// name, a `+` is a `+`. A blank bag is empty.
///
/// # Errors
/// [`Malformed`].
pub fn read(text: &str) -> Result<Pairs, Malformed> {
    let text = text.split('/').next().unwrap_or_default();
    let mut pairs = Pairs::new();
    if text.trim().is_empty() {
        return Ok(pairs);
    }
    for pair in text.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key.is_empty() || value.contains('=') {
            return Err(Malformed);
        }
        put(&mut pairs, &decode(key), (!value.is_empty()).then(|| decode(value)));
    }
    Ok(pairs)
}

/// Writes a bag: no value is a bare key, an empty one `key=`; all but unreserved characters are escaped.
pub fn write(pairs: &[(String, Option<String>)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| match value {
        None => encode(name),
        Some(value) => format!("{}={}", encode(name), encode(value)),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_malformed_bag_is_refused() {
        for text in ["a=b&", "&a=b", "=b", "=", "&", "a&&b", "a=b=c", "a==b"] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn an_empty_value_becomes_no_value_on_the_way() {
        let written = vec![("a b".to_owned(), Some(String::new())), ("$.mid".to_owned(), None)];
        assert_eq!(write(&written), "a%20b=&%24.mid");
        assert_eq!(read(&write(&written)), Ok(vec![("a b".to_owned(), None), ("$.mid".to_owned(), None)]));
    }
}
