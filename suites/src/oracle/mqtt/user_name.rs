//! The user name of CONNECT: `host "/" device [ "/" module ] "/" last`, where `last` is a query behind a `?`, or a query
//! with `api-version=` in it.
//!
//! Source: Azure/iotedge `Hub.Mqtt/MqttUsernameParser.cs`, as recorded in `fixtures/vectors/mqtt-username.jsonl`.

use super::escape::decode;

/// What a user name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName {
    /// Device id, as it is spelled but for blanks around it.
    pub device: String,
    /// Module id, `None` for a device.
    pub module: Option<String>,
    /// `DeviceClientType`, empty without one.
    pub client_type: String,
    /// `model-id`, unless it is blank.
    pub model_id: Option<String>,
    /// `auth-chain`, unless it is blank.
    pub auth_chain: Option<String>,
    /// The client id that CONNECT must carry, to the byte.
    pub client_id: String,
    /// Id of the acting edge device: the last of a chain of two and more.
    pub actor: Option<String>,
}

/// An old library's name, the one with six segments: all behind the module, in any case.
const LEGACY: [&str; 3] =
    ["api-version=2017-06-30", "DeviceClientType=Microsoft.Azure.Devices.Client", "1.5.1-preview-003"];

/// Reads a user name; `None` is refused with 0x03.
pub fn user_name(text: &str) -> Option<UserName> {
    let segments: Vec<&str> = text.split('/').collect();
    let (ids, query) = match segments.as_slice() {
        [_, device, module, legacy @ ..] if is_legacy(legacy) => ([*device, *module], legacy_query(legacy)),
        [_, device, last] => ([*device, ""], query(last)?.to_owned()),
        [_, device, module, last] => ([*device, *module], query(last)?.to_owned()),
        _ => return None,
    };
    let [device, module] = ids.map(|id| id.trim().to_owned());
    let value = |name: &str| value(&query, name);
    let not_blank = |value: &String| !value.trim().is_empty();
    if device.is_empty() || !value("api-version").is_some_and(|version| not_blank(&version)) {
        return None;
    }
    let auth_chain = value("auth-chain").filter(not_blank);
    Some(UserName {
        client_id: if module.is_empty() { device.clone() } else { format!("{device}/{module}") },
        device,
        module: (!module.is_empty()).then_some(module),
        client_type: value("DeviceClientType").unwrap_or_default(),
        model_id: value("model-id").filter(not_blank),
        actor: auth_chain.as_deref().and_then(actor),
        auth_chain,
    })
}

/// The query in the last segment. Blanks behind the `?` go, blanks before it hide it.
fn query(last: &str) -> Option<&str> {
    match last.strip_prefix('?') {
        Some(query) => Some(query.trim_start()),
        None => last.contains("api-version=").then_some(last),
    }
}

/// The first value of a name, an empty one included. Names are case-sensitive and not decoded.
fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| decode(value))
}

/// Device id of the last of a chain; empty elements do not count, and one alone has nobody acting for it.
fn actor(chain: &str) -> Option<String> {
    let elements: Vec<&str> = chain.split(';').filter(|element| !element.is_empty()).collect();
    let last = (elements.len() > 1).then(|| elements[elements.len() - 1])?;
    last.split('/').next().map(str::to_owned)
}

fn is_legacy(segments: &[&str]) -> bool {
    segments.len() == LEGACY.len() && segments.iter().zip(LEGACY).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// The same as a query of today.
fn legacy_query(segments: &[&str]) -> String {
    let (version, rest) = (LEGACY[0], &segments[1..]);
    let client = rest.join("/").split_once('=').map(|(_, client)| client.to_owned()).unwrap_or_default();
    format!("{version}&DeviceClientType={client}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_of_the_documentation_are_accepted() {
        let rows = [
            ("h/d/?api-version=2021-04-12", "d"),
            ("h/d/m/?api-version=x&DeviceClientType=rust%2F1", "d/m"),
            ("h/d/api-version=2018-06-30&DeviceClientType=a", "d"),
            ("h/d/m/api-version=2010-01-01&", "d/m"),
            ("h/ d / m /? api-version=x", "d/m"),
            ("h/d//?api-version=x", "d"),
            ("/d/?api-version=x", "d"),
        ];
        for (text, client_id) in rows {
            assert_eq!(user_name(text).map(|name| name.client_id).as_deref(), Some(client_id), "{text}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let rows = [
            "",
            " ",
            "h",
            "h/d",
            "h/d/m",
            "h/d?api-version=x",
            "h/d/m?api-version=x?DeviceClientType=y",
            "h/d/m/?version=x",
            "h//?api-version=x",
            "h/d/m/api-version=x/extra",
            "h/d/ ?api-version=x",
            "h/d/?api%2Dversion=x",
            "h/d/?api-version=&api-version=x",
        ];
        for text in rows {
            assert_eq!(user_name(text), None, "{text}");
        }
    }

    #[test]
    fn one_old_name_has_six_segments() {
        let suffix = "API-version=2017-06-30/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview-003";
        let name = user_name(&format!("h/d/m/{suffix}")).expect("it is accepted");
        assert_eq!(
            (name.client_id.as_str(), name.client_type.as_str()),
            ("d/m", "Microsoft.Azure.Devices.Client/1.5.1-preview-003")
        );
        assert_eq!(user_name(&format!("h/d/m/{suffix}x")), None);
    }
}
