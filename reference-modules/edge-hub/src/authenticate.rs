//! Whether a client is who it says it is.
//!
//! Source: Azure/iotedge, `Hub.Core/DeviceScopeAuthenticator.cs`, `Hub.Core/ConnectionReauthenticator.cs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::certificate::{Authorities, Shown};
use crate::engine::now;
use crate::faults::planted;
use crate::identity::ClientId;
use crate::sas::Token;
use crate::scope::ServiceIdentity;
use crate::scope::client::Scope;
use crate::settings::Settings;

/// What a client presents.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A token.
    Token(String),
    /// Certificates, seen in the TLS handshake.
    Certificates(Shown),
}

/// Judges credentials by the identity scope.
pub struct Authenticator {
    settings: Arc<Settings>,
    scope: Arc<Scope>,
    authorities: Authorities,
    first: Mutex<HashMap<ClientId, Credentials>>,
}

impl Authenticator {
    /// Judges by this scope, and believes these authorities.
    pub fn new(settings: Arc<Settings>, scope: Arc<Scope>, authorities: Authorities) -> Authenticator {
        Authenticator { settings, scope, authorities, first: Mutex::default() }
    }

    /// Whether credentials prove an identity. Those that do not are looked at again after IoT Hub was asked about it.
    pub async fn proves(&self, client: &ClientId, credentials: &Credentials) -> bool {
        if let Credentials::Token(token) = credentials {
            // No news of the identity makes a token good that cannot be read, or is over.
            if Token::read(token, now().as_millis()).is_err() {
                return false;
            }
        }
        if planted("AUTH011-nobody-is-believed-without-iot-hub") && !self.scope.answers(client).await {
            return false;
        }
        if self.known_to_prove(client, credentials) {
            return true;
        }
        self.scope.refresh_one(client).await;
        let stranger = self.scope.identities.get(client).is_none();
        self.known_to_prove(client, credentials) || stranger && planted("AUTH006-unknown-identity-is-let-in")
    }

    /// Completes when credentials that were good are so no longer. They are looked at again from time to time, and
    /// when what is known of the identity has changed; `renewed` ones, which took the place of good ones unseen, not
    /// before that.
    pub async fn doubts(&self, client: &ClientId, credentials: &Credentials, renewed: bool) {
        let first = planted("AUTH08-first-token-counts-for-ever").then(|| self.first_of(client, credentials));
        let credentials = first.as_ref().unwrap_or(credentials);
        let mut changes = self.scope.identities.changes();
        // It may have changed since the client came in.
        let mut good = renewed || self.known_to_prove(client, credentials);
        let mut known = self.known_of(client);
        let mut due = Instant::now() + self.settings.reauthentication;
        while good {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {
                    due += self.settings.reauthentication;
                    let forgotten = client.module.is_none() && planted("U09-reauthentication-throws-out-valid-clients");
                    let believed = planted("AUTH010-credentials-are-looked-at-once");
                    good = believed || !forgotten && self.proves(client, credentials).await;
                }
                Ok(()) = changes.changed() => {
                    let before = std::mem::replace(&mut known, self.known_of(client));
                    if planted("AUTH009-change-disconnects-others") {
                        good = false;
                    } else if known != before && !overlooked(&known) {
                        good = self.known_to_prove(client, credentials);
                    }
                }
            }
        }
        tracing::warn!("{client} has to go: its credentials are no longer good");
    }

    /// What a client presented when it first came in: only a planted fault asks.
    fn first_of(&self, client: &ClientId, credentials: &Credentials) -> Credentials {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.entry(client.clone()).or_insert_with(|| credentials.clone()).clone()
    }

    /// The identities whose keys sign for a client: its own, and its device's.
    fn known_of(&self, client: &ClientId) -> [Option<ServiceIdentity>; 2] {
        let device = ClientId::device(client.device.clone());
        [self.scope.identities.get(client), self.scope.identities.get(&device)]
    }

    fn known_to_prove(&self, client: &ClientId, credentials: &Credentials) -> bool {
        match credentials {
            Credentials::Token(token) => self.proves_by_token(client, token),
            Credentials::Certificates(shown) => {
                let stored = self.scope.identities.get(client);
                let now_secs = now().as_millis() / 1000;
                stored.is_some_and(|stored| shown.proves(client, &stored, &self.authorities, now_secs))
            }
        }
    }

    /// A module may also show a token of its device.
    fn proves_by_token(&self, client: &ClientId, token: &str) -> bool {
        let Ok(token) = Token::read(token, now().as_millis()) else { return false };
        let identity = &self.settings.identity;
        let hosts = [identity.iot_hub.as_str(), identity.device_host.as_str()];
        let device = ClientId::device(client.device.clone());
        let Some(own) = self.scope.identities.get(client) else { return false };
        let owner = self.scope.identities.get(&device).filter(|_| client.module.is_some());
        let owner = owner.filter(|_| !planted("AUTH04-token-of-the-device-is-refused"));
        [Some(own), owner].iter().flatten().any(|stored| token.proves(client, stored, hosts).is_ok())
    }
}

/// Whether a planted fault passes over a change that led to this.
fn overlooked(known: &[Option<ServiceIdentity>; 2]) -> bool {
    match known[0] {
        None => planted("AUTH009-removed-client-stays"),
        Some(_) => planted("AUTH009-client-with-an-old-key-stays"),
    }
}
