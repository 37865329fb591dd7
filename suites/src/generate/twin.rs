//! Documents of twins, and patches of reported properties: legal ones, and ones at the edge of each limit.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::oracle::twin::patch::{DEPTH, NAME_BYTES, PATCH_BYTES, VALUE_BYTES};

/// An object that twins of cloud and hub take: of all types, with names of all kinds, deep or wide.
pub fn document() -> BoxedStrategy<Value> {
    let deep = (scalar(), 1..=DEPTH - 1, any::<bool>()).prop_map(|(leaf, levels, arrays)| nested(leaf, levels, arrays));
    let wide = vec((0..400_u32, scalar()), 20..60)
        .prop_map(|members| object(members.into_iter().map(|(number, value)| (format!("w{number}"), value)).collect()));
    prop_oneof![6 => members(3), 1 => deep, 1 => wide].boxed()
}

fn members(levels: u32) -> BoxedStrategy<Value> {
    vec((name(), value(levels)), 0..5).prop_map(object).boxed()
}

fn object(members: Vec<(String, Value)>) -> Value {
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}

fn value(levels: u32) -> BoxedStrategy<Value> {
    if levels == 0 {
        return scalar();
    }
    let array = vec(value(levels - 1), 0..4).prop_map(Value::Array);
    prop_oneof![5 => scalar(), 2 => members(levels - 1), 1 => array].boxed()
}

fn scalar() -> BoxedStrategy<Value> {
    const SAFE: i64 = 1 << 52;
    let integers = prop_oneof![
        (0..10_i64).prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        select(vec![SAFE - 1, -SAFE]).prop_map(Value::from),
    ];
    let floats = select(vec![1.0, 0.5, -0.1, 1e300, 1e-7, 1e17, 1234.75]).prop_map(Value::from);
    let texts =
        select(vec!["on", "", "grün", "日本", "😀", "1.0", "line\nbreak \"quoted\" \\", "null", "\u{200b}", "</a>"]);
    prop_oneof![
        3 => integers,
        1 => floats,
        1 => any::<bool>().prop_map(Value::from),
        2 => texts.prop_map(Value::from),
        1 => "[a-zA-Z0-9 .$#]{0,20}".prop_map(Value::from),
    ]
    .boxed()
}

fn name() -> BoxedStrategy<String> {
    let known =
        select(vec!["a", "A", "b", "n", "m", "ñ", "日本", "😀", "a/b", "a-b", "\"q\"", "[0]", "0", "__proto__"]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => "[a-z]{1,12}"].boxed()
}

/// A value below so many objects or arrays, the root among them.
fn nested(leaf: Value, levels: usize, arrays: bool) -> Value {
    let inner = (1..levels).fold(leaf, |inner, _| if arrays { json!([inner]) } else { json!({ "d": inner }) });
    json!({ "d": inner })
}

