//! Percent escapes, as leniently as the product reads them: a malformed escape (`%`, `%zz`) stays as it is.
//!
//! Two decoders are at work. Topics, bags and user names leave escapes that are not UTF-8 (`%FF`) as text and know no
//! `+`; tokens are form-decoded, where `+` is a blank and wrong UTF-8 becomes U+FFFD.
//!
//! Source: Azure/azure-iot-sdk-csharp `UrlEncodedDictionarySerializer.cs`, `System.Net.WebUtility`, as recorded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays bare when written: letters, digits and these. They are the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Whether a byte is an unreserved character of RFC 3986.
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// Escapes all but unreserved characters: UTF-8, hexadecimal digits in upper case.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Decodes every well-formed escape.
pub fn decode(text: &str) -> String {
    decode_where(text, |_| true)
}

/// Decodes the escapes of wanted characters, and leaves the others as they are spelled.
pub fn decode_where(text: &str, wanted: impl Fn(char) -> bool) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = leading_escapes(rest);
        if run.is_empty() {
            decoded.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            decode_run(run, &wanted, &mut decoded);
            rest = &rest[run.len()..];
        }
    }
    decoded
}

/// Decodes a value of a form.
pub fn decode_form(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The bytes that are spelled as escapes.
pub fn escaped_bytes(text: &str) -> Vec<u8> {
    let escapes = text.as_bytes().windows(3).filter(|window| is_escape(window));
    escapes.flat_map(percent_encoding::percent_decode).collect()
}

fn is_escape(three: &[u8]) -> bool {
    matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// The escapes a text begins with.
fn leading_escapes(text: &str) -> &str {
    let count = text.as_bytes().chunks(3).take_while(|chunk| is_escape(chunk)).count();
    &text[..3 * count]
}

/// Decodes a text that holds nothing but escapes, three characters for each byte.
fn decode_run(run: &str, wanted: &impl Fn(char) -> bool, decoded: &mut String) {
    let bytes: Vec<u8> = percent_decode_str(run).collect();
    let mut spelled = run;
    let mut spelling = |bytes: usize| {
        let (these, rest) = spelled.split_at(3 * bytes);
        spelled = rest;
        these
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let escapes = spelling(character.len_utf8());
            if wanted(character) { decoded.push(character) } else { decoded.push_str(escapes) }
        }
        decoded.push_str(spelling(chunk.invalid().len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_escape_stays() {
        let rows =
            [("%", "%"), ("%zz", "%zz"), ("50%", "50%"), ("%2%6F", "%2o"), ("%%41", "%A"), ("%f", "%f"), ("é%", "é%")];
        for (text, decoded) in rows {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn what_is_not_utf_8_stays_as_it_is_spelled() {
        let rows = [("%FF", "%FF"), ("%ff", "%ff"), ("%c3%A9%fF", "é%fF"), ("%C3%28", "%C3("), ("%C0%80x", "%C0%80x")];
        for (text, decoded) in rows {
            assert_eq!(decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn decoding_undoes_encoding() {
        for text in ["a b", "+/&=%#?", "é日本😀", "\t\u{1}\u{7f}", "-_.~", "%41"] {
            assert_eq!(decode(&encode(text)), text);
        }
    }
}
