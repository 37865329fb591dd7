//! The first packet: CONNECT, right and wrong. Covers MQTT-CONN.
//!
//! - [`user_name`]: what a user name means. [`spoiled`]: fields and flags that go wrong.
//! - [`order`]: what comes before and behind CONNECT. [`several`]: clients that meet.

use futures_util::future::BoxFuture;
use harness::client::raw_mqtt::Connect;
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;

use super::guest::{self, GUEST, Seen, VISITOR, ask, device, module, proper, without_password};
use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use crate::oracle;
use user_name::{Drawn, names};

pub mod order;
pub mod several;
pub mod spoiled;
pub mod user_name;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        property(
            "mqtt_head",
            "mqtt_head::connecting::a_user_name_names_a_client_by_its_grammar",
            &[
                "MQTT-CONN-01",
                "MQTT-CONN-02",
                "MQTT-CONN-03",
                "MQTT-CONN-04",
                "MQTT-CONN-05",
                "MQTT-CONN-06",
                "MQTT-CONN-07",
                "MQTT-CONN-08",
            ],
            6,
            cases,
            names_hold,
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::every_shape_of_the_documentation_is_let_in",
            &["MQTT-CONN-01", "MQTT-CONN-02", "MQTT-CONN-03", "MQTT-CONN-04", "MQTT-CONN-05"],
            |worker| Box::pin(let_in(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::a_refusal_says_why_and_closes",
            &[
                "MQTT-CONN-06",
                "MQTT-CONN-07",
                "MQTT-CONN-08",
                "MQTT-CONN-09",
                "MQTT-CONN-10",
                "MQTT-CONN-11",
                "MQTT-CONN-19",
            ],
            |worker| Box::pin(refused(worker)),
        ),
    ];
    tests.extend(spoiled::tests());
    tests.extend(order::tests());
    tests.extend(several::tests());
    tests
}

/// A user name, and the client id beside it.
#[derive(Debug, Clone)]
struct Case {
    module: bool,
    name: Drawn,
    /// How the client id differs from what the name says.
    other_id: Option<&'static str>,
}

fn cases() -> impl Strategy<Value = Case> {
    let other = proptest::option::weighted(0.15, select(vec!["", " ", "GW7/guest", "gw7/guest/", "gw7", "visitor/x"]));
    let name = prop_oneof![
        names("gw7", Some(GUEST)).prop_map(|name| (true, name)),
        names(VISITOR, None).prop_map(|name| (false, name)),
    ];
    (name, other).prop_map(|((module, name), other_id)| Case { module, name, other_id })
}

fn who(module: bool) -> Identity {
    if module { guest::module(GUEST) } else { device(VISITOR) }
}

/// What the hub must say, and the requirement that says so.
fn expected(case: &Case, name: &str, client_id: &str, right_id: &str) -> (&'static str, u8) {
    let Some(named) = oracle::mqtt::user_name(name) else { return ("MQTT-CONN-06", 3) };
    if client_id.trim().is_empty() {
        return ("MQTT-CONN-07", 3);
    }
    if named.client_id != client_id || client_id != right_id {
        return ("MQTT-CONN-08", 5);
    }
    let requirement = match case {
        _ if !case.name.before.starts_with('?') => "MQTT-CONN-03",
        _ if !case.name.host.contains(".azure-devices.net") => "MQTT-CONN-04",
        _ if case.name.pairs.len() > 1 => "MQTT-CONN-05",
        _ if case.module => "MQTT-CONN-02",
        _ => "MQTT-CONN-01",
    };
    (requirement, 0)
}

fn names_hold<'a>(stage: &'a mut Stage, case: &'a Case) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let environment = stage.environment();
        let mut connect = proper(environment, &who(case.module));
        let (name, right_id) = (case.name.text(), connect.client_id.clone());
        let said = oracle::mqtt::user_name(&name).map_or_else(|| right_id.clone(), |named| named.client_id);
        let client_id = case.other_id.map_or(said, str::to_owned);
        let (requirement, code) = expected(case, &name, &client_id, &right_id);
        connect.user_name = Some(name);
        connect.client_id = client_id;
        judged(environment, requirement, &connect, &Seen::Code(code)).await
    })
}

/// Plays a CONNECT and compares.
async fn judged(
    environment: &Environment,
    requirement: &str,
    connect: &Connect,
    expected: &Seen,
) -> Result<Option<Violation>, StageError> {
    let seen = ask(environment, "guest", connect).await?;
    Ok((seen != *expected).then(|| broken(requirement, expected.to_string(), seen.to_string(), &[told(connect)])))
}

fn told(connect: &Connect) -> String {
    let mut told = format!("CONNECT with client id {:?}", connect.client_id);
    match &connect.user_name {
        Some(name) => told.push_str(&format!(", user name {name:?}")),
        None => told.push_str(", no user name"),
    }
    told.push_str(match &connect.password {
        Some(password) if password.is_empty() => ", an empty password",
        Some(_) => ", a token of the identity",
        None => ", no password",
    });
    let normal = Connect::default();
    if connect.protocol != normal.protocol || connect.level != normal.level {
        told.push_str(&format!(", protocol {:?} level {}", connect.protocol, connect.level));
    }
    if let Some(flags) = connect.flags {
        told.push_str(&format!(", flags 0b{flags:08b}"));
    }
    if !connect.surplus.is_empty() {
        told.push_str(&format!(", and {} bytes too many", connect.surplus.len()));
    }
    told
}

