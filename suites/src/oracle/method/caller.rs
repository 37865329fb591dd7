//! Who calls: the header that names the caller, and the token that proves it.
//!
//! Looked at in this order: the header, its device, the token. Source: Azure/iotedge `Hub.Http/controllers/
//! TwinsController.cs`, `HttpRequestAuthenticator.cs`; texts as observed on a running hub.

use super::answer::{Answer, not_authenticated, refused, without_token};
use crate::oracle::mqtt::token::Verdict;

/// The module that a header names, as device and module, when it is one of this device.
///
/// # Errors
/// The [`Answer`] to a header that names nobody, or somebody of another device.
pub fn named<'a>(header: Option<&'a str>, edge_device: &str) -> Result<(&'a str, &'a str), Answer> {
    let halves = header.and_then(|header| header.split_once('/'));
    let named = halves.filter(|(device, module)| !device.is_empty() && !module.is_empty());
    match named {
        None => Err(refused(400, "Invalid header value for x-ms-edge-moduleId")),
        Some((device, _)) if device != edge_device => {
            Err(refused(401, "Only modules on the same device can invoke DirectMethods"))
        }
        Some(named) => Ok(named),
    }
}

/// The answer to a caller whose `Authorization` does not prove who it is; `None` when it does. `verdict` judges the
/// token against the identity that the caller claims.
pub fn unproven(authorization: Option<&str>, caller: &str, verdict: impl FnOnce(&str) -> Verdict) -> Option<Answer> {
    const SCHEME: &str = "SharedAccessSignature";
    let Some(token) = authorization.filter(|token| !token.is_empty()) else {
        return Some(without_token());
    };
    let begins = token.get(..SCHEME.len()).is_some_and(|word| word.eq_ignore_ascii_case(SCHEME));
    if !begins {
        return Some(refused(401, "Invalid Authorization header. Only SharedAccessSignature is supported."));
    }
    match verdict(token) {
        Verdict::Good => None,
        Verdict::Unreadable => Some(Answer::Unparsable),
        Verdict::Expired => Some(refused(
            401,
            "Cannot parse SharedAccessSignature because of the following error - The specified SAS token is expired",
        )),
        _ => Some(not_authenticated(caller)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_split_at_its_first_slash() {
        assert_eq!(named(Some("e/m"), "e"), Ok(("e", "m")));
        assert_eq!(named(Some("e/m/n"), "e"), Ok(("e", "m/n")));
        for header in [None, Some(""), Some("e"), Some("/m"), Some("e/"), Some("/")] {
            assert_eq!(named(header, "e").unwrap_err().status(), 400, "{header:?}");
        }
        for header in ["E/m", "f/m", "f/m/n"] {
            assert_eq!(named(Some(header), "e").unwrap_err().status(), 401, "{header}");
        }
    }
}
