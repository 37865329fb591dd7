//! The node that takes tokens: `put-token`, and what is said to it. A token is only kept here; it is judged when a link
//! needs it.
//!
//! Source: Azure/iotedge, `Hub.Amqp/CbsNode.cs`; Azure/azure-amqp, `Cbs/CbsConstants.cs`.

use fe2o3_amqp_types::messaging::Properties;
use serde_amqp::Value;

use super::message::{Map, Message, text};
use crate::core::Timestamp;
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::form_decode;
use crate::sas::Token;

const TYPES: [&str; 2] = ["azure-devices.net:sastoken", "servicebus.windows.net:sastoken"];

/// A token, and whose it claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// From the token's own audience.
    pub client: ClientId,
    /// As sent.
    pub token: String,
}

/// Reads a request.
///
/// # Errors
/// Why it is refused, as the client is told.
pub fn read(message: &Message, now: Timestamp) -> Result<Put, String> {
    let nothing = || String::from("Object reference not set to an instance of an object.");
    if message.application.is_none() {
        return Err(nothing());
    }
    let named = |name: &str| message.property(name).and_then(text).filter(|text| !text.trim().is_empty());
    let known = |kind: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind));
    let one_type = planted("CBS05-one-token-type-is-known");
    if !named("type").is_some_and(|kind| known(kind) && !(one_type && kind.eq_ignore_ascii_case(TYPES[0]))) {
        return Err(String::from("Cbs message missing Type property"));
    }
    if named("name").is_none() && !planted("CBS06-name-may-be-missing") {
        return Err(String::from("Cbs message missing audience property"));
    }
    if !named("operation").is_some_and(|operation| operation.eq_ignore_ascii_case("put-token")) {
        return Err(String::from("Cbs message missing operation value put-token"));
    }
    let body = message.body.as_ref().filter(|_| message.data.is_empty()).ok_or_else(nothing)?;
    let Ok(Value::String(token)) = serde_amqp::from_slice(body) else {
        return Err(String::from("Cbs message does not contain a valid token"));
    };
    let now_millis = if planted("CBS07-expired-token-is-taken") { 0 } else { now.as_millis() };
    let readable = Token::read(&token, now_millis).map_err(|error| error.to_string())?;
    let audience = form_decode(&readable.audience);
    let client = match named("name").filter(|_| planted("CBS09-identity-comes-from-the-name")) {
        Some(name) => client(name),
        None => client(&audience),
    };
    let audience =
        if audience.to_lowercase().starts_with("amqps://") { audience } else { format!("amqps://{audience}") };
    let client = client.ok_or_else(|| format!("Matching template not found for audience {audience}"))?;
    Ok(Put { client, token })
}

/// The answer to a request. It has no body.
pub fn answer(request: &Properties, outcome: Result<(), String>) -> Message {
    let (code, description) = match outcome {
        Ok(()) if planted("CBS04-status-is-accepted") => (202, String::from("OK")),
        Ok(()) => (200, String::from("OK")),
        Err(why) if planted("CBS06-refusals-are-accepted") => (202, why),
        Err(why) => (400, why),
    };
    let code = if planted("CBS03-status-code-is-a-long") { Value::Long(code.into()) } else { Value::Int(code) };
    let application: Map = [
        (Value::String(String::from("status-code")), code),
        (Value::String(String::from("status-description")), Value::String(description)),
    ]
    .into_iter()
    .collect();
    let correlation_id = request.message_id.clone();
    let properties = Properties { correlation_id, ..Properties::default() };
    Message { properties: Some(properties), application: Some(application), ..Message::default() }
}

/// The client at the end of an audience.
fn client(audience: &str) -> Option<ClientId> {
    let rest = audience.strip_prefix("amqps://").unwrap_or(audience);
    if rest.split('/').next().is_some_and(|host| host.contains(' ')) {
        return None;
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let is = |part: &str, word: &str| part.eq_ignore_ascii_case(word);
    match &parts[..] {
        [.., devices, device, modules, module] if is(devices, "devices") && is(modules, "modules") => {
            Some(ClientId::module(*device, *module))
        }
        [.., devices, device] if is(devices, "devices") => Some(ClientId::device(*device)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &[(&str, Option<&str>)], token: Value) -> Message {
        let mut properties = vec![("operation", "put-token"), ("type", TYPES[0]), ("name", "anything")];
        for (name, value) in changes {
            properties.retain(|(known, _)| known != name);
            properties.extend(value.map(|value| (*name, value)));
        }
        let pair = |(name, value): (&str, &str)| (Value::String(name.to_owned()), Value::String(value.to_owned()));
        Message {
            application: Some(properties.into_iter().map(pair).collect()),
            body: Some(serde_amqp::to_vec(&token).expect("plain").into()),
            ..Message::default()
        }
    }

    fn token(audience: &str, expiry_secs: u64) -> Value {
        Value::String(format!("SharedAccessSignature sr={audience}&sig=x&se={expiry_secs}"))
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn the_token_says_who_it_is_for() {
        for (audience, client) in [
            ("hub.test%2fdevices%2Fd", "d"),
            ("hub.test%2FDevices%2Fd%252B%2Fmodules%2Fm", "d+/m"),
            ("amqps%3A%2F%2Fhub.test%2Fdevices%2Fd", "d"),
        ] {
            let put = read(&request(&[], token(audience, 2_000)), NOW).expect("readable");
            assert_eq!(put.client.to_string(), client);
        }
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let good = || token("hub.test%2Fdevices%2Fd", 2_000);
        for (message, why) in [
            (request(&[("type", Some("x"))], good()), "Cbs message missing Type property"),
            (request(&[("name", None)], good()), "Cbs message missing audience property"),
            (request(&[("operation", None)], good()), "Cbs message missing operation value put-token"),
            (request(&[], Value::Int(1)), "Cbs message does not contain a valid token"),
            (request(&[], token("hub.test%2Fdevices%2Fd", 600)), "The specified SAS token is expired"),
            (request(&[], token("hub.test%2Fx", 2_000)), "Matching template not found for audience amqps://hub.test/x"),
            (Message::default(), "Object reference not set to an instance of an object."),
        ] {
            assert_eq!(read(&message, NOW), Err(why.to_owned()));
        }
        assert!(read(&request(&[("type", Some("SERVICEBUS.windows.net:sastoken"))], good()), NOW).is_ok());
    }
}
