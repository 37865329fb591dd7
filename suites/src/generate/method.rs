//! Names and arguments of direct methods.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Number, Value, json};

/// Names that MQTT can carry: no `#`, no `+`. Simple ones come first.
pub fn name() -> impl Strategy<Value = String> {
    let known = select(vec![
        "reset",
        "Reset",
        "a/b",
        "what?x=1&y",
        "50%20",
        "%41",
        "$edge",
        "with a blank",
        "grün",
        "日本😀",
        "/",
        "?",
        "\"quoted\\\"",
    ]);
    prop_oneof![
        6 => known.prop_map(str::to_owned),
        3 => "[a-zA-Z0-9._:;,~-]{1,20}",
        1 => select(vec!["n", "é", "日"]).prop_map(|letter| letter.repeat(100)),
        1 => Just("😀".repeat(50)),
    ]
}

/// Any JSON value but dates, which the product spells anew.
pub fn argument() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(vec![0, 7, -1, i64::MAX, i64::MIN, 4_503_599_627_370_496]).prop_map(Value::from),
        select(vec![1.5, -0.25, 1e300, 2.5e-7, 0.1]).prop_map(Value::from),
        text().prop_map(Value::from),
        Just(json!({})),
        Just(json!([])),
        Just(Value::Number(Number::from(u64::MAX))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let member = (text(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(Value::Array),
            proptest::collection::vec(member, 0..3).prop_map(|members| Value::Object(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>()
            )),
        ]
    })
}

fn text() -> impl Strategy<Value = &'static str> {
    select(vec!["", "on", "grün", "日本😀", "\"<\\>\"", "tab\tand\nline", "\u{7f}\u{2028}", "{\"a\":1}", "null"])
}
