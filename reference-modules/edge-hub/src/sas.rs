//! SAS tokens: reading and checking those of clients, writing the hub's own.
//!
//! Source: Azure/iotedge, `Microsoft.Azure.Devices.Edge.Util/SharedAccessSignature.cs`,
//! `Microsoft.Azure.Devices.Edge.Hub.CloudProxy/authenticators/DeviceScopeTokenAuthenticator.cs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::{escape, form_decode};
use crate::scope::{Authentication, ServiceIdentity};

/// How long a token is good after it expired.
const GRACE_SECS: f64 = 300.0;

/// Largest expiry a date can hold, in seconds.
const MAX_EXPIRY_SECS: f64 = 253_402_300_799.0;

/// Why a token cannot be read at all, in the product's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no token, or lacks a field.
    #[error("Malformed signature")]
    Malformed,
    /// A field has no value.
    #[error("Index was outside the bounds of the array.")]
    Field,
    /// It expired more than five minutes ago.
    #[error("The specified SAS token is expired")]
    Expired,
}

/// Why a readable token does not prove an identity; of several reasons the first of this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The identity does not sign in with keys.
    #[error("authentication-type")]
    AuthenticationType,
    /// The identity is disabled.
    #[error("disabled")]
    Disabled,
    /// A stored key is no base64.
    #[error("key")]
    Key,
    /// Signed with another key.
    #[error("signature")]
    Signature,
    /// The audience is not an identity of a hub.
    #[error("audience")]
    Audience,
    /// For another identity.
    #[error("identity")]
    Identity,
    /// For another hub.
    #[error("host")]
    Host,
}

/// A token that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Audience, decoded once.
    pub audience: String,
    signed: String,
    signature: String,
    expiry_secs: f64,
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// [`Unreadable`] when it is no token or expired by `now_millis` (since the Unix epoch).
    pub fn read(text: &str, now_millis: u64) -> Result<Token, Unreadable> {
        let mut words = text.split(char::is_whitespace);
        let (Some("SharedAccessSignature"), Some(fields), None) = (words.next(), words.next(), words.next()) else {
            return Err(Unreadable::Malformed);
        };
        let mut known: [Option<&str>; 4] = [None; 4];
        let mut names = Vec::new();
        for field in fields.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').ok_or(Unreadable::Field)?;
            let name = name.to_lowercase();
            if let Some(index) = ["sr", "sig", "se", "skn"].iter().position(|known| *known == name) {
                known[index] = Some(value.split('=').next().unwrap_or_default());
            }
            if names.contains(&name) {
                return Err(Unreadable::Malformed);
            }
            names.push(name);
        }
        let [Some(resource), Some(signature), Some(expiry), _] = known else {
            return Err(Unreadable::Malformed);
        };
        let (signature, expiry) = (form_decode(signature), form_decode(expiry));
        let expiry_secs = decimal(&expiry).ok_or(Unreadable::Malformed)?;
        if resource.is_empty() || signature.is_empty() || expiry_secs.abs() + GRACE_SECS > MAX_EXPIRY_SECS {
            return Err(Unreadable::Malformed);
        }
        let token =
            Token { audience: form_decode(resource), signed: format!("{resource}\n{expiry}"), signature, expiry_secs };
        if token.expired(now_millis) {
            return Err(Unreadable::Expired);
        }
        Ok(token)
    }

    /// Whether it expired more than the grace ago.
    pub fn expired(&self, now_millis: u64) -> bool {
        let grace = if planted("AUTH02-no-grace") { 0.0 } else { GRACE_SECS };
        now_millis as f64 > (self.expiry_secs + grace) * 1000.0 && !planted("AUTH01-expired-is-accepted")
    }

    /// Checks the token against one stored identity: the claimed one, or the device it belongs to. `hosts` are the
    /// names an audience may begin with.
    ///
    /// # Errors
    /// [`Refused`], with the first reason found.
    pub fn proves(&self, claimed: &ClientId, stored: &ServiceIdentity, hosts: [&str; 2]) -> Result<(), Refused> {
        let Authentication::Sas { primary, secondary } = &stored.authentication else {
            return Err(Refused::AuthenticationType);
        };
        if !stored.enabled && !planted("AUTH01-disabled-device-is-let-in") {
            return Err(Refused::Disabled);
        }
        let mut signed = false;
        for key in [primary, secondary] {
            if key == secondary && planted("AUTH03-secondary-key-is-refused") {
                continue;
            }
            let key = STANDARD.decode(key).map_err(|_| Refused::Key)?;
            signed = signed || sign(&key, self.signed.as_bytes()) == self.signature;
        }
        if !signed && !planted("AUTH01-signature-is-not-checked") {
            return Err(Refused::Signature);
        }
        self.is_for(claimed, hosts)
    }

    /// Only the number of parts tells a device from a module; the words between the ids are not looked at.
    fn is_for(&self, claimed: &ClientId, hosts: [&str; 2]) -> Result<(), Refused> {
        let audience =
            if planted("U03-audience-is-decoded-once") { self.audience.clone() } else { form_decode(&self.audience) };
        let parts: Vec<&str> = audience.trim().split('/').collect();
        let (host, device, module) = match parts[..] {
            [host, _, device] => (host, device, None),
            [host, _, device, _, module] => (host, device, Some(module)),
            _ => return Err(Refused::Audience),
        };
        let same = |part: &str, id: &str| form_decode(part).to_lowercase() == id.to_lowercase();
        let same_module = match (module, &claimed.module) {
            (None, _) => true,
            (Some(part), Some(id)) => same(part, id),
            (Some(_), None) => return Err(Refused::Audience),
        };
        if (!same(device, &claimed.device) || !same_module) && !planted("AUTH01-audience-is-not-compared") {
            return Err(Refused::Identity);
        }
        if planted("AUTH01-any-host-will-do") {
            return Ok(());
        }
        if !hosts.iter().any(|known| !known.is_empty() && known.to_lowercase() == host.to_lowercase()) {
            return Err(Refused::Host);
        }
        Ok(())
    }
}

