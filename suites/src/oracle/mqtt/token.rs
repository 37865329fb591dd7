//! The SAS token in the password: `SharedAccessSignature sr=..&sig=..&se=..[&skn=..]`.
//!
//! Source: Azure/iotedge `Hub.CloudProxy/SharedAccessSignature.cs`, `DeviceScopeTokenAuthenticator.cs`, as recorded in
//! `fixtures/vectors/sas-token.jsonl`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::escape::decode_form;

/// A token is good for this long after it has expired, the last millisecond included.
const GRACE_MS: i64 = 5 * 60 * 1000;

/// The last millisecond the product's clock can tell: the end of the year 9999.
const END_OF_TIME_MS: f64 = 253_402_300_799_999.0;

/// A token that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `sr`, decoded once.
    pub audience: String,
    /// `skn`, empty without one. Nothing depends on it.
    pub key_name: String,
    /// `sig`.
    pub signature: String,
    /// `se`, in milliseconds since 1970.
    pub expires_ms: i64,
    /// What is signed: `sr` as it is spelled, a line feed, `se`.
    signed: String,
}

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Who presents a token, and to whom.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Host name of the IoT Hub.
    pub iot_hub: &'a str,
    /// Host name of the edge device.
    pub gateway: &'a str,
    /// Claimed device.
    pub device: &'a str,
    /// Claimed module, if it is one.
    pub module: Option<&'a str>,
}

/// An identity as the hub has it stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Whether it has symmetric keys, rather than a certificate or nothing.
    pub symmetric: bool,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Primary key in base64.
    pub primary: &'a str,
    /// Secondary key in base64.
    pub secondary: &'a str,
}

/// What a token is worth against one stored identity. A hub tries others, and the cloud, where this says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The claim holds.
    Good,
    /// No token.
    Unreadable,
    /// Expired for more than the grace.
    Expired,
    /// The identity has no symmetric key.
    AuthenticationType,
    /// The identity is disabled.
    Disabled,
    /// A stored key is not base64.
    KeyUnusable,
    /// Signed with neither key.
    Signature,
    /// The audience names no device and no module, or a module where a device is claimed.
    Audience,
    /// The audience names somebody else.
    Identity,
    /// The audience names another host.
    Host,
}

/// Judges a token. Of several defects the first in the order of [`Verdict`] is named.
///
/// The stored identity is the claimed one or, for a module, its device; the keys of both are good for the device's
/// audience. Not settled, and not to be asserted: a module's audience signed with the key of its device (good here).
pub fn judge(token: &str, now_ms: i64, claim: &Claim<'_>, stored: &Stored<'_>) -> Verdict {
    let Ok(token) = read(token) else { return Verdict::Unreadable };
    if now_ms > token.expires_ms + GRACE_MS {
        return Verdict::Expired;
    }
    if !stored.symmetric {
        return Verdict::AuthenticationType;
    }
    if !stored.enabled {
        return Verdict::Disabled;
    }
    match is_signed(&token, stored) {
        None => Verdict::KeyUnusable,
        Some(false) => Verdict::Signature,
        Some(true) => addressed(&token.audience, claim),
    }
}

/// Whether one of the keys signed; `None` where a key is not base64.
fn is_signed(token: &Token, stored: &Stored<'_>) -> Option<bool> {
    let keys = [STANDARD.decode(stored.primary).ok()?, STANDARD.decode(stored.secondary).ok()?];
    Some(keys.iter().any(|key| token.signature == signature(key, &token.signed)))
}

fn signature(key: &[u8], text: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()))
}

/// Compares an audience with a claim. Only the number of parts tells a device from a module, and the words between the
/// ids are not looked at.
fn addressed(audience: &str, claim: &Claim<'_>) -> Verdict {
    let audience = decode_form(audience);
    let parts: Vec<&str> = audience.trim().split('/').collect();
    let (host, device, module) = match parts.as_slice() {
        [host, _, device] => (*host, *device, None),
        [host, _, device, _, module] if claim.module.is_some() => (*host, *device, Some(*module)),
        _ => return Verdict::Audience,
    };
    let names = |id: &str, claimed: &str| same(&decode_form(id), claimed);
    if !names(device, claim.device) || module.is_some_and(|module| !names(module, claim.module.unwrap_or_default())) {
        return Verdict::Identity;
    }
    if ![claim.iot_hub, claim.gateway].iter().any(|known| same(host, known)) {
        return Verdict::Host;
    }
    Verdict::Good
}

/// Equal but for the case of letters.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Reads a token, whether or not it has expired.
///
/// # Errors
/// [`Unreadable`].
pub fn read(text: &str) -> Result<Token, Unreadable> {
    let words: Vec<&str> = text.split(char::is_whitespace).collect();
    let ["SharedAccessSignature", fields] = words.as_slice() else { return Err(Unreadable) };
    let fields = Fields::read(fields)?;
    let (resource, expiry) = (fields.needed("sr")?, decode_form(fields.needed("se")?));
    Ok(Token {
        audience: decode_form(resource),
        key_name: decode_form(fields.value("skn").unwrap_or_default()),
        signature: decode_form(fields.needed("sig")?),
        expires_ms: milliseconds(&expiry)?,
        signed: format!("{resource}\n{expiry}"),
    })
}

/// Names in lower case, values as they are spelled.
struct Fields<'a>(Vec<(String, &'a str)>);

impl<'a> Fields<'a> {
    /// Empty fields go; a field without `=`, or a name given twice, is an error. A second `=` cuts a value off.
    fn read(text: &'a str) -> Result<Self, Unreadable> {
        let mut fields: Vec<(String, &str)> = Vec::new();
        for field in text.split('&').filter(|field| !field.is_empty()) {
            let mut halves = field.split('=');
            let name = halves.next().unwrap_or_default().to_lowercase();
            let value = halves.next().ok_or(Unreadable)?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Unreadable);
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn needed(&self, name: &str) -> Result<&'a str, Unreadable> {
        self.value(name).filter(|value| !value.is_empty()).ok_or(Unreadable)
    }
}

/// Seconds as a decimal number: sign, fraction, exponent, and commas between the digits before the point.
fn milliseconds(text: &str) -> Result<i64, Unreadable> {
    let text = text.trim();
    let whole = text.find(['.', 'e', 'E']).unwrap_or(text.len());
    let (whole, rest) = text.split_at(whole);
    let is_number = text.chars().all(|character| character.is_ascii_digit() || "+-.,eE".contains(character));
    if !is_number || whole.starts_with(',') {
        return Err(Unreadable);
    }
    let seconds: f64 = format!("{}{rest}", whole.replace(',', "")).parse().map_err(|_| Unreadable)?;
    let expires = (seconds * 1000.0).round();
    // The grace has to fit into the clock as well.
    if expires.abs() > END_OF_TIME_MS - GRACE_MS as f64 { Err(Unreadable) } else { Ok(expires as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_decimal_number() {
        let rows = [
            ("1700000000", Ok(1_700_000_000_000)),
            ("+1700000000", Ok(1_700_000_000_000)),
            ("1700000000.5", Ok(1_700_000_000_500)),
            ("1.7e9", Ok(1_700_000_000_000)),
            ("1,700,000,000", Ok(1_700_000_000_000)),
            ("-1", Ok(-1000)),
            ("abc", Err(Unreadable)),
            ("0x10", Err(Unreadable)),
            ("NaN", Err(Unreadable)),
            ("Infinity", Err(Unreadable)),
            ("1e400", Err(Unreadable)),
            ("253402300800", Err(Unreadable)),
        ];
        for (text, expected) in rows {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
