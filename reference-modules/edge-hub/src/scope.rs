//! The identity scope: who may connect, and with what.
//!
//! - [`client`]: asks IoT Hub.
//! - [`Identities`]: what it said, shared by everybody who asks.
//! - `remembered`: what it said to an earlier process, encrypted.
//!
//! Source: Azure/iotedge, `Hub.CloudProxy/NestedDeviceScopeApiClient.cs`, `Hub.Core/DeviceScopeIdentitiesCache.cs`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::faults::planted;
use crate::identity::ClientId;

pub mod client;
mod remembered;

/// How an identity proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// With one of two keys, in base64.
    Sas {
        /// First key.
        primary: String,
        /// Second key.
        secondary: String,
    },
    /// With a certificate of one of two thumbprints, in hexadecimal.
    Thumbprints {
        /// First.
        primary: String,
        /// Second.
        secondary: String,
    },
    /// With a certificate from an authority of the trust bundle.
    Authority,
    /// In a way this hub does not check.
    Other,
}

/// An identity as IoT Hub describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceIdentity {
    /// Who.
    pub client: ClientId,
    /// Whether it may connect; modules always may.
    pub enabled: bool,
    /// How it proves itself.
    pub authentication: Authentication,
    /// All that IoT Hub said, for edge devices behind this one.
    #[serde(default)]
    pub entry: Value,
}

/// Everybody known.
#[derive(Debug, Default)]
pub struct Identities {
    known: Mutex<HashMap<ClientId, ServiceIdentity>>,
    changes: watch::Sender<()>,
}

impl Identities {
    /// What is known of a client.
    pub fn get(&self, client: &ClientId) -> Option<ServiceIdentity> {
        self.lock().get(client).cloned()
    }

    /// Takes the place of all that was known.
    pub fn replace(&self, identities: Vec<ServiceIdentity>) {
        let adds_only = planted("AUTH009-refresh-removes-nobody");
        self.change(|known| {
            if !adds_only {
                known.clear();
            }
            known.extend(identities.into_iter().map(|identity| (identity.client.clone(), identity)));
        });
    }

    /// Everybody.
    pub fn all(&self) -> Vec<ServiceIdentity> {
        self.lock().values().cloned().collect()
    }

    /// Learns of some; the one asked for is forgotten when it is not among them.
    pub fn learn(&self, asked: &ClientId, identities: Vec<ServiceIdentity>) {
        self.change(|known| {
            known.remove(asked);
            known.extend(identities.into_iter().map(|identity| (identity.client.clone(), identity)));
        });
    }

    /// Tells from now on when something known has changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<ClientId, ServiceIdentity>)) {
        let changed = {
            let mut known = self.lock();
            let before = known.clone();
            change(&mut known);
            if planted("AUTH007-disabled-later-is-not-noticed") {
                let enabled =
                    |identity: &&mut ServiceIdentity| before.get(&identity.client).is_some_and(|before| before.enabled);
                known.values_mut().filter(enabled).for_each(|identity| identity.enabled = true);
            }
            *known != before
        };
        if changed {
            self.changes.send_replace(());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClientId, ServiceIdentity>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One page of IoT Hub's answer. All three members must be there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    devices: Option<Vec<Entry<Device>>>,
    modules: Option<Vec<Entry<Module>>>,
    /// Where to go on.
    #[serde(deserialize_with = "present")]
    pub continuation_link: Option<String>,
}

/// What counts of an entry, and the whole of it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value", bound = "T: DeserializeOwned")]
struct Entry<T> {
    known: T,
    whole: Value,
}

impl<T: DeserializeOwned> TryFrom<Value> for Entry<T> {
    type Error = serde_json::Error;

