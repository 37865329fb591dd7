//! The permissive number format of `as_number`: blanks, signs, thousands separators, parentheses, a currency sign.
//!
//! Source: `routing.md` 4; the product reads with the invariant culture and every style but hexadecimal.

use crate::faults::planted;

const CURRENCY: char = '\u{a4}';

/// Reads a number; `None` when the text is none.
pub(super) fn parse(text: &str) -> Option<f64> {
    if planted("FN05-plain-numbers-only") {
        return text.parse().ok();
    }
    Reader { rest: text, ..Reader::default() }.number().or_else(|| named(text))
}

/// Infinity and NaN, in any letter case.
fn named(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned.eq_ignore_ascii_case("infinity") {
        return Some(f64::INFINITY);
    }
    text.eq_ignore_ascii_case("-infinity").then_some(f64::NEG_INFINITY)
}

#[derive(Default)]
struct Reader<'t> {
    rest: &'t str,
    signed: bool,
    negative: bool,
    open: bool,
    currency: bool,
}

impl Reader<'_> {
    fn number(mut self) -> Option<f64> {
        self.leading();
        let mut digits = self.digits()?;
        self.exponent(&mut digits);
        self.trailing();
        let at_end = self.rest.chars().all(|character| character == '\0');
        if self.open || !at_end {
            return None;
        }
        let value: f64 = digits.parse().ok()?;
        Some(if self.negative { -value } else { value })
    }

    fn take(&mut self, wanted: impl FnOnce(char) -> bool) -> Option<char> {
        let first = self.rest.chars().next().filter(|first| wanted(*first))?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    fn sign(&mut self) -> bool {
        match self.take(|character| matches!(character, '+' | '-')) {
            Some(sign) => {
                self.signed = true;
                self.negative = sign == '-';
                true
            }
            None => false,
        }
    }

    fn currency(&mut self) -> bool {
        let found = !self.currency && self.take(|character| character == CURRENCY).is_some();
        self.currency |= found;
        found
    }

    /// Blanks, one sign or parenthesis, one currency sign. No blank may follow the sign, unless a currency sign was
    /// there.
    fn leading(&mut self) {
        loop {
            let blank = (!self.signed || self.currency) && self.take(is_blank).is_some();
            let found = blank || (!self.signed && (self.sign() || self.parenthesis())) || self.currency();
            if !found {
                return;
            }
        }
    }

    fn parenthesis(&mut self) -> bool {
        let found = self.take(|character| character == '(').is_some();
        if found {
            (self.signed, self.negative, self.open) = (true, true, true);
        }
        found
    }

    /// At least one digit, a decimal point, and commas anywhere behind the first digit and before the point.
    fn digits(&mut self) -> Option<String> {
        let mut digits = String::new();
        let (mut any, mut point) = (false, false);
        while let Some(character) = self.rest.chars().next() {
            match character {
                '0'..='9' => {
                    any = true;
                    digits.push(character);
                }
                '.' if !point => {
                    point = true;
                    digits.push('.');
                }
                ',' if any && !point && !planted("FN05-thousands-separators-are-refused") => {}
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        any.then_some(digits)
    }

    fn exponent(&mut self, digits: &mut String) {
        let Some(exponent) = self.rest.strip_prefix(['e', 'E']) else {
            return;
        };
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let behind = unsigned.trim_start_matches(|character: char| character.is_ascii_digit());
        if behind.len() < unsigned.len() {
            digits.push_str(&self.rest[..self.rest.len() - behind.len()]);
            self.rest = behind;
        }
    }

    fn trailing(&mut self) {
        loop {
            let closed = self.open && self.take(|character| character == ')').is_some();
            self.open &= !closed;
            let found = closed || self.take(is_blank).is_some() || (!self.signed && self.sign()) || self.currency();
            if !found {
                return;
            }
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissive_formats_are_read() {
        for (text, value) in [
            (" 12 ", 12.0),
            ("1,234", 1234.0),
            ("1,2,3", 123.0),
            ("10,", 10.0),
            ("(5)", -5.0),
            ("5.", 5.0),
            ("5 -", -5.0),
            ("-\u{a4}5", -5.0),
            ("5\u{a4}", 5.0),
            ("1e3\0\0", 1000.0),
            ("infinity", f64::INFINITY),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
    }

    #[test]
    fn everything_else_is_no_number() {
        for text in ["", "0x10", "(-5)", "( 5 )", "- 5", "$5", "5d", "(5", ",5", "1e", "NaN", "\u{a0}5", "1.2.3"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
