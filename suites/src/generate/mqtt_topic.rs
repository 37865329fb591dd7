//! Topics of PUBLISH packets: mostly telemetry with bags of all kinds, and what is nearly telemetry.
//!
//! Left out, since a hub may do as it likes with them: something before `devices/`, properties named `deviceId` and
//! `moduleId`, and what chooses the delivery QoS.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A topic without wildcards, mostly.
pub fn topic() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (address(), bag(), ending()).prop_map(|(address, bag, ending)| format!("{address}/{bag}{ending}")),
        1 => address(),
        1 => address().prop_map(|address| format!("{address}/")),
        1 => (address(), bag()).prop_map(|(address, bag)| format!("{address}/{bag}/{bag}")),
        1 => nearly(),
        1 => (address(), wild()).prop_map(|(address, wild)| format!("{address}/a={wild}b")),
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => Just("devices/gw7/modules/m10/messages/events".to_owned()),
        3 => Just("devices/leaf1/messages/events".to_owned()),
        2 => (id(), id()).prop_map(|(device, module)| format!("devices/{device}/modules/{module}/messages/events")),
        1 => id().prop_map(|device| format!("devices/{device}/messages/events")),
    ]
}

/// Ids with escapes, some of which make the whole topic be read anew.
fn id() -> impl Strategy<Value = String> {
    select(vec![
        "gw7", "m10", "%6D10", "a%20b", "größe", "%C3%BC", "x.y", "dot.ted", "A", "z%2Fz", "modules", "devices",
    ])
    .prop_map(str::to_owned)
}

fn ending() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 2 => Just("/"), 1 => Just("//"), 1 => Just("&"), 1 => Just("&&x=1")]
}

fn bag() -> impl Strategy<Value = String> {
    vec(pair(), 0..5).prop_map(|pairs| pairs.join("&"))
}

fn pair() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => (name(), text()).prop_map(|(name, value)| format!("{name}={value}")),
        2 => name(),
        1 => name().prop_map(|name| format!("{name}=")),
        1 => text().prop_map(|value| format!("={value}")),
        1 => (name(), text()).prop_map(|(name, value)| format!("{name}={value}={value}")),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,3}",
        2 => select(vec!["$.mid", "%24.mid", "$.cid", "%24.uid", "$.to", "$.ct", "%24.ce", "$.schema", "$.sub", "$.on", "%24.on",
            "%24%2Eon", "$.ifid", "$.MID", "$.zzz", "iothub-operation", "$.cdid", "%24.cmid"]).prop_map(str::to_owned),
        1 => select(vec!["Same", "same", "a%20b", "gr%C3%B6%C3%9Fe", "größe", "?q", "n%41me", "%zz", "%", "%FF", "a%2Fb", "it's"])
            .prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => "[a-zA-Z0-9 ._~-]{1,8}",
        4 => select(vec!["%20", "%2B", "%25", "%2525", "%C3%BC", "ü", "日本", "%E6%97%A5", "%zz", "%", "%4", "%FF", "%C3", "%C3%28",
            "%41", "%7E", "%2F", "%3D%26", "a b", "\"q\"", "<x>", "{1}", "a,b;c", "$x", "@", "?", ":", "!", "(1)", "😀"]).prop_map(str::to_owned),
    ]
}

/// Not telemetry, or not quite.
fn nearly() -> impl Strategy<Value = String> {
    select(vec![
        "devices/gw7/modules/m10/messages/event/a=b",
        "devices/gw7/modules/m10/Messages/events/a=b",
        "Devices/gw7/modules/m10/messages/events/a=b",
        "devices/gw7/module/m10/messages/events/a=b",
        "devices/gw7/modules/m10/inputs/in/a=b",
        "devices/gw7/messages/devicebound/a=b",
        "devices/gw7/modules/m10/messages/events /a=b",
        "devices/./messages/events/a=b",
        "devices/gw7/../messages/events/a=b",
        "devices/a\\b/messages/events/a=b",
        "devices:/gw7/messages/events/a=b",
        "devices/gw7/modules/m10",
        "$iothub/methods/POST/x/?$rid=1",
        "$iothub/methods/res/200/?$rid=1",
        "$iothub/twin/unknown",
        "$iothub/foo",
        "foo/bar",
        "/",
        "#",
        "+/messages/events/",
    ])
    .prop_map(str::to_owned)
}

fn wild() -> impl Strategy<Value = &'static str> {
    select(vec!["#", "+", "1+1"])
}
