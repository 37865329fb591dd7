//! What the cloud's own records say: where messages to devices are, and what reached it that no module may send.

use std::time::{Duration, Instant};

use harness::client::iot_hub::{CloudMessage, IotHub, MessageState, QueuedMessage};
use harness::deadline::{self, Expired};
use harness::stage::StageError;
use serde_json::Value;

/// A message to a device, with properties and a body of no meaning.
pub fn message(mark: &str) -> CloudMessage {
    let properties = vec![("colour".to_owned(), Some("réd & blue".to_owned())), ("bare".to_owned(), None)];
    CloudMessage { properties, ..CloudMessage::new(mark, format!("body of {mark}")) }
}

/// What has become of a message, by its id; nothing when the cloud does not know it.
///
/// # Errors
/// [`StageError::Service`] when the cloud cannot be asked.
pub async fn fate(iot_hub: &IotHub, device: &str, id: &str) -> Result<Option<QueuedMessage>, StageError> {
    Ok(iot_hub.device_queue(device).await?.into_iter().find(|message| message.message_id == id))
}

/// Waits until these messages are in these states, by their ids.
///
/// # Errors
/// In the inner result, what has become of the first that is not.
pub async fn settle(
    iot_hub: &IotHub,
    device: &str,
    wanted: &[(String, MessageState)],
) -> Result<Result<(), String>, StageError> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let queue = iot_hub.device_queue(device).await?;
        let state = |id: &str| queue.iter().find(|message| message.message_id == id).map(|message| message.state);
        let Some((id, _)) = wanted.iter().find(|(id, wanted)| state(id) != Some(*wanted)) else { return Ok(Ok(())) };
        if began.elapsed() > deadline::OUTCOME.limit {
            let shown =
                state(id).map_or("unknown to the cloud".to_owned(), |state| format!("{state:?}").to_lowercase());
            let expired = Expired { deadline: deadline::OUTCOME, what: format!("the outcome of message {id}") };
            return Ok(Err(format!("message {id} is {shown}; {expired}")));
        }
        // The queue has no way to be waited for, so it is read again, less often each time.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Waits until a device has no connection to the cloud, as far as the calls from number `from` on tell.
///
/// # Errors
/// In the inner result, that it still has one.
pub async fn gone(iot_hub: &IotHub, from: u64, id: &str) -> Result<Result<(), Expired>, StageError> {
    let began = Instant::now();
    loop {
        let calls = iot_hub.calls(from).await?;
        let of_it =
            |call: &&Value| call["client_id"] == id && (call["call"] == "disconnect" || call["accepted"] == true);
        let latest =
            calls.iter().rev().filter(of_it).find(|call| call["call"] == "connect" || call["call"] == "disconnect");
        if latest.is_none_or(|call| call["call"] == "disconnect") {
            return Ok(Ok(()));
        }
        if began.elapsed() > deadline::OUTCOME.limit {
            let what = format!("the end of {id}'s connection to the cloud");
            return Ok(Err(Expired { deadline: deadline::OUTCOME, what }));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Calls from number `from` on that have to do with messages to devices or with files, of anybody but this leaf device's
/// messages.
///
/// # Errors
/// [`StageError::Service`] when the cloud cannot be asked.
pub async fn forbidden(iot_hub: &IotHub, from: u64, leaf: &str) -> Result<Vec<Value>, StageError> {
    let calls = iot_hub.calls(from).await?;
    Ok(calls.into_iter().filter(|call| is_about_files(call) || is_about_messages(call, leaf)).collect())
}

/// A path that the cloud does not have is one that somebody tried.
pub fn is_about_files(call: &Value) -> bool {
    let files = ["file_upload", "file_notification", "blob_put", "unknown_path"];
    call["call"].as_str().is_some_and(|name| files.contains(&name))
}

/// The call itself, or the filters of a SUBSCRIBE.
fn is_about_messages(call: &Value, leaf: &str) -> bool {
    let subscribes = call["filters"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let name = call["call"].as_str().unwrap_or_default();
    call["client_id"] != leaf
        && (name.starts_with("c2d") || subscribes.into_iter().any(|filter| filter.contains("devicebound")))
}
