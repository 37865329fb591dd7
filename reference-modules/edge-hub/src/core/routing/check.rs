//! The compile stage: static types, names of functions, body paths.
//!
//! There is no coercion between static types. A `$body` path has the dynamic type, which goes wherever string,
//! number, bool or null is expected and lifts a static operand beside it. Source: `routing.md` 3.5.

use super::body::BodyPath;
use super::functions;
use super::letter_case::Name;
use super::node::{DynamicNode, NumberNode, TextNode, TruthNode, Typed};
use super::syntax::{Arithmetic, Comparison, Expression, Operator};
use super::value::{self, Truth};
use crate::faults::planted;

/// Why a condition does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TypeError {
    #[error("operator {operator:?} does not take {operands}")]
    Operands { operator: Operator, operands: String },
    #[error("operator `{operator}` does not take {operand}")]
    Operand { operator: &'static str, operand: &'static str },
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    #[error("function `{function}` does not take ({arguments})")]
    Arguments { function: String, arguments: String },
    #[error("`{0}` is no path into a body")]
    BodyPath(String),
}

impl Typed {
    /// The type's name, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Typed::Text(_) => "string",
            Typed::Number(_) => "number",
            Typed::Truth(_) => "bool",
            Typed::Null => "null",
            Typed::Undefined => "undefined",
            Typed::Dynamic(_) => "unknown",
        }
    }

    pub(super) fn lifted(self) -> DynamicNode {
        match self {
            Typed::Dynamic(node) => node,
            other => DynamicNode::Lifted(Box::new(other)),
        }
    }

    /// As an operand of `and` and `or`, where that is possible without lifting.
    fn truth(self) -> TruthNode {
        match self {
            Typed::Truth(node) => node,
            _ => TruthNode::Literal(Truth::Undefined),
        }
    }

    fn is_dynamic(&self) -> bool {
        matches!(self, Typed::Dynamic(_))
    }

    /// Whether it may stand beside a dynamic operand. The literal `undefined` may not.
    fn is_liftable(&self) -> bool {
        !matches!(self, Typed::Undefined)
    }
}

/// Gives an expression its type.
///
/// # Errors
/// [`TypeError`] for the first part that has none.
pub(super) fn check(expression: &Expression) -> Result<Typed, TypeError> {
    match expression {
        Expression::Bool(value) => Ok(Typed::Truth(TruthNode::Literal(Truth::from(*value)))),
        Expression::Null => Ok(Typed::Null),
        Expression::Undefined | Expression::Number(None) => Ok(Typed::Undefined),
        Expression::Number(Some(number)) => Ok(Typed::Number(NumberNode::Literal(*number))),
        Expression::Text(text) => Ok(Typed::Text(TextNode::Literal(text.clone()))),
        Expression::Application(name) => Ok(Typed::Text(TextNode::Application(Name::new(name)))),
        Expression::System(name) => system(name),
        Expression::Braced(name) => braced(name),
        Expression::Call { function, arguments } => {
            let arguments = arguments.iter().map(check).collect::<Result<_, _>>()?;
            functions::check(function, arguments)
        }
        Expression::Not(operand) => not(check(operand)?),
        Expression::Negate(operand) => negate(check(operand)?),
        Expression::Chain(first, rest) => {
            let mut left = check(first)?;
            for (operator, right) in rest {
                left = combine(*operator, left, check(right)?)?;
            }
            Ok(left)
        }
    }
}

/// The path behind `$body.`, whose letter case does not matter.
fn body_path(name: &str) -> Option<Result<BodyPath, TypeError>> {
    const PREFIX: &str = "$body.";
    let prefix = name.get(..PREFIX.len())?;
    let is_prefix = if planted("BODY03-prefix-in-lower-case-only") {
        prefix == PREFIX
    } else {
        prefix.eq_ignore_ascii_case(PREFIX)
    };
    let malformed = || TypeError::BodyPath(name.to_owned());
    is_prefix.then(|| BodyPath::parse(&name[PREFIX.len()..]).ok_or_else(malformed))
}

/// `$name`. An application property whose name is spelled with the dollar sign comes first, even before a body path.
///
/// Quirk: with a bracket in it only a body path counts; anything else is Undefined, not even a string.
fn system(name: &str) -> Result<Typed, TypeError> {
    let has_bracket = name.contains(['[', ']']);
    match body_path(name).transpose()? {
        Some(path) => {
            let shadow = !has_bracket && !planted("BODY11-body-path-comes-first");
            Ok(Typed::Dynamic(DynamicNode::Body { path, shadow: shadow.then(|| Name::new(name)) }))
        }
        None if has_bracket => Ok(Typed::Undefined),
        None if planted("LANG04-application-property-never-wins") => {
            Ok(Typed::Text(TextNode::System(Name::new(&name[1..]))))
        }
        None => {
            let mut application = name;
            if planted("LANG25-sender-can-be-forged") && name.to_ascii_lowercase().starts_with("$connection") {
                application = &name[1..];
            }
            Ok(Typed::Text(TextNode::Either { application: Name::new(application), system: Name::new(&name[1..]) }))
        }
    }
}

