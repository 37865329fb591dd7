//! Messages the hub makes itself, of reported properties. Covers ROUTE-EVT and ROUTE-MET-04.

use bytes::Bytes;
use harness::client::mqtt::QoS;
use harness::deadline;
use harness::observe::history::{Delivered, History, Identity, Place, value_of};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::ground::{self, other_in};
use crate::course::{broken, ended, on, probe, routes, sink};
use crate::declare::{fixed, over_mqtt};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let tests = vec![
        fixed(
            "store_and_forward",
            "store_and_forward::events::a_reported_update_makes_one_message_with_the_patch",
            &["ROUTE-EVT-01", "ROUTE-EVT-02", "ROUTE-EVT-03"],
            |worker| Box::pin(reported(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::events::desired_changes_and_the_hubs_own_reports_make_none",
            &["ROUTE-EVT-04"],
            |worker| Box::pin(silent(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::events::an_unwanted_notification_is_not_counted_as_dropped",
            &["ROUTE-MET-04"],
            |worker| Box::pin(uncounted(worker)),
        ),
    ];
    tests.into_iter().map(over_mqtt).collect()
}

/// Written as no serializer writes it, so that a copy of the bytes can be told from a copy of the meaning.
const PATCH: &[u8] = "{ \"speed\" :  1.50, \"name\":\"grün\",\n\"n\": 1 }".as_bytes();

const TO_OTHER: &str = "FROM /twinChangeNotifications INTO BrokeredEndpoint(\"/modules/other/inputs/in\")";

async fn report(stage: &Stage, by: &Identity, rid: u32) -> Result<(), StageError> {
    let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={rid}");
    let pending = stage.mqtt(by)?.publish(&topic, Bytes::from_static(PATCH), QoS::AtLeastOnce).await;
    Ok(pending.acknowledged().await?)
}

async fn reported(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let stamped = "FROM /twinChangeNotifications WHERE $messageType = 'twinChangeNotification' AND $messageSchema = 'twinChangeNotification' AND is_defined($enqueuedTime) AND is_defined($edgeMessageId) AND $edgeHubOriginInterface = 'internal' AND $connectionDeviceId = 'gw7' AND $connectionModuleId = '$edgeHub' AND $rpSenderDeviceId = 'gw7' AND $rpSenderModuleId = 'probe' INTO BrokeredEndpoint(\"/modules/sink/inputs/i0\")";
    let body = |condition: &str| {
        format!("FROM /twinChangeNotifications WHERE {condition} INTO BrokeredEndpoint(\"/modules/sink/inputs/i1\")")
    };
    stage
        .configure(routes([
            ("all", TO_OTHER),
            ("up", "FROM /twinChangeNotifications INTO $upstream"),
            ("stamped", stamped),
            ("body", &body("$body.n = 1")),
            ("not-body", &body("NOT ($body.n = 1)")),
        ]))
        .await?;
    let leaf = Identity::LeafDevice("leaf1".to_owned());
    let mut history = History::begin();
    report(stage, &probe(), 1).await?;
    report(stage, &leaf, 2).await?;
    let twice = |history: &History| history.delivered.iter().filter(|got| got.at == Place::Upstream).count() >= 2;
    let up = stage.collect(&mut history, deadline::ROUTING, "two notifications upstream", twice).await;
    stage.settle(&mut history, &[other_in(), sink("i0"), sink("i1")], deadline::ROUTING).await?;
    let steps = [
        "routes take twin change notifications to other/in and $upstream, to sink/i0 by their system properties, and to sink/i1 by `$body`".to_owned(),
        format!("module probe and leaf device leaf1 each report {}", String::from_utf8_lossy(PATCH)),
    ];
    let violation =
        |requirement: &str, expected: &str, observed: String| Some(broken(requirement, expected, observed, &steps));
    let at = |place: &Place| history.delivered.iter().filter(|got| got.at == *place).collect::<Vec<_>>();
    let (all, stamped, body) = (at(&other_in()), at(&sink("i0")), at(&sink("i1")));
    let found = if all.len() != 2 {
        violation("ROUTE-EVT-01", "two messages at other/in", format!("{} came", all.len()))
    } else if let Err(expired) = up {
        violation("ROUTE-EVT-01", "two messages upstream", expired.to_string())
    } else if stamped.len() != 1 {
        let expected = "the one of module probe has the system properties that the route to sink/i0 asks for";
        violation("ROUTE-EVT-02", expected, format!("{} messages came to sink/i0", stamped.len()))
    } else if !body.is_empty() {
        violation("ROUTE-EVT-03", "`$body` is undefined, so nothing comes to sink/i1", format!("{} came", body.len()))
    } else {
        all.iter()
            .zip([("gw7", Some("probe")), ("leaf1", None)])
            .find_map(|(got, from)| difference(got, from, &steps))
            .or_else(|| at(&Place::Upstream).into_iter().find_map(|got| from_the_hub(got, &steps)))
    };
    Ok(ended(found))
}

fn difference(got: &Delivered, (device, module): (&str, Option<&str>), steps: &[String]) -> Option<Violation> {
    let says = |name: &str| value_of(&got.system, name);
    let (expected, observed) = if got.body.as_ref() != PATCH {
        ("the patch, byte for byte".to_owned(), String::from_utf8_lossy(&got.body).into_owned())
    } else if says("messageSchema") != Some("twinChangeNotification") {
        ("`$.schema` is twinChangeNotification".to_owned(), format!("{:?}", says("messageSchema")))
    } else if says("connectionDeviceId") != Some(device) || module.is_some() && says("connectionModuleId") != module {
        let names = (says("connectionDeviceId"), says("connectionModuleId"));
        (format!("it names its reporter, {device:?} and {module:?}"), format!("it names {names:?}"))
    } else if !got.properties.is_empty() {
        ("no application properties".to_owned(), format!("{:?}", got.properties))
    } else {
        return None;
    };
    Some(broken("ROUTE-EVT-02", expected, observed, steps))
}

fn from_the_hub(got: &Delivered, steps: &[String]) -> Option<Violation> {
    let hub = Some(("gw7".to_owned(), Some("$edgeHub".to_owned())));
    (got.connection != hub).then(|| {
        let observed = format!("it came over the connection of {:?}", got.connection);
        broken("ROUTE-EVT-02", "upstream the notification travels on the hub's own identity", observed, steps)
    })
}

async fn silent(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("all", TO_OTHER)])).await?;
    let device = stage.environment().blueprint().edge_device.clone();
    // The hub reports each of these, and that it serves a client less and one more.
    let version = stage.patch(serde_json::json!({"touched": "by a test about events"})).await?;
    let iot_hub = stage.environment().iot_hub();
    iot_hub.patch_desired(&device, Some("probe"), serde_json::json!({"speed": 3})).await?;
    stage.drop_client(&probe()).await?;
    stage.connect(probe()).await?;
    stage.reported(version).await?;
    let mut history = History::begin();
    stage.settle(&mut history, &[other_in()], deadline::ROUTING).await?;
    let steps = [
        "a route takes twin change notifications to other/in".to_owned(),
        "desired properties of $edgeHub and of module probe change; the hub reports its own".to_owned(),
    ];
    Ok(ended(history.delivered.first().map(|got| {
        let observed = format!("a message came: {}", String::from_utf8_lossy(&got.body));
        broken("ROUTE-EVT-04", "nothing comes to other/in", observed, &steps)
    })))
}

async fn uncounted(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([])).await?;
    let labels = [("reason", "no_route")];
    let before = stage.metric("edgehub_messages_dropped_total", &labels, 0.0).await?;
    report(stage, &probe(), 3).await?;
    let mut history = History::begin();
    stage.send(&mut history, &probe(), &on("nowhere")).await?;
    let counted = stage.metric("edgehub_messages_dropped_total", &labels, before + 1.0).await? - before;
    let steps = ["module probe reports a property, and then sends a message; no route takes either".to_owned()];
    Ok(ended(((counted - 1.0).abs() > f64::EPSILON).then(|| {
        let expected = "edgehub_messages_dropped_total with reason=\"no_route\" grows by 1";
        broken("ROUTE-MET-04", expected, format!("it grew by {counted}"), &steps)
    })))
}
