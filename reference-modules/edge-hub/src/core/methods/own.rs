//! The methods of the hub itself, of which there is one: read some identities again.
//!
//! Source: Azure/iotedge, `Hub.Core/EdgeHubConnection.cs`.

use bytes::Bytes;
use serde_json::Value;

use super::calls::Call;
use super::{MethodFailure, MethodOutcome};
use crate::core::Core;
use crate::core::output::Output;
use crate::faults::planted;
use crate::identity::ClientId;

const REFRESH: &str = "RefreshDeviceScopeIdentityCache";

impl Core {
    /// The hub itself is called.
    pub(super) fn own_method(&mut self, call: Call) {
        if !call.request.name.eq_ignore_ascii_case(REFRESH) {
            if planted("ENV034-any-method-of-the-hub-is-answered") {
                let outcome = MethodOutcome::Answered { status: 200, payload: Bytes::new() };
                return self.method_returned(call.caller, outcome);
            }
            let message = format!("Method {} is not supported", call.request.name);
            return self.method_returned(call.caller, MethodOutcome::failed(MethodFailure::NotFound, message));
        }
        let lenient = planted("ENV034-argument-of-any-shape-will-do").then(Vec::new);
        let Some(clients) = device_ids(&call.request.payload).or(lenient) else {
            let message = format!("{REFRESH} needs an object with an array of text, deviceIds");
            return self.method_returned(call.caller, MethodOutcome::failed(MethodFailure::BadRequest, message));
        };
        self.refreshing.insert(call.rid.clone(), call.caller);
        self.out.push(Output::RefreshIdentities { rid: call.rid, clients });
    }

    /// The identities were read again, or not.
    pub(in crate::core) fn identities_refreshed(&mut self, rid: &str, error: Option<String>) {
        let Some(caller) = self.refreshing.remove(rid) else { return };
        let outcome = match error {
            None => MethodOutcome::Answered { status: 200, payload: Bytes::new() },
            Some(why) => MethodOutcome::failed(MethodFailure::Broken, why),
        };
        self.method_returned(caller, outcome);
    }
}

fn device_ids(payload: &[u8]) -> Option<Vec<ClientId>> {
    let argument: Value = serde_json::from_slice(payload).ok()?;
    let member = argument.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case("deviceIds"))?.1;
    member.as_array()?.iter().map(|id| id.as_str().map(ClientId::parse)).collect()
}
