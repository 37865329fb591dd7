//! Links: addresses, modes, credit, sizes, names, and who displaces whom. Covers AMQP-LNK; AMQP-LNK-03 is seen in
//! [`super::tokens`].

use harness::client::raw_amqp::frame;
use harness::client::raw_amqp::message::{BATCH, Message, Property, batch, twin_request};
use harness::client::raw_amqp::peer::{Answer, Link, Peer};
use harness::client::raw_amqp::performative::{
    ATTACH, Attach, Begin, DETACH, FLOW, Performative, Role, Transfer, source, target,
};
use harness::client::raw_amqp::value::{Value, composite};
use harness::deadline;
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::runner::Test;
use harness::stage::Stage;

use super::talk::{
    CHANNEL, CORRELATION, NOT_ALLOWED, Talk, Told, address, events, inputs, known, opened, speaking, told,
};
use crate::mqtt_head::guest::{GUEST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::links::every_address_is_attached_with_the_modes_of_its_type",
            &["AMQP-LNK-01", "AMQP-LNK-06", "AMQP-LNK-07", "AMQP-LNK-08", "AMQP-LNK-09", "AMQP-LNK-10"],
            |stage, talk| Box::pin(table(stage, talk)),
        ),
        told(
            "amqp_head::links::an_address_may_be_spelled_in_several_ways",
            &["AMQP-LNK-02", "AMQP-LNK-15"],
            |stage, talk| Box::pin(spelled(stage, talk)),
        ),
        told("amqp_head::links::an_address_for_nothing_is_refused", &["AMQP-LNK-04", "AMQP-LNK-05"], |stage, talk| {
            Box::pin(nowhere(stage, talk))
        }),
        told("amqp_head::links::a_second_link_of_a_type_displaces_the_first", &["AMQP-LNK-11"], |stage, talk| {
            Box::pin(displaced(stage, talk))
        }),
        told(
            "amqp_head::links::halves_of_a_pair_belong_together_or_part",
            &["AMQP-LNK-12", "AMQP-LNK-13"],
            |stage, talk| Box::pin(pairs(stage, talk)),
        ),
        told("amqp_head::links::a_message_longer_than_the_link_allows_detaches_it", &["AMQP-LNK-14"], |stage, talk| {
            Box::pin(too_long(stage, talk))
        }),
        told("amqp_head::links::a_name_is_used_again_elsewhere_and_later", &["AMQP-LNK-17"], |stage, talk| {
            Box::pin(names(stage, talk))
        }),
        told(
            "amqp_head::links::credit_and_window_are_granted_again_as_they_are_used",
            &["AMQP-LNK-10", "AMQP-TEL-01"],
            |stage, talk| Box::pin(replenished(stage, talk)),
        ),
        told("amqp_head::links::more_than_the_credit_detaches_the_link", &["AMQP-LNK-18"], |stage, talk| {
            Box::pin(beyond_credit(stage, talk))
        }),
    ]
}

/// Settle modes of an ATTACH of the hub; absent ones as what they mean.
struct Modes {
    snd: u64,
    rcv: u64,
}

/// unsettled or settled as the sender likes.
const MIXED: u64 = 2;

/// A type of link: where it is, which end the client has, and what the hub answers.
struct Row {
    what: &'static str,
    role: Role,
    modes: Modes,
}

const fn row(what: &'static str, role: Role, snd: u64, rcv: u64) -> Row {
    Row { what, role, modes: Modes { snd, rcv } }
}

/// Links of modules.
const OF_MODULES: [Row; 7] = [
    row("messages/events", Role::Sender, MIXED, 0),
    row("messages/events", Role::Receiver, MIXED, 0),
    row("messages/deviceBound", Role::Receiver, MIXED, 1),
    row("twin", Role::Receiver, 1, 0),
    row("twin", Role::Sender, 1, 0),
    row("methods/deviceBound", Role::Sender, 1, 0),
    row("methods/deviceBound", Role::Receiver, 1, 0),
];

/// Links of devices.
const OF_DEVICES: [Row; 6] = [
    row("messages/events", Role::Sender, MIXED, 0),
    row("messages/deviceBound", Role::Receiver, MIXED, 1),
    row("twin", Role::Receiver, 1, 0),
    row("twin", Role::Sender, 1, 0),
    row("methods/deviceBound", Role::Sender, 1, 0),
    row("methods/deviceBound", Role::Receiver, 1, 0),
];

