//! The user name of CONNECT.
//!
//! Source: Azure/iotedge, `Microsoft.Azure.Devices.Edge.Hub.Mqtt/MqttUsernameParser.cs`.

use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::unescape;

/// A suffix one old SDK sends instead of a query.
const LEGACY: [&str; 3] =
    ["api-version=2017-06-30", "DeviceClientType=Microsoft.Azure.Devices.Client", "1.5.1-preview-003"];

/// What a user name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName {
    /// Who connects.
    pub client: ClientId,
    /// SDK, or empty.
    pub client_type: String,
    /// Model, if one is announced.
    pub model_id: Option<String>,
    /// Devices between the client and this hub, as sent.
    pub auth_chain: Option<String>,
}

impl UserName {
    /// Reads a user name; `None` when it has none of the accepted shapes.
    pub fn read(text: &str) -> Option<UserName> {
        let parts: Vec<&str> = text.split('/').collect();
        let (client, query) = match parts[..] {
            [_, device, a, b, c] if legacy(&[a, b, c]) => return legacy_name(device, ""),
            [_, device, module, a, b, c] if legacy(&[a, b, c]) => return legacy_name(device, module),
            [_, device, last] => (client(device, ""), query(last)),
            [_, device, module, last] => (client(device, module), query(last)),
            _ => return None,
        };
        let (client, query) = (client?, query?);
        let value = |name: &str| {
            let mut named = query.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone());
            if planted("CONN05-last-of-duplicates-counts") { named.next_back() } else { named.next() }
        };
        let version = value("api-version").filter(|version| !version.trim().is_empty() || blank_version_is_good())?;
        let known = ["DeviceClientType", "model-id", "auth-chain", "api-version"];
        let strict = planted("CONN01-api-version-must-be-known") && !version.starts_with("20")
            || planted("CONN02-module-must-name-its-client-type")
                && client.module.is_some()
                && value("DeviceClientType").is_none()
            || planted("CONN04-host-must-be-a-host-name") && !parts[0].contains('.')
            || planted("CONN05-unknown-parameter-is-refused")
                && query.iter().any(|(name, _)| !known.contains(&name.as_str()));
        if strict {
            return None;
        }
        Some(UserName {
            client,
            client_type: value("DeviceClientType").unwrap_or_default(),
            model_id: value("model-id").filter(|id| !id.trim().is_empty()),
            auth_chain: value("auth-chain").filter(|chain| !chain.trim().is_empty()),
        })
    }
}

fn client(device: &str, module: &str) -> Option<ClientId> {
    let (device, module) = (device.trim(), module.trim());
    (!device.is_empty()).then(|| ClientId {
        device: device.to_owned(),
        module: Some(module.to_owned()).filter(|module| !module.is_empty()),
    })
}

/// Pairs in order of appearance: the first of a name counts.
fn query(last: &str) -> Option<Vec<(String, String)>> {
    let query = match last.strip_prefix('?') {
        Some(query) => query.trim_start(),
        None if planted("CONN03-question-mark-is-needed") => return None,
        None if last.contains("api-version=") => last,
        None => return None,
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    Some(split.map(|(name, value)| (name.to_owned(), unescape(value))).collect())
}

fn blank_version_is_good() -> bool {
    planted("CONN06-blank-api-version-is-accepted")
}

fn legacy(suffix: &[&str]) -> bool {
    suffix.iter().zip(LEGACY).all(|(part, known)| part.eq_ignore_ascii_case(known))
}

fn legacy_name(device: &str, module: &str) -> Option<UserName> {
    Some(UserName {
        client: client(device, module)?,
        client_type: format!("{}/{}", LEGACY[1].trim_start_matches("DeviceClientType="), LEGACY[2]),
        model_id: None,
        auth_chain: None,
    })
}
