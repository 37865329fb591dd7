//! Conditions from tokens to a tree, without mercy; what the grammar forgives for the moment is in [`super::leniency`].
//!
//! Source: `routing.md` 3.2.

use std::borrow::Cow;

use super::lexer::{Kind, Token};
use super::syntax::{Arithmetic, Comparison, Expression, Operator};
use super::text::Text;
use crate::faults::planted;

/// How deep parentheses, calls and prefix operators may nest. The product has no limit but its stack.
const MAX_NESTING: usize = 250;

/// The tokens are no condition, or not one that is free of errors.
#[derive(Debug)]
pub(super) struct Malformed;

/// Parses as much as is one condition; gives it and the number of tokens it takes.
pub(super) fn condition(tokens: &[Token]) -> Result<(Expression, usize), Malformed> {
    let mut parser = Parser { tokens, at: 0, nesting: 0 };
    let condition = parser.level(0)?;
    Ok((condition, parser.at))
}

/// Levels of precedence, the loosest first.
fn levels() -> [&'static [Kind]; 7] {
    const COALESCE: &[Kind] = &[Kind::Coalesce];
    const OR: &[Kind] = &[Kind::Or];
    const AND: &[Kind] = &[Kind::And];
    const EQUALITY: &[Kind] = &[Kind::Equal, Kind::NotEqual];
    const ORDER: &[Kind] = &[Kind::Less, Kind::LessOrEqual, Kind::Greater, Kind::GreaterOrEqual];
    const SUM: &[Kind] = &[Kind::Plus, Kind::Minus, Kind::Concat];
    const PRODUCT: &[Kind] = &[Kind::Star, Kind::Slash, Kind::Percent];
    if planted("R19-and-or-precedence-swapped") {
        return [COALESCE, AND, OR, EQUALITY, ORDER, SUM, PRODUCT];
    }
    if planted("LANG08-coalesce-binds-tightest") {
        return [OR, AND, EQUALITY, ORDER, SUM, PRODUCT, COALESCE];
    }
    if planted("LANG08-sum-binds-like-product") {
        const BOTH: &[Kind] = &[Kind::Plus, Kind::Minus, Kind::Concat, Kind::Star, Kind::Slash, Kind::Percent];
        return [COALESCE, OR, AND, EQUALITY, ORDER, &[], BOTH];
    }
    [COALESCE, OR, AND, EQUALITY, ORDER, SUM, PRODUCT]
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    nesting: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn take(&mut self) -> Result<&'t Token<'t>, Malformed> {
        let token = self.tokens.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(token)
    }

    fn expect(&mut self, kind: Kind) -> Result<&'t Token<'t>, Malformed> {
        self.take().and_then(|token| if token.kind == kind { Ok(token) } else { Err(Malformed) })
    }

    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<T, Malformed> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Malformed);
        }
        let parsed = inner(self)?;
        self.nesting -= 1;
        Ok(parsed)
    }

    /// Operands and the operators between them, none of which binds more loosely than the level says.
    fn level(&mut self, loosest: usize) -> Result<Expression, Malformed> {
        let mut left = self.unary()?;
        while let Some((operator, level)) = self.operator().filter(|(_, level)| *level >= loosest) {
            self.at += 1;
            let right = if planted("LANG09-operators-associate-to-the-right") {
                self.nested(|parser| parser.level(level))?
            } else {
                self.level(level + 1)?
            };
            left = match left {
                Expression::Chain(first, mut rest) => {
                    rest.push((operator, right));
                    Expression::Chain(first, rest)
                }
                left => Expression::Chain(Box::new(left), vec![(operator, right)]),
            };
        }
        Ok(left)
    }

    /// The operator that comes next, and its level of precedence.
    fn operator(&self) -> Option<(Operator, usize)> {
        let kind = self.peek()?;
        let level = levels().iter().position(|kinds| kinds.contains(&kind))?;
        Some((operator(kind), level))
    }

    /// Prefix operators bind to the next operand only: `not a = b` is `(not a) = b`.
    fn unary(&mut self) -> Result<Expression, Malformed> {
        const EQUALITY: usize = 3;
        match self.peek() {
            Some(Kind::Not) => self.nested(|parser| {
                parser.at += 1;
                let operand =
                    if planted("LANG08-not-binds-loosely") { parser.level(EQUALITY)? } else { parser.unary()? };
                Ok(Expression::Not(Box::new(operand)))
            }),
            Some(Kind::Minus) => self.nested(|parser| {
                parser.at += 1;
                Ok(Expression::Negate(Box::new(parser.unary()?)))
            }),
            _ => self.operand(),
        }
    }

    fn operand(&mut self) -> Result<Expression, Malformed> {
        let token = self.take()?;
        match token.kind {
            Kind::True => Ok(Expression::Bool(true)),
            Kind::False => Ok(Expression::Bool(false)),
            Kind::Null => Ok(Expression::Null),
            Kind::Undefined => Ok(Expression::Undefined),
            Kind::Integer | Kind::Real => Ok(Expression::Number(token.text.parse().ok())),
            Kind::Hex => Ok(Expression::Number(hex(&token.text[2..]))),
            Kind::String => Ok(Expression::Text(unescape(&token.text[1..token.text.len() - 1]))),
            Kind::SystemProperty => Ok(Expression::System(token.text.to_owned())),
            Kind::OpenBrace => {
                let name = self.expect(Kind::SystemProperty)?.text.to_owned();
                self.expect(Kind::CloseBrace)?;
                Ok(Expression::Braced(name))
            }
            Kind::Open => self.nested(|parser| {
                let inner = parser.level(0)?;
                parser.expect(Kind::Close)?;
                Ok(inner)
            }),
            Kind::Name if self.peek() == Some(Kind::Open) => {
                self.at += 1;
                let arguments = self.nested(Self::arguments)?;
                Ok(Expression::Call { function: token.text.to_owned(), arguments })
            }
            Kind::Name => Ok(Expression::Application(token.text.to_owned())),
            _ => Err(Malformed),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, Malformed> {
        let mut arguments = Vec::new();
        if self.peek() == Some(Kind::Close) {
            self.at += 1;
            return Ok(arguments);
        }
        loop {
            arguments.push(self.level(0)?);
            match self.take()?.kind {
                Kind::Comma => {}
                Kind::Close => return Ok(arguments),
                _ => return Err(Malformed),
            }
        }
    }
}

fn operator(kind: Kind) -> Operator {
    match kind {
        Kind::Coalesce => Operator::Coalesce,
        Kind::Or => Operator::Or,
        Kind::And => Operator::And,
        Kind::Equal => Operator::Compare(Comparison::Equal),
        Kind::NotEqual => Operator::Compare(Comparison::NotEqual),
        Kind::Less => Operator::Compare(Comparison::Less),
        Kind::LessOrEqual => Operator::Compare(Comparison::LessOrEqual),
        Kind::Greater => Operator::Compare(Comparison::Greater),
        Kind::GreaterOrEqual => Operator::Compare(Comparison::GreaterOrEqual),
        Kind::Plus => Operator::Arithmetic(Arithmetic::Add),
        Kind::Minus => Operator::Arithmetic(Arithmetic::Subtract),
        Kind::Concat => Operator::Concat,
        Kind::Star => Operator::Arithmetic(Arithmetic::Multiply),
        Kind::Slash => Operator::Arithmetic(Arithmetic::Divide),
        Kind::Percent => Operator::Arithmetic(Arithmetic::Remainder),
        _ => unreachable!("only kinds of a level of precedence are looked up"),
    }
}

/// A 64-bit two's-complement integer: `0xFFFFFFFFFFFFFFFF` is -1. Too many digits give Undefined.
fn hex(digits: &str) -> Option<f64> {
    let bits = u64::from_str_radix(digits.trim_start_matches('0'), 16);
    let bits = if digits.bytes().all(|digit| digit == b'0') { Ok(0) } else { bits };
    if planted("LANG12-hex-is-unsigned") {
        return bits.ok().map(|bits| bits as f64);
    }
    bits.ok().map(|bits| bits as i64 as f64)
}

/// Decodes escapes in two passes, first `\u` with four digits, then the simple ones.
///
/// Quirk: because of that order a doubled backslash before `u0041` becomes a backslash and an `A`.
fn unescape(raw: &str) -> Text<'static> {
    if !raw.contains('\\') {
        return Text::Unicode(Cow::Owned(raw.to_owned()));
    }
    if planted("LANG14-unicode-escapes-stay") {
        return Text::from_units(simple_escapes(&raw.encode_utf16().collect::<Vec<_>>()));
    }
    Text::from_units(simple_escapes(&unicode_escapes(&raw.encode_utf16().collect::<Vec<_>>())))
}

