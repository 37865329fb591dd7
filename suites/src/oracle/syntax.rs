//! A condition as a tree.

use super::token::{Kind, Token};

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    /// A string, its escapes decoded, as UTF-16.
    Text(Vec<u16>),
    Number(f64),
    Bool(bool),
    Null,
    Undefined,
    /// An application property.
    Property(String),
    /// `$name`, without the dollar; in braces only system properties count.
    System {
        name: String,
        braces: bool,
    },
    Negative(Box<Tree>),
    Not(Box<Tree>),
    Binary(Kind, Box<Tree>, Box<Tree>),
    Call(String, Vec<Tree>),
}

/// How tightly a binary operator binds: the higher the tighter. All of them group to the left.
pub(super) fn rank(kind: Kind) -> Option<u8> {
    Some(match kind {
        Kind::Coalesce => 0,
        Kind::Or => 1,
        Kind::And => 2,
        Kind::Equal | Kind::NotEqual => 3,
        Kind::Less | Kind::LessEqual | Kind::Greater | Kind::GreaterEqual => 4,
        Kind::Plus | Kind::Minus | Kind::Concat => 5,
        Kind::Star | Kind::Slash | Kind::Percent => 6,
        _ => return None,
    })
}

/// The tree of a whole token sequence, if it is a clean condition.
pub(super) fn tree(tokens: &[Token]) -> Option<Tree> {
    let mut reader = Reader { tokens, at: 0 };
    let tree = reader.binary(0)?;
    (reader.at == tokens.len()).then_some(tree)
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn take(&mut self, kind: Kind) -> Option<()> {
        (self.kind() == Some(kind)).then(|| self.at += 1)
    }

    fn binary(&mut self, loosest: u8) -> Option<Tree> {
        let mut left = self.operand()?;
        while let Some(kind) = self.kind() {
            let Some(rank) = rank(kind).filter(|rank| *rank >= loosest) else { break };
            self.at += 1;
            let right = self.binary(rank + 1)?;
            left = Tree::Binary(kind, Box::new(left), Box::new(right));
        }
        Some(left)
    }

    fn operand(&mut self) -> Option<Tree> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(match token.kind {
            Kind::Minus => Tree::Negative(Box::new(self.operand()?)),
            Kind::Not => Tree::Not(Box::new(self.operand()?)),
            Kind::Open => {
                let inner = self.binary(0)?;
                self.take(Kind::Close)?;
                inner
            }
            Kind::OpenBrace => {
                let name = self.tokens.get(self.at)?.text.strip_prefix('$')?.to_owned();
                self.take(Kind::System)?;
                self.take(Kind::CloseBrace)?;
                Tree::System { name, braces: true }
            }
            Kind::System => Tree::System { name: token.text[1..].to_owned(), braces: false },
            Kind::Name if self.kind() == Some(Kind::Open) => {
                self.at += 1;
                Tree::Call(token.text.clone(), self.arguments()?)
            }
            Kind::Name => Tree::Property(token.text.clone()),
            Kind::Text => Tree::Text(unescaped(&token.text[1..token.text.len() - 1])),
            Kind::Integer | Kind::Real => Tree::Number(decimal(&token.text)),
            Kind::Hex => hex(&token.text),
            Kind::True => Tree::Bool(true),
            Kind::False => Tree::Bool(false),
            Kind::Null => Tree::Null,
            Kind::Undefined => Tree::Undefined,
            _ => return None,
        })
    }

    fn arguments(&mut self) -> Option<Vec<Tree>> {
        let mut arguments = Vec::new();
        if self.take(Kind::Close).is_some() {
            return Some(arguments);
        }
        loop {
            arguments.push(self.binary(0)?);
            if self.take(Kind::Comma).is_none() {
                self.take(Kind::Close)?;
                return Some(arguments);
            }
        }
    }
}

/// The bare exponents `e5` and `-E3` are numbers to the lexer and to nobody else.
fn decimal(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// A 64-bit two's complement number. More digits than fit make the literal undefined.
fn hex(text: &str) -> Tree {
    let digits = text[2..].trim_start_matches('0');
    match digits.len() {
        0 => Tree::Number(0.0),
        1..=16 => Tree::Number(u64::from_str_radix(digits, 16).expect("at most 16 hex digits fit") as i64 as f64),
        _ => Tree::Undefined,
    }
}

/// Two passes: code points first, then the simple escapes. So a doubled backslash before `u0041` still becomes `\A`.
fn unescaped(text: &str) -> Vec<u16> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut first = Vec::new();
    let mut at = 0;
    while at < units.len() {
        let four = units.get(at + 2..at + 6).and_then(|four| {
            u16::from_str_radix(&String::from_utf16(four).ok()?, 16).ok().filter(|_| {
                four.iter().all(|unit| char::from_u32(u32::from(*unit)).is_some_and(|c| c.is_ascii_hexdigit()))
            })
        });
        match four {
            Some(unit) if units[at] == u16::from(b'\\') && matches!(units[at + 1], 0x75 | 0x55) => {
                first.push(unit);
                at += 6;
            }
            _ => {
                first.push(units[at]);
                at += 1;
            }
        }
    }
    let mut second = Vec::new();
    let mut at = 0;
    while at < first.len() {
        let escaped = first.get(at + 1).filter(|unit| matches!(**unit, 0x22 | 0x27 | 0x5c));
        match escaped {
            Some(unit) if first[at] == u16::from(b'\\') => {
                second.push(*unit);
                at += 2;
            }
            _ => {
                second.push(first[at]);
                at += 1;
            }
        }
    }
    second
}
