//! The built-in functions: which arguments they take, and what they give. Source: `routing.md` 4.
//!
//! A dynamic argument is taken wherever a string, number or bool is; if its actual type is wrong the result is
//! Undefined.

mod number_format;

use super::check::TypeError;
use super::letter_case;
use super::node::{DynamicNode, NumberNode, TextNode, TruthNode, Typed};
use super::text::Text;
use super::value::{Dynamic, TextValue, Truth};
use crate::faults::planted;

/// Functions of one number.
#[derive(Clone, Copy, Debug)]
pub(super) enum MathFunction {
    Abs,
    Ceiling,
    Exp,
    Floor,
    Sign,
    Sqrt,
    Square,
}

/// Functions that look for one string in another.
#[derive(Clone, Copy, Debug)]
pub(super) enum TextPredicate {
    StartsWith,
    EndsWith,
    Contains,
}

/// Resolves a call whose arguments are checked.
///
/// # Errors
/// [`TypeError`] when there is no such function or it does not take these arguments.
pub(super) fn check(function: &str, arguments: Vec<Typed>) -> Result<Typed, TypeError> {
    let name = if planted("FN01-function-names-in-lower-case-only") {
        function.to_owned()
    } else {
        function.to_ascii_lowercase()
    };
    let kinds = arguments.iter().map(Typed::kind).collect::<Vec<_>>().join(", ");
    let node = match name.as_str() {
        "abs" => math(MathFunction::Abs, arguments),
        "ceiling" => math(MathFunction::Ceiling, arguments),
        "exp" => math(MathFunction::Exp, arguments),
        "floor" => math(MathFunction::Floor, arguments),
        "sign" => math(MathFunction::Sign, arguments),
        "sqrt" => math(MathFunction::Sqrt, arguments),
        "square" => math(MathFunction::Square, arguments),
        "power" => numbers(arguments)
            .map(|[base, exponent]| Typed::Number(NumberNode::Power(Box::new(base), Box::new(exponent)))),
        "as_number" => as_number(arguments),
        "is_bool" => is_type(arguments, |argument| matches!(argument, Typed::Truth(_)), TruthNode::IsBool),
        "is_number" => is_type(arguments, |argument| matches!(argument, Typed::Number(_)), TruthNode::IsNumber),
        "is_string" => is_type(arguments, |argument| matches!(argument, Typed::Text(_)), TruthNode::IsString),
        "is_defined" => one(arguments).map(|argument| Typed::Truth(TruthNode::IsDefined(Box::new(argument)))),
        "is_null" => one(arguments).map(|argument| Typed::Truth(is_null(argument))),
        "concat" => concat(arguments),
        "length" => texts(arguments).map(|[text]| Typed::Number(NumberNode::Length(Box::new(text)))),
        "lower" => texts(arguments).map(|[text]| Typed::Text(TextNode::Lower(Box::new(text)))),
        "upper" => texts(arguments).map(|[text]| Typed::Text(TextNode::Upper(Box::new(text)))),
        "substring" => substring(arguments),
        "index_of" => texts(arguments)
            .map(|[text, fragment]| Typed::Number(NumberNode::IndexOf(Box::new(text), Box::new(fragment)))),
        "starts_with" => predicate(TextPredicate::StartsWith, arguments),
        "ends_with" => predicate(TextPredicate::EndsWith, arguments),
        "contains" => predicate(TextPredicate::Contains, arguments),
        "is_array" | "is_object" | "is_primitive" if planted("LANG22-functions-of-the-cloud-exist") => {
            Some(Typed::Truth(TruthNode::Literal(Truth::from(name == "is_primitive"))))
        }
        _ if planted("LANG22-unknown-functions-are-undefined") => {
            Some(Typed::Truth(TruthNode::Literal(Truth::Undefined)))
        }
        // `twin_change_includes` exists in the product, but never for sources of an edge hub's routes.
        _ => return Err(TypeError::UnknownFunction(function.to_owned())),
    };
    node.ok_or_else(|| TypeError::Arguments { function: function.to_owned(), arguments: kinds })
}

