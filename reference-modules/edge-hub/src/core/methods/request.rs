//! What a caller asks for over HTTPS.
//!
//! Source: Azure/iotedge, `Hub.Http/MethodRequest.cs`, `Hub.Http/MethodRequestValidator.cs`.

use std::time::Duration;

use bytes::Bytes;

use crate::core::lenient_json::{Json, Reader};
use crate::faults::planted;

/// Containers in a body, the root among them.
const MAX_DEPTH: usize = 32;

const MAX_NAME_UNITS: usize = 100;
const MAX_PAYLOAD_BYTES: usize = 131_072;
const MAX_TIMEOUT_SECS: i32 = 300;
const MIN_RESPONSE_TIMEOUT_SECS: i32 = 5;
const DEFAULT_RESPONSE_TIMEOUT_SECS: i32 = 30;

/// A body that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Method.
    pub name: String,
    /// Argument as JSON, written the way the product's library writes it; `None` when there is none.
    pub payload: Option<String>,
    /// Seconds the target may take to answer.
    pub response_timeout_secs: i32,
    /// Seconds to wait until the target can be called.
    pub connect_timeout_secs: i32,
}

/// A call as it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodRequest {
    /// Method, as the target gets it.
    pub name: String,
    /// Argument, as the target gets it.
    pub payload: Bytes,
    /// How long the target may take to answer.
    pub response_timeout: Duration,
    /// How long to wait until the target can be called.
    pub connect_timeout: Duration,
}

/// Why there is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no object that a call can be read from.
    #[error("The body is not a JSON object with a method name and, if any, timeouts that are integers")]
    NotUnderstood,
    /// The name has no visible character, or more than 100.
    #[error("The method name must have 1 to {MAX_NAME_UNITS} characters and must not be blank")]
    Name,
    /// The payload is too large.
    #[error("The payload must not have more than {MAX_PAYLOAD_BYTES} bytes")]
    Payload,
    /// The time to answer is out of range.
    #[error("responseTimeoutInSeconds must be {MIN_RESPONSE_TIMEOUT_SECS} to {MAX_TIMEOUT_SECS}")]
    ResponseTimeout,
    /// The time to wait for the target is out of range.
    #[error("connectTimeoutInSeconds must be 0 to {MAX_TIMEOUT_SECS}")]
    ConnectTimeout,
}

impl Body {
    /// Reads the body of a request. Names of members match in any letter case, the last of repeated ones counts, and
    /// text behind the object is not looked at.
    ///
    /// # Errors
    /// [`Refused::NotUnderstood`].
    pub fn read(body: &[u8]) -> Result<Body, Refused> {
        Body::bind(&String::from_utf8_lossy(body)).ok_or(Refused::NotUnderstood)
    }

    fn bind(text: &str) -> Option<Body> {
        let mut name = None;
        let mut payload = None;
        let (mut response, mut connect) = (None, None);
        let mut misfit = false;
        let mut reader = Reader::new(text, MAX_DEPTH);
        reader.skip().ok()?;
        let read = reader.nested(|reader| {
            reader.members(|member, reader| {
                match member.to_lowercase().as_str() {
                    "payload" => {
                        let mut rewritten = String::new();
                        reader.rewritten(&mut rewritten)?;
                        payload = Some(rewritten);
                        return Ok(());
                    }
                    member => {
                        let before = reader.rest();
                        let value = reader.value()?;
                        let written = &before[..before.len() - reader.rest().len()];
                        match member {
                            "methodname" => name = text_of(value, written, &mut misfit),
                            "responsetimeoutinseconds" => response = integer_of(value, &mut misfit),
                            "connecttimeoutinseconds" => connect = integer_of(value, &mut misfit),
                            _ => {}
                        }
                    }
                }
                Ok(())
            })
        });
        read.ok().filter(|()| !misfit)?;
        let default = if planted("INV12-default-timeout-is-ten-seconds") { 10 } else { DEFAULT_RESPONSE_TIMEOUT_SECS };
        Some(Body {
            name: name?,
            payload,
            response_timeout_secs: response.unwrap_or(default),
            connect_timeout_secs: connect.unwrap_or(0),
        })
    }

