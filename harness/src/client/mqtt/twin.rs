//! The twin of one client, read and changed over MQTT. Whatever comes of it is kept: the answers by their request, and
//! the desired patches as a stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{MqttClient, Pending, QoS, Received, Unanswered};
/// What comes.
pub use crate::client::hub_client::twin::{Answer, DesiredPatch};
use crate::deadline::{self, Deadline, Expired};

/// Filter of the answers.
const ANSWERS: &str = "$iothub/twin/res/#";
/// Filter of the desired patches.
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Topic of GET, up to its query.
const GET: &str = "$iothub/twin/GET/";
/// Topic of PATCH, up to its query.
const PATCH: &str = "$iothub/twin/PATCH/properties/reported/";

/// A connected client, as far as its own twin goes.
pub struct TwinClient {
    mqtt: MqttClient,
    heard: Arc<Mutex<Heard>>,
    desired: mpsc::UnboundedReceiver<DesiredPatch>,
    requests: AtomicU64,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    answers: Vec<Answer>,
    awaited: HashMap<String, oneshot::Sender<Answer>>,
    others: Vec<Received>,
}

impl TwinClient {
    /// Listens for answers on a connection that has just been made.
    ///
    /// # Errors
    /// [`Unanswered`] when the hub does not answer the SUBSCRIBE.
    pub async fn open(mqtt: MqttClient) -> Result<Self, Unanswered> {
        let client = Self::deaf(mqtt);
        client.mqtt.subscribe(ANSWERS).await?;
        Ok(client)
    }

    /// As [`TwinClient::open`], without a subscription of any kind: answers do not come through.
    pub fn deaf(mut mqtt: MqttClient) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (desired_to, desired) = mpsc::unbounded_channel();
        let task = tokio::spawn(hear(mqtt.take_received(), heard.clone(), desired_to));
        Self { mqtt, heard, desired, requests: AtomicU64::new(0), task }
    }

    /// The connection, for topics of another kind.
    pub fn mqtt(&self) -> &MqttClient {
        &self.mqtt
    }

    /// Reads the twin.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes first.
    pub async fn get(&self) -> Result<Answer, Unanswered> {
        let rid = self.request_id();
        self.get_as(&rid).await
    }

    /// As [`TwinClient::get`], under a request id of the caller's choice.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn get_as(&self, rid: &str) -> Result<Answer, Unanswered> {
        self.ask(&format!("{GET}?$rid={rid}"), rid, Bytes::new()).await
    }

    /// Reports a patch: a payload as it stands.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn report(&self, patch: impl Into<Bytes>) -> Result<Answer, Unanswered> {
        let rid = self.request_id();
        self.report_as(&rid, patch).await
    }

    /// As [`TwinClient::report`], under a request id of the caller's choice.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn report_as(&self, rid: &str, patch: impl Into<Bytes>) -> Result<Answer, Unanswered> {
        self.ask(&format!("{PATCH}?$rid={rid}"), rid, patch.into()).await
    }

    /// As [`TwinClient::report`], for the case that the reported version is still this one.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn report_at_version(&self, version: u64, patch: impl Into<Bytes>) -> Result<Answer, Unanswered> {
        let rid = self.request_id();
        self.ask(&format!("{PATCH}?$rid={rid}&$version={version}"), &rid, patch.into()).await
    }

    /// Reports a patch and asks for no answer.
    pub async fn report_without_answer(&self, patch: impl Into<Bytes>) -> Pending {
        self.mqtt.publish(PATCH, patch.into(), QoS::AtLeastOnce).await
    }

    /// Subscribes to desired patches.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn subscribe(&self) -> Result<(), Unanswered> {
        self.mqtt.subscribe(DESIRED).await.map(drop)
    }

    /// Ends that subscription.
    ///
    /// # Errors
    /// As [`TwinClient::get`].
    pub async fn unsubscribe(&self) -> Result<(), Unanswered> {
        self.mqtt.unsubscribe(DESIRED).await
    }

    /// The next desired patch; waits for it.
    ///
    /// # Errors
    /// [`Expired`] when none comes in time, or the connection ends.
    pub async fn next_desired(&mut self, deadline: Deadline) -> Result<DesiredPatch, Expired> {
        let what = "a desired patch";
        let next = deadline.wait(what, self.desired.recv()).await?;
        next.ok_or_else(|| Expired { deadline, what: what.to_owned() })
    }

    /// Desired patches that have come and were not taken yet.
    pub fn desired_so_far(&mut self) -> Vec<DesiredPatch> {
        std::iter::from_fn(|| self.desired.try_recv().ok()).collect()
    }

    /// Every answer that came, in order, the awaited ones too.
    pub fn answers(&self) -> Vec<Answer> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).answers.clone()
    }

    /// Everything that came and is neither answer nor desired patch.
    pub fn others(&self) -> Vec<Received> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).others.clone()
    }

    /// A request id that this connection has not used.
    pub fn request_id(&self) -> String {
        self.requests.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Leaves in good order.
    pub async fn disconnect(self) {
        self.mqtt.disconnect().await;
        let _ = self.task.await;
    }

    async fn ask(&self, topic: &str, rid: &str, payload: Bytes) -> Result<Answer, Unanswered> {
        let (done, answered) = oneshot::channel();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).awaited.insert(rid.to_owned(), done);
        // The answer says more than the PUBACK behind it.
        drop(self.mqtt.publish(topic, payload, QoS::AtLeastOnce).await);
        let what = format!("answer to {topic}");
        match deadline::TWIN.wait(&what, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unanswered::Closed { what, reason: self.mqtt.ended().unwrap_or_default() }),
            Err(expired) => Err(Unanswered::Expired(expired)),
        }
    }
}

