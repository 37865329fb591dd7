//! Percent escapes, decoded in the two ways the product decodes them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Escapes everything but `A-Z a-z 0-9 - _ . ~`, in upper-case hex.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, NOT_UNRESERVED).to_string()
}

/// Decodes escapes; those that are malformed or no UTF-8 stay as they are, and so does `+`.
pub fn unescape(text: &str) -> String {
    unescape_if(text, |_| true)
}

/// As [`unescape`], but only characters that `wanted` names.
pub fn unescape_if(text: &str, wanted: impl Fn(char) -> bool) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        match character(rest.as_bytes()) {
            Some((character, length)) => {
                if wanted(character) {
                    decoded.push(character);
                } else {
                    decoded.push_str(&rest[..length]);
                }
                rest = &rest[length..];
            }
            None => {
                decoded.push('%');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// Decodes as a web form does: `+` is a blank, and what is no UTF-8 becomes U+FFFD.
pub fn form_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match escaped_byte(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte of the escape a text begins with.
pub fn escaped_byte(text: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// The character whose escapes a text begins with, and how long they are.
fn character(text: &[u8]) -> Option<(char, usize)> {
    let mut bytes = [0; 4];
    let mut length = 0;
    while length < bytes.len() {
        bytes[length] = escaped_byte(text.get(length * 3..)?)?;
        length += 1;
        if let Ok(text) = std::str::from_utf8(&bytes[..length]) {
            return text.chars().next().map(|character| (character, length * 3));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_stays() {
        for text in ["%", "%zz", "%FF", "a%4", "%E6%97", "a+b"] {
            assert_eq!(unescape(text), text);
        }
        assert_eq!(unescape("%E6%97%A5%C3"), "日%C3");
    }

    #[test]
    fn everything_but_the_unreserved_is_escaped() {
        assert_eq!(escape("a-_.~ +ü/$"), "a-_.~%20%2B%C3%BC%2F%24");
    }
}
