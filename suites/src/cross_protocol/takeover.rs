//! One identity, one connection, whatever it speaks. Covers CROSS-CONN.

use bytes::Bytes;
use harness::client::amqp::message::Message;
use harness::client::hub_client::HubClient;
use harness::client::hub_client::methods::MethodClient;
use harness::client::iot_hub::MethodResult;
use harness::deadline;
use harness::environment::Environment;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use harness::transport::Transport;
use serde_json::json;

use super::{POLYGLOT, blueprint, module};
use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::direct_methods::cloud::{invoke, not_found};
use crate::direct_methods::ground::Callee;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed(
        "cross_protocol",
        "cross_protocol::takeover::the_newer_connection_stays_whatever_either_speaks",
        &["CROSS-CONN-01", "CROSS-CONN-02"],
        |worker| Box::pin(pairs(worker)),
    )]
}

async fn pairs(worker: &mut Worker) -> Result<Outcome, StageError> {
    worker.set_stage(blueprint());
    let environment = worker.stage().await?.environment();
    for older in Transport::ALL {
        for newer in Transport::ALL {
            if let Some(violation) = pair(environment, older, newer).await? {
                return Ok(ended(Some(violation)));
            }
        }
    }
    Ok(Outcome::Conforms)
}

async fn connect(environment: &Environment, over: Transport) -> Result<HubClient, StageError> {
    let connected = environment.connect_over(&module(POLYGLOT), over).await;
    connected.map_err(|source| StageError::Connect { who: format!("module {POLYGLOT} over {over}"), source })
}

async fn pair(environment: &Environment, older: Transport, newer: Transport) -> Result<Option<Violation>, StageError> {
    let steps = [
        format!("module {POLYGLOT} connects over {older}, and listens for calls"),
        format!("it connects over {newer}, sends a message, and listens for calls"),
        "the cloud calls a method of it".to_owned(),
    ];
    if let Some(found) = not_found(environment, &module(POLYGLOT), &[]).await? {
        return Ok(Some(found));
    }
    let mut old = MethodClient::of(connect(environment, older).await?);
    old.subscribe().await?;
    let new = connect(environment, newer).await?;
    // Whoever listens no more has lost its connection; a request would be one too many.
    match deadline::CLOSED.wait("the end of the older connection", old.next()).await {
        Ok(None) => {}
        Ok(Some(request)) => {
            let observed = format!("a request for {:?}", request.name);
            return Ok(Some(broken("CROSS-CONN-01", "the older connection is closed", observed, &steps)));
        }
        Err(expired) => {
            return Ok(Some(broken("CROSS-CONN-01", "the older connection is closed", expired.to_string(), &steps)));
        }
    }
    let message = Message { body: Bytes::from_static(b"after"), ..Message::default() };
    let taken = new.send(&message).await.acknowledged().await;
    if let Err(why) = taken {
        return Ok(Some(broken("CROSS-CONN-02", "the newer connection's message is taken", why.to_string(), &steps)));
    }
    let mut callee = Callee { identity: module(POLYGLOT), client: MethodClient::of(new) };
    callee.subscribe().await?;
    let identity = module(POLYGLOT);
    let answering = async {
        let request = callee.next(deadline::METHOD).await?;
        callee.answer(&request.id, "200", "1").await.map_err(|why| why.to_string())
    };
    let (called, answered) = tokio::join!(invoke(environment, &identity, "who", json!(null)), answering);
    let right = answered.is_ok()
        && called.as_ref().is_ok_and(|result| *result == MethodResult { status: 200, payload: json!(1) });
    callee.client.disconnect().await;
    Ok((!right).then(|| {
        let observed = format!("the callee: {answered:?}; the cloud: {called:?}");
        broken("CROSS-CONN-02", "the call reaches the newer connection, and its answer the cloud", observed, &steps)
    }))
}
