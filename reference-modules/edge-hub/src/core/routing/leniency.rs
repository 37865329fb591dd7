//! What the route grammar lets pass in a condition although the compile stage will refuse it.
//!
//! The grammar has rules for mistakes: an unknown symbol before, between or instead of operands, a group without
//! its `)`, and one surplus `)` behind a group or a call. A condition that needs one of them passes the parse stage
//! (status 200) and fails the compile stage; any other malformed condition fails the parse stage (status 400).
//!
//! Source: `routing.md` 3.7.
//!
//! Whether operands and operators alternate can be told from left to right. How parentheses pair cannot, since
//! any group may lack its end, so all pairings are followed at once.

use super::lexer::{Kind, Token};

/// So many ways to pair parentheses are followed; text that has more is refused.
const MAX_PAIRINGS: usize = 1024;

/// Whether the grammar accepts these tokens as a condition, its rules for mistakes included.
pub(super) fn forgives(tokens: &[Token]) -> bool {
    let mut place = Place::Operand;
    let mut pairings = vec![Pairing::default()];
    let mut tokens = tokens.iter().map(|token| token.kind).peekable();
    while let Some(kind) = tokens.next() {
        let opens_call = kind == Kind::Name && tokens.peek() == Some(&Kind::Open);
        if opens_call {
            tokens.next();
        }
        if kind == Kind::OpenBrace
            && (tokens.next() != Some(Kind::SystemProperty) || tokens.next() != Some(Kind::CloseBrace))
        {
            return false;
        }
        // `f()`: the only place where a `)` may stand for an operand.
        if opens_call && tokens.next_if_eq(&Kind::Close).is_some() {
            if !place.takes_operand() {
                return false;
            }
            place = Place::Operator;
            for pairing in &mut pairings {
                pairing.behind_close = true;
            }
            continue;
        }
        let Some(next) = place.after(kind, opens_call) else {
            return false;
        };
        place = next;
        pairings = pairings.into_iter().flat_map(|pairing| pairing.after(kind, opens_call)).collect();
        prune(&mut pairings);
        if pairings.is_empty() || pairings.len() > MAX_PAIRINGS {
            return false;
        }
    }
    place.takes_operator() && pairings.iter().any(|pairing| pairing.calls.is_empty())
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Operand,
    Operator,
    /// Behind an unknown symbol where an operand was due: it may be the operand or a prefix of it.
    Either,
}

impl Place {
    fn takes_operand(self) -> bool {
        self != Place::Operator
    }

    fn takes_operator(self) -> bool {
        self != Place::Operand
    }

    fn after(self, kind: Kind, opens_call: bool) -> Option<Place> {
        let (allowed, next) = match kind {
            Kind::Unknown => (true, if self == Place::Operator { Place::Operand } else { Place::Either }),
            Kind::Minus => (true, Place::Operand),
            Kind::Not | Kind::Open => (self.takes_operand(), Place::Operand),
            Kind::Name if opens_call => (self.takes_operand(), Place::Operand),
            Kind::String
            | Kind::UnterminatedString
            | Kind::Integer
            | Kind::Hex
            | Kind::Real
            | Kind::True
            | Kind::False
            | Kind::Null
            | Kind::Undefined
            | Kind::SystemProperty
            | Kind::OpenBrace
            | Kind::Name => (self.takes_operand(), Place::Operator),
            Kind::Close => (self.takes_operator(), Place::Operator),
            Kind::Select | Kind::From | Kind::Where | Kind::Into | Kind::CloseBrace | Kind::PathWord => return None,
            _ => (self.takes_operator(), Place::Operand),
        };
        allowed.then_some(next)
    }
}

/// One way to pair the parentheses so far.
#[derive(Clone, Default, PartialEq, Eq)]
struct Pairing {
    /// Groups open around each open call, the outermost first.
    calls: Vec<usize>,
    /// Groups open inside the innermost open call. Each may still turn out to lack its end.
    groups: usize,
    /// The last token closed a group or a call, so one surplus `)` may follow.
    behind_close: bool,
}

impl Pairing {
    fn after(mut self, kind: Kind, opens_call: bool) -> Vec<Pairing> {
        let behind_close = std::mem::take(&mut self.behind_close);
        match kind {
            _ if opens_call => {
                self.calls.push(self.groups);
                self.groups = 0;
                vec![self]
            }
            Kind::Open => {
                self.groups += 1;
                vec![self]
            }
            Kind::Comma if self.calls.is_empty() => vec![],
            Kind::Comma => {
                self.groups = 0;
                vec![self]
            }
            Kind::Close => self.closed(behind_close),
            _ => vec![self],
        }
    }

    fn closed(self, behind_close: bool) -> Vec<Pairing> {
        let mut ways = Vec::new();
        if behind_close {
            ways.push(self.clone());
        }
        if let Some((groups, calls)) = self.calls.split_last() {
            ways.push(Pairing { calls: calls.to_vec(), groups: *groups, behind_close: true });
        }
        if self.groups > 0 {
            ways.push(Pairing { groups: self.groups - 1, behind_close: true, ..self });
        }
        ways
    }

    /// Whether everything that can follow `other` can follow this too.
    fn covers(&self, other: &Pairing) -> bool {
        self.calls.len() == other.calls.len()
            && self.behind_close >= other.behind_close
            && self.groups >= other.groups
            && self.calls.iter().zip(&other.calls).all(|(mine, theirs)| mine >= theirs)
    }
}

fn prune(pairings: &mut Vec<Pairing>) {
    let mut at = 0;
    while at < pairings.len() {
        let covered = |(other, pairing): (usize, &Pairing)| other != at && pairing.covers(&pairings[at]);
        if pairings.iter().enumerate().any(covered) {
            pairings.swap_remove(at);
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    #[test]
    fn mistakes_with_a_rule_pass() {
        for condition in [
            "@a",
            "a : 'x'",
            "a ? 'x'",
            "(a = 'x'",
            "(a = 'x'))",
            "f(a))",
            "f((a)",
            "((a)))",
            "@ @",
            "f())",
            r"'a\qb' = 'x'",
        ] {
            assert!(forgives(&tokens(condition)), "{condition}");
        }
    }

    #[test]
    fn mistakes_without_a_rule_do_not() {
        for condition in [
            "",
            "a =",
            "()",
            "a = 'x')",
            "f(a",
            "(a)))",
            "a b",
            "a == b",
            "a[0]",
            "a @",
            "(a, b)",
            "f(,)",
            "{name}",
            "a = and b",
            "{$x",
            "5 -3",
        ] {
            assert!(!forgives(&tokens(condition)), "{condition}");
        }
    }
}
