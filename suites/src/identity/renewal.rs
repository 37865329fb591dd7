//! A token that is renewed by connecting anew. Covers MQTT-AUTH-08, as `mqtt_head::authentication` does for one that is
//! not renewed.

use std::time::Duration;

use harness::client::raw_mqtt::RawMqtt;
use harness::environment::{Credential, Environment};
use harness::observe::history::Identity;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::mqtt_head::authentication::second_look;
use crate::mqtt_head::authentication::token::Token;
use crate::mqtt_head::guest::{GUEST, VISITOR, device, enter, module};

/// How long a token is good after it expired.
const GRACE_SECS: i64 = 300;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed(
        "identity",
        "identity::renewal::a_new_token_counts_from_the_next_connection_on",
        &["MQTT-AUTH-08"],
        |worker| Box::pin(renewed(worker)),
    )]
}

/// Connects with a token whose grace ends in so many seconds.
async fn short(environment: &Environment, who: &Identity, secs: i64) -> Result<RawMqtt, StageError> {
    let token = Token { lifetime_secs: secs - GRACE_SECS, ..Token::good(matches!(who, Identity::Module(_))) };
    let password = token.write(environment, who).into_bytes();
    Ok(enter(environment, who, |connect| connect.password = Some(password)).await?.0)
}

/// Seconds in which the graces end: long enough to connect in, on a busy machine too.
const FIRST: i64 = 3;
const SECOND: i64 = 4;

/// The leaf device's token is over after the module's first one: when the device had to go, the module would have too.
async fn renewed(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = super::newcomer::blueprint();
    blueprint.guests = vec![(module(GUEST), Credential::Keys), (device(VISITOR), Credential::Keys)];
    blueprint.settings.push(("edgecert__reauthenticationSecs".to_owned(), "1".to_owned()));
    worker.set_stage(blueprint);
    let environment = worker.stage().await?.environment();
    let older = short(environment, &module(GUEST), FIRST).await?;
    let (mut newer, _) = enter(environment, &module(GUEST), |_| {}).await?;
    let mut witness = short(environment, &device(VISITOR), SECOND).await?;
    drop(older);
    let steps = [
        format!("module guest connects with a token whose grace ends in {FIRST} s"),
        "it connects anew, with a token that is good for an hour".to_owned(),
        format!("leaf device visitor connects with a token whose grace ends in {SECOND} s, and is closed after that"),
    ];
    // Both are pinged, so that no limit of keep alive has a part in this.
    let closed = second_look(environment).wait("the hub to close leaf device visitor's connection", async {
        while matches!(witness.ping().await, Ok(Some(_))) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if !matches!(newer.ping().await, Ok(Some(_))) {
                return false;
            }
        }
        matches!(newer.ping().await, Ok(Some(_)))
    });
    let observed = match closed.await {
        Ok(true) => None,
        Ok(false) => Some("module guest's connection is closed".to_owned()),
        Err(expired) => Some(expired.to_string()),
    };
    let expected = "leaf device visitor's connection is closed, and module guest's is not";
    Ok(ended(observed.map(|observed| broken("MQTT-AUTH-08", expected, observed, &steps))))
}
