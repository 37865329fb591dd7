//! Conditions as written: the tree the parser makes, before types are known.

use super::text::Text;

/// A condition or a part of one.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Bool(bool),
    Null,
    Undefined,
    /// `None`: a literal of the number classes that no number is written like (`e5`, a hexadecimal one that is too long).
    Number(Option<f64>),
    Text(Text<'static>),
    /// `name`.
    Application(String),
    /// `$name`, with its dollar sign.
    System(String),
    /// `{$name}`, with its dollar sign.
    Braced(String),
    Call {
        function: String,
        arguments: Vec<Expression>,
    },
    Not(Box<Expression>),
    Negate(Box<Expression>),
    /// Operators applied from left to right, whatever they are: precedence has been seen to.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Arithmetic(Arithmetic),
    Concat,
    Compare(Comparison),
    And,
    Or,
    Coalesce,
}

/// An operator on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
}

/// An operator that orders two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