/// What is to be signed for a token of this audience.
pub fn string_to_sign(audience: &str, expiry_secs: u64) -> String {
    format!("{}\n{expiry_secs}", escape(audience))
}

/// A token, from its audience and the signature of [`string_to_sign`].
pub fn token(audience: &str, expiry_secs: u64, signature: &str) -> String {
    let (audience, signature) = (escape(audience), escape(signature));
    format!("SharedAccessSignature sr={audience}&sig={signature}&se={expiry_secs}")
}

/// Base64 of the HMAC-SHA256.
pub fn sign(key: &[u8], data: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    STANDARD.encode(hmac::sign(&key, data))
}

/// A number as .NET reads it: blanks round it, sign, thousands commas, fraction, exponent.
fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.trim_start_matches(['+', '-']);
    let starts_well = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let whole = text.find(['.', 'e', 'E']).unwrap_or(text.len());
    let plain = text[..whole].replace(',', "") + &text[whole..];
    plain.parse().ok().filter(|_| starts_well)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn verdict(row: &Value) -> Result<(), String> {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let device = text("device");
        let claimed = match row["module"].as_str() {
            Some(module) => ClientId::module(device, module),
            None => ClientId::device(device),
        };
        let stored = ServiceIdentity {
            client: claimed.clone(),
            enabled: row["state"] == "enabled",
            authentication: match row["auth"].as_str() {
                Some("sas") => Authentication::Sas { primary: text("primaryKey"), secondary: text("secondaryKey") },
                _ => Authentication::Other,
            },
            entry: Value::Null,
        };
        let now = row["nowMs"].as_u64().expect("a time");
        let token = Token::read(&text("token"), now).map_err(|_| String::from("parse"))?;
        if let Some(audience) = row["result"]["audience"].as_str() {
            assert_eq!(token.audience, audience, "{}", row["id"]);
        }
        match token.proves(&claimed, &stored, [&text("iotHub"), &text("gateway")]) {
            Err(Refused::Key) => Err(String::from("authenticate")),
            other => other.map_err(|reason| reason.to_string()),
        }
    }

    #[test]
    fn tokens_are_judged_as_recorded() {
        let rows = include_str!("../../../fixtures/vectors/sas-token.jsonl");
        let mut wrong = Vec::new();
        for row in rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("json")) {
            let result = &row["result"];
            let recorded = match result["valid"].as_bool() {
                Some(true) => Ok(()),
                _ => Err(result["reason"].as_str().or(result["stage"].as_str()).expect("a reason").to_owned()),
            };
            let verdict = verdict(&row);
            if verdict != recorded && row.get("uncertain").is_none() {
                wrong.push(format!("{}: {verdict:?}, recorded {recorded:?}: {}", row["id"], row["token"]));
            }
        }
        assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn the_hubs_own_tokens_are_good() {
        let key = STANDARD.encode([7; 32]);
        let client = ClientId::module("edge1", "$edgeHub");
        let audience = "hub.test/devices/edge1/modules/%24edgeHub";
        let signature = sign(&[7; 32], string_to_sign(audience, 2_000).as_bytes());
        let stored = ServiceIdentity {
            client: client.clone(),
            enabled: true,
            authentication: Authentication::Sas { primary: key.clone(), secondary: key },
            entry: Value::Null,
        };
        let token = Token::read(&token(audience, 2_000, &signature), 1_000_000).expect("readable");
        assert_eq!(token.proves(&client, &stored, ["hub.test", ""]), Ok(()));
    }
}