/// A small patch over few names, so that patches meet: values change type, members go and come.
pub fn patch() -> BoxedStrategy<Value> {
    let value = prop_oneof![
        4 => (0..5_i64).prop_map(Value::from),
        1 => Just(json!("text")),
        1 => Just(json!([1, { "x": 2 }])),
        1 => Just(json!([])),
        1 => Just(json!(true)),
    ];
    let inner = vec((select(vec!["x", "y"]), prop_oneof![3 => value.clone(), 1 => Just(Value::Null)]), 0..3)
        .prop_map(|members| object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
    let member = prop_oneof![5 => value, 3 => inner, 2 => Just(Value::Null)];
    vec((select(vec!["a", "b", "n"]), member), 1..4)
        .prop_map(|members| object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
        .boxed()
}

/// The payload of a reported patch, told by what is special about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What is special.
    pub what: String,
    /// The payload.
    pub text: String,
}

fn payload(what: impl Into<String>, text: impl Into<String>) -> Payload {
    Payload { what: what.into(), text: text.into() }
}

/// Payloads at and beyond every limit, and some that are far from any.
pub fn payload_at_a_limit() -> BoxedStrategy<Payload> {
    let above = 0..2_usize;
    let plain = document().prop_map(|document| payload("a legal document", document.to_string()));
    let depth =
        (above.clone(), 0..3_u32, any::<bool>()).prop_map(|(more, mix, scalar)| at_depth(DEPTH + more, mix, scalar));
    let letter = select(vec!["x", "ü", "日", "😀"]);
    let long_name = (above.clone(), letter.clone(), place()).prop_map(|(more, letter, place)| {
        let name = filled(letter, NAME_BYTES + more);
        payload(format!("a name of {} bytes, of `{letter}`", name.len()), place.hold(&json!({ name: 1 }).to_string()))
    });
    let long_text = (above.clone(), letter, place(), any::<bool>()).prop_map(|(more, letter, place, escaped)| {
        let text = filled(letter, VALUE_BYTES + more);
        let what =
            format!("a text of {} bytes, of `{letter}`{}", text.len(), if escaped { ", written escaped" } else { "" });
        let written = if escaped { in_escapes(&text) } else { json!(text).to_string() };
        payload(what, place.hold(&format!("{{\"t\":{written}}}")))
    });
    let special = (any_name_character(), 0..3_usize, place()).prop_map(|(c, at, place)| {
        let name = ["", "a", "ab"][at].to_owned() + &c.to_string() + if at == 1 { "b" } else { "" };
        payload(format!("a name with U+{:04X}", u32::from(c)), place.hold(&json!({ name: 1 }).to_string()))
    });
    let integer = (select(integers()), place()).prop_map(|(digits, place)| {
        payload(format!("the integer {digits}"), place.hold(&format!("{{\"i\":{digits}}}")))
    });
    let float = (
        select(vec!["1e300", "-1e300", "4503599627370496.0", "-9007199254740993.5", "1e-300", "9223372036854775808.0"]),
        place(),
    )
        .prop_map(|(digits, place)| payload(format!("the float {digits}"), place.hold(&format!("{{\"f\":{digits}}}"))));
    let null = (
        select(vec![
            "[1,null]",
            "[[null]]",
            "[{\"x\":null}]",
            "[{\"y\":{\"x\":null}}]",
            "null",
            "{\"x\":null}",
            "{\"x\":{\"y\":null}}",
            "[]",
            "[1,\"a\",[true,{}]]",
        ]),
        0..3_usize,
    )
        .prop_map(|(value, levels)| {
            let text = (0..levels).fold(format!("{{\"v\":{value}}}"), |inner, _| format!("{{\"o\":{inner}}}"));
            payload(format!("the value {value}"), text)
        });
    let size = (above, any::<bool>(), select(vec!["x", "ü"]))
        .prop_map(|(more, spaced, letter)| of_size(PATCH_BYTES + more, spaced, letter));
    let broken = select(vec![
        "{",
        "{\"a\":}",
        "{\"a\" 1}",
        "nonsense",
        "{\"a\":1}}",
        "{\"a\":1} {\"b\":2}",
        "[1,2",
        "\u{feff}{}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
    ])
    .prop_map(|text| payload("no JSON", text));
    let blank = select(vec!["", " ", "\n\t "]).prop_map(|text| payload("nothing", text));
    let too_deep = (63..=66_usize)
        .prop_map(|levels| payload(format!("{levels} levels of arrays"), "[".repeat(levels) + &"]".repeat(levels)))
        .prop_map(|payload| Payload { text: format!("{{\"a\":{}}}", payload.text), ..payload });
    prop_oneof![
        3 => plain, 3 => depth, 2 => long_name, 2 => long_text, 4 => special, 3 => integer, 1 => float, 3 => null,
        1 => size, 1 => broken, 1 => blank, 1 => too_deep,
    ]
    .boxed()
}

/// Where in a patch a member stands.
#[derive(Debug, Clone, Copy)]
enum Placed {
    Root,
    InObject,
    InArray,
}

fn place() -> BoxedStrategy<Placed> {
    prop_oneof![2 => Just(Placed::Root), 1 => Just(Placed::InObject), 1 => Just(Placed::InArray)].boxed()
}

impl Placed {
    fn hold(self, object: &str) -> String {
        match self {
            Placed::Root => object.to_owned(),
            Placed::InObject => format!("{{\"o\":{object}}}"),
            Placed::InArray => format!("{{\"o\":[1,{object}]}}"),
        }
    }
}

fn at_depth(levels: usize, mix: u32, scalar: bool) -> Payload {
    let innermost = match (mix, scalar) {
        (0, true) => "{\"s\":1}",
        (0, false) => "{}",
        (_, true) => "[1]",
        (_, false) => "[]",
    };
    let text = (1..levels).fold(innermost.to_owned(), |inner, level| match mix {
        0 => format!("{{\"d\":{inner}}}"),
        1 => format!("[{inner}]"),
        _ if level % 2 == 0 => format!("{{\"d\":{inner}}}"),
        _ => format!("[{inner}]"),
    });
    payload(format!("{levels} levels below the root"), format!("{{\"d\":{text}}}"))
}

/// A text of so many bytes, of one letter, and of `x` where that does not fit.
fn filled(letter: &str, bytes: usize) -> String {
    "x".repeat(bytes % letter.len()) + &letter.repeat(bytes / letter.len())
}

fn in_escapes(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

fn of_size(bytes: usize, spaced: bool, letter: &str) -> Payload {
    // Texts as long as may be, and one that makes the size exact.
    let mut members = Map::new();
    while json!(members).to_string().len() + VALUE_BYTES + 8 < bytes {
        members.insert(format!("m{}", members.len()), filled(letter, 4000).into());
    }
    members.insert("z".to_owned(), "".into());
    let left = bytes - json!(members).to_string().len();
    members.insert("z".to_owned(), filled(letter, left).into());
    let text = json!(members).to_string();
    let text = if spaced { text.replace("\":\"", "\" :\n\"") } else { text };
    payload(format!("{bytes} bytes of compact JSON{}", if spaced { ", written with blanks" } else { "" }), text)
}

fn integers() -> Vec<&'static str> {
    vec![
        "0",
        "-1",
        "4503599627370495",
        "4503599627370496",
        "-4503599627370496",
        "-4503599627370497",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "100000000000000000000000000000000000000000",
    ]
}

/// Characters that names may not have, and neighbours of theirs that they may.
fn any_name_character() -> BoxedStrategy<char> {
    let refused = select(vec![
        '.', '$', '#', ' ', '\t', '\u{0}', '\u{1f}', '\u{7f}', '\u{85}', '\u{a0}', '\u{1680}', '\u{2000}', '\u{200a}',
        '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}', '\u{3000}',
    ]);
    let taken =
        select(vec!['/', '"', '[', '~', '!', '%', '\u{a1}', '\u{180e}', '\u{200b}', '\u{feff}', 'ß', '\'', ':', '@']);
    prop_oneof![2 => refused, 1 => taken].boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::twin;

    #[test]
    fn payloads_stand_where_they_say() {
        for (more, status) in [(0, 204), (1, 400)] {
            let payloads = [
                at_depth(DEPTH + more, 0, true),
                at_depth(DEPTH + more, 2, false),
                of_size(PATCH_BYTES + more, true, "ü"),
                payload("", json!({ filled("日", NAME_BYTES + more): 1 }).to_string()),
                payload("", format!("{{\"t\":{}}}", in_escapes(&filled("😀", VALUE_BYTES + more)))),
            ];
            for payload in payloads {
                let said = twin::reported(payload.text.as_bytes()).map_or_else(twin::Refusal::status, |_| 204);
                assert_eq!(said, status, "{}", payload.what);
            }
        }
    }
}
