//! Settings of the head. Covers MQTT-CFG; the acknowledgement timeout is seen in [`super::delivery`].

use std::time::{Duration, Instant};

use harness::client::raw_mqtt::RawMqtt;
use harness::client::websocket::{MQTT, Upgrade, UpgradeError};
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use super::dialogue::{connected, module, unopened};
use super::limits::packet_limit;
use crate::course::{broken, ended};
use crate::declare::{once, restarting};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        once(restarting(
            "mqtt_head",
            "mqtt_head::settings::without_mqtt_nothing_listens_on_its_port",
            &["MQTT-CFG-01"],
            |worker| Box::pin(disabled(worker)),
        )),
        restarting(
            "mqtt_head",
            "mqtt_head::settings::limits_of_size_and_time_are_those_set",
            &["MQTT-CFG-02"],
            |worker| Box::pin(honoured(worker)),
        ),
        restarting(
            "mqtt_head",
            "mqtt_head::settings::a_setting_that_cannot_be_read_does_not_keep_the_hub_from_serving",
            &["MQTT-CFG-04"],
            |worker| Box::pin(unreadable(worker)),
        ),
    ]
}

async fn with(worker: &mut Worker, settings: &[(&str, &str)]) -> Result<Environment, StageError> {
    let mut blueprint = worker.blueprint().clone();
    blueprint.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut environment = worker.world(&blueprint).await?;
    environment.start_hub().await?;
    Ok(environment)
}

fn told(settings: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("a hub starts with {}", pairs.join(" "))
}

/// A hub that serves its metrics has opened whatever else it opens.
async fn disabled(worker: &mut Worker) -> Result<Outcome, StageError> {
    let settings = [("mqttSettings__enabled", "false")];
    let environment = with(worker, &settings).await?;
    let up = deadline::READY.wait("the hub's metrics page", async {
        while environment.metrics().await.is_err() {
            // The page has no way to be waited for.
            tokio::time::sleep(deadline::GLANCE.limit).await;
        }
    });
    let up = up.await;
    let listens = environment.listens().await;
    let upgraded = environment.websocket(Upgrade { protocols: MQTT, ..Upgrade::default() }).await;
    environment.stop().await;
    up?;
    let steps = [told(&settings), "its metrics page answers".to_owned()];
    if listens {
        let expected = "a connection to port 8883 is refused";
        return Ok(ended(Some(broken("MQTT-CFG-01", expected, "it is accepted", &steps))));
    }
    let observed = match upgraded {
        Err(UpgradeError::Status(400)) => return Ok(Outcome::Conforms),
        Err(error) => error.to_string(),
        Ok(_) => "status 101".to_owned(),
    };
    let expected = "status 400 to an upgrade to WebSocket with sub-protocol mqtt";
    Ok(ended(Some(broken("MQTT-CFG-01", expected, observed, &steps))))
}

/// The limits of [`honoured`].
const SETTINGS: [(&str, &str); 3] = [
    ("mqttSettings__MaxInboundMessageSize", "2000"),
    ("mqttSettings__ConnectArrivalTimeout", "00:00:02"),
    ("mqttSettings__MaxKeepAliveTimeout", "00:00:02"),
];

async fn honoured(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut environment = with(worker, &SETTINGS).await?;
    environment.ready().await?;
    let found = limits(&environment).await;
    environment.stop().await;
    Ok(ended(found?))
}

async fn limits(environment: &Environment) -> Result<Option<Violation>, StageError> {
    let opened = Instant::now();
    let mut mute = unopened(environment, &module("m1")).await?;
    let began = Instant::now();
    let mut silent = connected(environment, &module("cam")).await?;
    let (mute, silent) = tokio::join!(
        closes_after(&mut mute, opened, Duration::from_secs(2), "a connection without CONNECT is opened"),
        closes_after(&mut silent, began, Duration::from_secs(2), "module cam connects with keep alive 0 and is silent"),
    );
    if let Some(violation) = mute.or(silent) {
        return Ok(Some(violation));
    }
    packet_limit(environment, &module("m10"), "foo/bar", 2_000, "MQTT-CFG-02").await
}

/// A connection is closed after this long, and not before.
async fn closes_after(connection: &mut RawMqtt, from: Instant, limit: Duration, what: &str) -> Option<Violation> {
    let steps = [told(&SETTINGS), what.to_owned()];
    let expected = format!("it is closed after {} s, without a packet", limit.as_secs());
    let observed = match connection.closed(deadline::ACKNOWLEDGEMENT).await {
        Ok(packets) if packets.is_empty() && from.elapsed() >= limit => return None,
        Ok(packets) if packets.is_empty() => format!("it was closed after {:.2} s", from.elapsed().as_secs_f64()),
        Ok(packets) => format!("the hub wrote {}", packets[0]),
        Err(expired) => expired.to_string(),
    };
    Some(broken("MQTT-CFG-02", expected, observed, &steps))
}

async fn unreadable(worker: &mut Worker) -> Result<Outcome, StageError> {
    let settings = [("mqttSettings__ConnectArrivalTimeout", "soon"), ("mqttSettings__MaxKeepAliveTimeout", "a while")];
    let mut environment = with(worker, &settings).await?;
    let observed = match environment.ready().await {
        Err(error) => Some(error.to_string()),
        Ok(()) => connected(&environment, &module("m10")).await.err().map(|error| error.to_string()),
    };
    environment.stop().await;
    let steps = [told(&settings)];
    let expected = "the hub serves, and module m10 connects";
    Ok(ended(observed.map(|observed| broken("MQTT-CFG-04", expected, observed, &steps))))
}
