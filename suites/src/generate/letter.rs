//! What a message can carry, as widely as every client can write it.

use std::collections::BTreeMap;

use harness::client::property_bag::Properties;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// A text that a property may have for its value: plain, awkward on some wire, or anything.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 ._~-]{1,12}",
        3 => select(vec!["a b", "ü", "日本", "%25", "+", "a+b", "&=", "a/b", "#", "?", "$x", "'\"", "%zz", "\u{1F600}"]).prop_map(str::to_owned),
        1 => "\\PC{1,20}",
    ]
}

/// A body: empty, short, long, or longer than what fits 16 bits.
pub fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        5 => vec(any::<u8>(), 1..200),
        1 => vec(any::<u8>(), 1_000..5_000),
        1 => (65_530..70_000_usize, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

/// Application properties that every protocol can carry.
pub fn properties() -> impl Strategy<Value = Properties> {
    let name = "[a-zA-Z][a-zA-Z0-9 _.ü+&=/%-]{0,10}";
    proptest::collection::btree_map(name, proptest::option::weighted(0.85, text()), 0..5).prop_map(unlike)
}

/// Some of these system properties, each with a value that every protocol has a form for: AMQP keeps content type and
/// encoding in ASCII, and a time as a time.
pub fn system(names: &[&'static str]) -> impl Strategy<Value = Properties> + use<> {
    let (names, all) = (names.to_vec(), names.len());
    subsequence(names, 0..=all).prop_flat_map(|names| {
        let one = |name: &'static str| value(name).prop_map(move |value| (name.to_owned(), Some(value)));
        names.into_iter().map(one).collect::<Vec<_>>()
    })
}

fn value(name: &str) -> BoxedStrategy<String> {
    match name {
        "contentType" | "contentEncoding" => "[a-zA-Z0-9 ;=+/._-]{1,20}".boxed(),
        "absolute-expiry-time" | "creationTime" => (0..86_400_000_u32)
            .prop_map(|at| {
                let (seconds, thousandths) = (at / 1_000, at % 1_000);
                let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
                format!("2031-02-03T{hour:02}:{minute:02}:{second:02}.{thousandths:03}0000Z")
            })
            .boxed(),
        _ => text().boxed(),
    }
}

/// Names that differ by letter case only make the product drop the message; names it takes for its own are left out.
fn unlike(properties: BTreeMap<String, Option<String>>) -> Properties {
    let mut known = Vec::new();
    let reserved = [
        "mark",
        "own",
        "raw",
        "ack",
        "deviceid",
        "moduleid",
        "iothub-operation",
        "mqtt-qos",
        "mqtt-dup",
        "mqtt-retain",
    ];
    properties
        .into_iter()
        .filter(|(name, _)| {
            let folded = name.to_lowercase();
            let fresh = !known.contains(&folded) && !reserved.contains(&folded.as_str());
            known.push(folded);
            fresh
        })
        .collect()
}
