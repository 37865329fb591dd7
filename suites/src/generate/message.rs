//! Messages that an MQTT client can send.

use harness::stage::Outgoing;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::{MEMBERS, PROPERTIES, TEXTS};

/// A message without an output name.
pub fn message() -> impl Strategy<Value = Outgoing> {
    (properties(), system(), body()).prop_map(|(properties, (mut system, encoding), body)| {
        let body = match encoding {
            Some("utf-16") => body.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
            Some("utf-32") => body.chars().flat_map(|c| (c as u32).to_le_bytes()).collect(),
            _ => body.into_bytes(),
        };
        system.extend(encoding.map(|encoding| ("contentEncoding".to_owned(), Some(encoding.to_owned()))));
        Outgoing { output: None, properties, system, body: body.into() }
    })
}

type Properties = Vec<(String, Option<String>)>;

fn properties() -> impl Strategy<Value = Properties> {
    let value = prop_oneof![9 => select(TEXTS.to_vec()).prop_map(|text| Some(text.to_owned())), 1 => Just(None)];
    (subsequence(PROPERTIES.to_vec(), 0..=PROPERTIES.len()), proptest::collection::vec(value, PROPERTIES.len()))
        .prop_map(|(names, values)| names.into_iter().map(str::to_owned).zip(values).collect())
}

fn system() -> impl Strategy<Value = (Properties, Option<&'static str>)> {
    let text = || select(vec!["press", "7", "id-1", "ü b", "a=b&c/d", "12"]);
    let others = (
        proptest::option::of(text()),
        proptest::option::weighted(0.3, text()),
        proptest::option::weighted(0.3, text()),
        proptest::option::weighted(0.2, text()),
        proptest::option::weighted(0.2, Just("2031-02-03T04:05:06Z")),
    );
    let kind = prop_oneof![
        1 => Just((None, None)),
        6 => Just((Some("application/json"), Some("utf-8"))),
        1 => Just((Some("Application/JSON"), Some("UTF-8"))),
        1 => Just((Some("application/json"), Some("utf-16"))),
        1 => Just((Some("application/json"), Some("utf-32"))),
        1 => select(vec![(Some("application/json"), None), (None, Some("utf-8")), (Some("application/json; charset=utf-8"), Some("utf-8")), (Some("application/json"), Some("utf8")), (Some("text/plain"), Some("utf-8"))]),
    ];
    (others, kind).prop_map(|((id, correlation, user, subject, created), (content_type, encoding))| {
        let given = [
            ("messageId", id),
            ("cid", correlation),
            ("userId", user),
            ("dt-subject", subject),
            ("creationTime", created),
            ("contentType", content_type),
        ];
        let system =
            given.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Some((*value)?.to_owned())))).collect();
        (system, encoding)
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => select(vec![json!(12), json!(7), json!(0), json!(-3.5), json!(1000)]),
        3 => select(TEXTS.to_vec()).prop_map(|text| json!(text)),
        2 => any::<bool>().prop_map(|truth| json!(truth)),
        1 => Just(Value::Null),
    ]
}

fn object(depth: u32) -> BoxedStrategy<Value> {
    let member = if depth == 0 {
        scalar().boxed()
    } else {
        prop_oneof![4 => scalar(), 1 => object(depth - 1), 1 => proptest::collection::vec(scalar(), 0..4).prop_map(|list| json!(list))].boxed()
    };
    (
        subsequence(MEMBERS.to_vec(), 0..=MEMBERS.len()),
        proptest::collection::vec(member, MEMBERS.len()),
        proptest::collection::vec(scalar(), 0..4),
    )
        .prop_map(|(names, values, list)| {
            let mut members: Map<String, Value> = names.into_iter().map(str::to_owned).zip(values).collect();
            members.insert("list".to_owned(), json!(list));
            Value::Object(members)
        })
        .boxed()
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => object(1).prop_map(|object| object.to_string()),
        1 => select(vec!["", "[1]", "not json", r#"{"n":7} x"#, r#"{"n":7,}"#, "{n:12}", r#"{'n':'press'}"#, r#"{"n":0x0C}"#, r#"{"n":1,"n":12}"#, r#"{/* c */"ok":true}"#, r#"{"at":"2031-02-03T04:05:06Z"}"#, r#"{"at":"2031-02-03"}"#, r#"{"n":NaN}"#])
            .prop_map(str::to_owned),
    ]
}