    /// Whether it is within the limits; of several that are passed the first of [`Refused`].
    ///
    /// # Errors
    /// [`Refused`].
    pub fn validate(&self) -> Result<(), Refused> {
        let units = self.name.encode_utf16().count();
        let max_units = if planted("INV14-name-of-100-is-refused") { MAX_NAME_UNITS - 1 } else { MAX_NAME_UNITS };
        let blank = self.name.trim().is_empty() && !planted("INV14-blank-name-is-called");
        if blank || units > max_units && !planted("INV14-name-of-any-length") {
            return Err(Refused::Name);
        }
        let bytes =
            self.payload.as_ref().map_or(0, String::len) + usize::from(planted("INV15-limit-is-one-byte-short"));
        if bytes > MAX_PAYLOAD_BYTES && !planted("INV15-payload-of-any-size") {
            return Err(Refused::Payload);
        }
        if planted("INV13-timeouts-are-not-checked") {
            return Ok(());
        }
        let max = if planted("INV13-longest-timeouts-are-refused") { MAX_TIMEOUT_SECS - 1 } else { MAX_TIMEOUT_SECS };
        if !(MIN_RESPONSE_TIMEOUT_SECS..=max).contains(&self.response_timeout_secs) {
            return Err(Refused::ResponseTimeout);
        }
        if !(0..=max).contains(&self.connect_timeout_secs) {
            return Err(Refused::ConnectTimeout);
        }
        Ok(())
    }
}

impl From<Body> for MethodRequest {
    /// Without a payload the target gets `null`; the product fails then.
    fn from(body: Body) -> MethodRequest {
        let span = |secs: i32| Duration::from_secs(u64::try_from(secs).unwrap_or(0));
        MethodRequest {
            name: body.name,
            payload: Bytes::from(body.payload.unwrap_or_else(|| String::from("null"))),
            response_timeout: span(body.response_timeout_secs),
            connect_timeout: span(body.connect_timeout_secs),
        }
    }
}

/// Text, or a number or a boolean as it was written.
fn text_of(value: Json, written: &str, misfit: &mut bool) -> Option<String> {
    match value {
        Json::Text(text) | Json::Date(text) => Some(text),
        Json::Integer(_) | Json::Float { .. } | Json::Bool(_) => Some(written.to_owned()),
        Json::Null => None,
        Json::Undefined | Json::Array(_) | Json::Object(_) => {
            *misfit = true;
            None
        }
    }
}

/// 32 bits, also as text with blanks round it; `null` and empty text are none.
fn integer_of(value: Json, misfit: &mut bool) -> Option<i32> {
    let integer = match value {
        Json::Null => return None,
        Json::Text(text) if text.is_empty() => return None,
        Json::Integer(integer) => i32::try_from(integer).ok(),
        Json::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    *misfit |= integer.is_none();
    integer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_members_counts_and_what_is_behind_the_object_does_not() {
        let body = Body::read(br#"/**/{"methodname":"a","METHODNAME":"b","payload":[ 1 ],"x":{},} trailing"#);
        let body = body.expect("understood");
        assert_eq!((body.name.as_str(), body.payload.as_deref()), ("b", Some("[1]")));
        assert_eq!((body.response_timeout_secs, body.connect_timeout_secs), (30, 0));
    }

    #[test]
    fn timeouts_are_integers_or_text_that_holds_one() {
        for (written, read) in
            [("8", Some(8)), ("\" 8 \"", Some(8)), ("null", Some(30)), ("\"\"", Some(30)), ("8.0", None)]
        {
            let body = format!(r#"{{"methodName":"a","responseTimeoutInSeconds":{written}}}"#);
            assert_eq!(Body::read(body.as_bytes()).ok().map(|body| body.response_timeout_secs), read, "{written}");
        }
    }

    #[test]
    fn containers_are_nested_31_levels_in_the_payload() {
        let body =
            |levels: usize| format!(r#"{{"methodName":"a","payload":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert!(Body::read(body(31).as_bytes()).is_ok());
        assert!(Body::read(body(32).as_bytes()).is_err());
    }

    #[test]
    fn limits_hold_to_the_last_character() {
        let body = |name: usize, payload: usize, response, connect| Body {
            name: "n".repeat(name),
            payload: Some("1".repeat(payload)),
            response_timeout_secs: response,
            connect_timeout_secs: connect,
        };
        assert_eq!(body(100, MAX_PAYLOAD_BYTES, 5, 0).validate(), Ok(()));
        assert_eq!(body(1, 1, 300, 300).validate(), Ok(()));
        assert_eq!(body(101, 1, 5, 0).validate(), Err(Refused::Name));
        assert_eq!(body(0, 1, 5, 0).validate(), Err(Refused::Name));
        assert_eq!(body(1, MAX_PAYLOAD_BYTES + 1, 5, 0).validate(), Err(Refused::Payload));
        assert_eq!(body(1, 1, 4, 0).validate(), Err(Refused::ResponseTimeout));
        assert_eq!(body(1, 1, 301, 0).validate(), Err(Refused::ResponseTimeout));
        assert_eq!(body(1, 1, 5, -1).validate(), Err(Refused::ConnectTimeout));
        assert_eq!(body(1, 1, 5, 301).validate(), Err(Refused::ConnectTimeout));
    }
}
