//! Who a connection is, as a whole, before any link asks; and SASL PLAIN, where it is one client.
//!
//! Source: Azure/iotedge, `Hub.Amqp/SaslIdentityHelper.cs`, `Hub.Amqp/EdgeSaslPlainAuthenticator.cs`,
//! `Hub.Amqp/EdgeX509Principal.cs`.

use crate::authenticate::Credentials;
use crate::certificate::Shown;
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::form_decode;

/// Who a connection is.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Nobody; links are for whom tokens were put.
    Anonymous,
    /// One client, whose credentials were good.
    Client(ClientId, Credentials),
    /// Whoever showed these certificates.
    Certificates(Shown),
}

/// Characters of an id that need not be escaped, besides letters and digits.
const UNESCAPED: &str = "-:.+%_#*?!(),=;$'";

/// Reads the response of PLAIN: the client, and its token.
pub fn plain(response: &[u8], iot_hub: &str) -> Option<(ClientId, String)> {
    let parts: Vec<&[u8]> = response.split(|byte| *byte == 0).collect();
    let (name, password) = match parts[..] {
        [_, name, password] => (name, password),
        [name, password] if planted("SASL07-two-parts-will-do") => (name, password),
        _ => return None,
    };
    let (name, password) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(password).ok()?);
    let (client, hub) = name.rsplit_once('@')?;
    let hub = match hub.get(..4) {
        Some(sas) if sas.eq_ignore_ascii_case("sas.") => &hub[4..],
        _ => hub,
    };
    let hub =
        if planted("A09-hub-name-is-what-follows-the-last-dot") { hub.rsplit('.').next().unwrap_or(hub) } else { hub };
    let well_formed = !hub.is_empty()
        && hub.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'));
    let named = iot_hub.to_lowercase().starts_with(&format!("{}.", hub.to_lowercase()));
    let whole = planted("SASL05-full-hub-name-will-do") && hub.eq_ignore_ascii_case(iot_hub);
    (well_formed && named || whole).then_some(())?;
    let parts: Vec<&str> = client.split('/').collect();
    let client = match parts[..] {
        [device] => ClientId::device(id(device)?),
        [device, modules, module] if modules.eq_ignore_ascii_case("modules") => {
            ClientId::module(id(device)?, id(module)?)
        }
        _ => return None,
    };
    (!password.is_empty()).then(|| (client, password.to_owned()))
}

fn id(text: &str) -> Option<String> {
    let legal = |character: char| character.is_ascii_alphanumeric() || UNESCAPED.contains(character);
    (!text.is_empty() && text.chars().all(legal)).then(|| form_decode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ids_and_a_short_hub_name() {
        for (name, client) in [
            ("d@sas.hub", Some("d")),
            ("d@HUB", Some("d")),
            ("d/Modules/m@SAS.hub", Some("d/m")),
            ("d%2B%40@hub", Some("d+@")),
            ("d@hub.azure-devices.net", None),
            ("d@sas.hub.azure-devices.net", None),
            ("d@hu", None),
            ("d", None),
            ("@hub", None),
            ("d/m@hub", None),
            ("d/modules/m@x@hub", None),
        ] {
            let response = [b"x\0", name.as_bytes(), b"\0token"].concat();
            let read = plain(&response, "hub.azure-devices.net");
            assert_eq!(read.map(|(client, _)| client.to_string()).as_deref(), client, "{name}");
        }
    }

    #[test]
    fn the_response_has_three_parts() {
        for response in [&b"d@hub"[..], b"\0d@hub", b"\0d@hub\0", b"\0\0token", b"\0d@hub\0token\0"] {
            assert_eq!(plain(response, "hub.azure-devices.net"), None);
        }
    }
}
