//! Compiled conditions: every part has its static type, so evaluation meets no surprises.

use super::body::BodyPath;
use super::functions::{MathFunction, TextPredicate};
use super::letter_case::Name;
use super::syntax::{Arithmetic, Comparison};
use super::text::Text;
use super::value::Truth;

/// A part of a condition under its static type.
#[derive(Clone, Debug)]
pub(super) enum Typed {
    Text(TextNode),
    Number(NumberNode),
    Truth(TruthNode),
    Null,
    /// The literal and whatever is as useless; a missing property is an undefined *string* instead.
    Undefined,
    Dynamic(DynamicNode),
}

#[derive(Clone, Debug)]
pub(super) enum TextNode {
    Literal(Text<'static>),
    /// An application property.
    Application(Name),
    /// `{$name}`.
    System(Name),
    /// `$name`: the application property that is spelled so, else the system property.
    Either {
        application: Name,
        system: Name,
    },
    Concat(Vec<DynamicNode>),
    Lower(Box<DynamicNode>),
    Upper(Box<DynamicNode>),
    Substring {
        text: Box<DynamicNode>,
        start: Box<DynamicNode>,
        length: Option<Box<DynamicNode>>,
    },
    FirstDefined(Vec<TextNode>),
}

#[derive(Clone, Debug)]
pub(super) enum NumberNode {
    Literal(f64),
    Negate(Box<NumberNode>),
    /// From left to right.
    Arithmetic(Box<NumberNode>, Vec<(Arithmetic, NumberNode)>),
    Math(MathFunction, Box<DynamicNode>),
    Power(Box<DynamicNode>, Box<DynamicNode>),
    AsNumber(Box<DynamicNode>),
    Length(Box<DynamicNode>),
    IndexOf(Box<DynamicNode>, Box<DynamicNode>),
    FirstDefined(Vec<NumberNode>),
}

#[derive(Clone, Debug)]
pub(super) enum TruthNode {
    Literal(Truth),
    Not(Box<TruthNode>),
    And(Vec<TruthNode>),
    Or(Vec<TruthNode>),
    NotDynamic(Box<DynamicNode>),
    AndDynamic(Box<DynamicNode>, Box<DynamicNode>),
    OrDynamic(Box<DynamicNode>, Box<DynamicNode>),
    CompareTexts(Comparison, Box<(TextNode, TextNode)>),
    CompareNumbers(Comparison, Box<(NumberNode, NumberNode)>),
    CompareTruths(Comparison, Box<(TruthNode, TruthNode)>),
    CompareDynamics(Comparison, Box<(DynamicNode, DynamicNode)>),
    IsDefined(Box<Typed>),
    IsNullText(Box<TextNode>),
    IsNullDynamic(Box<DynamicNode>),
    IsBool(Box<DynamicNode>),
    IsNumber(Box<DynamicNode>),
    IsString(Box<DynamicNode>),
    Predicate(TextPredicate, Box<DynamicNode>, Box<DynamicNode>),
    FirstDefined(Vec<TruthNode>),
}

#[derive(Clone, Debug)]
pub(super) enum DynamicNode {
    /// `$body.path`; where `shadow` is given, an application property spelled like the whole reference comes first.
    Body {
        path: BodyPath,
        shadow: Option<Name>,
    },
    /// From left to right; division, multiplication, sum and difference only.
    Arithmetic(Box<DynamicNode>, Vec<(Arithmetic, DynamicNode)>),
    FirstDefined(Vec<DynamicNode>),
    /// A static part next to a dynamic one.
    Lifted(Box<Typed>),
}

impl TruthNode {
    /// A text that an application property must have for this to be true, if it is easily seen.
    pub(super) fn required_text(&self) -> Option<(&Name, &str)> {
        match self {
            TruthNode::And(operands) => operands.iter().find_map(TruthNode::required_text),
            TruthNode::CompareTexts(Comparison::Equal, operands) => match operands.as_ref() {
                (TextNode::Application(name), TextNode::Literal(Text::Unicode(text)))
                | (TextNode::Literal(Text::Unicode(text)), TextNode::Application(name)) => Some((name, text)),
                _ => None,
            },
            _ => None,
        }
    }
}
