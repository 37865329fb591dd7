//! How long a client may be silent. Covers MQTT-KA, MQTT-CONN-15.
//!
//! These requirements are about time, so these tests take some. What a slow machine could spoil is looked at again.

use std::time::{Duration, Instant};

use harness::client::iot_hub::Concerns;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline::{self, Deadline};
use harness::environment::Environment;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::guest::{
    GUEST, HOST, THIRD, VISITOR, device, enter, inputs_of, listed, module, proper, send_marked, subscribe,
};
use super::sessions::TWIN;
use crate::course::{broken, ended};
use crate::declare::fixed;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "mqtt_head",
            "mqtt_head::keep_alive::a_silent_client_is_closed_and_a_busy_one_is_not",
            &["MQTT-KA-01", "MQTT-KA-03"],
            |worker| Box::pin(silence(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::keep_alive::times_without_a_limit_of_the_client_have_one_of_the_hub",
            &["MQTT-KA-02", "MQTT-CONN-15"],
            |worker| Box::pin(limits(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::keep_alive::a_ping_overtakes_an_unfinished_publish",
            &["MQTT-KA-04"],
            |worker| Box::pin(overtaken(worker)),
        ),
    ]
}

/// Keep alive of the clients here.
const KEEP_ALIVE_SECS: u16 = 2;
/// When a silent client of theirs is closed.
const LIMIT: Duration = Duration::from_secs(3);
/// Silence that is allowed, two of which are not.
const PAUSE: Duration = Duration::from_millis(1_700);
/// How much later than it should the hub may close.
const LATE: Duration = Duration::from_secs(5);
/// Clocks here and there begin at different moments.
const EARLY: Duration = Duration::from_millis(20);

/// Waits for the end of a connection; the error says what else happened. `limit` counts from `since`.
async fn ends_after(raw: &mut RawMqtt, since: Instant, limit: Duration) -> Result<(), String> {
    let ended = raw.closed(deadline::TIME_LIMIT).await;
    let after = since.elapsed();
    match ended {
        Err(expired) => Err(expired.to_string()),
        Ok(packets) if packets.iter().any(|packet| packet.publish().is_none()) => Err(listed(&packets)),
        Ok(_) if after + EARLY < limit => Err(format!("closed after {:.2} s", after.as_secs_f64())),
        Ok(_) if after > limit + LATE => Err(format!("closed only after {:.2} s", after.as_secs_f64())),
        Ok(_) => Ok(()),
    }
}

/// What comes in a time of silence. `None` when the connection ended.
async fn during(raw: &mut RawMqtt, pause: Duration) -> Option<Vec<Packet>> {
    let mut packets = Vec::new();
    let until = tokio::time::Instant::now() + pause;
    loop {
        match tokio::time::timeout_at(until, raw.next()).await {
            Err(_) => return Some(packets),
            Ok(None) => return None,
            Ok(Some(packet)) => packets.push(packet),
        }
    }
}

async fn silence(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let marks = [stage.mark(), stage.mark(), stage.mark()];
    let environment = stage.environment();
    let (silent, busy, mute) =
        tokio::join!(says_nothing(environment), says_something(environment), hears_something(stage, &marks));
    let found = [silent?, busy?, mute?];
    Ok(ended(found.into_iter().flatten().next()))
}

fn limited(connect: &mut harness::client::raw_mqtt::Connect) {
    connect.keep_alive = KEEP_ALIVE_SECS;
}

async fn says_nothing(environment: &Environment) -> Result<Option<Violation>, StageError> {
    let since = Instant::now();
    let (mut raw, _) = enter(environment, &module(GUEST), limited).await?;
    let steps = [format!("module guest connects with keep alive {KEEP_ALIVE_SECS} and is silent")];
    let expected = format!("its connection is closed after {} s", LIMIT.as_secs());
    Ok(ends_after(&mut raw, since, LIMIT).await.err().map(|observed| broken("MQTT-KA-01", expected, observed, &steps)))
}

/// Each packet begins the time anew.
async fn says_something(environment: &Environment) -> Result<Option<Violation>, StageError> {
    let (mut raw, _) = enter(environment, &module(HOST), limited).await?;
    let words: [(&str, Vec<u8>); 3] = [
        ("a PUBLISH", packet::Publish { topic: "no/topic/of/this/hub", ..packet::Publish::default() }.bytes()),
        ("a PUBACK of nothing", packet::puback(77)),
        ("a PINGREQ", packet::PINGREQ.to_vec()),
    ];
    let mut steps = vec![format!("module host connects with keep alive {KEEP_ALIVE_SECS}")];
    let mut spoke = Instant::now();
    for (what, bytes) in words {
        let stands = during(&mut raw, PAUSE).await.is_some();
        let silent = spoke.elapsed();
        if silent + EARLY >= LIMIT {
            // The machine was so slow that the hub may well have closed.
            return Ok(None);
        }
        if !stands {
            let expected = format!("the connection stands while it is never silent for {} s", LIMIT.as_secs());
            let observed = format!("closed within {:.2} s of silence", silent.as_secs_f64());
            return Ok(Some(broken("MQTT-KA-03", expected, observed, &steps)));
        }
        spoke = Instant::now();
        raw.write(&bytes).await;
        steps.push(format!("after {:.1} s of silence it sends {what}", silent.as_secs_f64()));
    }
    raw.write(&packet::DISCONNECT).await;
    Ok(None)
}

/// Messages of the hub begin the time anew too.
async fn hears_something(stage: &Stage, marks: &[String]) -> Result<Option<Violation>, StageError> {
    let (mut raw, _) = enter(stage.environment(), &module(THIRD), limited).await?;
    let filter = inputs_of(stage.environment(), THIRD);
    let steps = [
        format!(
            "module third connects with keep alive {KEEP_ALIVE_SECS} and subscribes at QoS 0; it is silent from now on"
        ),
        format!("a message for it is sent every {:.1} s", PAUSE.as_secs_f64()),
    ];
    if let Err(observed) = subscribe(&mut raw, 1, &[(&filter, 0)]).await {
        return Ok(Some(broken("MQTT-KA-03", "SUBACK", observed, &steps)));
    }
    let mut heard = Instant::now();
    for mark in marks {
        send_marked(stage, THIRD, "in", mark).await?;
        let packets = during(&mut raw, PAUSE).await;
        if heard.elapsed() >= LIMIT {
            return Ok(None);
        }
        heard = Instant::now();
        if packets.is_none() {
            return Ok(Some(broken("MQTT-KA-03", "the connection stands", "it is closed", &steps)));
        }
    }
    raw.write(&packet::DISCONNECT).await;
    Ok(None)
}

/// What the operator sets holds for clients that want no limit, or say nothing at all.
async fn limits(worker: &mut Worker) -> Result<Outcome, StageError> {
    const ARRIVAL: Duration = Duration::from_secs(2);
    const CAP: Duration = Duration::from_secs(3);
    let mut blueprint = worker.blueprint().clone();
    for (name, value) in [("ConnectArrivalTimeout", "00:00:02"), ("MaxKeepAliveTimeout", "00:00:03")] {
        blueprint.settings.push((format!("mqttSettings__{name}"), value.to_owned()));
    }
    let environment = worker.environment(&blueprint).await?;
    let capped = |who, keep_alive: u16| {
        let environment = &environment;
        async move {
            let since = Instant::now();
            let (mut raw, _) = enter(environment, &who, |connect| connect.keep_alive = keep_alive).await?;
            let steps =
                [format!("{who} connects with keep alive {keep_alive} and is silent; MaxKeepAliveTimeout is 3 s")];
            let ended = ends_after(&mut raw, since, CAP).await;
            Ok::<_, StageError>(ended.err().map(|observed| broken("MQTT-KA-02", "closed after 3 s", observed, &steps)))
        }
    };
    let (zero, long, tls, half, tcp) = tokio::join!(
        capped(module(GUEST), 0),
        capped(device(VISITOR), 600),
        without_connect(&environment, false, ARRIVAL),
        without_connect(&environment, true, ARRIVAL),
        without_tls(&environment, ARRIVAL),
    );
    environment.stop().await;
    let found = [zero?, long?, tls?, half?, tcp];
    Ok(ended(found.into_iter().flatten().next()))
}

async fn without_connect(
    environment: &Environment,
    half: bool,
    limit: Duration,
) -> Result<Option<Violation>, StageError> {
    let since = Instant::now();
    let mut raw = environment.raw("arriving").await?;
    let mut steps = vec!["a TLS connection; ConnectArrivalTimeout is 2 s".to_owned()];
    if half {
        let connect = proper(environment, &module(HOST)).bytes();
        raw.write(&connect[..connect.len() / 2]).await;
        steps.push("one half of CONNECT is sent".to_owned());
    }
    let ended = ends_after(&mut raw, since, limit).await;
    Ok(ended.err().map(|observed| broken("MQTT-CONN-15", "closed after 2 s, without a byte", observed, &steps)))
}

/// The TLS handshake counts as well.
async fn without_tls(environment: &Environment, limit: Duration) -> Option<Violation> {
    let since = Instant::now();
    let steps = ["a TCP connection on which nothing is sent; ConnectArrivalTimeout is 2 s".to_owned()];
    let ended = deadline::TIME_LIMIT.wait("the end of the connection", async {
        let mut socket = TcpStream::connect(environment.mqtt_address()).await?;
        socket.read_to_end(&mut Vec::new()).await
    });
    let ended = ended.await;
    let after = since.elapsed();
    let observed = match ended {
        Err(expired) => Some(expired.to_string()),
        Ok(_) if after + EARLY < limit || after > limit + LATE => {
            Some(format!("closed after {:.2} s", after.as_secs_f64()))
        }
        Ok(_) => None,
    };
    observed.map(|observed| broken("MQTT-CONN-15", "closed after 2 s", observed, &steps))
}

/// The twin is asked for while the cloud answers late.
async fn overtaken(worker: &mut Worker) -> Result<Outcome, StageError> {
    const LATE_ANSWER: Duration = Duration::from_millis(600);
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let (mut raw, _) = enter(environment, &module(GUEST), |_| {}).await?;
    let steps = [
        format!("the IoT Hub answers module guest {} ms late", LATE_ANSWER.as_millis()),
        "module guest, subscribed to twin responses, asks for its twin and sends PINGREQ behind it".to_owned(),
    ];
    if let Err(observed) = subscribe(&mut raw, 1, &[(TWIN, 0)]).await {
        return Ok(ended(Some(broken("MQTT-KA-04", "SUBACK", observed, &steps))));
    }
    let concerns = Concerns::Identity("gw7", Some(GUEST));
    let condition = environment.iot_hub().impose("delay", concerns, LATE_ANSWER).await?;
    let both = [packet::publish(2, "$iothub/twin/GET/?$rid=2", b""), packet::PINGREQ.to_vec()].concat();
    raw.write(&both).await;
    let packets = three(&mut raw, deadline::ACKNOWLEDGEMENT).await;
    environment.iot_hub().lift(condition).await?;
    let _ = raw.disconnect().await;
    let order: Vec<bool> = packets.iter().map(Packet::is_pingresp).collect();
    let found = (order != [true, false, false])
        .then(|| broken("MQTT-KA-04", "PINGRESP, then the response and its PUBACK", listed(&packets), &steps));
    Ok(ended(found))
}

async fn three(raw: &mut RawMqtt, limit: Deadline) -> Vec<Packet> {
    let mut packets = Vec::new();
    while packets.len() < 3 {
        match raw.read(limit).await {
            Ok(Some(packet)) => packets.push(packet),
            _ => break,
        }
    }
    packets
}
