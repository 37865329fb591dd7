//! From bytes to a document, and back: as compact text, with dates and numbers spelled anew.

use super::super::json;
use super::Json;

/// Reads a body. `None` when it is no JSON, by the product's lenient rules, or nests too deep.
pub fn read(body: &[u8]) -> Option<Json> {
    let text: Vec<u16> = String::from_utf8_lossy(body).encode_utf16().collect();
    json::any(&text)
}

/// Compact JSON.
pub fn written(json: &Json) -> String {
    let mut text = String::new();
    write(json, &mut text);
    text
}

fn write(json: &Json, text: &mut String) {
    match json {
        Json::Null => text.push_str("null"),
        Json::Other => text.push_str("undefined"),
        Json::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Json::Integer(digits) => text.push_str(digits),
        Json::Float(number) if number.is_finite() => text.push_str(&float(*number)),
        Json::Float(number) => quoted(&float(*number), text),
        Json::Text(units) => quoted(&String::from_utf16_lossy(units), text),
        Json::Date(date) => quoted(&date.to_string(), text),
        Json::Array(elements) => {
            text.push('[');
            for (number, element) in elements.iter().enumerate() {
                text.push_str(if number > 0 { "," } else { "" });
                write(element, text);
            }
            text.push(']');
        }
        Json::Object(members) => {
            text.push('{');
            for (number, (name, value)) in members.iter().enumerate() {
                text.push_str(if number > 0 { "," } else { "" });
                quoted(&String::from_utf16_lossy(name), text);
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
    }
}

/// A number with a point: the fewest digits that lead back to it, and from 1e17 up and below 1e-4 an exponent.
pub fn float(number: f64) -> String {
    if !number.is_finite() {
        let word = if number.is_nan() { "NaN" } else { "Infinity" };
        return if number == f64::NEG_INFINITY { format!("-{word}") } else { word.to_owned() };
    }
    let size = number.abs();
    if size == 0.0 || (1e-4..1e17).contains(&size) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let text = format!("{number:E}");
    let (digits, exponent) = text.split_once('E').expect("this form has an exponent");
    match exponent.strip_prefix('-') {
        Some(exponent) => format!("{digits}E-{exponent:0>2}"),
        None => format!("{digits}E+{exponent:0>2}"),
    }
}

/// A text with what JSON demands escaped, and the line ends that the product escapes too.
pub fn quoted(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            c if c < ' ' || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_are_spelled_anew_and_order_is_kept() {
        let pairs = [
            (r#"{ "b":1e3, "a":[1.50,-0.0,1e17,1E-5] }"#, r#"{"b":1000.0,"a":[1.5,-0.0,1E+17,1E-05]}"#),
            (
                r#"["2031-02-03T04:05:06.1000000Z","/Date(1)/"]"#,
                r#"["2031-02-03T04:05:06.1Z","1970-01-01T00:00:00.001Z"]"#,
            ),
            (
                r#"["2031-02-03T04:05:06+02:00","2020-12-31T24:00:00"]"#,
                r#"["2031-02-03T02:05:06+00:00","2021-01-01T00:00:00"]"#,
            ),
            (
                r#"["2031-02-03","2031-02-03 04:05:06","2019-02-29T00:00:00Z"]"#,
                r#"["2031-02-03","2031-02-03 04:05:06","2019-02-29T00:00:00Z"]"#,
            ),
            ("{a:'x',/* b */c:010,}", r#"{"a":"x","c":8}"#),
        ];
        for (body, expected) in pairs {
            assert_eq!(read(body.as_bytes()).map(|json| written(&json)).as_deref(), Some(expected), "{body}");
        }
        for body in ["\u{feff}{}", "/* c */{}", "{} x", "+1", "True", "{}{}"] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }
}