fn attach(name: &str, role: Role, address: &str) -> Attach {
    match role {
        Role::Sender => Attach::sender(name, address),
        Role::Receiver => Attach::receiver(name, address),
    }
}

async fn table(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    talk.step("a link to $cbs, and nothing else");
    talk.claim("AMQP-LNK-10", "a flow with credit, without being asked for it");
    let mut peer = opened(environment, "patient").await?;
    let requests = peer.link(CHANNEL, Attach::sender("cbs-requests", "$cbs")).await?;
    let flow = peer.on_link(requests, FLOW).await?;
    talk.holds(flow.field(6).number() > Some(0), format!("link-credit {}", flow.field(6)))?;
    talk.step("a link for telemetry of module guest, without link properties");
    talk.claim("AMQP-LNK-06", "the link is attached");
    speaking(environment, &module(GUEST)).await?;
    for (identity, rows) in [(module(GUEST), OF_MODULES.as_slice()), (device(VISITOR), OF_DEVICES.as_slice())] {
        let (mut peer, _) = known(environment, &[&identity]).await?;
        for (number, row) in rows.iter().enumerate() {
            let address = address(environment, &identity, row.what);
            let (name, end) = match row.role {
                Role::Sender => (format!("to-{number}"), "to"),
                Role::Receiver => (format!("from-{number}"), "from"),
            };
            talk.step(format!("a link {end} {address}, without link properties"));
            talk.claim("AMQP-LNK-01", "the link is attached");
            let (link, answer) = match peer.attach(CHANNEL, attach(&name, row.role, &address)).await? {
                Answer::Attached(link, answer) => (link, answer),
                other => return talk.holds(false, other),
            };
            modes(talk, row, &answer)?;
            talk.claim("AMQP-LNK-09", "max-message-size 1048576");
            talk.holds(answer.field(10).number() == Some(1 << 20), answer.field(10))?;
            if row.role == Role::Sender {
                talk.claim("AMQP-LNK-10", "a flow with credit 1000");
                let flow = peer.on_link(link, FLOW).await?;
                talk.holds(flow.field(6).number() == Some(1_000), format!("link-credit {}", flow.field(6)))?;
            }
        }
        talk.step("one more link to $cbs; what the hub does to a link at once has been seen by then");
        talk.claim("AMQP-LNK-01", "all these links stand");
        peer.link(CHANNEL, Attach::sender("cbs-again", "$cbs")).await?;
        let detached = peer.inbox().find(|event| event.performative.code == DETACH);
        talk.holds(detached.is_none(), "a DETACH")?;
    }
    properties(environment, talk).await
}

fn modes(talk: &mut Talk, row: &Row, answer: &Performative) -> Told {
    let Modes { snd, rcv } = row.modes;
    talk.claim("AMQP-LNK-08", format!("snd-settle-mode {snd} and rcv-settle-mode {rcv} (absent: 2 and 0)"));
    // Absent is the default of the standard: mixed, and first.
    let got = (answer.field(3).number().unwrap_or(MIXED), answer.field(4).number().unwrap_or(0));
    talk.holds(got == (snd, rcv), format!("{} and {}", answer.field(3), answer.field(4)))
}

