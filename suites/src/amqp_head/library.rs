//! A whole client on a library nobody here wrote, doing everything a client does. Covers no requirement alone: what one
//! of them asks of the hub is judged frame by frame elsewhere.

use bytes::Bytes;
use harness::client::amqp::message::Message;
use harness::client::amqp::receive::Verdict;
use harness::client::amqp::{AmqpClient, Login};
use harness::client::iot_hub::{CloudMessage, MethodCall};
use harness::client::raw_amqp::peer::PeerError;
use harness::deadline;
use harness::observe::history::{MARK, value_of};
use harness::runner::Test;
use harness::stage::Stage;
use serde_json::json;

use super::talk::{Stop, Talk, Told, told};
use crate::course::routes;
use crate::mqtt_head::guest::{GUEST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::library::a_client_on_another_library_is_served_over_tls",
            &["AMQP-TR-01", "AMQP-TEL-01", "AMQP-MOD-01", "AMQP-TWN-01", "AMQP-MTH-02", "AMQP-C2D-02"],
            |stage, talk| Box::pin(over_tls(stage, talk)),
        ),
        told(
            "amqp_head::library::a_client_on_another_library_is_served_over_websocket",
            &["AMQP-TR-03", "AMQP-TR-05", "AMQP-TEL-01", "AMQP-MOD-01", "AMQP-TWN-01", "AMQP-MTH-02", "AMQP-C2D-02"],
            |stage, talk| Box::pin(over_websocket(stage, talk)),
        ),
    ]
}

async fn over_tls(stage: &mut Stage, talk: &mut Talk) -> Told {
    let carrier = stage.environment().over_tls();
    talk.claim("AMQP-TR-01", "module guest is let in");
    let guest = stage.environment().amqp_login(&module(GUEST), carrier);
    let visitor = stage.environment().amqp_login(&device(VISITOR), carrier);
    everything(stage, talk, guest, visitor).await
}

async fn over_websocket(stage: &mut Stage, talk: &mut Talk) -> Told {
    let carrier = stage.environment().over_websocket();
    talk.claim("AMQP-TR-03", "module guest is let in");
    let guest = stage.environment().amqp_login(&module(GUEST), carrier);
    let visitor = stage.environment().amqp_login(&device(VISITOR), carrier);
    everything(stage, talk, guest, visitor).await
}

fn wrong(error: impl ToString) -> Stop {
    Stop::Wrong(error.to_string())
}

async fn everything(stage: &mut Stage, talk: &mut Talk, guest: Login, visitor: Login) -> Told {
    talk.step("module guest connects, with a token and a link for telemetry");
    let client = AmqpClient::connect(guest).await.map_err(wrong)?;
    messages(stage, talk, &client).await?;
    twin(stage, talk, &client).await?;
    method(stage, talk, &client).await?;
    client.disconnect().await;
    from_the_cloud(stage, talk, visitor).await
}

async fn messages(stage: &mut Stage, talk: &mut Talk, client: &AmqpClient) -> Told {
    let route = "FROM /messages/modules/guest/outputs/back INTO BrokeredEndpoint(\"/modules/guest/inputs/in\")";
    stage.configure(routes([("back", route)])).await?;
    talk.claim("AMQP-MOD-01", "what it sends to itself is accepted, and comes to input `in`");
    let mut inputs = client.inputs().await.map_err(wrong)?;
    let mark = stage.mark();
    let message = Message {
        properties: vec![(MARK.to_owned(), Some(mark.clone()))],
        system: vec![
            ("outputName".to_owned(), Some("back".to_owned())),
            ("messageId".to_owned(), Some("7".to_owned())),
        ],
        body: Bytes::from_static(b"to myself"),
    };
    talk.step("it sends a message that a route brings back to it");
    client.send(&message).await.acknowledged().await.map_err(wrong)?;
    let received = deadline::ROUTING.wait("the message", async {
        // Messages of earlier cases may still wait.
        while let Some(input) = inputs.recv().await {
            if value_of(&input.message.properties, MARK) == Some(&mark) {
                return Some(input);
            }
        }
        None
    });
    let Some(input) = received.await? else { return Err(PeerError::Closed("the link is gone".to_owned()).into()) };
    let same = input.input == "in" && input.message.body == message.body;
    talk.holds(same, format!("{:?} for input {:?}", input.message.body, input.input))?;
    talk.holds(value_of(&input.message.system, "messageId") == Some("7"), format!("{:?}", input.message.system))
}

