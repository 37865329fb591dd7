//! The first packet: CONNECT, right and wrong. Covers MQTT-CONN.
//!
//! - [`user_name`]: what a user name means.

use futures_util::future::BoxFuture;
use harness::client::raw_mqtt::{Connect, Packet, packet};
use harness::deadline;
use harness::observe::history::{History, Identity};
use harness::observe::metrics;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;

use super::guest::{
    self, GUEST, HOST, Seen, VISITOR, acknowledge, answer, ask, carrying, device, enter, inputs_of, listed, module,
    output_of, proper, send_to, subscribe, until, without_password,
};
use crate::course::{broken, ended, reached, routes, sink};
use crate::declare::{fixed, property};
use user_name::{Drawn, meaning, names};

pub mod user_name;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
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
        property(
            "mqtt_head",
            "mqtt_head::connecting::flags_that_contradict_each_other_close_the_connection",
            &["MQTT-CONN-06", "MQTT-CONN-09", "MQTT-CONN-10", "MQTT-CONN-11"],
            2,
            spoiled,
            spoiled_holds,
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
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::connect_comes_first_and_once",
            &["MQTT-CONN-12", "MQTT-CONN-13"],
            |worker| Box::pin(first_and_once(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::packets_behind_connect_are_processed_in_order",
            &["MQTT-CONN-14"],
            |worker| Box::pin(behind_connect(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::the_newcomer_of_an_identity_takes_over",
            &["MQTT-CONN-16", "MQTT-CONN-17"],
            |worker| Box::pin(newcomer(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::connecting::places_are_free_again_when_clients_leave",
            &["MQTT-CONN-18"],
            |worker| Box::pin(places(worker)),
        ),
    ]
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
    let Some(named) = meaning(name) else { return ("MQTT-CONN-06", 3) };
    if client_id.trim().is_empty() {
        return ("MQTT-CONN-07", 3);
    }
    if named.client_id() != client_id || client_id != right_id {
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
        let said = meaning(&name).map_or_else(|| right_id.clone(), |named| named.client_id());
        let client_id = case.other_id.map_or(said, str::to_owned);
        let (requirement, code) = expected(case, &name, &client_id, &right_id);
        connect.user_name = Some(name);
        connect.client_id = client_id;
        judged(environment, requirement, &connect, &Seen::Code(code)).await
    })
}

/// Plays a CONNECT and compares.
async fn judged(
    environment: &harness::environment::Environment,
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

/// What is wrong with a CONNECT.
#[derive(Debug, Clone)]
enum Spoiled {
    Flags(u8),
    Level(u8),
    Protocol(&'static str, u8),
    Surplus(usize),
    Missing(usize),
}

fn spoiled() -> impl Strategy<Value = Spoiled> {
    prop_oneof![
        6 => any::<u8>().prop_map(Spoiled::Flags),
        2 => any::<u8>().prop_map(Spoiled::Level),
        2 => (select(vec!["MQIsdp", "mqtt", "MQTT ", "", "AMQP"]), select(vec![4, 3, 5])).prop_map(|(name, level)| Spoiled::Protocol(name, level)),
        1 => (1..9_usize).prop_map(Spoiled::Surplus),
        1 => (1..60_usize).prop_map(Spoiled::Missing),
    ]
}

/// What must come of these flags, when every field is there that they announce.
fn of_flags(flags: u8) -> (&'static str, Seen) {
    let (user, password, will) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x04 != 0);
    let will_qos = flags >> 3 & 3;
    let reserved = flags & 1 != 0;
    if reserved || (password && !user) || (!will && flags & 0x38 != 0) || will_qos == 3 {
        return ("MQTT-CONN-11", Seen::Closed);
    }
    match (user, password) {
        (false, _) => ("MQTT-CONN-06", Seen::Code(3)),
        (true, false) => ("MQTT-CONN-09", Seen::Code(5)),
        (true, true) => ("MQTT-CONN-02", Seen::Code(0)),
    }
}

fn spoiled_holds<'a>(stage: &'a mut Stage, case: &'a Spoiled) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let environment = stage.environment();
        let mut connect = proper(environment, &module(GUEST));
        let (requirement, expected) = match case {
            Spoiled::Flags(flags) => {
                connect.flags = Some(*flags);
                let will = packet::Will { topic: "t".to_owned(), payload: Vec::new(), qos: 0, retain: false };
                connect.will = Some(will).filter(|_| flags & 0x04 != 0);
                connect.user_name = connect.user_name.filter(|_| flags & 0x80 != 0);
                connect.password = connect.password.filter(|_| flags & 0x40 != 0);
                of_flags(*flags)
            }
            Spoiled::Level(level) => {
                connect.level = *level;
                if *level == 4 { ("MQTT-CONN-02", Seen::Code(0)) } else { ("MQTT-CONN-10", Seen::Code(1)) }
            }
            Spoiled::Protocol(name, level) => {
                connect.protocol = (*name).to_owned();
                connect.level = *level;
                ("MQTT-CONN-11", Seen::Closed)
            }
            Spoiled::Surplus(bytes) => {
                connect.surplus = vec![0; *bytes];
                ("MQTT-CONN-11", Seen::Closed)
            }
            Spoiled::Missing(bytes) => {
                let whole = connect.bytes();
                let (start, body) = whole.split_at(whole.len() - whole_body(&whole));
                let steps = [format!("{}, whose last {bytes} bytes are missing", told(&connect))];
                let mut raw = environment.raw("guest").await?;
                raw.write(&packet::frame(start[0], &body[..body.len() - bytes])).await;
                let seen = answer(&mut raw).await;
                return Ok((seen != Seen::Closed)
                    .then(|| broken("MQTT-CONN-11", Seen::Closed.to_string(), seen.to_string(), &steps)));
            }
        };
        judged(environment, requirement, &connect, &expected).await
    })
}

/// Length of the body of a packet.
fn whole_body(packet: &[u8]) -> usize {
    let lengths = packet[1..].iter().take_while(|byte| *byte & 0x80 != 0).count() + 1;
    packet.len() - 1 - lengths
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

async fn first_and_once(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let first: [(&str, Vec<u8>); 6] = [
        ("PINGREQ", packet::PINGREQ.to_vec()),
        ("PUBLISH", packet::publish(1, "devices/gw7/modules/guest/messages/events/", b"")),
        ("SUBSCRIBE", packet::subscribe(1, &[("devices/gw7/modules/guest/inputs/#", 1)])),
        ("PUBACK", packet::puback(1)),
        ("DISCONNECT", packet::DISCONNECT.to_vec()),
        ("CONNACK", vec![0x20, 2, 0, 0]),
    ];
    for (name, bytes) in first {
        let mut raw = environment.raw("early").await?;
        raw.write(&bytes).await;
        let observed = match raw.closed(deadline::CLOSED).await {
            Ok(packets) if packets.is_empty() => continue,
            Ok(packets) => listed(&packets),
            Err(expired) => expired.to_string(),
        };
        let steps = [format!("{name} is the first packet of a connection")];
        return Ok(ended(Some(broken("MQTT-CONN-12", "the hub closes without a byte", observed, &steps))));
    }
    let (mut raw, _) = enter(environment, &module(GUEST), |_| {}).await?;
    raw.write(&proper(environment, &module(GUEST)).bytes()).await;
    let observed = match raw.closed(deadline::CLOSED).await {
        Ok(packets) if packets.is_empty() => return Ok(Outcome::Conforms),
        Ok(packets) => listed(&packets),
        Err(expired) => expired.to_string(),
    };
    let steps = ["module guest connects".to_owned(), "it sends a second CONNECT on the same connection".to_owned()];
    Ok(ended(Some(broken("MQTT-CONN-13", "the hub closes without a CONNACK", observed, &steps))))
}

/// CONNECT, SUBSCRIBE, PUBLISH and PINGREQ, in pieces of every kind.
async fn behind_connect(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    stage
        .configure(routes([(
            "early",
            "FROM /messages/modules/guest/outputs/early INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")",
        )]))
        .await?;
    for pieces in ["one piece", "CONNECT apart", "pieces of 50 bytes", "a cut within CONNECT"] {
        let mark = stage.mark();
        let environment = stage.environment();
        let connect = proper(environment, &module(GUEST)).bytes();
        let topic = output_of(environment, GUEST, "early", &format!("mark={mark}"));
        let filter = inputs_of(environment, GUEST);
        let all = [
            connect.clone(),
            packet::subscribe(7, &[(filter.as_str(), 1)]),
            packet::publish(8, &topic, b""),
            packet::PINGREQ.to_vec(),
        ]
        .concat();
        let cuts: Vec<usize> = match pieces {
            "CONNECT apart" => vec![connect.len()],
            "pieces of 50 bytes" => (1..all.len() / 50).map(|piece| piece * 50).collect(),
            "a cut within CONNECT" => vec![connect.len() / 2],
            _ => Vec::new(),
        };
        let steps = [format!(
            "module guest writes CONNECT, SUBSCRIBE, PUBLISH at QoS 1 and PINGREQ without waiting, in {pieces}"
        )];
        let mut raw = environment.raw(GUEST).await?;
        raw.write_split(&all, &cuts).await;
        let mut packets: Vec<Packet> = Vec::new();
        while packets.len() < 4 {
            match raw.read(deadline::ACKNOWLEDGEMENT).await {
                Ok(Some(packet)) => packets.push(packet),
                _ => break,
            }
        }
        let first = packets.first().and_then(Packet::connack) == Some((false, 0));
        let rest = packets.iter().any(|packet| packet.suback() == Some((7, &[1])))
            && packets.iter().any(|packet| packet.puback() == Some(8))
            && packets.iter().any(Packet::is_pingresp);
        if !first || !rest {
            let expected = "CONNACK first, then SUBACK 7, PUBACK 8 and PINGRESP";
            return Ok(ended(Some(broken("MQTT-CONN-14", expected, listed(&packets), &steps))));
        }
        let mut history = History::begin();
        let arrived = stage
            .collect(&mut history, deadline::ROUTING, "the message at sink/i0", |history| {
                reached(history, &mark).contains(&sink("i0"))
            })
            .await;
        if let Err(expired) = arrived {
            return Ok(ended(Some(broken("MQTT-CONN-14", "the message is routed", expired.to_string(), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

/// How much earlier than CONNACK the end of the older connection may be read: two sockets are read by one process.
const READ_APART: std::time::Duration = std::time::Duration::from_millis(250);

async fn newcomer(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let (mut older, _) = enter(environment, &module(GUEST), |_| {}).await?;
    let filter = inputs_of(environment, GUEST);
    let mut steps = vec!["module guest connects and subscribes to its inputs".to_owned()];
    if let Err(observed) = subscribe(&mut older, 1, &[(&filter, 1)]).await {
        return Ok(ended(Some(broken("MQTT-CONN-16", "SUBACK", observed, &steps))));
    }
    steps.push("another connection tries the same identity with a broken token".to_owned());
    let mut thief = proper(environment, &module(GUEST));
    thief.password = Some(b"SharedAccessSignature sr=a&sig=b&se=1".to_vec());
    ask(environment, "thief", &thief).await?;
    if !matches!(older.ping().await, Ok(Some(_))) {
        let expected = "the older connection answers PINGREQ";
        return Ok(ended(Some(broken("MQTT-CONN-16", expected, "it does not", &steps))));
    }
    steps.push("module guest connects again, with a good token".to_owned());
    let mut newer = environment.raw("guest, again").await?;
    newer.write(&proper(environment, &module(GUEST)).bytes()).await;
    let (said, end) = tokio::join!(async { (answer(&mut newer).await, std::time::Instant::now()) }, async {
        (older.closed(deadline::CLOSED).await, std::time::Instant::now())
    },);
    if said.0 != Seen::Code(0) {
        return Ok(ended(Some(broken("MQTT-CONN-16", "the newcomer gets CONNACK 0x00", said.0.to_string(), &steps))));
    }
    let observed = match end.0 {
        Ok(packets) if packets.is_empty() => None,
        Ok(packets) => Some(format!("the older connection got {}", listed(&packets))),
        Err(expired) => Some(expired.to_string()),
    };
    if let Some(observed) = observed {
        return Ok(ended(Some(broken(
            "MQTT-CONN-16",
            "the older connection is closed without a packet",
            observed,
            &steps,
        ))));
    }
    if end.1 + READ_APART < said.1 {
        let expected = "CONNACK for the newcomer, then the end of the older connection";
        return Ok(ended(Some(broken("MQTT-CONN-17", expected, "the older connection ended well before", &steps))));
    }
    steps.push("the newcomer subscribes, and a message for its input is sent".to_owned());
    if let Err(observed) = subscribe(&mut newer, 1, &[(&filter, 1)]).await {
        return Ok(ended(Some(broken("MQTT-CONN-16", "SUBACK for the newcomer", observed, &steps))));
    }
    let mark = send_to(stage, GUEST, "in").await?;
    let found = match until(&mut newer, deadline::ROUTING, carrying(&mark)).await {
        Ok((_, published)) => {
            acknowledge(&mut newer, &published).await;
            None
        }
        Err(observed) => Some(broken("MQTT-CONN-16", "the newcomer gets the message", observed, &steps)),
    };
    // In good order, so that nothing is left to this identity.
    let _ = newer.disconnect().await;
    Ok(ended(found))
}

/// A hub with one place more than the clients of the stage.
async fn places(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = worker.blueprint().clone();
    let standing = blueprint.modules.len() + blueprint.leaf_devices.len();
    blueprint.settings.push(("MaxConnectedClients".to_owned(), (standing + 1).to_string()));
    let environment = worker.environment(&blueprint).await?;
    let mut stage = Stage::open(environment).await?;
    let mut steps = vec![format!("a hub with MaxConnectedClients={}, and {standing} clients", standing + 1)];
    let mut found = None;
    for id in [GUEST, HOST, GUEST] {
        steps.push(format!("module {id} connects, subscribes, gets a message, and leaves"));
        found = served(&mut stage, id, &steps).await?;
        if found.is_some() {
            break;
        }
    }
    stage.close().await;
    Ok(ended(found))
}

async fn served(stage: &mut Stage, id: &str, steps: &[String]) -> Result<Option<Violation>, StageError> {
    const LEFT: &str = "edgehub_client_disconnect_total";
    let client_id = format!("gw7/{id}");
    let labels = [("id", client_id.as_str())];
    let before = metrics::sum(&stage.environment().metrics().await?, LEFT, &labels);
    let (mut raw, _) = enter(stage.environment(), &module(id), |_| {}).await?;
    let filter = inputs_of(stage.environment(), id);
    if let Err(observed) = subscribe(&mut raw, 1, &[(&filter, 0)]).await {
        return Ok(Some(broken("MQTT-CONN-18", "SUBACK", observed, steps)));
    }
    let mark = send_to(stage, id, "in").await?;
    if let Err(observed) = until(&mut raw, deadline::ROUTING, carrying(&mark)).await {
        return Ok(Some(broken(
            "MQTT-CONN-18",
            format!("module {id} is served in full: it gets the message"),
            observed,
            steps,
        )));
    }
    let _ = raw.disconnect().await;
    // The place is free when the hub has counted that.
    stage.metric(LEFT, &labels, before + 1.0).await?;
    Ok(None)
}
