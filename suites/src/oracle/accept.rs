//! Which token sequences are conditions. The product's grammar takes some malformed ones, to report them better when
//! it compiles; so a text is clean, or tolerated (refused when it is compiled), or none at all (refused when the
//! document is read).
//!
//! The grammar is ambiguous where it tolerates, so this follows every way at once: sets of positions, no tree.

use std::collections::BTreeSet;

use super::syntax;
use super::token::{Kind, Token};

/// How a text is a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is of the grammar proper.
    Clean,
    /// It is taken, and then never compiles.
    Tolerated,
}

/// The number of tokens up to `INTO` and how they are a condition, if they are.
pub(super) fn condition(tokens: &[Token]) -> Option<(usize, Accepted)> {
    let end = tokens.iter().position(|token| token.kind == Kind::Into)?;
    let tokens = &tokens[..end];
    if syntax::tree(tokens).is_some() {
        return Some((end, Accepted::Clean));
    }
    (end > 0 && expression(tokens, 0).contains(&end)).then_some((end, Accepted::Tolerated))
}

type Ends = BTreeSet<usize>;

/// Where an expression that begins at `at` may end.
fn expression(tokens: &[Token], at: usize) -> Ends {
    let mut ends = operand(tokens, at);
    let mut open: Vec<usize> = ends.iter().copied().collect();
    while let Some(end) = open.pop() {
        if tokens.get(end).is_some_and(|token| binary(token.kind)) {
            for further in operand(tokens, end + 1) {
                if ends.insert(further) {
                    open.push(further);
                }
            }
        }
    }
    ends
}

fn operand(tokens: &[Token], at: usize) -> Ends {
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    match kind(at) {
        // A character that belongs to nothing is taken for an operator, in front of an operand or between two, and for
        // an operand.
        Some(Kind::Other) => {
            let mut ends = operand(tokens, at + 1);
            ends.insert(at + 1);
            ends
        }
        Some(Kind::Minus | Kind::Not) => operand(tokens, at + 1),
        Some(Kind::Open) => {
            let mut ends = Ends::new();
            for end in expression(tokens, at + 1) {
                ends.insert(end);
                if kind(end) == Some(Kind::Close) {
                    ends.insert(end + 1);
                    if kind(end + 1) == Some(Kind::Close) {
                        ends.insert(end + 2);
                    }
                }
            }
            ends
        }
        Some(Kind::OpenBrace) if kind(at + 1) == Some(Kind::System) && kind(at + 2) == Some(Kind::CloseBrace) => {
            Ends::from([at + 3])
        }
        Some(Kind::Name) if kind(at + 1) == Some(Kind::Open) => call(tokens, at + 2),
        Some(kind) if simple(kind) => Ends::from([at + 1]),
        _ => Ends::new(),
    }
}

/// Where a call whose arguments begin at `at` may end.
fn call(tokens: &[Token], at: usize) -> Ends {
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let mut closing = Ends::new();
    if kind(at) == Some(Kind::Close) {
        closing.insert(at);
    }
    let mut open = vec![at];
    let mut seen = Ends::new();
    while let Some(argument) = open.pop() {
        for end in expression(tokens, argument) {
            match kind(end) {
                Some(Kind::Close) => {
                    closing.insert(end);
                }
                Some(Kind::Comma) if seen.insert(end) => open.push(end + 1),
                _ => {}
            }
        }
    }
    let mut ends: Ends = closing.iter().map(|end| end + 1).collect();
    let surplus: Vec<usize> = ends.iter().copied().filter(|end| kind(*end) == Some(Kind::Close)).collect();
    ends.extend(surplus.iter().map(|end| end + 1));
    ends
}

fn simple(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text
            | Kind::Unterminated
            | Kind::Integer
            | Kind::Hex
            | Kind::Real
            | Kind::True
            | Kind::False
            | Kind::Null
            | Kind::Undefined
            | Kind::System
            | Kind::Name
    )
}

fn binary(kind: Kind) -> bool {
    syntax::rank(kind).is_some() || kind == Kind::Other
}
