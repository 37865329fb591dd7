//! Settings of the head. Covers AMQP-ENV-01 and AMQP-ENV-02; the acknowledgement timeout is seen in [`super::inputs`].

use std::net::SocketAddr;

use harness::client::raw_amqp::RawAmqp;
use harness::client::raw_amqp::peer::{Layer, Peer};
use harness::client::raw_amqp::performative::Open;
use harness::client::websocket::{Upgrade, UpgradeError};
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use super::talk::{SUITE, Talk, Told, blueprint};
use crate::declare::restarting;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        restarting(
            SUITE,
            "amqp_head::settings::without_amqp_neither_port_nor_websocket_speaks_it",
            &["AMQP-ENV-01"],
            |worker| Box::pin(disabled(worker)),
        ),
        restarting(SUITE, "amqp_head::settings::the_port_is_the_one_set", &["AMQP-ENV-02"], |worker| {
            Box::pin(moved(worker))
        }),
    ]
}

/// A hub with this setting, once it serves its metrics: then it has opened whatever else it opens. Whether clients are
/// let in over AMQP is what the tests are about.
async fn up(worker: &mut Worker, setting: (&str, &str)) -> Result<Environment, StageError> {
    let mut environment = worker.world(&blueprint(worker, &[setting])).await?;
    environment.start_hub().await?;
    let metrics = deadline::READY.wait("the hub's metrics page", async {
        while environment.metrics().await.is_err() {
            // The page has no way to be waited for.
            tokio::time::sleep(deadline::GLANCE.limit).await;
        }
    });
    metrics.await?;
    Ok(environment)
}

async fn disabled(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = up(worker, ("amqpSettings__enabled", "false")).await?;
    let mut talk = Talk::default();
    let told = nothing_speaks(&environment, &mut talk).await;
    environment.stop().await;
    talk.outcome(told)
}

async fn nothing_speaks(environment: &Environment, talk: &mut Talk) -> Told {
    talk.step("a hub with amqpSettings__enabled=false serves its metrics");
    talk.claim("AMQP-ENV-01", "a connection to port 5671 is refused");
    let connected = tokio::net::TcpStream::connect(environment.amqp_address()).await;
    talk.holds(connected.is_err(), "it is accepted")?;
    talk.claim("AMQP-ENV-01", "an upgrade that offers AMQPWSB10 gets 400");
    match environment.websocket(Upgrade::default()).await {
        Err(UpgradeError::Status(400)) => Ok(()),
        Err(other) => talk.holds(false, other),
        Ok(_) => talk.holds(false, "the connection is upgraded"),
    }
}

/// A port no other head uses.
const PORT: u16 = 5680;

async fn moved(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = up(worker, ("amqpSettings__port", &PORT.to_string())).await?;
    let mut talk = Talk::default();
    let told = elsewhere(&environment, &mut talk).await;
    environment.stop().await;
    talk.outcome(told)
}

async fn elsewhere(environment: &Environment, talk: &mut Talk) -> Told {
    talk.step(format!("a hub with amqpSettings__port={PORT}"));
    talk.claim("AMQP-ENV-02", format!("it speaks AMQP on port {PORT}, and nothing listens on 5671"));
    let address = SocketAddr::new(environment.hub_address(), PORT);
    let raw = RawAmqp::open("moved", address, environment.tls(), environment.wire().clone()).await?;
    Peer::enter(raw, &Layer::anonymous(), &Open::default()).await?;
    let connected = deadline::CONNECT.wait("port 5671", tokio::net::TcpStream::connect(environment.amqp_address()));
    talk.holds(connected.await?.is_err(), "a connection to port 5671 is accepted")
}
