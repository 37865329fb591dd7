//! What clients of the hub fail with, whatever they speak.

use super::amqp;
use crate::deadline::Expired;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// CONNACK with this code.
    #[error("refused with CONNACK 0x{0:02x}")]
    Refused(u8),
    /// Refused in another way.
    #[error("refused: {0}")]
    Denied(String),
    /// The connection ended before it was accepted.
    #[error("closed without CONNACK: {0}")]
    Closed(String),
    /// Nothing came.
    #[error(transparent)]
    Expired(#[from] Expired),
}

impl From<amqp::ConnectError> for ConnectError {
    fn from(error: amqp::ConnectError) -> Self {
        match error {
            amqp::ConnectError::Expired(expired) => ConnectError::Expired(expired),
            other => ConnectError::Denied(other.to_string()),
        }
    }
}

/// A request the hub did not answer as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unanswered {
    /// The connection ended first.
    #[error("the connection ended before the {what}: {reason}")]
    Closed {
        /// The answer that was due.
        what: String,
        /// How the end was seen.
        reason: String,
    },
    /// It was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// Nothing came.
    #[error(transparent)]
    Expired(#[from] Expired),
}

impl From<amqp::Unaccepted> for Unanswered {
    fn from(error: amqp::Unaccepted) -> Self {
        match error {
            amqp::Unaccepted::Rejected(why) => Unanswered::Refused(why),
            amqp::Unaccepted::Closed { what, reason } => Unanswered::Closed { what, reason },
            amqp::Unaccepted::Expired(expired) => Unanswered::Expired(expired),
        }
    }
}

impl From<amqp::ConnectError> for Unanswered {
    fn from(error: amqp::ConnectError) -> Self {
        match error {
            amqp::ConnectError::Expired(expired) => Unanswered::Expired(expired),
            other => Unanswered::Refused(other.to_string()),
        }
    }
}
