//! What parts of a condition evaluate to. Source: `routing.md` 3.5.

use std::cmp::Ordering;

use super::syntax::Comparison;
use super::text::Text;
use crate::faults::planted;

/// The third truth value is neither: it routes nothing, and neither does its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    False,
    Undefined,
    True,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

impl Truth {
    pub(super) fn negated(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Undefined if planted("R19-undefined-is-false-under-not") => Truth::True,
            Truth::Undefined => Truth::Undefined,
        }
    }

    pub(super) fn and(self, other: Truth) -> Truth {
        let either_undefined = self == Truth::Undefined || other == Truth::Undefined;
        if planted("LANG07-undefined-wins-and") && either_undefined {
            return Truth::Undefined;
        }
        self.min(other)
    }

    pub(super) fn or(self, other: Truth) -> Truth {
        let either_undefined = self == Truth::Undefined || other == Truth::Undefined;
        if planted("LANG07-undefined-wins-or") && either_undefined {
            return Truth::Undefined;
        }
        self.max(other)
    }

    pub(super) fn defined(self) -> Option<bool> {
        match self {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Undefined => None,
        }
    }
}

/// A value of the static type string.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TextValue<'a> {
    Undefined,
    /// A property that is present without a value: defined, but equal to nothing.
    Null,
    Text(Text<'a>),
}

/// A value whose type is known at run time only: what `$body` paths give, and whatever stands next to one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Dynamic<'a> {
    Undefined,
    Bool(bool),
    /// Unlike a static number a dynamic one may be NaN and defined.
    Number(f64),
    /// `None` is a property without a value; it sorts below every other string.
    Text(Option<Text<'a>>),
    Null,
    /// A member that does not exist: a null, except to `is_null`.
    Missing,
}

impl<'a> Dynamic<'a> {
    pub(super) fn from_truth(truth: Truth) -> Dynamic<'a> {
        truth.defined().map_or(Dynamic::Undefined, Dynamic::Bool)
    }

    /// A static NaN is Undefined.
    pub(super) fn from_number(number: f64) -> Dynamic<'a> {
        if number.is_nan() { Dynamic::Undefined } else { Dynamic::Number(number) }
    }

    pub(super) fn from_text(text: TextValue<'a>) -> Dynamic<'a> {
        match text {
            TextValue::Undefined => Dynamic::Undefined,
            TextValue::Null => Dynamic::Text(None),
            TextValue::Text(text) => Dynamic::Text(Some(text)),
        }
    }

    pub(super) fn truth(&self) -> Truth {
        match self {
            Dynamic::Bool(value) => Truth::from(*value),
            _ => Truth::Undefined,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Dynamic::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if there is one and it has a value.
    pub(super) fn text(self) -> Option<Text<'a>> {
        match self {
            Dynamic::Text(text) => text,
            _ => None,
        }
    }

    pub(super) fn is_defined(&self) -> bool {
        *self != Dynamic::Undefined
    }

    /// Quirk: values of different types are ordered by the rank of their type, so that a missing member is greater
    /// than every number and string.
    fn rank(&self) -> u8 {
        match self {
            Dynamic::Undefined => 0,
            Dynamic::Bool(_) => 1,
            Dynamic::Number(_) if planted("BODY06-numbers-rank-above-strings") => 4,
            Dynamic::Number(_) => 2,
            Dynamic::Text(_) => 3,
            Dynamic::Null | Dynamic::Missing if planted("BODY06-null-ranks-lowest") => 0,
            Dynamic::Null | Dynamic::Missing => 5,
        }
    }

    fn order(&self, other: &Dynamic) -> Ordering {
        match (self, other) {
            (Dynamic::Bool(left), Dynamic::Bool(right)) => left.cmp(right),
            (Dynamic::Number(left), Dynamic::Number(right)) => number_order(*left, *right),
            (Dynamic::Text(Some(left)), Dynamic::Text(Some(right))) => left.order(right),
            (Dynamic::Text(left), Dynamic::Text(right)) => left.is_some().cmp(&right.is_some()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// NaN equals itself and comes before everything else.
fn number_order(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

fn holds(comparison: Comparison, order: Ordering) -> Truth {
    Truth::from(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

pub(super) fn compare_texts(comparison: Comparison, left: &TextValue, right: &TextValue) -> Truth {
    match (left, right) {
        (TextValue::Text(left), TextValue::Text(right)) => holds(comparison, left.order(right)),
        (TextValue::Undefined, TextValue::Undefined) => Truth::Undefined,
        _ if planted("LANG06-absent-is-unequal") => Truth::from(comparison == Comparison::NotEqual),
        (TextValue::Undefined, _) | (_, TextValue::Undefined) if planted("LANG06-absent-compares-false") => {
            Truth::False
        }
        _ => Truth::Undefined,
    }
}

pub(super) fn compare_numbers(comparison: Comparison, left: f64, right: f64) -> Truth {
    if planted("R19-numbers-compared-as-text") {
        return holds(comparison, left.to_string().cmp(&right.to_string()));
    }
    match left.partial_cmp(&right) {
        Some(order) => holds(comparison, order),
        None if planted("LANG11-nan-compares-false") => Truth::from(comparison == Comparison::NotEqual),
        None => Truth::Undefined,
    }
}

pub(super) fn compare_truths(comparison: Comparison, left: Truth, right: Truth) -> Truth {
    match (left.defined(), right.defined()) {
        (Some(left), Some(right)) => holds(comparison, left.cmp(&right)),
        _ => Truth::Undefined,
    }
}

pub(super) fn compare_nulls(comparison: Comparison) -> Truth {
    if planted("LANG18-null-equals-nothing") { Truth::Undefined } else { holds(comparison, Ordering::Equal) }
}

pub(super) fn compare_dynamics(comparison: Comparison, left: &Dynamic, right: &Dynamic) -> Truth {
    if !left.is_defined() || !right.is_defined() {
        return Truth::Undefined;
    }
    if planted("BODY06-mixed-types-are-undefined") && left.rank() != right.rank() {
        return Truth::Undefined;
    }
    if planted("BODY06-numeric-strings-are-numbers") {
        if let (Dynamic::Number(number), Dynamic::Text(Some(Text::Unicode(text)))) = (left, right) {
            return text.parse().map_or(Truth::Undefined, |text| compare_numbers(comparison, *number, text));
        }
    }
    holds(comparison, left.order(right))
}
