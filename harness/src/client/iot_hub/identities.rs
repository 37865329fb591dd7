//! The identity registry: devices and modules come, change and go while an edgeHub runs.

use hyper::Method;
use serde_json::{Value, json};

use super::{IotHub, ServiceError, path_of};

/// The symmetric keys of an identity, base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// First.
    pub primary: String,
    /// Second.
    pub secondary: String,
}

impl IotHub {
    /// Creates a device or module with fresh keys, and gives them. Devices are in the scope of the edge device.
    ///
    /// # Errors
    /// [`ServiceError::Refused`] with status 409 when it exists; else as [`IotHub::patch_desired`].
    pub async fn create_identity(&self, device: &str, module: Option<&str>) -> Result<Keys, ServiceError> {
        let mut body = json!({ "deviceId": device, "authentication": { "type": "sas" } });
        match module {
            Some(module) => body["moduleId"] = module.into(),
            None => body["status"] = "enabled".into(),
        }
        Ok(keys_of(&self.create(&path_of("devices", device, module), body).await?))
    }

    /// Reads a device or module as the registry has it.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn identity(&self, device: &str, module: Option<&str>) -> Result<Value, ServiceError> {
        self.call(Method::GET, &path_of("devices", device, module), None).await
    }

    /// Deletes a device, with its modules, or a module.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn delete_identity(&self, device: &str, module: Option<&str>) -> Result<(), ServiceError> {
        self.call(Method::DELETE, &path_of("devices", device, module), None).await.map(drop)
    }

    /// Enables or disables a device. Modules cannot be disabled.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn enable_device(&self, device: &str, enabled: bool) -> Result<(), ServiceError> {
        let mut changed = self.identity(device, None).await?;
        changed["status"] = if enabled { "enabled" } else { "disabled" }.into();
        self.call(Method::PUT, &path_of("devices", device, None), Some(changed)).await.map(drop)
    }

    /// The keys of a device or module.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn keys(&self, device: &str, module: Option<&str>) -> Result<Keys, ServiceError> {
        Ok(keys_of(&self.identity(device, module).await?))
    }

    /// Gives a device or module other keys.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn change_keys(&self, device: &str, module: Option<&str>, keys: &Keys) -> Result<(), ServiceError> {
        let mut changed = self.identity(device, module).await?;
        changed["authentication"] = json!({
            "symmetricKey": { "primaryKey": keys.primary, "secondaryKey": keys.secondary },
            "type": "sas",
        });
        self.call(Method::PUT, &path_of("devices", device, module), Some(changed)).await.map(drop)
    }
}

fn keys_of(identity: &Value) -> Keys {
    let key = |name: &str| identity["authentication"]["symmetricKey"][name].as_str().unwrap_or_default().to_owned();
    Keys { primary: key("primaryKey"), secondary: key("secondaryKey") }
}