/// `{$name}`: no application property is consulted.
fn braced(name: &str) -> Result<Typed, TypeError> {
    if planted("LANG04-braces-mean-nothing") {
        return system(name);
    }
    match body_path(name).transpose()? {
        Some(path) => Ok(Typed::Dynamic(DynamicNode::Body { path, shadow: None })),
        None if name.contains(['[', ']']) => Ok(Typed::Undefined),
        None => Ok(Typed::Text(TextNode::System(Name::new(&name[1..])))),
    }
}

fn not(operand: Typed) -> Result<Typed, TypeError> {
    match operand {
        Typed::Truth(node) => Ok(Typed::Truth(TruthNode::Not(Box::new(node)))),
        Typed::Null if planted("LANG18-not-null-is-undefined") => {
            Ok(Typed::Truth(TruthNode::Literal(Truth::Undefined)))
        }
        Typed::Null => Ok(Typed::Truth(TruthNode::Literal(Truth::True))),
        Typed::Dynamic(node) => Ok(Typed::Truth(TruthNode::NotDynamic(Box::new(node)))),
        other => Err(TypeError::Operand { operator: "not", operand: other.kind() }),
    }
}

/// Quirk: a dynamic operand cannot be negated; the product fails on it without saying why.
fn negate(operand: Typed) -> Result<Typed, TypeError> {
    match operand {
        Typed::Number(node) => Ok(Typed::Number(NumberNode::Negate(Box::new(node)))),
        Typed::Dynamic(node) if planted("BODY10-dynamic-negation-works") => {
            let zero = DynamicNode::Lifted(Box::new(Typed::Number(NumberNode::Literal(0.0))));
            Ok(Typed::Dynamic(DynamicNode::Arithmetic(Box::new(zero), vec![(Arithmetic::Subtract, node)])))
        }
        other => Err(TypeError::Operand { operator: "-", operand: other.kind() }),
    }
}

fn combine(operator: Operator, left: Typed, right: Typed) -> Result<Typed, TypeError> {
    let refused = TypeError::Operands { operator, operands: format!("{} and {}", left.kind(), right.kind()) };
    match operator {
        Operator::Arithmetic(arithmetic) => calculate(arithmetic, left, right),
        Operator::Concat => concat(left, right),
        Operator::Compare(comparison) => compare(comparison, left, right),
        Operator::And | Operator::Or => connect(operator, left, right),
        Operator::Coalesce => first_defined(left, right),
    }
    .ok_or(refused)
}

/// Quirk: a dynamic operand has no remainder; the product fails on it without saying why.
fn calculate(operator: Arithmetic, left: Typed, right: Typed) -> Option<Typed> {
    let dynamic_remainder = planted("BODY10-dynamic-remainder-works");
    match (left, right) {
        (Typed::Number(NumberNode::Arithmetic(first, mut rest)), Typed::Number(right)) => {
            rest.push((operator, right));
            Some(Typed::Number(NumberNode::Arithmetic(first, rest)))
        }
        (Typed::Number(left), Typed::Number(right)) => {
            Some(Typed::Number(NumberNode::Arithmetic(Box::new(left), vec![(operator, right)])))
        }
        (Typed::Dynamic(_), _) | (_, Typed::Dynamic(_)) if operator == Arithmetic::Remainder && !dynamic_remainder => {
            None
        }
        (left @ (Typed::Dynamic(_) | Typed::Number(_)), right @ (Typed::Dynamic(_) | Typed::Number(_))) => {
            Some(Typed::Dynamic(match left.lifted() {
                DynamicNode::Arithmetic(first, mut rest) => {
                    rest.push((operator, right.lifted()));
                    DynamicNode::Arithmetic(first, rest)
                }
                left => DynamicNode::Arithmetic(Box::new(left), vec![(operator, right.lifted())]),
            }))
        }
        _ => None,
    }
}

fn concat(left: Typed, right: Typed) -> Option<Typed> {
    match (left, right) {
        (Typed::Text(TextNode::Concat(mut parts)), right @ (Typed::Text(_) | Typed::Dynamic(_))) => {
            parts.push(right.lifted());
            Some(Typed::Text(TextNode::Concat(parts)))
        }
        (left @ (Typed::Text(_) | Typed::Dynamic(_)), right @ (Typed::Text(_) | Typed::Dynamic(_))) => {
            Some(Typed::Text(TextNode::Concat(vec![left.lifted(), right.lifted()])))
        }
        _ => None,
    }
}

