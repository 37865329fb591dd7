//! What the service side says when it does not do as asked.

use serde_json::Value;

use crate::client::http::HttpError;
use crate::deadline::Expired;

/// The cloud's service side did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It could not be reached.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It refused.
    #[error("{what}: status {status}: {body}")]
    Refused {
        /// Method and path.
        what: String,
        /// Status code.
        status: u16,
        /// Its words.
        body: String,
    },
    /// Its record does not go back so far.
    #[error("telemetry from number {wanted} on is gone: the cloud's record begins at {first}")]
    Gone {
        /// The number asked for.
        wanted: u64,
        /// The first it has.
        first: u64,
    },
    /// It answered something else than JSON.
    #[error("{what}: the answer is not JSON: {source}")]
    NotJson {
        /// Method and path.
        what: String,
        /// Cause.
        source: serde_json::Error,
    },
    /// What was waited for did not show in its record.
    #[error(transparent)]
    Expired(#[from] Expired),
}

impl ServiceError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// IoT Hub's code in a refusal: a number such as `404103` for direct methods, else a name such as `DeviceNotFound`.
    pub fn code(&self) -> Option<String> {
        let Self::Refused { body, .. } = self else { return None };
        let body: Value = serde_json::from_str(body).ok()?;
        let message = body["Message"].as_str()?;
        if let Some(named) = message.strip_prefix("ErrorCode:") {
            return Some(named.split(';').next().unwrap_or(named).to_owned());
        }
        let details: Value = serde_json::from_str(message).ok()?;
        details["errorCode"].as_u64().map(|code| code.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> ServiceError {
        ServiceError::Refused { what: String::new(), status: 404, body: body.to_owned() }
    }

    #[test]
    fn both_spellings_of_a_code_are_read() {
        let named = refused(r#"{"Message":"ErrorCode:DeviceNotFound;m1 is not registered","ExceptionMessage":""}"#);
        assert_eq!(named.code().as_deref(), Some("DeviceNotFound"));
        let numbered = refused(r#"{"Message":"{\"errorCode\":404103,\"message\":\"not online\"}"}"#);
        assert_eq!(numbered.code().as_deref(), Some("404103"));
        assert_eq!(refused("gone").code(), None);
    }
}