/// What a client says of its link comes back, and a smaller size is kept.
async fn properties(environment: &Environment, talk: &mut Talk) -> Told {
    let guest = module(GUEST);
    let (mut peer, _) = known(environment, &[&guest]).await?;
    let wanted = events(environment, &guest)
        .with("com.microsoft:client-version", "edgecert")
        .with("com.microsoft:api-version", "2021-04-12")
        .with("com.microsoft:timeout", Value::Uint(60_000));
    let wanted = Attach { max_message_size: Some(2_000), rcv_settle_mode: Some(1), ..wanted };
    talk.step("a link for telemetry with three properties, max-message-size 2000 and rcv-settle-mode 1");
    talk.claim("AMQP-LNK-06", "the link is attached");
    let (name, properties) = (wanted.name.clone(), wanted.properties.clone());
    let answer = match peer.attach(CHANNEL, wanted).await? {
        Answer::Attached(_, answer) => answer,
        other => return talk.holds(false, other),
    };
    talk.claim("AMQP-LNK-09", "max-message-size 2000");
    talk.holds(answer.field(10).number() == Some(2_000), answer.field(10))?;
    modes(talk, &OF_MODULES[0], &answer)?;
    talk.claim("AMQP-LNK-07", "name, source, target and properties as they were sent");
    let echoed = |value: &Value| value.fields().and_then(<[Value]>::first).and_then(Value::text).map(str::to_owned);
    talk.holds(answer.field(0).text() == Some(&name), answer.field(0))?;
    talk.holds(echoed(answer.field(5)).as_deref() == Some("edgecert"), answer.field(5))?;
    let address = address(environment, &guest, "messages/events");
    talk.holds(echoed(answer.field(6)) == Some(address), answer.field(6))?;
    for (key, value) in &properties {
        talk.holds(answer.field(13).entry(key) == Some(value), answer.field(13))?;
    }
    Ok(())
}

async fn spelled(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let edge = environment.blueprint().edge_device.clone();
    let path = format!("devices/{edge}/modules/{GUEST}/messages/events");
    let good = [
        ("AMQP-LNK-02", format!("amqps://edgehub/{path}")),
        ("AMQP-LNK-02", format!("amqps://elsewhere:1234/{path}")),
        ("AMQP-LNK-02", format!("/{path}")),
        ("AMQP-LNK-02", path.clone()),
        ("AMQP-LNK-02", format!("/Devices/{edge}/MODULES/{GUEST}/Messages/EVENTS")),
        ("AMQP-LNK-15", format!("/devices/{edge}/modules/%67uest/messages/events")),
        ("AMQP-LNK-15", format!("/devices/{edge}/modules/gues%74/messages/events")),
    ];
    for (requirement, address) in good {
        talk.step(format!("a link for telemetry to {address}"));
        talk.claim(requirement, "the link is attached, and accepts a message");
        let (mut peer, _) = known(environment, &[&module(GUEST)]).await?;
        let link = peer.link(CHANNEL, Attach::sender("events", &address)).await?;
        let outcome = peer.deliver(link, &Message::data("x")).await?;
        talk.holds(outcome.accepted(), outcome)?;
    }
    Ok(())
}

/// Refused, in one of the two ways there are.
fn is_refusal(answer: &Answer) -> bool {
    match answer {
        Answer::Ended(Some(error)) => error.condition == "amqp:resource-locked",
        Answer::Refused(_, Some(error)) => error.condition == NOT_ALLOWED,
        _ => false,
    }
}

async fn nowhere(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (guest, visitor) = (module(GUEST), device(VISITOR));
    let of = |identity: &Identity, what: &str| address(environment, identity, what);
    let rows = [
        Attach::sender("unknown", &of(&guest, "messages/nothing")),
        Attach::receiver("input", &of(&guest, "inputs/in")),
        Attach::sender("files", &of(&visitor, "files")),
        Attach::receiver("device events", &of(&visitor, "messages/events")),
        Attach::sender("cloud", &of(&visitor, "messages/deviceBound")),
        Attach::sender("empty id", "/devices//messages/events"),
        Attach::sender("slash", &of(&guest, "messages/events/")),
        Attach::sender("segment", &format!("{}/more", of(&guest, "messages/events"))),
    ];
    for attach in rows {
        talk.step(format!("a link {:?} with source {} and target {}", attach.role, attach.source, attach.target));
        talk.claim("AMQP-LNK-04", format!("DETACH with {NOT_ALLOWED}, or END with amqp:resource-locked"));
        let (mut peer, _) = known(environment, &[&guest, &visitor]).await?;
        let answer = peer.attach(CHANNEL, attach).await?;
        talk.holds(is_refusal(&answer), answer)?;
        talk.claim("AMQP-LNK-04", "the connection stands: a session is begun");
        peer.begin(1, &Begin::default()).await?;
    }
    let empty = || Value::String(String::new());
    let missing = [
        Attach { target: Value::Null, ..Attach::sender("no target", "") },
        Attach { source: Value::Null, ..Attach::receiver("no source", "") },
        Attach { target: target(empty()), ..Attach::sender("empty target", "") },
        Attach { source: source(empty()), ..Attach::receiver("empty source", "") },
    ];
    for attach in missing {
        talk.step(format!("an attach with {}", attach.name));
        talk.claim("AMQP-LNK-05", format!("ATTACH without a terminus, then DETACH with {NOT_ALLOWED}"));
        let (mut peer, _) = known(environment, &[&guest]).await?;
        let answer = peer.attach(CHANNEL, attach).await?;
        let right = matches!(&answer, Answer::Refused(Some(_), Some(error)) if error.condition == NOT_ALLOWED);
        talk.holds(right, answer)?;
    }
    // A terminus that has no address gets another condition.
    let attach = Attach { target: composite(0x29, Vec::new()), ..Attach::sender("no address", "") };
    talk.step("an attach whose target has no address");
    talk.claim("AMQP-LNK-05", "ATTACH without a terminus, then DETACH with amqp:not-allowed or amqp:internal-error");
    let (mut peer, _) = known(environment, &[&guest]).await?;
    let answer = peer.attach(CHANNEL, attach).await?;
    let conditions = [NOT_ALLOWED, "amqp:internal-error"];
    let right = matches!(&answer, Answer::Refused(_, Some(error)) if conditions.contains(&error.condition.as_str()));
    talk.holds(right, answer)
}

