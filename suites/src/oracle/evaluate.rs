//! What a compiled condition yields for a message.

use std::cmp::Ordering;

use super::body::{self, Path};
use super::syntax::Tree;
use super::token::Kind;
use super::typing::{Reference, Type, reference, type_of};
use super::value::{Value, compare, compare_dynamic, look_up};
use super::{Message, function};

/// The three ends of a condition. Only `True` routes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The message is routed.
    True,
    /// It is not.
    False,
    /// It is not either.
    Undefined,
}

/// The truth of a whole condition: text and numbers have none, null is false.
pub(super) fn truth(tree: &Tree, message: &Message) -> Truth {
    match value(tree, message) {
        Value::Bool(true) => Truth::True,
        Value::Bool(false) => Truth::False,
        Value::Null if static_type(tree) != Type::Dynamic => Truth::False,
        _ => Truth::Undefined,
    }
}

/// The type of a tree that compiled.
pub(super) fn static_type(tree: &Tree) -> Type {
    type_of(tree).expect("only trees that compile are evaluated")
}

/// The value of a tree.
pub(super) fn value(tree: &Tree, message: &Message) -> Value {
    match tree {
        Tree::Text(text) => Value::Text(text.clone()),
        Tree::Number(number) => Value::Number(*number),
        Tree::Bool(truth) => Value::Bool(*truth),
        Tree::Null => Value::Null,
        Tree::Undefined => Value::Undefined,
        Tree::Property(name) => look_up(&message.properties, name).unwrap_or(Value::Undefined),
        Tree::System { name, braces } => system(name, *braces, message),
        Tree::Negative(operand) => match value(operand, message) {
            Value::Number(number) => Value::Number(-number),
            _ => Value::Undefined,
        },
        Tree::Not(operand) => match value(operand, message) {
            Value::Bool(truth) => Value::Bool(!truth),
            Value::Null if static_type(operand) != Type::Dynamic => Value::Bool(true),
            _ => Value::Undefined,
        },
        Tree::Binary(operator, left, right) => {
            let dynamic = static_type(left) == Type::Dynamic || static_type(right) == Type::Dynamic;
            binary(*operator, value(left, message), value(right, message), dynamic)
        }
        Tree::Call(name, arguments) => {
            let arguments: Vec<(Type, Value)> =
                arguments.iter().map(|argument| (static_type(argument), value(argument, message))).collect();
            function::call(name, &arguments)
        }
    }
}

fn system(name: &str, braces: bool, message: &Message) -> Value {
    let shadow = || (!braces).then(|| look_up(&message.properties, &format!("${name}"))).flatten();
    match reference(name) {
        Reference::Nothing => Value::Undefined,
        Reference::Property => shadow().or_else(|| look_up(&message.system, name)).unwrap_or(Value::Undefined),
        Reference::Body(path) => shadow().unwrap_or_else(|| body::select(message, &Path::of(path))),
    }
}

fn binary(operator: Kind, left: Value, right: Value, dynamic: bool) -> Value {
    match operator {
        Kind::Plus | Kind::Minus | Kind::Star | Kind::Slash | Kind::Percent => {
            let (Value::Number(left), Value::Number(right)) = (left, right) else { return Value::Undefined };
            let number = match operator {
                Kind::Plus => left + right,
                Kind::Minus => left - right,
                Kind::Star => left * right,
                Kind::Slash => left / right,
                _ => left % right,
            };
            // A number that is none is undefined, unless a body had part in it.
            if dynamic { Value::Number(number) } else { Value::number(number) }
        }
        Kind::Concat => function::concat(&[left, right]),
        Kind::Coalesce => {
            if left == Value::Undefined {
                right
            } else {
                left
            }
        }
        Kind::And | Kind::Or if dynamic => match (left, right) {
            (Value::Bool(left), Value::Bool(right)) => {
                Value::Bool(if operator == Kind::And { left && right } else { left || right })
            }
            _ => Value::Undefined,
        },
        Kind::And => and(left, right),
        Kind::Or => or(left, right),
        _ => {
            let order = if dynamic { compare_dynamic(&left, &right) } else { compare(&left, &right) };
            order.map_or(Value::Undefined, |order| Value::Bool(holds(operator, order)))
        }
    }
}

fn holds(operator: Kind, order: Ordering) -> bool {
    match operator {
        Kind::Equal => order.is_eq(),
        Kind::NotEqual => order.is_ne(),
        Kind::Less => order.is_lt(),
        Kind::LessEqual => order.is_le(),
        Kind::Greater => order.is_gt(),
        Kind::GreaterEqual => order.is_ge(),
        _ => unreachable!("the remaining operators compare"),
    }
}

/// `and`, with null as a fourth value: null wins, then false, then undefined.
fn and(left: Value, right: Value) -> Value {
    let either = |wanted: &Value| left == *wanted || right == *wanted;
    [Value::Null, Value::Bool(false), Value::Undefined]
        .into_iter()
        .find(|value| either(value))
        .unwrap_or(Value::Bool(true))
}

/// `or`: true wins; null gives way to the other side.
fn or(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Bool(true), _) | (_, Value::Bool(true)) => Value::Bool(true),
        (Value::Null, other) | (other, Value::Null) => other,
        (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
        _ => Value::Undefined,
    }
}