async fn let_in(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let rows = [
        ("MQTT-CONN-01", false, "edgecert.azure-devices.net/visitor/?api-version=2021-04-12"),
        ("MQTT-CONN-01", false, "edgecert.azure-devices.net/visitor/?api-version=whatever"),
        ("MQTT-CONN-02", true, "edgecert.azure-devices.net/gw7/guest/?api-version=2021-04-12"),
        ("MQTT-CONN-02", true, "edgecert.azure-devices.net/ gw7/guest /?api-version=x"),
        ("MQTT-CONN-03", false, "edgecert.azure-devices.net/visitor/api-version=2018-06-30&DeviceClientType=a"),
        ("MQTT-CONN-03", true, "edgecert.azure-devices.net/gw7/guest/api-version=2010-01-01&"),
        ("MQTT-CONN-04", true, "nowhere/gw7/guest/?api-version=2021-04-12&DeviceClientType=a"),
        ("MQTT-CONN-04", false, "/visitor/?api-version=2021-04-12"),
        (
            "MQTT-CONN-05",
            true,
            "edgecert.azure-devices.net/gw7/guest/?api-version=2021-04-12&DeviceClientType=rust%2F1",
        ),
        (
            "MQTT-CONN-05",
            true,
            "edgecert.azure-devices.net/gw7/guest/?DeviceClientType=a&api-version=2021-04-12&model-id=dtmi:a;1",
        ),
        ("MQTT-CONN-05", false, "edgecert.azure-devices.net/visitor/?api-version=2021-04-12&surprise=1&&x"),
        ("MQTT-CONN-05", false, "edgecert.azure-devices.net/visitor/?api-version=2021-04-12&api-version="),
        ("MQTT-CONN-05", false, "edgecert.azure-devices.net/visitor/?api-version=%32021"),
    ];
    for (requirement, module, name) in rows {
        let connect = Connect { user_name: Some(name.to_owned()), ..proper(environment, &who(module)) };
        if let Some(found) = judged(environment, requirement, &connect, &Seen::Code(0)).await? {
            return Ok(ended(Some(found)));
        }
    }
    Ok(Outcome::Conforms)
}

async fn refused(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let right = proper(environment, &module(GUEST));
    let named = |name: &str| Connect { user_name: Some(name.to_owned()), ..right.clone() };
    let called = |id: &str, clean_session| Connect { client_id: id.to_owned(), clean_session, ..right.clone() };
    let flagged = |flags| Connect { flags: Some(flags), ..right.clone() };
    let bare = Connect { user_name: None, password: None, ..right.clone() };
    let rows = [
        ("MQTT-CONN-06", bare, Seen::Code(3)),
        ("MQTT-CONN-06", named(""), Seen::Code(3)),
        ("MQTT-CONN-06", named("h"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7?api-version=2021-04-12"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest?api-version=2021-04-12?DeviceClientType=y"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest/?version=2021-04-12"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h//?api-version=2021-04-12"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest/api-version=2021-04-12/extra"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest/?api-version="), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest/?api-version=%20"), Seen::Code(3)),
        ("MQTT-CONN-06", named("h/gw7/guest/?api-version=&api-version=2021-04-12"), Seen::Code(3)),
        ("MQTT-CONN-07", called("", true), Seen::Code(3)),
        ("MQTT-CONN-07", called("", false), Seen::Code(3)),
        ("MQTT-CONN-07", called("  ", true), Seen::Code(3)),
        ("MQTT-CONN-08", called("gw7/Guest", true), Seen::Code(5)),
        ("MQTT-CONN-08", called("gw7", true), Seen::Code(5)),
        ("MQTT-CONN-08", called("gw7/host", true), Seen::Code(5)),
        ("MQTT-CONN-09", without_password(&right), Seen::Code(5)),
        ("MQTT-CONN-09", Connect { password: Some(Vec::new()), ..right.clone() }, Seen::Code(5)),
        ("MQTT-CONN-10", Connect { level: 3, ..right.clone() }, Seen::Code(1)),
        ("MQTT-CONN-10", Connect { level: 5, ..right.clone() }, Seen::Code(1)),
        ("MQTT-CONN-11", Connect { protocol: "MQIsdp".to_owned(), level: 3, ..right.clone() }, Seen::Closed),
        ("MQTT-CONN-11", flagged(right.own_flags() | 0x01), Seen::Closed),
        ("MQTT-CONN-11", flagged(right.own_flags() | 0x20), Seen::Closed),
        ("MQTT-CONN-11", Connect { user_name: None, ..right.clone() }, Seen::Closed),
        ("MQTT-CONN-11", Connect { surplus: vec![0], ..right.clone() }, Seen::Closed),
    ];
    for (requirement, connect, expected) in rows {
        let Some(mut found) = judged(environment, requirement, &connect, &expected).await? else { continue };
        if ["CONNACK 0x02", "CONNACK 0x04"].contains(&found.observed.as_str()) {
            found.observed.push_str(", which no client of this hub ever gets (MQTT-CONN-19)");
        }
        return Ok(ended(Some(found)));
    }
    Ok(Outcome::Conforms)
}
