//! User names of every shape to try. What one means is the oracle's to say ([`crate::oracle::mqtt::user_name()`]).
//!
//! ```text
//! username  = host "/" device [ "/" module ] "/" last
//! last      = "?" query | query with "api-version="
//! query     = pair *( "&" pair )
//! pair      = name [ "=" value ]
//! ```

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A user name in its parts, as it was drawn.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Before the first slash.
    pub host: String,
    /// Device and module segments, and those too many.
    pub ids: Vec<String>,
    /// What stands before the query.
    pub before: String,
    /// Pairs.
    pub pairs: Vec<String>,
}

impl Drawn {
    /// The user name.
    pub fn text(&self) -> String {
        format!("{}/{}/{}{}", self.host, self.ids.join("/"), self.before, self.pairs.join("&"))
    }
}

/// User names around one client's, most of them with something odd about them.
pub fn names(device: &'static str, module: Option<&'static str>) -> impl Strategy<Value = Drawn> {
    let host = select(vec!["edgecert.azure-devices.net", "10.1.2.3", "anything", "", "a b", "ü"]);
    let before = prop_oneof![
        8 => Just("?"),
        2 => Just(""),
        1 => select(vec!["? ", " ?", "??", "%3F"]),
    ];
    (host, ids(device, module), before, pairs()).prop_map(|(host, ids, before, pairs)| Drawn {
        host: host.to_owned(),
        ids,
        before: before.to_owned(),
        pairs: pairs.into_iter().map(str::to_owned).collect(),
    })
}

fn ids(device: &'static str, module: Option<&'static str>) -> impl Strategy<Value = Vec<String>> {
    let right: Vec<String> = [Some(device), module].into_iter().flatten().map(str::to_owned).collect();
    let whole = right.clone();
    let odd = (0..right.len(), 0..5_usize).prop_map(move |(at, how)| {
        let mut ids = right.clone();
        ids[at] = match how {
            0 => format!(" {}  ", ids[at]),
            1 => ids[at].to_uppercase(),
            2 => format!("%{:02x}{}", ids[at].as_bytes()[0], &ids[at][1..]),
            3 => String::new(),
            _ => format!("{}?", ids[at]),
        };
        ids
    });
    let blank_module = Just(vec![device.to_owned(), String::new()]);
    let surplus = Just(vec![device.to_owned(), module.unwrap_or("m").to_owned(), "more".to_owned()]);
    prop_oneof![6 => Just(whole), 3 => odd, 1 => blank_module, 1 => surplus, 1 => Just(Vec::new())]
}

fn pairs() -> impl Strategy<Value = Vec<&'static str>> {
    let version = prop_oneof![
        8 => Just("api-version=2021-04-12"),
        2 => Just("api-version=x"),
        3 => select(vec!["api-version=", "api-version", "api-version=%20", "Api-Version=1", "api%2Dversion=1"]),
    ];
    let other = select(vec![
        "DeviceClientType=rust%2F1",
        "model-id=dtmi:com:example;1",
        "unknown=1",
        "",
        "=1",
        "%zz=%zz",
        "a=b=c",
        "+=+",
        "DeviceClientType=a/b",
    ]);
    (
        vec(other.clone(), 0..3),
        proptest::option::weighted(0.95, version.clone()),
        vec(prop_oneof![3 => other, 1 => version], 0..3),
    )
        .prop_map(|(mut pairs, version, behind)| {
            pairs.extend(version);
            pairs.extend(behind);
            pairs
        })
}
