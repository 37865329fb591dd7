//! CONNECT with fields and flags that go wrong. Covers MQTT-CONN-10 and -11.

use futures_util::future::BoxFuture;
use harness::client::raw_mqtt::packet;
use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::guest::{GUEST, Seen, answer, module, proper};
use super::{judged, told};
use crate::course::broken;
use crate::declare::property;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![property(
        "mqtt_head",
        "mqtt_head::connecting::flags_that_contradict_each_other_close_the_connection",
        &["MQTT-CONN-06", "MQTT-CONN-09", "MQTT-CONN-10", "MQTT-CONN-11"],
        2,
        spoiled,
        spoiled_holds,
    )]
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
