//! Identities that come, change and go while the hub runs: made in the cloud's registry by the test that needs them.

use std::time::Duration;

use harness::client::iot_hub::{Keys, MethodCall};
use harness::client::raw_mqtt::{Connect, RawMqtt};
use harness::client::sas;
use harness::environment::{Blueprint, Environment};
use harness::stage::{Stage, StageError};
use serde_json::json;

use crate::mqtt_head::guest::{Seen, answer};

/// A hub that asks the cloud as often as there is a reason to.
pub fn blueprint() -> Blueprint {
    let mut blueprint = Blueprint::new("gw7", &["probe"], &["leaf1"], &[]);
    blueprint.settings.push(("DeviceScopeCacheRefreshDelaySecs".to_owned(), "0".to_owned()));
    blueprint
}

/// An identity of the registry, with its keys.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Its device, or itself.
    pub device: String,
    /// Its name, if it is a module.
    pub module: Option<String>,
    /// Its keys as the test knows them.
    pub keys: Keys,
}

impl Newcomer {
    /// Creates a module of the edge device, or a device behind it, with a name that nobody had.
    ///
    /// # Errors
    /// [`StageError::Service`] when the cloud refuses.
    pub async fn create(stage: &mut Stage, is_module: bool) -> Result<Self, StageError> {
        let name = format!("new-{}", stage.mark());
        let mut newcomer = Self {
            device: if is_module { "gw7".to_owned() } else { name.clone() },
            module: is_module.then_some(name),
            keys: Keys { primary: String::new(), secondary: String::new() },
        };
        newcomer.register(stage.environment()).await?;
        Ok(newcomer)
    }

    /// Puts it into the registry, with fresh keys.
    ///
    /// # Errors
    /// [`StageError::Service`] when the cloud refuses.
    pub async fn register(&mut self, environment: &Environment) -> Result<(), StageError> {
        self.keys = environment.iot_hub().create_identity(&self.device, self.module.as_deref()).await?;
        Ok(())
    }

    /// Takes it out of the registry.
    ///
    /// # Errors
    /// [`StageError::Service`] when the cloud refuses.
    pub async fn remove(&self, environment: &Environment) -> Result<(), StageError> {
        Ok(environment.iot_hub().delete_identity(&self.device, self.module.as_deref()).await?)
    }

    /// Gives it other keys, and keeps them in mind.
    ///
    /// # Errors
    /// [`StageError::Service`] when the cloud refuses.
    pub async fn rotate(&mut self, environment: &Environment) -> Result<(), StageError> {
        // The two keys change places, and what was one is as good as new for a hub that knows each by its place; so
        // both are made anew.
        let fresh = |key: &str| sas::signature(key, "another", "key").unwrap_or_default();
        self.keys = Keys { primary: fresh(&self.keys.primary), secondary: fresh(&self.keys.secondary) };
        Ok(environment.iot_hub().change_keys(&self.device, self.module.as_deref(), &self.keys).await?)
    }

    /// Its client id.
    pub fn client_id(&self) -> String {
        self.module.as_ref().map_or_else(|| self.device.clone(), |module| format!("{}/{module}", self.device))
    }

    /// A token signed with one of its keys, or another's.
    pub fn token(&self, environment: &Environment, key: &str) -> String {
        let module = self.module.as_ref().map_or_else(String::new, |module| format!("/modules/{module}"));
        let audience = format!("{}/devices/{}{module}", environment.iot_hub_host(), self.device);
        sas::token(&audience, key, None, Duration::from_secs(3600)).unwrap_or_default()
    }

    /// Connects with a token of this key, and says what the hub answers.
    ///
    /// # Errors
    /// [`StageError::Raw`] when there is no TLS connection.
    pub async fn comes(&self, environment: &Environment, key: &str) -> Result<(RawMqtt, Seen), StageError> {
        let client_id = self.client_id();
        let connect = Connect {
            user_name: Some(format!("{}/{client_id}/?api-version=2021-04-12", environment.iot_hub_host())),
            password: Some(self.token(environment, key).into_bytes()),
            client_id: client_id.clone(),
            ..Connect::default()
        };
        let mut raw = environment.raw(&client_id).await?;
        raw.write(&connect.bytes()).await;
        let seen = answer(&mut raw).await;
        Ok((raw, seen))
    }

    /// As a reader knows it.
    pub fn told(&self) -> String {
        self.module.as_ref().map_or_else(|| format!("leaf device {}", self.device), |module| format!("module {module}"))
    }
}

/// Has the hub ask the cloud for these identities anew.
///
/// # Errors
/// [`StageError::Service`] when it cannot be told.
pub async fn refresh(environment: &Environment, newcomers: &[&Newcomer]) -> Result<(), StageError> {
    let ids: Vec<String> = newcomers.iter().map(|newcomer| newcomer.client_id()).collect();
    let call = MethodCall::new("RefreshDeviceScopeIdentityCache", json!({ "deviceIds": ids }));
    environment.iot_hub().invoke("gw7", Some("$edgeHub"), &call).await?;
    Ok(())
}
