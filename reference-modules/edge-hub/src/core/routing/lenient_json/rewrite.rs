//! A value as the library writes it that read it token by token: without blanks, numbers and dates spelled its way,
//! comments and repeated names as they were. Source: `twins-methods.md` 2.2 and 3.2.

use std::fmt::Write as _;

use super::{Json, NotJson, Reader, Result, date};

impl Reader<'_> {
    /// Reads a value, and writes it anew.
    pub fn rewritten(&mut self, out: &mut String) -> Result<()> {
        match self.peek().ok_or(NotJson)? {
            '{' => self.nested(|reader| reader.rewritten_object(out)),
            '[' => {
                out.push('[');
                self.nested(|reader| reader.rewritten_elements(']', out))
            }
            'n' if self.rest.starts_with("ne") => {
                let name = self.constructed()?;
                let _ = write!(out, "new {name}(");
                self.nested(|reader| reader.rewritten_elements(')', out))
            }
            _ => {
                write_scalar(&self.value()?, out);
                Ok(())
            }
        }
    }

    fn rewritten_object(&mut self, out: &mut String) -> Result<()> {
        self.take()?;
        out.push('{');
        let mut first = true;
        loop {
            self.rewritten_comments(out)?;
            if self.take_if('}') {
                out.push('}');
                return Ok(());
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            write_text(&self.name()?, out);
            out.push(':');
            self.rewritten_comments(out)?;
            self.rewritten(out)?;
            self.rewritten_comments(out)?;
            if !self.take_if(',') && self.peek() != Some('}') {
                return Err(NotJson);
            }
        }
    }

    fn rewritten_elements(&mut self, end: char, out: &mut String) -> Result<()> {
        self.take()?;
        let mut first = true;
        loop {
            self.rewritten_comments(out)?;
            if self.take_if(end) {
                out.push(end);
                return Ok(());
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            self.rewritten(out)?;
            self.rewritten_comments(out)?;
            if !self.take_if(',') && self.peek() != Some(end) {
                return Err(NotJson);
            }
        }
    }

    fn rewritten_comments(&mut self, out: &mut String) -> Result<()> {
        while let Some(comment) = self.comment()? {
            let _ = write!(out, "/*{comment}*/");
        }
        Ok(())
    }
}

fn write_scalar(value: &Json, out: &mut String) {
    let _ = match value {
        Json::Null => write!(out, "null"),
        Json::Bool(value) => write!(out, "{value}"),
        Json::Integer(value) => write!(out, "{value}"),
        Json::Float { written, .. } if is_integer(written) => write!(out, "{written}"),
        Json::Float { value, .. } => write!(out, "{}", float(*value)),
        Json::Text(text) => return write_text(text, out),
        Json::Date(text) => return write_text(&date::respelled(text).unwrap_or_else(|| text.clone()), out),
        // Containers do not come here.
        Json::Undefined | Json::Array(_) | Json::Object(_) => write!(out, "undefined"),
    };
}

/// An integer beyond 64 bits keeps its digits.
fn is_integer(written: &str) -> bool {
    written.trim_start_matches('-').bytes().all(|digit| digit.is_ascii_digit())
}

/// The shortest digits that give the same double again, with a point; far from one with an exponent.
pub(super) fn float(value: f64) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() { "NaN" } else { "Infinity" };
        return format!("\"{}{name}\"", if value == f64::NEG_INFINITY { "-" } else { "" });
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..17).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}E{sign}{:02}", exponent.abs());
    }
    let plain = value.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// A string with the escapes the library writes.
pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let _ = match character {
            '"' => write!(out, "\\\""),
            '\\' => write!(out, "\\\\"),
            '\u{8}' => write!(out, "\\b"),
            '\t' => write!(out, "\\t"),
            '\n' => write!(out, "\\n"),
            '\u{c}' => write!(out, "\\f"),
            '\r' => write!(out, "\\r"),
            odd @ ('\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}') => write!(out, "\\u{:04x}", u32::from(odd)),
            other => write!(out, "{other}"),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Option<String> {
        let mut out = String::new();
        Reader::new(text, 64).rewritten(&mut out).ok().map(|()| out)
    }

    #[test]
    fn values_are_written_the_librarys_way() {
        for (text, written) in [
            (
                "[ 1e3, 1.50, -0.0, 1e16, 1e17, 1e-5, 0.0001, 5e-324 ]",
                "[1000.0,1.5,-0.0,10000000000000000.0,1E+17,1E-05,0.0001,5E-324]",
            ),
            ("123456789012345678.0", "1.2345678901234568E+17"),
            ("[18446744073709551616,-9223372036854775809,0x1F]", "[18446744073709551616,-9223372036854775809,31]"),
            ("[NaN,-Infinity,undefined,null]", "[\"NaN\",\"-Infinity\",undefined,null]"),
            ("{a : 1 , 'a':2,}", "{\"a\":1,\"a\":2}"),
            ("[1,/*c*/2//d\n]", "[1/*c*/,2/*d*/]"),
            ("{\"a\":/*c*/1}", "{\"a\":/*c*/1}"),
            ("[1,,2]", "[1,undefined,2]"),
            ("new  Date ( 1 )", "new Date(1)"),
            ("'\\u2028\\/ü\\u0001\"'", "\"\\u2028/ü\\u0001\\\"\""),
            ("\"2020-01-01T24:00:00Z\"", "\"2020-01-02T00:00:00Z\""),
        ] {
            assert_eq!(rewritten(text).as_deref(), Some(written), "{text}");
        }
        assert_eq!(rewritten("[1"), None);
    }
}