    fn try_from(whole: Value) -> Result<Self, Self::Error> {
        T::deserialize(&whole).map(|known| Entry { known, whole })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    device_id: String,
    status: String,
    authentication: Mechanism,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Module {
    device_id: String,
    module_id: String,
    authentication: Mechanism,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mechanism {
    #[serde(default)]
    symmetric_key: Option<Keys>,
    #[serde(default)]
    x509_thumbprint: Option<Thumbprints>,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Keys {
    primary_key: Option<String>,
    secondary_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Thumbprints {
    primary_thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

impl Page {
    /// The identities of this page.
    pub fn identities(self) -> Vec<ServiceIdentity> {
        let devices =
            self.devices.unwrap_or_default().into_iter().map(|Entry { known: device, whole }| ServiceIdentity {
                client: ClientId::device(device.device_id),
                enabled: device.status == "enabled",
                authentication: device.authentication.authentication(),
                entry: whole,
            });
        let modules =
            self.modules.unwrap_or_default().into_iter().map(|Entry { known: module, whole }| ServiceIdentity {
                client: ClientId::module(module.device_id, module.module_id),
                enabled: true,
                authentication: module.authentication.authentication(),
                entry: whole,
            });
        devices.chain(modules).collect()
    }
}

impl Mechanism {
    fn authentication(self) -> Authentication {
        match (self.kind.as_str(), self.symmetric_key, self.x509_thumbprint) {
            ("sas", Some(Keys { primary_key: Some(primary), secondary_key: Some(secondary) }), _) => {
                Authentication::Sas { primary, secondary }
            }
            ("selfSigned", _, Some(prints)) => Authentication::Thumbprints {
                primary: prints.primary_thumbprint.unwrap_or_default(),
                secondary: prints.secondary_thumbprint.unwrap_or_default(),
            },
            ("certificateAuthority", ..) => Authentication::Authority,
            _ => Authentication::Other,
        }
    }
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{
        "devices": [{"deviceId": "edge1", "generationId": "1", "status": "disabled", "capabilities": {"iotEdge": true},
            "authentication": {"symmetricKey": {"primaryKey": "YQ==", "secondaryKey": "Yg=="}, "type": "sas"}}],
        "modules": [{"deviceId": "edge1", "moduleId": "m", "generationId": "1",
            "authentication": {"symmetricKey": null, "type": "none"}}],
        "continuationLink": null
    }"#;

    #[test]
    fn a_page_names_devices_and_modules() {
        let page: Page = serde_json::from_str(PAGE).expect("complete");
        let identities = page.identities();
        assert!(!identities[0].enabled);
        assert!(matches!(&identities[0].authentication, Authentication::Sas { primary, .. } if primary == "YQ=="));
        assert_eq!(identities[1].client, ClientId::module("edge1", "m"));
        assert!(identities[1].enabled, "modules always are");
        assert_eq!(identities[1].authentication, Authentication::Other);
    }

    #[test]
    fn a_page_without_continuation_is_incomplete() {
        assert!(serde_json::from_str::<Page>(&PAGE.replace("continuationLink", "next")).is_err());
    }

    #[test]
    fn who_is_not_in_an_answer_is_forgotten() {
        let identities = Identities::default();
        let page: Page = serde_json::from_str(PAGE).expect("complete");
        identities.replace(page.identities());
        let module = ClientId::module("edge1", "m");
        assert!(identities.get(&module).is_some());
        identities.learn(&module, Vec::new());
        assert!(identities.get(&module).is_none());
    }

    #[test]
    fn only_what_is_new_is_told() {
        let identities = Identities::default();
        let page = || serde_json::from_str::<Page>(PAGE).expect("complete").identities();
        let mut changes = identities.changes();
        let mut told = || {
            let told = changes.has_changed().expect("the sender lives");
            changes.mark_unchanged();
            told
        };
        identities.replace(page());
        assert!(told());
        identities.replace(page());
        assert!(!told(), "nothing has changed");
        let module = ClientId::module("edge1", "m");
        identities.learn(&module, Vec::new());
        assert!(told());
        identities.learn(&module, Vec::new());
        assert!(!told(), "it was gone before");
    }
}