fn compare(comparison: Comparison, left: Typed, right: Typed) -> Option<Typed> {
    let node = match (left, right) {
        (Typed::Text(left), Typed::Text(right)) => TruthNode::CompareTexts(comparison, Box::new((left, right))),
        (Typed::Number(left), Typed::Number(right)) => TruthNode::CompareNumbers(comparison, Box::new((left, right))),
        (Typed::Truth(left), Typed::Truth(right)) => TruthNode::CompareTruths(comparison, Box::new((left, right))),
        (Typed::Null, Typed::Null) => TruthNode::Literal(value::compare_nulls(comparison)),
        (Typed::Undefined, Typed::Undefined) => TruthNode::Literal(Truth::Undefined),
        (left, right) if (left.is_dynamic() || right.is_dynamic()) && left.is_liftable() && right.is_liftable() => {
            TruthNode::CompareDynamics(comparison, Box::new((left.lifted(), right.lifted())))
        }
        (Typed::Text(text), Typed::Number(right)) if planted("R19-properties-compare-with-numbers") => {
            let text = DynamicNode::Lifted(Box::new(Typed::Text(text)));
            TruthNode::CompareNumbers(comparison, Box::new((NumberNode::AsNumber(Box::new(text)), right)))
        }
        _ if planted("LANG05-mixed-types-are-unequal") => {
            TruthNode::Literal(Truth::from(comparison == Comparison::NotEqual))
        }
        _ => return None,
    };
    Some(Typed::Truth(node))
}

/// `and` and `or`. Quirks: a dynamic operand may only stand on the left (or on both sides), and the literal pair of
/// null and undefined does not compile.
fn connect(operator: Operator, left: Typed, right: Typed) -> Option<Typed> {
    let is_and = operator == Operator::And;
    match (left, right) {
        (Typed::Dynamic(_), Typed::Null) if is_and => None,
        (Typed::Dynamic(left), right) => {
            let (left, right) = (Box::new(left), Box::new(right.lifted()));
            Some(Typed::Truth(match is_and {
                true => TruthNode::AndDynamic(left, right),
                false => TruthNode::OrDynamic(left, right),
            }))
        }
        (left @ Typed::Truth(_), Typed::Dynamic(right)) if planted("BODY08-dynamic-operand-on-the-right-works") => {
            connect(operator, Typed::Dynamic(left.lifted()), Typed::Dynamic(right))
        }
        (_, Typed::Dynamic(_) | Typed::Text(_) | Typed::Number(_)) | (Typed::Text(_) | Typed::Number(_), _) => None,
        (Typed::Null, Typed::Undefined) | (Typed::Undefined, Typed::Null) => {
            planted("LANG19-null-with-undefined-compiles").then_some(Typed::Undefined)
        }
        (Typed::Null, Typed::Null) => Some(Typed::Null),
        (Typed::Null, _) | (_, Typed::Null) if is_and => Some(Typed::Null),
        (Typed::Null, other) | (other, Typed::Null) => Some(other),
        (left, right) => Some(Typed::Truth(joined(is_and, left.truth(), right.truth()))),
    }
}

fn joined(is_and: bool, left: TruthNode, right: TruthNode) -> TruthNode {
    match (is_and, left) {
        (true, TruthNode::And(mut operands)) => {
            operands.push(right);
            TruthNode::And(operands)
        }
        (false, TruthNode::Or(mut operands)) => {
            operands.push(right);
            TruthNode::Or(operands)
        }
        (true, left) => TruthNode::And(vec![left, right]),
        (false, left) => TruthNode::Or(vec![left, right]),
    }
}

/// `??`. A null is defined, so it never gives way.
fn first_defined(left: Typed, right: Typed) -> Option<Typed> {
    Some(match (left, right) {
        (Typed::Text(TextNode::FirstDefined(mut choices)), Typed::Text(right)) => {
            choices.push(right);
            Typed::Text(TextNode::FirstDefined(choices))
        }
        (Typed::Text(left), Typed::Text(right)) => Typed::Text(TextNode::FirstDefined(vec![left, right])),
        (Typed::Number(NumberNode::FirstDefined(mut choices)), Typed::Number(right)) => {
            choices.push(right);
            Typed::Number(NumberNode::FirstDefined(choices))
        }
        (Typed::Number(left), Typed::Number(right)) => Typed::Number(NumberNode::FirstDefined(vec![left, right])),
        (Typed::Truth(TruthNode::FirstDefined(mut choices)), Typed::Truth(right)) => {
            choices.push(right);
            Typed::Truth(TruthNode::FirstDefined(choices))
        }
        (Typed::Truth(left), Typed::Truth(right)) => Typed::Truth(TruthNode::FirstDefined(vec![left, right])),
        (Typed::Null, Typed::Null) => Typed::Null,
        (Typed::Undefined, Typed::Undefined) => Typed::Undefined,
        (left, right) if (left.is_dynamic() || right.is_dynamic()) && left.is_liftable() && right.is_liftable() => {
            Typed::Dynamic(match left.lifted() {
                DynamicNode::FirstDefined(mut choices) => {
                    choices.push(right.lifted());
                    DynamicNode::FirstDefined(choices)
                }
                left => DynamicNode::FirstDefined(vec![left, right.lifted()]),
            })
        }
        _ => return None,
    })
}
