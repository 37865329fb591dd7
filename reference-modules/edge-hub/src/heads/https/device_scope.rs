//! The identity scope, as the hub of a child edge device asks for it.
//!
//! Source: Azure/iotedge, `Hub.Http/controllers/DeviceScopeController.cs`, `Hub.Core/AuthChainHelpers.cs`.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, json};
use super::credentials;
use super::listener::{Asked, Head};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::scope::ServiceIdentity;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WholeScope {
    auth_chain: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OneIdentity {
    target_device_id: String,
    #[serde(default)]
    target_module_id: Option<String>,
    auth_chain: String,
}

/// Everybody in the scope of a device behind this one. There are no pages.
pub async fn whole(head: &Head, asked: Asked, actor: &ClientId) -> Answer {
    let request: WholeScope = match read(head, asked, actor).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let chain: Vec<&str> = links(&request.auth_chain);
    let Some(target) = chain.first().filter(|target| !target.contains('/')) else {
        return refusal(StatusCode::BAD_REQUEST, "The authentication chain names no device");
    };
    if !chain.contains(&actor.device.as_str()) {
        return refusal(StatusCode::UNAUTHORIZED, &format!("{} is no ancestor of {target}", actor.device));
    }
    let mut all = head.scope.identities.all();
    all.sort_by(|one, other| one.client.cmp(&other.client));
    let Some(device) = all.iter().find(|known| known.client == ClientId::device(*target)) else {
        return refusal(StatusCode::UNAUTHORIZED, &format!("{target} is not in scope"));
    };
    let scope = &device.entry["deviceScope"];
    let below = |known: &&ServiceIdentity| {
        let parents = known.entry["parentScopes"].as_array();
        known.client == device.client || parents.is_some_and(|parents| scope.is_string() && parents.contains(scope))
    };
    let devices: Vec<&Value> =
        all.iter().filter(|known| known.client.module.is_none()).filter(below).map(entry).collect();
    let modules = all.iter().filter(|known| known.client.module.is_some() && known.client.device == *target);
    page(&devices, &modules.map(entry).collect::<Vec<_>>())
}

/// One identity, and its device when it is a module. IoT Hub is asked first.
pub async fn one(head: &Head, asked: Asked, actor: &ClientId) -> Answer {
    let request: OneIdentity = match read(head, asked, actor).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let device = ClientId::device(request.target_device_id);
    let target = match request.target_module_id.filter(|module| !module.is_empty()) {
        Some(module) => ClientId::module(device.device.clone(), module),
        None => device.clone(),
    };
    let chain = links(&request.auth_chain);
    if chain.first() != Some(&target.to_string().as_str()) || !chain.contains(&actor.device.as_str()) {
        return refusal(StatusCode::UNAUTHORIZED, &format!("{} is no ancestor of {target}", actor.device));
    }
    if let Err(error) = head.scope.refresh_now(std::slice::from_ref(&target)).await {
        tracing::warn!("Cannot refresh {target}: {error}");
    }
    let Some(known) = head.scope.identities.get(&target) else {
        return refusal(StatusCode::UNAUTHORIZED, &format!("{target} is not in scope"));
    };
    if target.module.is_none() {
        return page(&[&known.entry], &[]);
    }
    match head.scope.identities.get(&device) {
        Some(device) => page(&[&device.entry], &[&known.entry]),
        None => page(&[], &[&known.entry]),
    }
}

/// Only the hub of an edge device may ask.
async fn read<T: for<'de> Deserialize<'de>>(head: &Head, mut asked: Asked, actor: &ClientId) -> Result<T, Answer> {
    let document = asked.document().await?;
    if actor.module.as_deref() != Some("$edgeHub") && !planted("HTTP12-any-module-reads-the-scope") {
        return Err(refusal(StatusCode::UNAUTHORIZED, &format!("{actor} is not the hub of an edge device")));
    }
    credentials::prove(head, &asked, actor).await.map_err(|why| refusal(StatusCode::UNAUTHORIZED, &why))?;
    serde_json::from_slice(&document).map_err(|why| refusal(StatusCode::BAD_REQUEST, &why.to_string()))
}

/// The ids of a chain, from the target up.
pub(super) fn links(chain: &str) -> Vec<&str> {
    chain.split(';').filter(|link| !link.is_empty()).collect()
}

fn entry(known: &ServiceIdentity) -> &Value {
    &known.entry
}

fn page(devices: &[&Value], modules: &[&Value]) -> Answer {
    let page = json!({ "devices": devices, "modules": modules, "continuationLink": null });
    json(StatusCode::OK, page.to_string())
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    json(status, json!({ "ErrorMessage": why }).to_string())
}