const BACKSLASH: u16 = b'\\' as u16;

fn unicode_escapes(raw: &[u16]) -> Vec<u16> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        match unicode_escape(rest) {
            Some(unit) => {
                decoded.push(unit);
                rest = &rest[6..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    decoded
}

fn unicode_escape(rest: &[u16]) -> Option<u16> {
    let [BACKSLASH, marker, digits @ ..] = rest else {
        return None;
    };
    if ![u16::from(b'u'), u16::from(b'U')].contains(marker) {
        return None;
    }
    let digit = |unit: &u16| char::from_u32(u32::from(*unit)).and_then(|digit| digit.to_digit(16));
    digits.get(..4)?.iter().try_fold(0, |value, unit| Some(value << 4 | digit(unit)? as u16))
}

fn simple_escapes(raw: &[u16]) -> Vec<u16> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        match rest {
            [BACKSLASH, escaped, tail @ ..] if [BACKSLASH, b'"'.into(), b'\''.into()].contains(escaped) => {
                decoded.push(*escaped);
                rest = tail;
            }
            [first, tail @ ..] => {
                decoded.push(*first);
                rest = tail;
            }
            [] => return decoded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_in_two_passes() {
        assert_eq!(unescape(r"it\'s \u0041"), Text::borrowed("it's A"));
        assert_eq!(unescape(r"\\u0041"), Text::borrowed("\\A"));
        assert_eq!(unescape(r"\ud83d\ude00"), Text::borrowed("\u{1f600}"));
        assert!(matches!(unescape(r"\ud83d"), Text::Units(_)));
    }

    #[test]
    fn hex_literals_are_signed() {
        assert_eq!(hex("FFFFFFFFFFFFFFFF"), Some(-1.0));
        assert_eq!(hex("0000000000000000001F"), Some(31.0));
        assert_eq!(hex("000"), Some(0.0));
        assert_eq!(hex("10000000000000000"), None);
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
        assert!(condition(&super::super::lexer::tokens(&nested(MAX_NESTING))).is_ok());
        assert!(condition(&super::super::lexer::tokens(&nested(MAX_NESTING + 1))).is_err());
    }
}