/// Waits for the hub's DETACH of a link, which must have no error, and answers it.
async fn dropped(talk: &Talk, peer: &mut Peer, link: Link) -> Told {
    let detach = peer.on_link(link, DETACH).await?;
    talk.holds(detach.error().is_none() && *detach.field(1) == Value::Boolean(true), &detach)?;
    peer.answer_detach(link).await;
    Ok(())
}

async fn displaced(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    let rows = [events(environment, &guest), inputs(environment, &guest)];
    for attach in rows {
        let (mut peer, _) = known(environment, &[&guest]).await?;
        let role = attach.role;
        let first = peer.link(CHANNEL, attach.clone()).await?;
        talk.step(format!("a second link of module guest beside {}", attach.name));
        talk.claim("AMQP-LNK-11", "the first gets DETACH without an error, then the second is attached");
        let second = peer.ask(CHANNEL, Attach { name: "second".to_owned(), ..attach }).await;
        let early = |peer: &Peer| {
            peer.inbox().any(|event| event.performative.code == ATTACH && event.handle == Some(second.handle))
        };
        dropped(talk, &mut peer, first).await?;
        talk.holds(!early(&peer), "ATTACH of the second came before DETACH of the first")?;
        let answer = peer.answered(second, role).await?;
        talk.holds(matches!(answer, Answer::Attached(..)), answer)?;
    }
    Ok(())
}

async fn pairs(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let guest = module(GUEST);
    for what in ["twin", "methods/deviceBound"] {
        let address = address(environment, &guest, what);
        let (mut peer, _) = known(environment, &[&guest]).await?;
        // Something must stay when a half goes: the last link takes the connection with it.
        peer.link(CHANNEL, events(environment, &guest)).await?;
        let first = peer.link(CHANNEL, Attach::receiver("half", &address).with(CORRELATION, "pair:a")).await?;
        talk.step(format!("the receiving half of {what} under pair:a, then the sending half under pair:b"));
        talk.claim("AMQP-LNK-12", "the receiving half gets DETACH without an error");
        peer.ask(CHANNEL, Attach::sender("other half", &address).with(CORRELATION, "pair:b")).await;
        dropped(talk, &mut peer, first).await?;
    }
    for correlation in [None, Some("pair:a")] {
        let address = address(environment, &guest, "twin");
        let (mut peer, _) = known(environment, &[&guest]).await?;
        let with = |attach: Attach| match correlation {
            Some(correlation) => attach.with(CORRELATION, correlation),
            None => attach,
        };
        talk.step(format!("both halves of the twin under {correlation:?}, and a GET"));
        talk.claim("AMQP-LNK-13", "it is answered");
        let answers = peer.link(CHANNEL, with(Attach::receiver("answers", &address))).await?;
        let requests = peer.link(CHANNEL, with(Attach::sender("requests", &address))).await?;
        peer.credit(answers, 10).await;
        peer.send(requests, &twin_request("GET", "1", b""), true).await;
        let answer = peer.delivery(answers, deadline::TWIN).await?.message.unwrap_or_default();
        let id = answer.property_value(Property::CorrelationId);
        talk.holds(id.text() == Some("1"), format!("an answer with correlation-id {id}"))?;
    }
    Ok(())
}