async fn twin(stage: &Stage, talk: &mut Talk, client: &AmqpClient) -> Told {
    let environment = stage.environment();
    talk.step("it reports, and reads its twin once the cloud has the report");
    talk.claim("AMQP-TWN-01", "204, and 200 with a document");
    let links = client.twin().await.map_err(wrong)?;
    let reported = links.report("{\"library\":1}").await.map_err(wrong)?;
    talk.holds(reported.status == 204, format!("status {}", reported.status))?;
    // While a report is under way to the cloud, a read may be answered with what the cloud had before.
    let arrived = deadline::REPORTED.wait("the report in the cloud", async {
        let edge = &environment.blueprint().edge_device;
        while environment.iot_hub().twin(edge, Some(GUEST)).await?["properties"]["reported"]["library"] != json!(1) {
            // The service side offers no way to wait for a twin.
            tokio::time::sleep(deadline::GLANCE.limit).await;
        }
        Ok::<(), Stop>(())
    });
    arrived.await??;
    let read = links.get().await.map_err(wrong)?;
    let document: serde_json::Value = serde_json::from_slice(&read.body).unwrap_or_default();
    talk.holds(read.status == 200 && document["reported"]["library"] == json!(1), document)
}

async fn method(stage: &Stage, talk: &mut Talk, client: &AmqpClient) -> Told {
    let environment = stage.environment();
    talk.step("it attaches its links for methods, and the cloud calls it");
    talk.claim("AMQP-MTH-02", "the call comes, and its answer is what the cloud gets");
    let mut methods = client.methods().await.map_err(wrong)?;
    let edge = &environment.blueprint().edge_device;
    // The hub's own subscription in the cloud may not stand yet.
    let mut connect = MethodCall::new("go", json!([1])).answered_within(10);
    connect.connect_timeout_secs = Some(10);
    let calling = environment.iot_hub().invoke(edge, Some(GUEST), &connect);
    let answering = async {
        let Some(request) = methods.next().await else { return Err(wrong("the link is gone")) };
        methods.answer(&request.id, 207, "{\"gone\":true}").await.map_err(wrong)?;
        Ok(request)
    };
    let (result, request) = tokio::join!(calling, deadline::METHOD.wait("a call", answering));
    let request = request??;
    talk.holds(request.name == "go" && request.payload.as_ref() == b"[1]", format!("{request:?}"))?;
    let result = result.map_err(wrong)?;
    talk.holds(result.status == 207 && result.payload == json!({ "gone": true }), format!("{result:?}"))
}

async fn from_the_cloud(stage: &mut Stage, talk: &mut Talk, visitor: Login) -> Told {
    let mark = stage.mark();
    let environment = stage.environment();
    talk.step("leaf device visitor connects, and the cloud sends it a message");
    talk.claim("AMQP-C2D-02", "it comes, and is completed");
    let client = AmqpClient::connect(visitor).await.map_err(wrong)?;
    let mut messages = client.cloud_messages().await.map_err(wrong)?;
    environment.iot_hub().send_to_device(VISITOR, None, &CloudMessage::new(&mark, mark.clone())).await?;
    loop {
        let Some(message) = messages.next(deadline::ROUTING).await? else { return Err(wrong("the link is gone")) };
        messages.settle(&message, Verdict::Complete).await;
        if message.message.body == mark.as_bytes() {
            break;
        }
    }
    super::cloud_to_device::completes(environment, talk, &mark).await
}
