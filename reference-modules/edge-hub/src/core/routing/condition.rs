//! One condition, from its text to the answer for a message.

use super::check::{self, TypeError};
use super::evaluate::Evaluation;
use super::letter_case::Name;
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

    /// A text that an application property must have for this to be true, if it is easily seen.
    pub(super) fn required_text(&self) -> Option<(&Name, &str)> {
        match &self.0 {
            Typed::Truth(node) => node.required_text(),
            _ => None,
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

#[cfg(test)]
mod tests {
    use super::super::message::MessageSource;
    use super::*;

    const BODY: &str =
        r#"{"reading":{"celsius":19.25,"ok":true,"note":null,"at":"2031-02-03T04:05:06Z"},"seq":4,"z":0}"#;

    fn message() -> Message {
        let pairs = |pairs: &[(&str, Option<&str>)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
        };
        Message {
            source: MessageSource::Device,
            properties: pairs(&[("line", Some("press")), ("grade", Some("12")), ("nul", None), ("$zone", Some("app"))]),
            system: pairs(&[
                ("zone", Some("sys")),
                ("contentType", Some("Application/JSON")),
                ("contentEncoding", Some("UTF-8")),
            ]),
            body: BODY.into(),
        }
    }

    #[track_caller]
    fn is(expected: Option<Outcome>, conditions: &[&str]) {
        for condition in conditions {
            assert_eq!(evaluate(condition, &message()), expected, "{condition}");
        }
    }

    const TRUE: Option<Outcome> = Some(Outcome::True);
    const FALSE: Option<Outcome> = Some(Outcome::False);
    const UNDEFINED: Option<Outcome> = Some(Outcome::Undefined);

    #[test]
    fn an_absent_property_stays_undefined_under_not() {
        is(UNDEFINED, &["absent = 'x'", "absent <> 'x'", "not (absent = 'x')", "line"]);
        is(TRUE, &["absent = 'x' or line = 'press'"]);
        is(FALSE, &["absent = 'x' and line = 'weld'", "is_defined(absent)"]);
    }

    #[test]
    fn different_static_types_do_not_compile() {
        is(None, &["grade = 12", "absent = null", "not absent", "1 < 2 < 3", "true and 1", "'a' + 'b' = 'ab'"]);
        is(TRUE, &["as_number(grade) >= 12", "1 = 1 = true", "not true = false"]);
    }

    #[test]
    fn coalesce_is_the_loosest_operator() {
        is(TRUE, &["(absent ?? 'fallback') = 'fallback'"]);
        is(None, &["absent ?? 'fallback' = 'fallback'"]);
    }

    #[test]
    fn an_application_property_hides_a_system_property_unless_in_braces() {
        is(TRUE, &["$zone = 'app'", "{ $ZONE } = 'sys'"]);
    }

    #[test]
    fn a_missing_member_is_a_null_and_greater_than_everything() {
        is(TRUE, &["$body.gone > 1000", "$body.gone > 'z'", "$body.gone = null", "is_defined($body.gone)"]);
        is(FALSE, &["is_null($body.gone)", "($body.gone ?? 1) = 1"]);
        is(TRUE, &["is_null($body.seq)", "is_null($body.reading.note)", "($body.reading ?? 1) = 1"]);
        is(UNDEFINED, &["$body.reading > 1", "$body.reading.at > 'a'"]);
    }

    #[test]
    fn a_dynamic_operand_stands_on_the_left_only() {
        is(TRUE, &["$body.reading.ok and $body.seq = 4", "$body.seq = 4 and $body.reading.ok = true"]);
        is(None, &["$body.seq = 4 and $body.reading.ok", "$body.seq % 2 = 0", "- $body.seq = -4"]);
        is(UNDEFINED, &["$body.reading.ok or absent = 'x'"]);
    }

    #[test]
    fn nan_is_undefined_unless_it_is_dynamic() {
        is(UNDEFINED, &["0 / 0 = 0 / 0", "7 % 0 = 0"]);
        is(TRUE, &["$body.z / $body.z = $body.z / $body.z", "$body.z / $body.z < 0", "6 / 0 > 1e308"]);
    }

    #[test]
    fn a_property_without_value_is_defined_and_equal_to_nothing() {
        is(TRUE, &["is_defined(nul)", "is_null(nul)", "'a' || nul = 'a'", "nul < $body.gone"]);
        is(UNDEFINED, &["nul = 'x'", "nul = nul", "length(nul) = 0"]);
        is(FALSE, &["nul = $body.gone"]);
    }

    #[test]
    fn null_and_undefined_do_not_go_together() {
        is(None, &["null and undefined", "undefined or null", "not undefined"]);
        is(TRUE, &["null or true", "not null", "undefined or true"]);
        is(FALSE, &["null and true", "null"]);
    }
}
