//! The built-in functions: what they take, and what they give.

use super::number;
use super::typing::Type;
use super::value::{Value, lower, upper};

/// Names, the types of their arguments and the type of what they give. `Any` functions are told by their name.
const SIGNATURES: [(&str, &[&[Type]], Type); 18] = [
    ("abs", &[&[Type::Number]], Type::Number),
    ("ceiling", &[&[Type::Number]], Type::Number),
    ("floor", &[&[Type::Number]], Type::Number),
    ("exp", &[&[Type::Number]], Type::Number),
    ("square", &[&[Type::Number]], Type::Number),
    ("sqrt", &[&[Type::Number]], Type::Number),
    ("sign", &[&[Type::Number]], Type::Number),
    ("power", &[&[Type::Number, Type::Number]], Type::Number),
    ("as_number", &[&[Type::Text], &[Type::Number]], Type::Number),
    ("length", &[&[Type::Text]], Type::Number),
    ("lower", &[&[Type::Text]], Type::Text),
    ("upper", &[&[Type::Text]], Type::Text),
    ("substring", &[&[Type::Text, Type::Number], &[Type::Text, Type::Number, Type::Number]], Type::Text),
    ("index_of", &[&[Type::Text, Type::Text]], Type::Number),
    ("starts_with", &[&[Type::Text, Type::Text]], Type::Bool),
    ("ends_with", &[&[Type::Text, Type::Text]], Type::Bool),
    ("contains", &[&[Type::Text, Type::Text]], Type::Bool),
    ("concat", &[], Type::Text),
];

/// Functions that take one argument of any type.
const ANY: [&str; 5] = ["is_defined", "is_null", "is_bool", "is_number", "is_string"];

/// The type of a call, when it compiles.
pub(super) fn result_type(name: &str, types: &[Type]) -> Option<Type> {
    let name = name.to_ascii_lowercase();
    if ANY.contains(&name.as_str()) {
        return (types.len() == 1).then_some(Type::Bool);
    }
    let fits = |wanted: Type, given: Type| given == wanted || given == Type::Dynamic;
    let (_, shapes, result) = SIGNATURES.iter().find(|(known, ..)| *known == name)?;
    let good = if name == "concat" {
        types.len() >= 2 && types.iter().all(|given| fits(Type::Text, *given))
    } else {
        shapes.iter().any(|shape| {
            shape.len() == types.len() && shape.iter().zip(types).all(|(wanted, given)| fits(*wanted, *given))
        })
    };
    good.then_some(*result)
}

/// The value of a call that compiled.
pub(super) fn call(name: &str, arguments: &[(Type, Value)]) -> Value {
    let name = name.to_ascii_lowercase();
    let values: Vec<Value> = arguments.iter().map(|(_, value)| value.clone()).collect();
    let result = match name.as_str() {
        "is_defined" => Some(Value::Bool(values[0] != Value::Undefined)),
        "is_null" => Some(is_null(&arguments[0])),
        "is_bool" => Some(is_bool(&arguments[0])),
        "is_number" => Some(Value::Bool(matches!(values[0], Value::Number(number) if number.is_finite()))),
        "is_string" => Some(Value::Bool(matches!(values[0], Value::Text(_)))),
        "concat" => Some(concat(&values)),
        "as_number" => as_number(&values[0]),
        "power" => both(&values).map(|(base, exponent)| Value::number(base.powf(exponent))),
        "abs" | "ceiling" | "floor" | "exp" | "square" | "sqrt" | "sign" => {
            number_of(&values[0]).map(|number| of_number(&name, number))
        }
        _ => of_text(&name, &values),
    };
    result.unwrap_or(Value::Undefined)
}

/// True for what is null. For a body it is the other way round: true for whatever is there, null or not, and false
/// for what is missing. A defect of the product, kept.
fn is_null((given, value): &(Type, Value)) -> Value {
    match (given, value) {
        (Type::Dynamic, Value::Undefined) => Value::Undefined,
        (Type::Dynamic, value) => Value::Bool(*value != Value::Missing),
        (_, value) => Value::Bool(matches!(value, Value::NoText) || (*given == Type::Null && *value == Value::Null)),
    }
}

fn is_bool((given, value): &(Type, Value)) -> Value {
    match (given, value) {
        (Type::Bool | Type::Dynamic, Value::Undefined) => Value::Undefined,
        (Type::Bool, _) => Value::Bool(true),
        (_, value) => Value::Bool(matches!(value, Value::Bool(_))),
    }
}

/// Joins texts; one without a value adds nothing, anything else makes the whole undefined.
pub(super) fn concat(values: &[Value]) -> Value {
    let mut joined = Vec::new();
    for value in values {
        match value {
            Value::Text(text) => joined.extend(text),
            Value::NoText => {}
            _ => return Value::Undefined,
        }
    }
    Value::Text(joined)
}

fn as_number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) => Some(Value::number(*number)),
        Value::Text(text) => number::written(&String::from_utf16(text).ok()?).map(Value::number),
        _ => None,
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) if !number.is_nan() => Some(*number),
        _ => None,
    }
}

fn both(values: &[Value]) -> Option<(f64, f64)> {
    Some((number_of(&values[0])?, number_of(&values[1])?))
}

fn of_number(name: &str, number: f64) -> Value {
    Value::number(match name {
        "abs" => number.abs(),
        "ceiling" => number.ceil(),
        "floor" => number.floor(),
        "exp" => number.exp(),
        "square" => number * number,
        "sqrt" => number.sqrt(),
        _ if number == 0.0 => 0.0,
        _ => number.signum(),
    })
}

fn of_text(name: &str, values: &[Value]) -> Option<Value> {
    let text = |at: usize| match values.get(at) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let subject = text(0)?;
    Some(match name {
        "length" => Value::Number(subject.len() as f64),
        "lower" => mapped(subject, lower),
        "upper" => mapped(subject, upper),
        "substring" => return substring(subject, number_of(&values[1])?, values.get(2)),
        "index_of" => Value::Number(find(subject, text(1)?).map_or(-1.0, |at| at as f64)),
        "starts_with" => Value::Bool(subject.starts_with(text(1)?)),
        "ends_with" => Value::Bool(subject.ends_with(text(1)?)),
        "contains" => Value::Bool(find(subject, text(1)?).is_some()),
        _ => unreachable!("the signatures name no other function"),
    })
}

/// With two arguments the start may be the end; with three it may not, even for no characters.
fn substring(text: &[u16], start: f64, length: Option<&Value>) -> Option<Value> {
    let whole = text.len() as f64;
    match length {
        None => (start >= 0.0 && start <= whole).then(|| Value::Text(text[start as usize..].to_vec())),
        Some(length) => {
            let length = number_of(length)?;
            let good = start >= 0.0 && start < whole && length >= 0.0 && length <= whole - start;
            good.then(|| Value::Text(text[start as usize..start as usize + length as usize].to_vec()))
        }
    }
}

fn find(text: &[u16], wanted: &[u16]) -> Option<usize> {
    (0..=text.len()).find(|at| text[*at..].starts_with(wanted))
}

fn mapped(text: &[u16], map: fn(char) -> char) -> Value {
    let mut units = Vec::with_capacity(text.len());
    for letter in char::decode_utf16(text.iter().copied()) {
        match letter {
            Ok(letter) => units.extend_from_slice(map(letter).encode_utf16(&mut [0; 2])),
            Err(lone) => units.push(lone.unpaired_surrogate()),
        }
    }
    Value::Text(units)
}
