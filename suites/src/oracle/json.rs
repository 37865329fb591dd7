//! The lenient JSON reader behind `$body` and twins: comments, single quotes, bare names, trailing commas, odd numbers.
//!
//! Source: the product's JSON library, observed; limits of 64 levels.

use super::date::{self, Date};

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, in decimal digits; there can be any number of them.
    Integer(String),
    /// A number written with a point or an exponent.
    Float(f64),
    /// A text, in UTF-16.
    Text(Vec<u16>),
    /// A text that looks like a date, and is read as one.
    Date(Date),
    /// `undefined`, `new Name(...)`, and a hole in an array.
    Other,
    /// An array.
    Array(Vec<Json>),
    /// Members in order; of repeated names the last counts, at the place of the first.
    Object(Vec<(Vec<u16>, Json)>),
}

const LEVELS: usize = 64;

/// Reads a text whose root is an object; `None` when it is not or cannot be read.
pub(super) fn object(text: &[u16]) -> Option<Json> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks()?;
    if reader.peek() != Some('{') {
        return None;
    }
    reader.root()
}

/// Reads a text with any root; no comment stands before it.
pub(super) fn any(text: &[u16]) -> Option<Json> {
    let mut reader = Reader { text, at: 0 };
    while reader.peek().is_some_and(char::is_whitespace) {
        reader.at += 1;
    }
    if reader.peek() == Some('/') {
        return None;
    }
    reader.root()
}

struct Reader<'a> {
    text: &'a [u16],
    at: usize,
}

impl Reader<'_> {
    /// The next character; halves of a pair count as the replacement character, which stands for nothing here.
    fn peek(&self) -> Option<char> {
        let unit = *self.text.get(self.at)?;
        Some(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    /// The root, and nothing behind it.
    fn root(&mut self) -> Option<Json> {
        let root = self.value(1)?;
        self.blanks()?;
        self.text[self.at..].iter().all(|unit| *unit == 0).then_some(root)
    }

    /// Skips blanks and comments; `None` when a comment does not end or a slash begins none.
    fn blanks(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(c) if c.is_whitespace() => self.at += 1,
                Some('/') => {
                    self.at += 1;
                    self.comment()?;
                }
                _ => return Some(()),
            }
        }
    }

    fn comment(&mut self) -> Option<()> {
        if self.take('/') {
            while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
                self.at += 1;
            }
            return Some(());
        }
        if !self.take('*') {
            return None;
        }
        while !self.text[self.at..].starts_with(&[u16::from(b'*'), u16::from(b'/')]) {
            self.peek()?;
            self.at += 1;
        }
        self.at += 2;
        Some(())
    }

    fn value(&mut self, level: usize) -> Option<Json> {
        self.blanks()?;
        match self.peek()? {
            '{' | '[' if level > LEVELS => None,
            '{' => self.members(level),
            '[' => self.elements(level),
            quote @ ('"' | '\'') => {
                let text = self.quoted(quote)?;
                Some(date::read(&text).map_or(Json::Text(text), Json::Date))
            }
            '-' | '.' | '0'..='9' => self.number(),
            _ => self.word(level),
        }
    }

    fn members(&mut self, level: usize) -> Option<Json> {
        self.at += 1;
        let mut members: Vec<(Vec<u16>, Json)> = Vec::new();
        loop {
            self.blanks()?;
            if self.take('}') {
                return Some(Json::Object(members));
            }
            let name = match self.peek()? {
                quote @ ('"' | '\'') => self.quoted(quote)?,
                _ => self.bare_name()?,
            };
            self.blanks()?;
            if !self.take(':') {
                return None;
            }
            let value = self.value(level + 1)?;
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => members.push((name, value)),
            }
            self.separator('}')?;
        }
    }

    fn elements(&mut self, level: usize) -> Option<Json> {
        self.at += 1;
        let mut elements = Vec::new();
        loop {
            self.blanks()?;
            if self.take(']') {
                return Some(Json::Array(elements));
            }
            let hole = self.peek() == Some(',');
            elements.push(if hole { Json::Other } else { self.value(level + 1)? });
            self.separator(']')?;
        }
    }

    /// A comma, or the end which the caller takes.
    fn separator(&mut self, end: char) -> Option<()> {
        self.blanks()?;
        (self.take(',') || self.peek() == Some(end)).then_some(())
    }

    fn bare_name(&mut self) -> Option<Vec<u16>> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            self.at += 1;
        }
        (self.at > start).then(|| self.text[start..self.at].to_vec())
    }

    fn quoted(&mut self, quote: char) -> Option<Vec<u16>> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let c = self.peek()?;
            let unit = self.text[self.at];
            self.at += 1;
            match c {
                c if c == quote => return Some(text),
                '\\' => text.push(self.escape()?),
                _ => text.push(unit),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let c = self.peek()?;
        self.at += 1;
        Some(match c {
            'b' => 8,
            't' => 9,
            'n' => 10,
            'f' => 12,
            'r' => 13,
            '\\' | '/' | '"' | '\'' => c as u16,
            'u' => {
                let four = String::from_utf16(self.text.get(self.at..self.at + 4)?).ok()?;
                self.at += 4;
                four.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(&four, 16).ok())??
            }
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        if self.take('-') && self.peek() == Some('I') {
            return (self.bare_name()? == "Infinity".encode_utf16().collect::<Vec<_>>())
                .then_some(Json::Float(f64::NEG_INFINITY));
        }
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')) {
            self.at += 1;
        }
        let text = String::from_utf16(&self.text[start..self.at]).ok()?;
        number(&text)
    }

    fn word(&mut self, level: usize) -> Option<Json> {
        let word = String::from_utf16(&self.bare_name()?).ok()?;
        Some(match word.as_str() {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            "NaN" => Json::Float(f64::NAN),
            "Infinity" => Json::Float(f64::INFINITY),
            "undefined" => Json::Other,
            "new" => {
                self.blanks()?;
                self.bare_name()?;
                self.blanks()?;
                if !self.take('(') {
                    return None;
                }
                loop {
                    self.blanks()?;
                    if self.take(')') {
                        break Json::Other;
                    }
                    self.value(level + 1)?;
                    self.separator(')')?;
                }
            }
            _ => return None,
        })
    }
}

/// Hexadecimal, octal with a leading zero, and decimal numbers, also `.5` and `1.`.
fn number(text: &str) -> Option<Json> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let signed = |digits: &str| {
        let digits = digits.trim_start_matches('0');
        Json::Integer(match digits {
            "" => "0".to_owned(),
            digits if negative => format!("-{digits}"),
            digits => digits.to_owned(),
        })
    };
    // The bits of a 64-bit number, which has a sign.
    let whole = |digits: &str, radix| {
        let number = u64::from_str_radix(digits, radix).ok()? as i64;
        let number = if negative { number.wrapping_neg() } else { number };
        Some(Json::Integer(number.to_string()))
    };
    let lower = digits.to_ascii_lowercase();
    let only_digits = !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(hex) = lower.strip_prefix("0x") {
        whole(hex, 16)
    } else if only_digits && lower.len() > 1 && lower.starts_with('0') {
        whole(&lower, 8)
    } else if only_digits {
        Some(signed(&lower))
    } else if lower.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'))
        && lower.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        let number: f64 = lower.parse().ok()?;
        Some(Json::Float(if negative { -number } else { number }))
    } else {
        None
    }
}
