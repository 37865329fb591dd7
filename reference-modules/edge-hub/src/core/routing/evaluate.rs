//! Evaluation of compiled conditions against one message. Nothing here fails: what cannot be had is Undefined.

use std::cell::OnceCell;

use super::functions;
use super::letter_case::{self, Name};
use super::message::Message;
use super::node::{DynamicNode, NumberNode, TextNode, TruthNode, Typed};
use super::syntax::Arithmetic;
use super::text::Text;
use super::value::{self, Dynamic, TextValue, Truth};
use crate::core::lenient_json::Json;
use crate::faults::planted;

/// One message and what has been found out about it.
pub(super) struct Evaluation<'m> {
    message: &'m Message,
    body: OnceCell<Option<Json>>,
}

impl<'m> Evaluation<'m> {
    pub(super) fn of(message: &'m Message) -> Evaluation<'m> {
        Evaluation { message, body: OnceCell::new() }
    }

    /// Whether a condition holds. Strings and numbers are no truth values, a null counts as False.
    pub(super) fn condition(&self, condition: &Typed) -> Truth {
        match condition {
            Typed::Truth(node) => self.truth(node),
            Typed::Dynamic(node) => self.dynamic(node).truth(),
            Typed::Null => Truth::from(planted("LANG18-null-routes")),
            Typed::Text(node) if planted("LANG23-text-is-true") => {
                Truth::from(matches!(self.text(node), TextValue::Text(text) if text.length() > 0))
            }
            Typed::Text(_) | Typed::Number(_) | Typed::Undefined => Truth::Undefined,
        }
    }

    fn body(&self) -> Option<&Json> {
        self.body.get_or_init(|| super::body::read(self.message)).as_ref()
    }

    fn application(&self, name: &Name) -> Option<TextValue<'_>> {
        let is = |key: &str| {
            if planted("LANG03-application-names-in-exact-case") { key == name.written() } else { name.is(key) }
        };
        let (_, value) = self.message.properties.iter().find(|(key, _)| is(key))?;
        match value {
            None if planted("LANG24-property-without-value-is-absent") => None,
            None if planted("LANG24-property-without-value-is-empty") => Some(TextValue::Text(Text::borrowed(""))),
            value => Some(text_value(value.as_deref())),
        }
    }

