//! The lenient JSON reader behind `$body`: comments, single quotes, bare names, trailing commas, odd numbers.
//!
//! Source: the product's JSON library, observed; limits of 64 levels.

/// A JSON value, in so far as a path can tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(Vec<u16>),
    /// `undefined`, `new Name(...)`, and text that looks like a date.
    Other,
    Array(Vec<Json>),
    /// Members in order; of repeated names the last counts.
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
    let root = reader.value(1)?;
    reader.blanks()?;
    let rest = &text[reader.at..];
    rest.iter().all(|unit| *unit == 0).then_some(root)
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
                Some(if looks_like_date(&text) { Json::Other } else { Json::Text(text) })
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
            elements.push(self.value(level + 1)?);
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
                .then_some(Json::Number(f64::NEG_INFINITY));
        }
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-')) {
            self.at += 1;
        }
        let text = String::from_utf16(&self.text[start..self.at]).ok()?;
        number(&text).map(Json::Number)
    }

    fn word(&mut self, level: usize) -> Option<Json> {
        let word = String::from_utf16(&self.bare_name()?).ok()?;
        Some(match word.as_str() {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            "NaN" => Json::Number(f64::NAN),
            "Infinity" => Json::Number(f64::INFINITY),
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
fn number(text: &str) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let whole = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(|number| number as i64 as f64);
    let lower = digits.to_ascii_lowercase();
    let number = if let Some(hex) = lower.strip_prefix("0x") {
        whole(hex, 16)?
    } else if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|byte| byte.is_ascii_digit()) {
        whole(&lower, 8)?
    } else if lower.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'))
        && lower.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        lower.parse().ok()?
    } else {
        return None;
    };
    Some(if negative { -number } else { number })
}

/// Whether the reader makes a date of a text: date and time to the second with `T` between, up to seven digits of
/// fraction, a zone or none; or `/Date(1)/`.
pub(super) fn looks_like_date(text: &[u16]) -> bool {
    let Ok(text) = String::from_utf16(text) else { return false };
    if let Some(inner) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return epoch(inner);
    }
    iso(&text).is_some()
}

/// Milliseconds, and perhaps an offset.
fn epoch(text: &str) -> bool {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let _ = negative;
    let (milliseconds, offset) = match text.find(['+', '-']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(milliseconds) && offset.is_none_or(|offset| digits(offset) && matches!(offset.len(), 2 | 4))
}

fn iso(text: &str) -> Option<()> {
    let field = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    };
    let mark = |at: usize, wanted: u8| (text.as_bytes().get(at) == Some(&wanted)).then_some(());
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    for (at, wanted) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        mark(at, wanted)?;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(tail) => {
            let count = tail.bytes().take_while(u8::is_ascii_digit).count();
            (Some(&tail[..count]), &tail[count..])
        }
        None => (None, rest),
    };
    let fraction_good = fraction.is_none_or(|digits| (1..=7).contains(&digits.len()));
    let midnight = hour == 24
        && minute == 0
        && second == 0
        && fraction.is_none_or(|digits| digits.bytes().all(|digit| digit == b'0'));
    let time_good = (hour < 24 && minute < 60 && second < 60) || midnight;
    (year >= 1 && (1..=days).contains(&day) && time_good && fraction_good && zone_good(zone)).then_some(())
}

fn zone_good(zone: &str) -> bool {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return true;
    }
    let Some(offset) = zone.strip_prefix(['+', '-']) else { return false };
    let two = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = match offset.len() {
        2 => (offset, "00"),
        4 if offset.is_char_boundary(2) => offset.split_at(2),
        5 => match offset.split_once(':') {
            Some(parts) => parts,
            None => return false,
        },
        _ => return false,
    };
    two(hours).is_some_and(|hours| hours < 24) && two(minutes).is_some_and(|minutes| minutes < 60)
}