fn one(arguments: Vec<Typed>) -> Option<Typed> {
    let [argument] = arguments.try_into().ok()?;
    Some(argument)
}

fn all<const N: usize>(mut arguments: Vec<Typed>, taken: fn(&Typed) -> bool) -> Option<[DynamicNode; N]> {
    if planted("FN02-surplus-arguments-are-ignored") {
        arguments.truncate(N);
    }
    let lifted =
        |argument: Typed| (taken(&argument) || matches!(argument, Typed::Dynamic(_))).then(|| argument.lifted());
    arguments.into_iter().map(lifted).collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn texts<const N: usize>(arguments: Vec<Typed>) -> Option<[DynamicNode; N]> {
    all(arguments, |argument| {
        matches!(argument, Typed::Text(_))
            || (matches!(argument, Typed::Number(_) | Typed::Truth(_)) && planted("FN02-argument-types-are-unchecked"))
    })
}

fn numbers<const N: usize>(arguments: Vec<Typed>) -> Option<[DynamicNode; N]> {
    all(arguments, |argument| matches!(argument, Typed::Number(_)))
}

fn math(function: MathFunction, arguments: Vec<Typed>) -> Option<Typed> {
    numbers(arguments).map(|[number]| Typed::Number(NumberNode::Math(function, Box::new(number))))
}

fn predicate(predicate: TextPredicate, arguments: Vec<Typed>) -> Option<Typed> {
    texts(arguments)
        .map(|[text, fragment]| Typed::Truth(TruthNode::Predicate(predicate, Box::new(text), Box::new(fragment))))
}

fn as_number(arguments: Vec<Typed>) -> Option<Typed> {
    match one(arguments)? {
        number @ Typed::Number(_) => Some(number),
        text @ (Typed::Text(_) | Typed::Dynamic(_)) => {
            Some(Typed::Number(NumberNode::AsNumber(Box::new(text.lifted()))))
        }
        _ => None,
    }
}

/// `is_bool`, `is_number`, `is_string`: any other static type is known to be none.
fn is_type(
    arguments: Vec<Typed>,
    of_type: fn(&Typed) -> bool,
    node: fn(Box<DynamicNode>) -> TruthNode,
) -> Option<Typed> {
    let argument = one(arguments)?;
    let asked = of_type(&argument) || matches!(argument, Typed::Dynamic(_));
    Some(Typed::Truth(if asked { node(Box::new(argument.lifted())) } else { TruthNode::Literal(Truth::False) }))
}

fn is_null(argument: Typed) -> TruthNode {
    match argument {
        Typed::Text(node) => TruthNode::IsNullText(Box::new(node)),
        Typed::Dynamic(node) => TruthNode::IsNullDynamic(Box::new(node)),
        other => TruthNode::Literal(Truth::from(matches!(other, Typed::Null))),
    }
}

fn concat(arguments: Vec<Typed>) -> Option<Typed> {
    let minimum = if planted("FN02-concat-takes-one-argument") { 1 } else { 2 };
    if arguments.len() < minimum {
        return None;
    }
    let lifted = |argument: Typed| matches!(argument, Typed::Text(_) | Typed::Dynamic(_)).then(|| argument.lifted());
    arguments.into_iter().map(lifted).collect::<Option<_>>().map(|parts| Typed::Text(TextNode::Concat(parts)))
}

fn substring(arguments: Vec<Typed>) -> Option<Typed> {
    let mut arguments = arguments.into_iter();
    let [text] = texts(arguments.next().into_iter().collect())?;
    let mut numbers = match arguments.len() {
        1 => numbers::<1>(arguments.collect())?.to_vec(),
        2 => numbers::<2>(arguments.collect())?.to_vec(),
        _ => return None,
    };
    let length = (numbers.len() == 2).then(|| numbers.pop().map(Box::new)).flatten();
    let start = numbers.pop().map(Box::new)?;
    Some(Typed::Text(TextNode::Substring { text: Box::new(text), start, length }))
}

impl MathFunction {
    pub(super) fn of(self, number: f64) -> f64 {
        match self {
            MathFunction::Abs => number.abs(),
            MathFunction::Ceiling => number.ceil(),
            MathFunction::Exp => number.exp(),
            MathFunction::Floor => number.floor(),
            MathFunction::Sign if number == 0.0 => 0.0,
            MathFunction::Sign => number.signum(),
            MathFunction::Sqrt => number.sqrt(),
            MathFunction::Square => number * number,
        }
    }
}

impl TextPredicate {
    /// Ordinal and case-sensitive; an empty fragment is found everywhere.
    pub(super) fn of(self, text: &Text, fragment: &Text) -> bool {
        if planted("FN09-predicates-ignore-case") {
            return self.holds(&text.map(letter_case::upper), &fragment.map(letter_case::upper));
        }
        if planted("FN09-empty-fragment-is-nowhere") && fragment.length() == 0 {
            return false;
        }
        self.holds(text, fragment)
    }

    fn holds(self, text: &Text, fragment: &Text) -> bool {
        match self {
            TextPredicate::StartsWith => text.starts_with(fragment),
            TextPredicate::EndsWith => text.ends_with(fragment),
            TextPredicate::Contains => text.find(fragment).is_some(),
        }
    }
}

/// `as_number` of a value; NaN is Undefined.
pub(super) fn number_of(value: Dynamic) -> f64 {
    match value {
        Dynamic::Number(number) => number,
        Dynamic::Text(Some(Text::Unicode(text))) => {
            let otherwise = if planted("FN05-text-that-is-no-number-is-zero") { 0.0 } else { f64::NAN };
            number_format::parse(&text).unwrap_or(otherwise)
        }
        _ => f64::NAN,
    }
}

/// `power`, where even NaN to the power of 0 is 1 unless it is Undefined already.
pub(super) fn power(base: &Dynamic, exponent: &Dynamic) -> f64 {
    match (base.number(), exponent.number()) {
        (Some(base), Some(exponent)) => base.powf(exponent),
        _ => f64::NAN,
    }
}

/// `substring`. Quirk: with two arguments the start may be the end of the text, with three it may not. Fractions
/// are cut off only after the check.
pub(super) fn part(text: Dynamic, start: &Dynamic, length: Option<&Dynamic>) -> TextValue<'static> {
    let Some(text) = text.text() else {
        return TextValue::Undefined;
    };
    let Some(start) = start.number() else {
        return TextValue::Undefined;
    };
    let end = text.length() as f64;
    let taken = match length {
        None => (0.0..=end).contains(&start).then(|| end - start.trunc()),
        Some(length) => {
            let start_is_valid = if planted("FN03-three-argument-start-may-be-the-end") {
                (0.0..=end).contains(&start)
            } else {
                (0.0..end).contains(&start)
            };
            let clipped = |length: f64| {
                if planted("FN03-length-is-clipped") { length.min(end - start) } else { length }
            };
            let length = length.number().map(clipped);
            length.filter(|length| start_is_valid && (0.0..=end - start).contains(length))
        }
    };
    match taken {
        Some(taken) => TextValue::Text(text.part(start as usize, start as usize + taken as usize)),
        None => TextValue::Undefined,
    }
}

/// `is_null` of a dynamic value.
///
/// Quirk: it answers the opposite of its name. Every value that exists is null, a missing member is not.
pub(super) fn is_null_dynamic(value: &Dynamic) -> Truth {
    match value {
        Dynamic::Undefined => Truth::Undefined,
        other if planted("FN07-is-null-asks-for-null") => {
            Truth::from(matches!(other, Dynamic::Null | Dynamic::Missing))
        }
        other => Truth::from(*other != Dynamic::Missing),
    }
}
