//! Figures about queues and messages. Covers ROUTE-MET-01 to -03.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use harness::deadline::{self, Deadline};
use harness::observe::history::{History, Place};
use harness::observe::metrics;
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use super::ground::{self, other, other_in, send_on, to_other};
use crate::course::{broken, ended, routes};
use crate::declare::{fixed, restarting};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "store_and_forward",
            "store_and_forward::metrics::names_types_and_labels_are_those_operators_know",
            &["ROUTE-MET-01"],
            |worker| Box::pin(names(worker)),
        ),
        restarting(
            "store_and_forward",
            "store_and_forward::metrics::the_queue_length_is_what_waits",
            &["ROUTE-MET-02"],
            |worker| Box::pin(queue_length(worker)),
        ),
        fixed(
            "store_and_forward",
            "store_and_forward::metrics::each_accepted_message_is_counted_once",
            &["ROUTE-MET-03"],
            |worker| Box::pin(received(worker)),
        ),
    ]
}

/// Series, type, and labels beside those that every series has.
const SERIES: [(&str, &str, &[&str]); 12] = [
    ("edgehub_messages_received_total", "counter", &["id", "route_output"]),
    ("edgehub_messages_sent_total", "counter", &["from", "to", "from_route_output", "to_route_input", "priority"]),
    ("edgehub_messages_dropped_total", "counter", &["reason", "from", "from_route_output"]),
    ("edgehub_queue_length", "gauge", &["endpoint", "priority"]),
    ("edgehub_message_process_duration_seconds", "summary", &["from", "to", "priority"]),
    ("edgehub_message_send_duration_seconds", "summary", &["from", "to", "from_route_output", "to_route_input"]),
    ("edgehub_message_size_bytes", "summary", &["id"]),
    ("edgehub_reported_properties_total", "counter", &["target", "id"]),
    ("edgehub_reported_properties_update_duration_seconds", "summary", &["target", "id"]),
    ("edgehub_connected_clients", "gauge", &[]),
    ("edgehub_client_connect_success_total", "counter", &["id"]),
    ("edgehub_client_disconnect_total", "counter", &["id"]),
];

/// Labels of every series.
const ALWAYS: [&str; 3] = ["iothub", "edge_device", "instance_number"];

