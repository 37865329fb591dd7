//! Twins.

use hyper::Method;
use serde_json::{Value, json};

use super::{IotHub, ServiceError, path_of};

impl IotHub {
    /// Changes desired properties of a twin, and gives the new desired version.
    ///
    /// # Errors
    /// [`ServiceError`] when the cloud refuses or cannot be reached.
    pub async fn patch_desired(&self, device: &str, module: Option<&str>, desired: Value) -> Result<u64, ServiceError> {
        let patch = json!({"properties": {"desired": desired}});
        let twin = self.call(Method::PATCH, &path_of("twins", device, module), Some(patch)).await?;
        Ok(twin["properties"]["desired"]["$version"].as_u64().unwrap_or_default())
    }

    /// Replaces the desired properties of a twin, and gives the new desired version.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn replace_desired(
        &self,
        device: &str,
        module: Option<&str>,
        desired: Value,
    ) -> Result<u64, ServiceError> {
        let whole = json!({"properties": {"desired": desired}});
        let twin = self.call(Method::PUT, &path_of("twins", device, module), Some(whole)).await?;
        Ok(twin["properties"]["desired"]["$version"].as_u64().unwrap_or_default())
    }

    /// Reads a twin.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn twin(&self, device: &str, module: Option<&str>) -> Result<Value, ServiceError> {
        self.call(Method::GET, &path_of("twins", device, module), None).await
    }

    /// Sends a notice of changed desired properties as it stands, `$version` included, although no twin has changed:
    /// a real IoT Hub sends such ones late or twice at most. Says whether the identity was listening.
    ///
    /// # Errors
    /// As [`IotHub::patch_desired`].
    pub async fn send_desired_notice(
        &self,
        device: &str,
        module: Option<&str>,
        patch: Value,
    ) -> Result<bool, ServiceError> {
        let notice = json!({ "device_id": device, "module_id": module, "patch": patch });
        let answer = self.call(Method::POST, "/edgecert/desired_notices", Some(notice)).await?;
        Ok(answer["sent"].as_bool().unwrap_or_default())
    }
}
