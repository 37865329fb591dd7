//! Paths: which there are, and for which verbs. Words are matched in any letter case; ids are decoded twice, the
//! second time as in a web form.

use hyper::Method;

use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::{form_decode, unescape};

/// A path that leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Call a method of this client.
    Methods(ClientId),
    /// A child's hub asks for everybody in its scope.
    WholeScope(ClientId),
    /// A child's hub asks for one identity.
    OneIdentity(ClientId),
    /// One module of a device.
    Module(ClientId),
    /// All modules of a device.
    Modules(String),
    /// A child's hub asks for a module of a device behind it.
    OnBehalfOf(ClientId, OnBehalfOf),
    /// The page of metrics.
    Metrics,
}

/// What a child's hub asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBehalfOf {
    /// Create or update.
    Put,
    /// Read.
    Get,
    /// Read all.
    List,
    /// Remove.
    Delete,
}

impl Route {
    /// Finds where a path leads.
    pub fn find(path: &str) -> Option<Route> {
        let path = path.strip_prefix('/')?;
        let raw: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        if raw.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        let id = |segment: &str| match planted("HTTP17-ids-are-decoded-once") {
            true => unescape(segment),
            false => form_decode(&unescape(segment)),
        };
        let words: Vec<String> = raw.iter().map(|segment| unescape(segment).to_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["metrics"] => Some(Route::Metrics),
            ["twins", _, "methods"] => Some(Route::Methods(ClientId::device(id(raw[1])))),
            ["twins", _, "modules", _, "methods"] => Some(Route::Methods(ClientId::module(id(raw[1]), id(raw[3])))),
            ["devices", _, "modules"] => Some(Route::Modules(id(raw[1]))),
            ["devices", _, "modules", _] => Some(Route::Module(ClientId::module(id(raw[1]), id(raw[3])))),
            ["devices", _, "modules", hub, call] => {
                let actor = ClientId::module(id(raw[1]), id(raw[3]));
                let on_behalf_of = |call| (hub == "$edgehub").then(|| Route::OnBehalfOf(actor.clone(), call));
                match call {
                    "devicesandmodulesintargetdevicescope" => Some(Route::WholeScope(actor)),
                    "getdeviceandmoduleonbehalfof" => Some(Route::OneIdentity(actor)),
                    "putmoduleonbehalfof" => on_behalf_of(OnBehalfOf::Put),
                    "getmoduleonbehalfof" => on_behalf_of(OnBehalfOf::Get),
                    "getmodulesontargetdevice" => on_behalf_of(OnBehalfOf::List),
                    "deletemoduleonbehalfof" => on_behalf_of(OnBehalfOf::Delete),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The verbs it is for, as in `Allow`; `None` when any will do.
    pub fn verbs(&self) -> Option<&'static str> {
        match self {
            Route::Methods(_) | Route::WholeScope(_) | Route::OneIdentity(_) => Some("POST"),
            Route::OnBehalfOf(_, OnBehalfOf::Put) => Some("PUT"),
            Route::OnBehalfOf(..) => Some("POST"),
            Route::Module(_) => Some("DELETE, GET, PUT"),
            Route::Modules(_) => Some("GET"),
            Route::Metrics => None,
        }
    }

    /// Whether it is for this verb.
    pub fn takes(&self, verb: &Method) -> bool {
        let any = matches!(self, Route::Methods(_)) && planted("HTTP14-methods-take-any-verb");
        any || self.verbs().is_none_or(|verbs| verbs.split(", ").any(|known| known == verb.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_in_any_letter_case_and_ids_are_decoded_twice() {
        let hub = Route::Methods(ClientId::module("edge1", "$edgeHub"));
        for path in [
            "/twins/edge1/modules/$edgeHub/methods",
            "/twins/edge1/modules/%24edgeHub/methods/",
            "/TWINS/edge1/Modules/%2524edgeHub/METHODS",
        ] {
            assert_eq!(Route::find(path), Some(hub.clone()), "{path}");
        }
        assert_eq!(Route::find("/twins/a+b%2Fc/methods"), Some(Route::Methods(ClientId::device("a b/c"))));
        let child = ClientId::module("child", "m");
        assert_eq!(
            Route::find("/devices/child/modules/m/devicesAndModulesInTargetDeviceScope"),
            Some(Route::WholeScope(child.clone()))
        );
        assert_eq!(Route::find("/devices/child/modules/m"), Some(Route::Module(child)));
    }

    #[test]
    fn everything_else_leads_nowhere() {
        for path in [
            "/",
            "",
            "/twins",
            "/twins/leaf1",
            "/twins//methods",
            "/twins/leaf1/methods/x",
            "/twins/leaf1//methods",
            "/devices/leaf1",
            "/devices/leaf1/files",
            "/devices/leaf1/files/notifications",
            "/devices/leaf1/messages/devicebound",
            "/devices/edge1/modules/m/files",
            "/devices/edge1/modules/m/messages/events",
            "/devices/edge1/modules/m/putModuleOnBehalfOf",
            "*",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }

    #[test]
    fn a_verb_is_taken_or_the_right_ones_are_named() {
        let methods = Route::find("/twins/leaf1/methods").expect("known");
        assert!(methods.takes(&Method::POST));
        assert!(!methods.takes(&Method::GET));
        assert_eq!(methods.verbs(), Some("POST"));
        let module = Route::find("/devices/leaf1/modules/m").expect("known");
        assert!(module.takes(&Method::PUT) && !module.takes(&Method::POST));
    }
}
