//! One condition, from its text to the answer for a message.

use super::check::{self, TypeError};
use super::evaluate::Evaluation;
use super::lexer::{self, Token};
use super::message::Message;
use super::node::Typed;
use super::value::Truth;
use super::{leniency, parser};
use crate::faults::planted;

/// What a condition says about a message. Only `True` routes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message is routed.
    True,
    /// It is not.
    False,
    /// It is not either, and neither would it be by the negated condition.
    Undefined,
}

/// Why a condition does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConditionError {
    #[error("syntax error")]
    Syntax,
    #[error(transparent)]
    Type(#[from] TypeError),
}

/// A condition that can be evaluated.
#[derive(Clone, Debug)]
pub(super) struct Condition(Typed);

impl Condition {
    pub(super) fn compile(text: &str) -> Result<Condition, ConditionError> {
        let tokens = lexer::tokens(text);
        match parser::condition(&tokens) {
            Ok((expression, taken)) if taken == tokens.len() => Ok(Condition(check::check(&expression)?)),
            _ => Err(ConditionError::Syntax),
        }
    }

    pub(super) fn outcome(&self, evaluation: &Evaluation) -> Outcome {
        match evaluation.condition(&self.0) {
            Truth::True => Outcome::True,
            Truth::False => Outcome::False,
            Truth::Undefined => Outcome::Undefined,
        }
    }

    /// Whether the message goes where the route says.
    pub(super) fn routes(&self, evaluation: &Evaluation) -> bool {
        match self.outcome(evaluation) {
            Outcome::True => true,
            Outcome::False => false,
            Outcome::Undefined => planted("LANG01-undefined-routes"),
        }
    }
}

/// Whether the grammar of routes accepts these tokens between `WHERE` and `INTO`: the parse stage's part in a
/// condition. What it forgives is refused by the compile stage.
pub(super) fn is_grammatical(tokens: &[Token]) -> bool {
    let complete = parser::condition(tokens).is_ok_and(|(_, taken)| taken == tokens.len());
    complete || leniency::forgives(tokens)
}

/// Evaluates one condition for one message; `None` when it does not compile.
pub fn evaluate(condition: &str, message: &Message) -> Option<Outcome> {
    let condition = Condition::compile(condition).ok()?;
    Some(condition.outcome(&Evaluation::of(message)))
}
