//! Direct methods over MQTT: requests as they come, and answers.
//!
//! Topics: `$iothub/methods/POST/{name}/?$rid={id}` and `$iothub/methods/res/{status}/?$rid={id}`. A name stands in
//! its topic as it is, slashes and question marks included.

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{MqttClient, Pending, QoS, Received};
/// What comes.
pub use crate::client::hub_client::methods::MethodRequest;

/// The filter that asks for requests.
pub const REQUESTS: &str = "$iothub/methods/POST/#";

const PREFIX: &str = "$iothub/methods/POST/";
const BEFORE_ID: &str = "/?$rid=";

impl MethodRequest {
    /// The request in a PUBLISH, if it is one.
    pub fn read(received: &Received) -> Option<Self> {
        let (name, id) = received.topic.strip_prefix(PREFIX)?.rsplit_once(BEFORE_ID)?;
        Some(Self {
            at: received.at,
            name: name.to_owned(),
            id: id.to_owned(),
            payload: received.payload.clone(),
            qos: received.qos,
        })
    }
}

/// The topic of an answer.
pub fn answer_topic(status: &str, id: &str) -> String {
    format!("$iothub/methods/res/{status}/?$rid={id}")
}

/// The requests among what a client receives, in the order they came.
pub struct MethodRequests {
    received: UnboundedReceiver<Received>,
    /// What came and is no request.
    pub others: Vec<Received>,
}

impl MethodRequests {
    /// Reads a client's stream, which nobody else reads then.
    pub fn of(client: &mut MqttClient) -> Self {
        Self { received: client.take_received(), others: Vec::new() }
    }

    /// The next request; waits for it. `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<MethodRequest> {
        while let Some(received) = self.received.recv().await {
            match MethodRequest::read(&received) {
                Some(request) => return Some(request),
                None => self.others.push(received),
            }
        }
        None
    }

    /// Requests that have come and were not taken yet.
    pub fn drain(&mut self) -> Vec<MethodRequest> {
        let mut requests = Vec::new();
        while let Ok(received) = self.received.try_recv() {
            match MethodRequest::read(&received) {
                Some(request) => requests.push(request),
                None => self.others.push(received),
            }
        }
        requests
    }
}

impl MqttClient {
    /// Answers a request. The status is whatever the topic shall say, number or not.
    pub async fn answer_method(&self, id: &str, status: &str, payload: impl Into<Bytes>) -> Pending {
        self.publish(&answer_topic(status, id), payload.into(), QoS::AtLeastOnce).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn received(topic: &str) -> Received {
        Received {
            at: Instant::now(),
            topic: topic.to_owned(),
            payload: Bytes::from_static(b"1"),
            qos: 0,
            retain: false,
            dup: false,
        }
    }

    #[test]
    fn a_name_is_everything_before_the_last_mark_of_the_id() {
        let request = MethodRequest::read(&received("$iothub/methods/POST/a/?$rid=/?x/?$rid=7-8")).expect("a request");
        assert_eq!((request.name.as_str(), request.id.as_str()), ("a/?$rid=/?x", "7-8"));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for topic in ["$iothub/methods/res/200/?$rid=1", "$iothub/methods/POST/a", "$iothub/twin/res/200/?$rid=1"] {
            assert!(MethodRequest::read(&received(topic)).is_none(), "{topic}");
        }
    }
}
