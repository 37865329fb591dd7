//! Shared access signatures, as clients of an IoT Hub make them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Escapes everything but unreserved characters.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// A token for `audience`, good for `lifetime` from now, signed with a base64 `key`.
///
/// `policy` names a service policy; device and module tokens have none.
///
/// # Errors
/// [`NotBase64`] when the key cannot be decoded.
pub fn token(audience: &str, key: &str, policy: Option<&str>, lifetime: Duration) -> Result<String, NotBase64> {
    let key = STANDARD.decode(key).map_err(NotBase64)?;
    let expiry = now_secs().saturating_add(lifetime.as_secs());
    let resource = escape(audience);
    let signature = escape(&signature_of(&key, &resource, &expiry.to_string()));
    let policy = policy.map(|name| format!("&skn={name}")).unwrap_or_default();
    Ok(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}{policy}"))
}

/// The signature of a token with these fields as they are sent, made with a base64 `key`; not escaped.
///
/// # Errors
/// [`NotBase64`] when the key cannot be decoded.
pub fn signature(key: &str, resource: &str, expiry: &str) -> Result<String, NotBase64> {
    Ok(signature_of(&STANDARD.decode(key).map_err(NotBase64)?, resource, expiry))
}

fn signature_of(key: &[u8], resource: &str, expiry: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, format!("{resource}\n{expiry}").as_bytes()))
}

/// Seconds since the epoch, now.
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// A key that is not base64.
#[derive(Debug, thiserror::Error)]
#[error("the key is not base64: {0}")]
pub struct NotBase64(base64::DecodeError);