async fn names(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let up = "FROM /messages/modules/probe/outputs/counted INTO $upstream";
    stage.configure(routes([("in", &to_other("counted")), ("up", up)])).await?;
    let mut history = History::begin();
    send_on(stage, &mut history, &["counted", "nowhere"]).await?;
    stage.settle(&mut history, &[other_in(), Place::Upstream], deadline::ROUTING).await?;
    stage.drop_client(&other()).await?;
    stage.reported(stage.desired_version).await?;
    let page = stage.environment().metrics().await?;
    let steps = ["messages went to other/in, upstream and nowhere; module other left".to_owned()];
    for (series, kind, labels) in SERIES {
        let wanted: BTreeSet<String> = ALWAYS.iter().chain(labels).map(|label| (*label).to_owned()).collect();
        let found = match (metrics::kind(&page, series), metrics::labels(&page, series)) {
            (None, _) | (_, None) => Some("the page does not have it".to_owned()),
            (Some(got), _) if got != kind => Some(format!("it is a {got}")),
            (_, Some(got)) => {
                let optional: BTreeSet<String> = ["ms_telemetry", "quantile"].map(str::to_owned).into();
                let differing: Vec<&String> =
                    got.symmetric_difference(&wanted).filter(|label| !optional.contains(*label)).collect();
                (!differing.is_empty()).then(|| format!("its labels are {got:?}"))
            }
        };
        if let Some(observed) = found {
            let expected = format!("{series} is a {kind} with the labels {wanted:?}");
            return Ok(ended(Some(broken("ROUTE-MET-01", expected, observed, &steps))));
        }
    }
    let default = [("from", "gw7/probe"), ("to", "gw7/other"), ("to_route_input", "in"), ("priority", "2000000000")];
    let upstream =
        [("from", "gw7/probe"), ("to", "upstream"), ("to_route_input", ""), ("from_route_output", "counted")];
    for labels in [&default, &upstream] {
        if stage.metric("edgehub_messages_sent_total", labels, 1.0).await? < 1.0 {
            let expected = format!("edgehub_messages_sent_total counts a message with {labels:?}");
            return Ok(ended(Some(broken("ROUTE-MET-01", expected, "it does not", &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn queue_length(worker: &mut Worker) -> Result<Outcome, StageError> {
    const MESSAGES: usize = 13;
    // On a fresh hub: what has expired in a test before may be counted on.
    worker.set_stage(ground::blueprint());
    worker.discard_stage().await;
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    stage.configure(routes([("kept", &to_other("kept"))])).await?;
    let labels = [("endpoint", "gw7/other/in"), ("priority", "2000000000")];
    let series = "edgehub_queue_length";
    stage.drop_client(&other()).await?;
    let mut history = History::begin();
    let marks = send_on(stage, &mut history, &["kept"; MESSAGES]).await?;
    let waiting = stage.metric(series, &labels, MESSAGES as f64).await?;
    let steps = [
        format!("module other is away; module probe sends {MESSAGES} messages to other/in"),
        "module other connects, and receives them".to_owned(),
    ];
    if (waiting - MESSAGES as f64).abs() > f64::EPSILON {
        let expected = format!("{series} of gw7/other/in becomes {MESSAGES}");
        return Ok(ended(Some(broken("ROUTE-MET-02", expected, format!("it is {waiting}"), &steps))));
    }
    stage.connect(other()).await?;
    ground::arrive(stage, &mut history, &other_in(), &marks).await?;
    stage.settle(&mut history, &[other_in()], deadline::ROUTING).await?;
    // The marker behind them may be unsettled for a moment.
    let left = emptied(stage, &labels, deadline::COUNTED).await?;
    let expected = format!("{series} of gw7/other/in becomes 0");
    Ok(ended((left > 0.0).then(|| broken("ROUTE-MET-02", expected, format!("it is {left}"), &steps))))
}

/// The length of a queue, once it is empty or has had the time to become so.
async fn emptied(stage: &Stage, labels: &[(&str, &str)], deadline: Deadline) -> Result<f64, StageError> {
    let began = Instant::now();
    loop {
        let left = stage.metric("edgehub_queue_length", labels, 0.0).await?;
        if left <= 0.0 || began.elapsed() > deadline.limit {
            return Ok(left);
        }
        // The page has no way to be waited for.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn received(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = ground::gathered(worker, ground::blueprint()).await?;
    let up = "FROM /messages/modules/probe/outputs/once INTO $upstream";
    stage.configure(routes([("in", &to_other("once")), ("up", up)])).await?;
    let series = "edgehub_messages_received_total";
    let labels = |output| [("id", "gw7/probe"), ("route_output", output)];
    let before =
        [stage.metric(series, &labels("once"), 0.0).await?, stage.metric(series, &labels("unwanted"), 0.0).await?];
    let mut history = History::begin();
    send_on(stage, &mut history, &["once", "unwanted", "once", "unwanted", "once"]).await?;
    stage.settle(&mut history, &[other_in(), Place::Upstream], deadline::ROUTING).await?;
    let steps = ["module probe sends three messages that two routes take, and two that none takes".to_owned()];
    for ((output, wanted), before) in [("once", 3.0), ("unwanted", 2.0)].into_iter().zip(before) {
        let counted = stage.metric(series, &labels(output), before + wanted).await? - before;
        if (counted - wanted).abs() > f64::EPSILON {
            let expected = format!("{series} with route_output=\"{output}\" grows by {wanted}");
            return Ok(ended(Some(broken("ROUTE-MET-03", expected, format!("it grew by {counted}"), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}
