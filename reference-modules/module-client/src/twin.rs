//! The module's twin: desired properties, which the cloud sets, and reported ones, which the module sets.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::connection::Post;
use crate::environment::Error;
use crate::reserved_topic;

/// How long an answer may take before the request is made again: the hub may wait for the cloud meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes about a twin, in the order it came.
#[derive(Debug)]
pub(crate) enum FromTwin {
    /// A new connection stands: changes may have been missed.
    Connected,
    /// An answer to a request.
    Answer { status: u16, id: String, body: Vec<u8> },
    /// A change of desired properties.
    Desired(Vec<u8>),
}

/// A module's twin.
#[derive(Debug)]
pub struct Twin {
    pub(crate) from: mpsc::UnboundedReceiver<FromTwin>,
    pub(crate) post: Post,
    /// Changes that came while an answer was waited for.
    pub(crate) kept: VecDeque<FromTwin>,
    pub(crate) requests: u64,
}

/// Both halves of a twin, each with its `$version`.
#[derive(Debug, Clone, PartialEq)]
pub struct Properties {
    /// What the cloud wants.
    pub desired: Value,
    /// What the module said.
    pub reported: Value,
}

/// News of desired properties.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The whole twin: at first, and whenever changes may have been missed.
    Whole(Properties),
    /// A change: members to set, and with null, members to remove.
    Change(Value),
}

impl Twin {
    /// The next news; nothing once the connection is not run any more.
    ///
    /// # Errors
    /// [`TwinError`] when the twin cannot be read.
    pub async fn next(&mut self) -> Result<Option<News>, TwinError> {
        loop {
            let from = match self.kept.pop_front() {
                Some(kept) => Some(kept),
                None => self.from.recv().await,
            };
            return match from {
                None => Ok(None),
                Some(FromTwin::Connected) => self.read().await.map(|whole| Some(News::Whole(whole))),
                Some(FromTwin::Desired(body)) => Ok(Some(News::Change(serde_json::from_slice(&body)?))),
                // Of a request that was made again meanwhile.
                Some(FromTwin::Answer { .. }) => continue,
            };
        }
    }

    /// Reads the twin.
    ///
    /// # Errors
    /// [`TwinError`] when it cannot be read.
    pub async fn read(&mut self) -> Result<Properties, TwinError> {
        let body = self.request(reserved_topic::twin_get, Vec::new()).await?;
        let mut twin: Value = serde_json::from_slice(&body)?;
        Ok(Properties { desired: twin["desired"].take(), reported: twin["reported"].take() })
    }

    /// Reports properties: members to set, and with null, members to remove.
    ///
    /// # Errors
    /// [`TwinError::Refused`] when the hub does not take them.
    pub async fn report(&mut self, patch: &Value) -> Result<(), TwinError> {
        self.request(reserved_topic::report, patch.to_string().into_bytes()).await.map(drop)
    }

    async fn request(&mut self, topic: fn(&str) -> String, payload: Vec<u8>) -> Result<Vec<u8>, TwinError> {
        loop {
            self.requests += 1;
            let id = self.requests.to_string();
            self.post.publish(topic(&id), payload.clone()).await?;
            // An answer is lost with its connection, so after a while the request is made again.
            let Ok(answered) = tokio::time::timeout(PATIENCE, self.answer(&id)).await else { continue };
            let (status, body) = answered.ok_or(Error::Closed)?;
            return if (200..300).contains(&status) { Ok(body) } else { Err(TwinError::Refused(status)) };
        }
    }

    async fn answer(&mut self, wanted: &str) -> Option<(u16, Vec<u8>)> {
        loop {
            match self.from.recv().await? {
                FromTwin::Answer { status, id, body } if id == wanted => return Some((status, body)),
                FromTwin::Answer { .. } => {}
                news => self.kept.push_back(news),
            }
        }
    }
}

/// What goes wrong with a twin.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] Error),
    /// The hub refused.
    #[error("the hub refused with status {0}")]
    Refused(u16),
    /// The hub said something else than JSON.
    #[error("this is no twin: {0}")]
    NotJson(#[from] serde_json::Error),
}
