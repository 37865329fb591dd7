//! Which trees compile. There is no coercion: every node has one static type, and `$body` paths have the type that
//! goes with any other but `undefined`, at a price paid when they are evaluated.

use super::body::Path;
use super::function;
use super::syntax::Tree;
use super::token::Kind;

/// Static type of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Bool,
    Null,
    Undefined,
    /// A `$body` path, or arithmetic on one.
    Dynamic,
}

/// A tree that does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uncompilable;

/// What `$name` is about.
pub(super) enum Reference<'a> {
    /// A `$body` path.
    Body(&'a str),
    /// A property.
    Property,
    /// Brackets outside a `$body` path: nothing has such a name.
    Nothing,
}

/// Tells what `$name` is about.
pub(super) fn reference(name: &str) -> Reference<'_> {
    match name.get(..5).filter(|prefix| prefix.eq_ignore_ascii_case("body.")) {
        Some(_) => Reference::Body(&name[5..]),
        None if name.contains(['[', ']']) => Reference::Nothing,
        None => Reference::Property,
    }
}

/// The type of a tree.
pub(super) fn type_of(tree: &Tree) -> Result<Type, Uncompilable> {
    Ok(match tree {
        Tree::Text(_) | Tree::Property(_) => Type::Text,
        Tree::Number(number) if number.is_nan() => return Err(Uncompilable),
        Tree::Number(_) => Type::Number,
        Tree::Bool(_) => Type::Bool,
        Tree::Null => Type::Null,
        Tree::Undefined => Type::Undefined,
        Tree::System { name, .. } => match reference(name) {
            Reference::Body(path) => Path::compiles(path).then_some(Type::Dynamic).ok_or(Uncompilable)?,
            Reference::Property => Type::Text,
            Reference::Nothing => Type::Undefined,
        },
        Tree::Negative(operand) => match type_of(operand)? {
            Type::Number => Type::Number,
            _ => return Err(Uncompilable),
        },
        Tree::Not(operand) => match type_of(operand)? {
            Type::Bool | Type::Null | Type::Dynamic => Type::Bool,
            _ => return Err(Uncompilable),
        },
        Tree::Binary(operator, left, right) => binary(*operator, type_of(left)?, type_of(right)?)?,
        Tree::Call(name, arguments) => {
            let types = arguments.iter().map(type_of).collect::<Result<Vec<_>, _>>()?;
            function::result_type(name, &types).ok_or(Uncompilable)?
        }
    })
}

fn binary(operator: Kind, left: Type, right: Type) -> Result<Type, Uncompilable> {
    use Type::{Bool, Dynamic, Null, Number, Text, Undefined};
    let result = match operator {
        Kind::Plus | Kind::Minus | Kind::Star | Kind::Slash => match (left, right) {
            (Number, Number) => Some(Number),
            (Dynamic, Number | Dynamic) | (Number, Dynamic) => Some(Dynamic),
            _ => None,
        },
        Kind::Percent => (left == Number && right == Number).then_some(Number),
        Kind::Concat => matches!((left, right), (Text | Dynamic, Text | Dynamic)).then_some(Text),
        Kind::Coalesce => match (left, right) {
            (Dynamic, other) | (other, Dynamic) => (other != Undefined).then_some(Dynamic),
            (left, right) => (left == right).then_some(left),
        },
        Kind::And | Kind::Or => match (left, right) {
            (Null, Undefined) | (Undefined, Null) => None,
            // Only a dynamic left operand lifts the other one.
            (Dynamic, Null) if operator == Kind::And => None,
            // What comes of it is a truth value like any other.
            (Dynamic, _) => Some(Bool),
            (_, Dynamic) => None,
            (Null, Bool | Null) | (Bool, Null) if operator == Kind::And => Some(Null),
            (Null, Null) => Some(Null),
            (Bool | Null | Undefined, Bool | Null | Undefined) => Some(Bool),
            _ => None,
        },
        _ => match (left, right) {
            (Dynamic, other) | (other, Dynamic) => (other != Undefined).then_some(Bool),
            (left, right) => (left == right).then_some(Bool),
        },
    };
    result.ok_or(Uncompilable)
}
