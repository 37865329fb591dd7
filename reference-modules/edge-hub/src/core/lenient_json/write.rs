//! Compact JSON as the product's library writes it again: dates re-spelled, floats in the shortest form that reads
//! back, with at least one decimal. Source: `twins-methods.md` 2.2.

use super::{Json, date};

/// Exponents at which a float is written with one: from the first on, and below the second.
const WITH_EXPONENT: (i32, i32) = (17, -4);

impl Json {
    /// The text.
    pub(crate) fn compact(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Json::Null => text.push_str("null"),
            Json::Undefined => text.push_str("undefined"),
            Json::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Json::Integer(value) => text.push_str(&value.to_string()),
            Json::Float { written, .. } if is_integer(written) => text.push_str(written),
            Json::Float { value, .. } => text.push_str(&float(*value)),
            Json::Text(value) => string(value, text),
            Json::Date(value) => string(&date::respelled(value), text),
            Json::Array(elements) => {
                text.push('[');
                for (number, element) in elements.iter().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    element.write(text);
                }
                text.push(']');
            }
            Json::Object(members) => {
                text.push('{');
                for (number, (name, value)) in members.iter().enumerate() {
                    if number > 0 {
                        text.push(',');
                    }
                    string(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }
}

/// Whether a number that was written like this is an integer: one beyond 64 bits keeps its digits.
pub(crate) fn is_integer(written: &str) -> bool {
    let digits = written.strip_prefix('-').unwrap_or(written);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// What is not finite becomes a string.
fn float(value: f64) -> String {
    if value.is_nan() {
        return String::from("\"NaN\"");
    }
    if value.is_infinite() {
        return String::from(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (large, small) = WITH_EXPONENT;
    if exponent >= large || exponent < small {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}E{sign}{:02}", exponent.abs());
    }
    let plain = value.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// A string in quotes.
pub(super) fn string(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use crate::core::lenient_json::read;

    fn again(text: &str) -> String {
        read(&format!("[{text}]")).expect("readable").compact()
    }

    #[test]
    fn numbers_are_written_as_the_product_writes_them() {
        for (text, written) in [
            ("1e3", "1000.0"),
            ("1.50", "1.5"),
            ("-0.0", "-0.0"),
            ("1e16", "10000000000000000.0"),
            ("1e17", "1E+17"),
            ("0.0001", "0.0001"),
            ("0.00001", "1E-05"),
            ("5e-324", "5E-324"),
            ("010", "8"),
            ("18446744073709551616", "18446744073709551616"),
            ("1e400", "\"Infinity\""),
            ("NaN", "\"NaN\""),
        ] {
            assert_eq!(again(text), format!("[{written}]"), "{text}");
        }
    }

    #[test]
    fn dates_are_written_as_the_product_writes_them() {
        for (text, written) in [
            ("2031-02-03T04:05:06.1000000Z", "2031-02-03T04:05:06.1Z"),
            ("2031-02-03T04:05:06.000z", "2031-02-03T04:05:06Z"),
            ("2031-02-03T04:05:06+02:00", "2031-02-03T02:05:06+00:00"),
            ("2031-02-03T04:05:06.50", "2031-02-03T04:05:06.5"),
            ("2031-12-31T24:00:00", "2032-01-01T00:00:00"),
            ("/Date(1)/", "1970-01-01T00:00:00.001Z"),
            ("/Date(1+0100)/", "1970-01-01T00:00:00.001+00:00"),
            ("2031-02-03", "2031-02-03"),
        ] {
            assert_eq!(again(&format!("\"{text}\"")), format!("[\"{written}\"]"), "{text}");
        }
    }
}