    fn system(&self, name: &Name) -> Option<TextValue<'_>> {
        let is = |key: &str| {
            if planted("LANG03-system-names-in-exact-case") { key == name.written() } else { name.is(key) }
        };
        let (_, value) = self.message.system.iter().find(|(key, _)| is(key))?;
        Some(text_value(value.as_deref()))
    }

    fn text<'n>(&'n self, node: &'n TextNode) -> TextValue<'n> {
        match node {
            TextNode::Literal(text) => TextValue::Text(match text {
                Text::Unicode(text) => Text::borrowed(text),
                Text::Units(units) => Text::Units(units.clone()),
            }),
            TextNode::Application(name) => self.application(name).unwrap_or_else(absent),
            TextNode::System(name) => self.system(name).unwrap_or_else(absent),
            TextNode::Either { application, system } => {
                self.application(application).or_else(|| self.system(system)).unwrap_or_else(absent)
            }
            TextNode::Concat(parts) => self.concat(parts),
            TextNode::Lower(text) => self.mapped(text, letter_case::lower),
            TextNode::Upper(text) => self.mapped(text, letter_case::upper),
            TextNode::Substring { text, start, length } => {
                let length = length.as_ref().map(|length| self.dynamic(length));
                functions::part(self.dynamic(text), &self.dynamic(start), length.as_ref())
            }
            TextNode::FirstDefined(choices) => {
                let mut values = choices.iter().map(|choice| self.text(choice));
                values.find(|value| *value != TextValue::Undefined).unwrap_or(TextValue::Undefined)
            }
        }
    }

    /// A property without a value counts as empty; anything else that is no string makes the whole Undefined.
    fn concat(&self, parts: &[DynamicNode]) -> TextValue<'_> {
        let mut joined = Text::borrowed("");
        for part in parts {
            match self.dynamic(part) {
                Dynamic::Text(None) => {}
                Dynamic::Text(Some(text)) => joined = joined.concat(&text),
                Dynamic::Undefined if planted("LANG20-undefined-concatenates-as-empty") => {}
                _ => return TextValue::Undefined,
            }
        }
        TextValue::Text(joined)
    }

    fn mapped(&self, text: &DynamicNode, letter: fn(char) -> char) -> TextValue<'_> {
        match self.dynamic(text).text() {
            Some(text) => TextValue::Text(text.map(letter)),
            None => TextValue::Undefined,
        }
    }

    /// NaN is Undefined.
    fn number(&self, node: &NumberNode) -> f64 {
        match node {
            NumberNode::Literal(number) => *number,
            NumberNode::Negate(operand) => -self.number(operand),
            NumberNode::Arithmetic(first, rest) => rest
                .iter()
                .fold(self.number(first), |left, (operator, right)| calculate(*operator, left, self.number(right))),
            NumberNode::Math(function, argument) => {
                self.dynamic(argument).number().map_or(f64::NAN, |number| function.of(number))
            }
            NumberNode::Power(base, exponent) => functions::power(&self.dynamic(base), &self.dynamic(exponent)),
            NumberNode::AsNumber(argument) => functions::number_of(self.dynamic(argument)),
            NumberNode::Length(text) => self.dynamic(text).text().map_or(f64::NAN, |text| text.length() as f64),
            NumberNode::IndexOf(text, fragment) => match (self.dynamic(text).text(), self.dynamic(fragment).text()) {
                (Some(text), Some(fragment)) => text.find(&fragment).map_or(-1.0, |at| at as f64),
                _ => f64::NAN,
            },
            NumberNode::FirstDefined(choices) => {
                choices.iter().map(|choice| self.number(choice)).find(|number| !number.is_nan()).unwrap_or(f64::NAN)
            }
        }
    }

    fn truth(&self, node: &TruthNode) -> Truth {
        match node {
            TruthNode::Literal(truth) => *truth,
            TruthNode::Not(operand) => self.truth(operand).negated(),
            TruthNode::And(operands) => {
                operands.iter().map(|operand| self.truth(operand)).fold(Truth::True, Truth::and)
            }
            TruthNode::Or(operands) => operands.iter().map(|operand| self.truth(operand)).fold(Truth::False, Truth::or),
            TruthNode::NotDynamic(operand) => match self.dynamic(operand) {
                Dynamic::Bool(value) => Truth::from(!value),
                _ => Truth::Undefined,
            },
            TruthNode::AndDynamic(left, right) => self.connected(left, right, Truth::and),
            TruthNode::OrDynamic(left, right) => self.connected(left, right, Truth::or),
            TruthNode::CompareTexts(comparison, operands) => {
                value::compare_texts(*comparison, &self.text(&operands.0), &self.text(&operands.1))
            }
            TruthNode::CompareNumbers(comparison, operands) => {
                value::compare_numbers(*comparison, self.number(&operands.0), self.number(&operands.1))
            }
            TruthNode::CompareTruths(comparison, operands) => {
                value::compare_truths(*comparison, self.truth(&operands.0), self.truth(&operands.1))
            }
            TruthNode::CompareDynamics(comparison, operands) => {
                value::compare_dynamics(*comparison, &self.dynamic(&operands.0), &self.dynamic(&operands.1))
            }
            TruthNode::IsDefined(argument) => self.is_defined(argument),
            TruthNode::IsNullText(argument) => Truth::from(self.text(argument) == TextValue::Null),
            TruthNode::IsNullDynamic(argument) => functions::is_null_dynamic(&self.dynamic(argument)),
            TruthNode::IsBool(argument) => match self.dynamic(argument) {
                Dynamic::Undefined => Truth::Undefined,
                other => Truth::from(matches!(other, Dynamic::Bool(_))),
            },
            TruthNode::IsNumber(argument) => Truth::from(self.dynamic(argument).number().is_some_and(|number| {
                number.is_finite() || (number.is_infinite() && planted("FN08-infinity-is-a-number"))
            })),
            TruthNode::IsString(argument) => Truth::from(self.dynamic(argument).text().is_some()),
            TruthNode::Predicate(predicate, text, fragment) => {
                match (self.dynamic(text).text(), self.dynamic(fragment).text()) {
                    (Some(text), Some(fragment)) => Truth::from(predicate.of(&text, &fragment)),
                    _ if planted("FN09-absent-contains-nothing") => Truth::False,
                    _ => Truth::Undefined,
                }
            }
            TruthNode::FirstDefined(choices) => {
                let mut truths = choices.iter().map(|choice| self.truth(choice));
                truths.find(|truth| *truth != Truth::Undefined).unwrap_or(Truth::Undefined)
            }
        }
    }

    /// Quirk: unlike static ones, lifted operands must both be booleans, even where one would decide.
    fn connected(&self, left: &DynamicNode, right: &DynamicNode, connect: fn(Truth, Truth) -> Truth) -> Truth {
        let (left, right) = (self.dynamic(left).truth(), self.dynamic(right).truth());
        let both_bool = left != Truth::Undefined && right != Truth::Undefined;
        if both_bool || planted("BODY09-one-boolean-may-decide") { connect(left, right) } else { Truth::Undefined }
    }

    fn is_defined(&self, argument: &Typed) -> Truth {
        let defined = match argument {
            Typed::Text(node) => self.text(node) != TextValue::Undefined,
            Typed::Number(node) => !self.number(node).is_nan(),
            Typed::Truth(node) => self.truth(node) != Truth::Undefined,
            Typed::Null => true,
            Typed::Undefined => false,
            Typed::Dynamic(node) => self.dynamic(node).is_defined(),
        };
        if !defined && planted("FN06-is-defined-is-never-false") { Truth::Undefined } else { Truth::from(defined) }
    }

    fn dynamic<'n>(&'n self, node: &'n DynamicNode) -> Dynamic<'n> {
        match node {
            DynamicNode::Body { path, shadow } => match shadow.as_ref().and_then(|shadow| self.application(shadow)) {
                Some(shadow) => Dynamic::from_text(shadow),
                None => self.body().map_or(Dynamic::Undefined, |body| path.select(body)),
            },
            DynamicNode::Arithmetic(first, rest) => rest.iter().fold(self.dynamic(first), |left, (operator, right)| {
                match (left.number(), self.dynamic(right).number()) {
                    (Some(left), Some(right)) => Dynamic::Number(calculate(*operator, left, right)),
                    _ => Dynamic::Undefined,
                }
            }),
            DynamicNode::FirstDefined(choices) => {
                let given_way = |value: &Dynamic| {
                    *value == Dynamic::Undefined
                        || (*value == Dynamic::Missing && planted("BODY12-missing-member-gives-way"))
                };
                let mut last = Dynamic::Undefined;
                for choice in choices {
                    last = self.dynamic(choice);
                    if !given_way(&last) {
                        break;
                    }
                }
                last
            }
            DynamicNode::Lifted(part) => match part.as_ref() {
                Typed::Text(node) => Dynamic::from_text(self.text(node)),
                Typed::Number(node) => Dynamic::from_number(self.number(node)),
                Typed::Truth(node) => Dynamic::from_truth(self.truth(node)),
                Typed::Null => Dynamic::Null,
                Typed::Undefined => Dynamic::Undefined,
                Typed::Dynamic(node) => self.dynamic(node),
            },
        }
    }
}

fn text_value(value: Option<&str>) -> TextValue<'_> {
    value.map_or(TextValue::Null, |value| TextValue::Text(Text::borrowed(value)))
}

fn absent<'a>() -> TextValue<'a> {
    if planted("LANG06-absent-is-empty") { TextValue::Text(Text::borrowed("")) } else { TextValue::Undefined }
}

/// IEEE 754; the remainder takes the sign of the dividend.
fn calculate(operator: Arithmetic, left: f64, right: f64) -> f64 {
    match operator {
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide if right == 0.0 && planted("LANG11-division-by-zero-is-undefined") => f64::NAN,
        Arithmetic::Divide if planted("LANG11-integers-divide-to-integers") => (left / right).trunc(),
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder => left % right,
        Arithmetic::Add if planted("LANG11-sums-are-rounded") => ((left + right) * 1e9).round() / 1e9,
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
    }
}
