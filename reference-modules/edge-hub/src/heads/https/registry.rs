//! The registry of modules: devices in scope ask for their own, hubs of child edge devices for those of devices behind
//! them. IoT Hub answers.
//!
//! Source: Azure/iotedge, `Hub.Http/controllers/RegistryController.cs`.

use bytes::Bytes;
use hyper::header::{HeaderValue, IF_MATCH};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answer, empty, json};
use super::credentials;
use super::device_scope::links;
use super::listener::{Asked, Head};
use super::routes::OnBehalfOf;
use crate::faults::planted;
use crate::identity::ClientId;
use crate::upstream::registry::{Call, Operation};

/// One module of the device that asks.
pub async fn module(head: &Head, mut asked: Asked, module: ClientId) -> Answer {
    let operation = if asked.parts.method == Method::PUT {
        let document = match asked.document().await {
            Ok(document) => document,
            Err(answer) => return answer,
        };
        let Ok(document) = serde_json::from_slice::<Value>(&document) else {
            return refusal(StatusCode::BAD_REQUEST, "The body is not JSON");
        };
        let named = |name: &str, id: &str| document[name].as_str() == Some(id);
        let same = named("deviceId", &module.device) && named("moduleId", module.module.as_deref().unwrap_or_default());
        if !same && !planted("HTTP11-ids-in-the-body-are-not-compared") {
            return refusal(
                StatusCode::BAD_REQUEST,
                "Device or module id does not match between request body and path",
            );
        }
        Operation::Put(document)
    } else if asked.parts.method == Method::DELETE {
        Operation::Delete(module.module.clone().unwrap_or_default())
    } else {
        Operation::Get(module.module.clone().unwrap_or_default())
    };
    as_device(head, &asked, &module.device, operation).await
}

/// All modules of the device that asks.
pub async fn modules(head: &Head, asked: Asked, device: &str) -> Answer {
    if !asked.has_parameter("api-version") && !planted("HTTP09-api-version-is-not-needed") {
        let mut answer = empty(StatusCode::BAD_REQUEST);
        answer.headers_mut().insert("iothub-errorcode", HeaderValue::from_static("InvalidProtocolVersion"));
        return answer;
    }
    as_device(head, &asked, device, Operation::List).await
}

/// A module of a device behind a child edge device.
pub async fn on_behalf_of(head: &Head, mut asked: Asked, actor: &ClientId, call: OnBehalfOf) -> Answer {
    let document = match asked.document().await {
        Ok(document) => document,
        Err(answer) => return answer,
    };
    let Ok(mut document) = serde_json::from_slice::<Value>(&document) else {
        return refusal(StatusCode::BAD_REQUEST, "The body is not JSON");
    };
    if credentials::prove(head, &asked, actor).await.is_err() {
        return empty(StatusCode::UNAUTHORIZED);
    }
    let chain = document["authChain"].as_str().unwrap_or_default().to_owned();
    let links = links(&chain);
    let Some(target) = links.first().filter(|target| !target.contains('/')) else {
        return refusal(StatusCode::BAD_REQUEST, "The authentication chain names no device");
    };
    if !links.contains(&actor.device.as_str()) {
        return empty(StatusCode::UNAUTHORIZED);
    }
    let module = document["moduleId"].as_str().unwrap_or_default().to_owned();
    let operation = match call {
        OnBehalfOf::Put => Operation::Put(document["module"].take()),
        OnBehalfOf::Get => Operation::Get(module),
        OnBehalfOf::Delete => Operation::Delete(module),
        OnBehalfOf::List => Operation::List,
    };
    relayed(head, &asked, chain_to_here(head, &chain, target), operation).await
}

/// The device itself must ask: a module's credentials are not enough, and nothing is said about them.
async fn as_device(head: &Head, asked: &Asked, device: &str, operation: Operation) -> Answer {
    let device = ClientId::device(device);
    let mut proven = credentials::prove(head, asked, &device).await.is_ok();
    if planted("HTTP10-modules-read-the-registry") {
        for known in head.scope.identities.all() {
            proven |= credentials::prove(head, asked, &known.client).await.is_ok();
        }
    }
    if !proven {
        return empty(StatusCode::UNAUTHORIZED);
    }
    relayed(head, asked, chain_to_here(head, &device.device, &device.device), operation).await
}

/// The chain that leads from a device up to this one.
fn chain_to_here(head: &Head, chain: &str, device: &str) -> String {
    let here = &head.settings.identity.device_id;
    if device == here || links(chain).contains(&here.as_str()) { chain.to_owned() } else { format!("{chain};{here}") }
}

async fn relayed(head: &Head, asked: &Asked, auth_chain: String, operation: Operation) -> Answer {
    let if_match = asked.header(IF_MATCH.as_str()).map(str::to_owned);
    match head.upstream.registry(Call { auth_chain, if_match, operation }).await {
        Ok((status, body)) if body.is_empty() => empty(status),
        Ok((status, body)) => json(status, body),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refusal(status: StatusCode, why: &str) -> Answer {
    json(status, Bytes::from(json!({ "errorMessage": why }).to_string()))
}
