//! The registry of modules at IoT Hub, asked for the devices behind this one.
//!
//! Source: Azure/iotedge, `Hub.Http/RegistryOnBehalfOfApiClient.cs`.

use std::io;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::Upstream;
use crate::percent::escape;
use crate::scope::client::own_token;

const VERSION: &str = "2020-06-30-preview";

/// What is asked.
pub struct Call {
    /// From the device in question up to this one.
    pub auth_chain: String,
    /// Version the caller has seen.
    pub if_match: Option<String>,
    /// For what.
    pub operation: Operation,
}

/// What is to be done.
pub enum Operation {
    /// Create or update this module.
    Put(Value),
    /// Read the module of this name.
    Get(String),
    /// Read all modules.
    List,
    /// Remove the module of this name.
    Delete(String),
}

impl Upstream {
    /// Asks; returns status and body.
    ///
    /// # Errors
    /// When IoT Hub does not answer in time.
    pub async fn registry(&self, call: Call) -> io::Result<(StatusCode, Bytes)> {
        let settings = &self.context.settings;
        let identity = &settings.identity;
        let chain = call.auth_chain;
        let (verb, name, body) = match call.operation {
            Operation::Put(module) => {
                (Method::PUT, "putModuleOnBehalfOf", json!({ "authChain": chain, "module": module }))
            }
            Operation::Get(module) => {
                (Method::POST, "getModuleOnBehalfOf", json!({ "authChain": chain, "moduleId": module }))
            }
            Operation::List => (Method::POST, "getModulesOnTargetDevice", json!({ "authChain": chain })),
            Operation::Delete(module) => {
                (Method::POST, "deleteModuleOnBehalfOf", json!({ "authChain": chain, "moduleId": module }))
            }
        };
        let (device, module) = (escape(&identity.device_id), escape(&identity.module_id));
        let path = format!("/devices/{device}/modules/{module}/{name}?api-version={VERSION}");
        let token = own_token(&self.context.workload, settings).await?;
        let mut headers = vec![("Authorization", token.as_str())];
        if let Some(if_match) = &call.if_match {
            headers.push(("If-Match", if_match));
        }
        let answered = self.context.dialler.request(verb, identity.upstream_host(), &path, &headers, body.to_string());
        tokio::time::timeout(settings.cloud_operation_timeout, answered).await?
    }
    /// Hands a request on that is none of the hub's business: only a planted fault does that.
    pub async fn pass_on(&self, verb: Method, path: &str, token: &str) {
        let host = self.context.settings.identity.upstream_host();
        let headers = [("Authorization", token)];
        let answered = self.context.dialler.request(verb, host, path, &headers, r#"{"blobName":"a"}"#.to_owned()).await;
        tracing::debug!("Passed on {path}: {answered:?}");
    }
}
