//! A leaf device does what is refused to modules, and gets what it asks for: the tests that find nothing for a module
//! would find it. Messages as they were sent, with any properties and body; and a file, at the IoT Hub itself, where real
//! devices upload theirs. Covers C2D-05, MQTT-C2D-01, FILE-01 and -04.

use bytes::Bytes;
use harness::client::file_upload;
use harness::client::https::HttpsRequest;
use harness::client::iot_hub::CloudMessage;
use harness::client::property_bag::Properties;
use harness::deadline;
use harness::observe::history::value_of;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::cloud;
use super::mailbox::{Mail, Mailbox};
use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use crate::mqtt_head::guest::{VISITOR, device};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "rejections",
            "rejections::granted::a_leaf_device_gets_each_message_as_it_was_sent",
            &["C2D-05", "MQTT-C2D-01"],
            1,
            messages,
            |stage, contents| Box::pin(as_sent(stage, contents)),
        ),
        fixed(
            "rejections",
            "rejections::granted::a_leaf_device_uploads_a_file_at_the_iot_hub_and_not_through_the_hub",
            &["FILE-01", "FILE-04"],
            |worker| Box::pin(uploaded(worker)),
        ),
    ]
}

/// What a message has beside its id.
type Content = (Properties, Properties, Vec<u8>);

fn messages() -> impl Strategy<Value = Vec<Content>> {
    let name = prop_oneof![
        3 => "[a-z]{1,6}",
        1 => select(vec!["größe", "a b", "k&v", "x=y", "a/b", "100%", "#", "+", "Colour", "colour", "?", "$abc", "日本"])
            .prop_map(str::to_owned),
    ];
    let value = prop_oneof![
        3 => "[a-zA-Z0-9 ]{1,12}",
        2 => select(vec!["réd", "a&b=c", "/x/", "%25", "100 %", "+1", "#", "\"q\"", "日本", "😀", "$x", "a;b,c"]).prop_map(str::to_owned),
    ];
    let properties = vec((name, weighted(0.9, value)), 0..4).prop_map(|mut properties| {
        let mut seen = std::collections::BTreeSet::new();
        properties.retain(|(name, _)| seen.insert(name.clone()));
        properties
    });
    let system = select(vec![
        vec![],
        vec![("contentType", "application/json"), ("contentEncoding", "utf-8")],
        vec![("cid", "a/b&c"), ("userId", "somebody")],
    ]);
    let system = system.prop_map(|system| {
        system.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).collect::<Properties>()
    });
    let body = prop_oneof![4 => vec(any::<u8>(), 0..64), 1 => Just(vec![b'x'; 60_000])];
    vec((properties, system, body), 1..4)
}

async fn as_sent(stage: &mut Stage, contents: &[Content]) -> Result<Option<Violation>, StageError> {
    let mut messages = Vec::new();
    for (properties, system, body) in contents {
        let (properties, system) = (properties.clone(), system.clone());
        messages.push(CloudMessage { properties, system, ..CloudMessage::new(stage.mark(), body.clone()) });
    }
    let environment = stage.environment();
    // What a case left that ended early.
    environment.iot_hub().purge_queue(VISITOR).await?;
    let mut mailbox = Mailbox::open(environment, VISITOR, false).await?;
    let mut steps = vec!["leaf device visitor connects and subscribes to its messages".to_owned()];
    if let Err(observed) = mailbox.subscribe(1).await {
        return Ok(Some(broken("C2D-05", "SUBACK", observed, &steps)));
    }
    // An answer from the cloud shows that the device's earlier connection there is over, and can take no message away.
    if let Err(observed) = mailbox.look().await {
        return Ok(Some(broken("C2D-05", "it reads its twin", observed, &steps)));
    }
    for message in &messages {
        environment.iot_hub().send_to_device(VISITOR, None, message).await?;
        steps.push(format!("the cloud sends {}", told(message)));
    }
    for message in &messages {
        let expected = format!("{} comes as it was sent", message.message_id);
        let mail = match mailbox.next(deadline::ROUTING).await {
            Ok(mail) => mail,
            Err(observed) => return Ok(Some(broken("C2D-05", expected, observed, &steps))),
        };
        if let Some((requirement, observed)) = difference(&mail, message) {
            return Ok(Some(broken(requirement, expected, observed, &steps)));
        }
        mailbox.acknowledge(&mail).await;
    }
    let _ = mailbox.leave().await;
    Ok(None)
}

fn told(message: &CloudMessage) -> String {
    let CloudMessage { message_id, properties, system, body, .. } = message;
    format!("{message_id} with {} bytes, properties {properties:?} and {system:?}", body.len())
}

/// What a message does not have as it was sent.
fn difference(mail: &Mail, message: &CloudMessage) -> Option<(&'static str, String)> {
    let to = format!("/devices/{VISITOR}/messages/devicebound");
    if value_of(&mail.system, "to") != Some(&to) {
        return Some(("MQTT-C2D-01", format!("{mail}, without `$.to` of {to}")));
    }
    if mail.is(VISITOR, message) {
        return None;
    }
    let requirement = if mail.published.payload == message.body { "MQTT-C2D-01" } else { "C2D-05" };
    Some((requirement, mail.to_string()))
}

async fn uploaded(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let token = environment.token(&device(VISITOR));
    let iot_hub = environment.iot_hub();
    let from = iot_hub.next_call().await?;
    let mut steps = Vec::new();
    for path in ["files", "files/notifications"] {
        let path = format!("/devices/{VISITOR}/{path}?api-version=2021-04-12");
        steps.push(format!("leaf device visitor asks the hub POST {path}, with its own token"));
        let request = HttpsRequest::new("POST", path).token(token.clone()).json(r#"{"blobName":"log.txt"}"#);
        let observed = match environment.https().send(&request, deadline::CONNECT).await {
            Ok(answer) if answer.status == 404 && answer.body.is_empty() => continue,
            Ok(answer) => answer.to_string(),
            Err(error) => error.to_string(),
        };
        return Ok(ended(Some(broken("FILE-01", "status 404 without a body", observed, &steps))));
    }
    let forbidden = cloud::forbidden(iot_hub, from, VISITOR).await?;
    if let Some(call) = forbidden.first() {
        let observed = format!("the cloud was asked {call}");
        return Ok(ended(Some(broken("FILE-04", "nothing of it reaches the cloud", observed, &steps))));
    }
    // The control: what was not seen above is seen when it is there.
    let file = Bytes::from_static(b"a file of leaf device visitor");
    let asked = file_upload::upload(&environment.past_the_hub(), VISITOR, &token, "log.txt", file.clone()).await;
    let calls = cloud::forbidden(iot_hub, from, VISITOR).await?;
    let stored = iot_hub.uploads(VISITOR).await?;
    let kept = stored.last().is_some_and(|upload| upload.body == Some(file) && upload.succeeded == Some(true));
    match asked {
        Ok(()) if kept && calls.len() == 3 => Ok(Outcome::Conforms),
        Ok(()) => {
            Ok(Outcome::Inconclusive { reason: format!("the cloud keeps {stored:?} of a file, and noted {calls:?}") })
        }
        Err(error) => Ok(Outcome::Inconclusive { reason: format!("no file can be uploaded at the cloud: {error}") }),
    }
}
