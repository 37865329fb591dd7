//! Whether a client is who it says it is.

use std::sync::Arc;

use crate::engine::now;
use crate::identity::ClientId;
use crate::sas::Token;
use crate::scope::client::Scope;
use crate::settings::Settings;

/// Judges credentials by the identity scope.
pub struct Authenticator {
    settings: Arc<Settings>,
    scope: Arc<Scope>,
}

impl Authenticator {
    /// Judges by this scope.
    pub fn new(settings: Arc<Settings>, scope: Arc<Scope>) -> Authenticator {
        Authenticator { settings, scope }
    }

    /// Whether a token proves an identity. One that does not is looked at again after IoT Hub was asked about it.
    pub async fn proves(&self, client: &ClientId, token: &str) -> bool {
        let Ok(token) = Token::read(token, now().as_millis()) else { return false };
        if self.known_to_prove(client, &token) {
            return true;
        }
        self.scope.refresh_one(client).await;
        self.known_to_prove(client, &token)
    }

    /// A module may also show a token of its device.
    fn known_to_prove(&self, client: &ClientId, token: &Token) -> bool {
        let identity = &self.settings.identity;
        let hosts = [identity.iot_hub.as_str(), identity.device_host.as_str()];
        let device = ClientId::device(client.device.clone());
        let Some(own) = self.scope.identities.get(client) else { return false };
        let owner = self.scope.identities.get(&device).filter(|_| client.module.is_some());
        [Some(own), owner].iter().flatten().any(|stored| token.proves(client, stored, hosts).is_ok())
    }
}