async fn hear(
    mut received: mpsc::UnboundedReceiver<Received>,
    heard: Arc<Mutex<Heard>>,
    desired: mpsc::UnboundedSender<DesiredPatch>,
) {
    while let Some(received) = received.recv().await {
        if let Some(patch) = desired_patch(&received) {
            // Whoever does not want to know has gone.
            let _ = desired.send(patch);
            continue;
        }
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match answer(&received) {
            Some(answer) => {
                if let Some(done) = heard.awaited.remove(&answer.rid) {
                    let _ = done.send(answer.clone());
                }
                heard.answers.push(answer);
            }
            None => heard.others.push(received),
        }
    }
    // Nothing will be answered any more: whoever waits is told.
    heard.lock().unwrap_or_else(PoisonError::into_inner).awaited.clear();
}

/// `$iothub/twin/res/{status}/?$rid={rid}`; what a cloud would add behind it is no part of the request id.
fn answer(received: &Received) -> Option<Answer> {
    let rest = received.topic.strip_prefix("$iothub/twin/res/")?;
    let (status, query) = rest.split_once("/?")?;
    let rid = query.strip_prefix("$rid=")?;
    let rid = rid.split_once("&$version=").map_or(rid, |(rid, _)| rid);
    Some(Answer {
        at: received.at,
        status: status.parse().ok()?,
        rid: rid.to_owned(),
        topic: received.topic.clone(),
        body: received.payload.clone(),
    })
}

fn desired_patch(received: &Received) -> Option<DesiredPatch> {
    let rest = received.topic.strip_prefix("$iothub/twin/PATCH/properties/desired/")?;
    let version = rest.strip_prefix("?$version=").and_then(|version| version.parse().ok());
    Some(DesiredPatch {
        at: received.at,
        version,
        topic: received.topic.clone(),
        qos: received.qos,
        body: received.payload.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn received(topic: &str) -> Received {
        let (at, payload) = (Instant::now(), Bytes::from_static(b"{\"a\":1}"));
        Received { at, topic: topic.to_owned(), payload, qos: 1, retain: false, dup: false }
    }

    #[test]
    fn an_answer_names_its_request_however_that_is_spelled() {
        let topics = [
            ("$iothub/twin/res/204/?$rid=a%20b", "a%20b"),
            ("$iothub/twin/res/204/?$rid=a/?=b", "a/?=b"),
            ("$iothub/twin/res/204/?$rid=7&$version=3", "7"),
        ];
        for (topic, rid) in topics {
            let answer = answer(&received(topic)).expect("an answer");
            assert_eq!((answer.status, answer.rid.as_str()), (204, rid), "{topic}");
        }
        assert!(answer(&received("$iothub/methods/POST/m/?$rid=1")).is_none());
    }

    #[test]
    fn a_desired_patch_names_its_version_beside_the_body() {
        let patch = desired_patch(&received("$iothub/twin/PATCH/properties/desired/?$version=4")).expect("a patch");
        assert_eq!((patch.version, patch.json()), (Some(4), serde_json::json!({"a": 1})));
    }
}
