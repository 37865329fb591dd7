//! Direct methods that a module answers.

use serde_json::Value;
use tokio::sync::mpsc;

use crate::connection::Post;
use crate::environment::Error;
use crate::reserved_topic;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Requested {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) payload: Vec<u8>,
}

/// Where a module is called.
#[derive(Debug)]
pub struct Methods {
    pub(crate) requested: mpsc::UnboundedReceiver<Requested>,
    pub(crate) post: Post,
}

/// A call of a direct method. Its caller waits for the answer, though not for ever.
#[derive(Debug)]
pub struct Call {
    /// The method.
    pub name: String,
    /// Its argument; null when it is no JSON.
    pub argument: Value,
    id: String,
    post: Post,
}

impl Methods {
    /// The next call; nothing once the connection is not run any more.
    pub async fn next(&mut self) -> Option<Call> {
        let Requested { name, id, payload } = self.requested.recv().await?;
        let argument = serde_json::from_slice(&payload).unwrap_or_default();
        Some(Call { name, argument, id, post: self.post.clone() })
    }
}

impl Call {
    /// Answers with a status, which means whatever the module wants it to mean, and a payload.
    ///
    /// An answer that comes too late, or over another connection than the call, is ignored by the hub.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection is not run any more.
    pub async fn answer(self, status: i32, payload: &Value) -> Result<(), Error> {
        let topic = reserved_topic::method_answer(status, &self.id);
        self.post.publish(topic, payload.to_string().into_bytes()).await
    }
}