async fn too_long(stage: &mut Stage, talk: &mut Talk) -> Told {
    let (mut peer, link) = speaking(stage.environment(), &module(GUEST)).await?;
    talk.step("module guest sends a message of 1,100,000 bytes");
    talk.claim("AMQP-LNK-14", "DETACH with amqp:link:message-size-exceeded");
    peer.send(link, &Message::data(vec![b'x'; 1_100_000]), false).await;
    let detach = peer.on_link(link, DETACH).await?;
    let right = detach.error().is_some_and(|error| error.condition == "amqp:link:message-size-exceeded");
    talk.holds(right, &detach)
}

async fn names(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (guest, visitor) = (module(GUEST), device(VISITOR));
    let (mut peer, _) = known(environment, &[&guest, &visitor]).await?;
    peer.begin(1, &Begin::default()).await?;
    let named = |identity: &Identity| Attach { name: "same".to_owned(), ..events(environment, identity) };
    talk.step("links of one name, for telemetry of module guest and of leaf device visitor, in two sessions");
    talk.claim("AMQP-LNK-17", "both are attached, and accept");
    let links = [peer.link(CHANNEL, named(&guest)).await?, peer.link(1, named(&visitor)).await?];
    for link in links {
        let outcome = peer.deliver(link, &Message::data("x")).await?;
        talk.holds(outcome.accepted(), outcome)?;
    }
    let address = address(environment, &guest, "twin");
    for round in 1..=2 {
        talk.step(format!("a link named `again` to the twin of guest, attached and detached, {round}"));
        talk.claim("AMQP-LNK-17", "it is attached each time");
        let link = peer.link(CHANNEL, Attach::sender("again", &address)).await?;
        peer.detach(link).await?;
    }
    Ok(())
}

async fn replenished(stage: &mut Stage, talk: &mut Talk) -> Told {
    /// More than the window of a session, in lots well below the credit of a link.
    const LOTS: usize = 13;
    const LOT: usize = 400;
    let (mut peer, link) = speaking(stage.environment(), &module(GUEST)).await?;
    talk.step(format!("module guest sends {LOTS} times {LOT} messages, and waits for the outcomes of each lot"));
    talk.claim("AMQP-TEL-01", "all are accepted");
    for _ in 0..LOTS {
        let mut deliveries = Vec::new();
        for _ in 0..LOT {
            deliveries.push(peer.send(link, &Message::data("x"), false).await);
        }
        for delivery in deliveries {
            let outcome = harness::client::raw_amqp::peer::Outcome(peer.outcome(CHANNEL, delivery).await?);
            talk.holds(outcome.accepted(), outcome)?;
        }
    }
    Ok(())
}

async fn beyond_credit(stage: &mut Stage, talk: &mut Talk) -> Told {
    /// Deliveries: more than the credit, and less than the window of the session.
    const BURST: u32 = 1_500;
    /// Messages in each. A hub takes them one after the other, so however fast it is, it reads faster than it settles;
    /// and credit is only given again for what is settled.
    const MESSAGES: usize = 25;
    let (mut peer, link) = speaking(stage.environment(), &module(GUEST)).await?;
    talk.step(format!("module guest writes {BURST} settled batches of {MESSAGES} messages at once, and reads nothing"));
    talk.claim("AMQP-LNK-18", "DETACH with amqp:link:transfer-limit-exceeded");
    let messages = batch(&vec![Message::data("x"); MESSAGES]).bytes();
    let transfer = |id: u32| {
        let transfer = Transfer {
            handle: link.handle,
            delivery_id: Some(id),
            delivery_tag: id.to_be_bytes().to_vec(),
            message_format: BATCH,
            settled: true,
            more: false,
        };
        frame::amqp(CHANNEL, &transfer.value(), &messages)
    };
    let burst: Vec<u8> = (0..BURST).flat_map(transfer).collect();
    peer.raw().write(&burst).await;
    let detach = peer.on_link(link, DETACH).await?;
    let right = detach.error().is_some_and(|error| error.condition == "amqp:link:transfer-limit-exceeded");
    talk.holds(right, &detach)
}
