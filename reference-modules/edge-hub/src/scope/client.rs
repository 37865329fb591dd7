//! Asks IoT Hub for the identity scope, and keeps [`Identities`] fresh.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Mutex, Notify, watch};

use super::{Identities, Page, ServiceIdentity, remembered};
use crate::dial::Dialler;
use crate::engine::{Engine, now};
use crate::faults::planted;
use crate::identity::ClientId;
use crate::percent::escape;
use crate::sas;
use crate::settings::Settings;
use crate::workload::Workload;

const VERSION: &str = "2020-06-30-preview";

/// How long to wait before a first refresh is tried again.
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// Lifetime of the hub's own tokens, in seconds.
const TOKEN_SECS: u64 = 3600;

/// The scope's client side.
pub struct Scope {
    /// What is known.
    pub identities: Arc<Identities>,
    settings: Arc<Settings>,
    workload: Workload,
    dialler: Dialler,
    asked: Mutex<HashMap<ClientId, Instant>>,
    known: AtomicBool,
    wanted: Notify,
}

impl Scope {
    /// Knows nobody yet.
    pub fn new(settings: Arc<Settings>, workload: Workload, dialler: Dialler) -> Scope {
        Scope {
            identities: Arc::default(),
            settings,
            workload,
            dialler,
            asked: Mutex::default(),
            known: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }

    /// Takes what an earlier process knew, until IoT Hub says better.
    pub async fn recall(&self, engine: &Engine) {
        if planted("AUTH011-scope-goes-with-the-process") {
            return;
        }
        match remembered::recall(engine, &self.workload).await {
            Ok(Some(identities)) => self.replace(identities),
            Ok(None) => {}
            Err(error) => tracing::warn!("Cannot recall the identity scope: {error}"),
        }
    }

    /// Refreshes at once, and then at the set rate and when that is wanted, for ever.
    pub async fn keep_fresh(&self) {
        loop {
            tracing::info!("Starting refresh of device scope identities cache");
            let pause = match self.refresh().await {
                Ok(()) => {
                    tracing::info!("Done refreshing device scope identities cache");
                    self.settings.scope_refresh
                }
                Err(error) => {
                    tracing::warn!("Retry refreshing device scope identities cache: {error}");
                    FIRST_RETRY
                }
            };
            // Elapsed or wanted: both mean the same.
            let _ = tokio::time::timeout(pause, self.wanted.notified()).await;
        }
    }

    /// Has the whole scope read before its time, as after a while without IoT Hub.
    pub fn refresh_soon(&self) {
        self.wanted.notify_one();
    }

    /// Writes down what is known whenever these changes tell of one, for ever.
    pub async fn keep_remembered(&self, engine: &Engine, mut changes: watch::Receiver<()>) {
        while changes.changed().await.is_ok() {
            if let Err(error) = remembered::remember(engine, &self.workload, &self.identities.all()).await {
                tracing::warn!("Cannot remember the identity scope: {error}");
            }
        }
    }

    /// Whether the whole scope was read once.
    pub fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Asks for one identity anew, unless that was done a moment ago. What is known stays when nobody answers.
    pub async fn refresh_one(&self, client: &ClientId) {
        let known = self.identities.get(client).is_some();
        if known && planted("AUTH008-changed-key-is-not-asked-for")
            || !known && planted("AUTH006-unknown-identity-is-not-asked-for")
        {
            return;
        }
        let mut asked = self.asked.lock().await;
        let lately = asked.get(client).is_some_and(|at| at.elapsed() < self.settings.scope_refresh_delay);
        if lately && !planted("AUTH008-every-failure-asks") {
            return;
        }
        asked.insert(client.clone(), Instant::now());
        drop(asked);
        if let Err(error) = self.learn_of(client).await {
            tracing::warn!("Cannot refresh {client}: {error}");
        }
    }

    /// Asks for identities anew, whenever that was done before.
    ///
    /// # Errors
    /// When nobody answers. What is known stays then.
    pub async fn refresh_now(&self, clients: &[ClientId]) -> io::Result<()> {
        for client in clients {
            self.asked.lock().await.insert(client.clone(), Instant::now());
            self.learn_of(client).await?;
        }
        Ok(())
    }

    /// Whether IoT Hub can be asked now: only a planted fault wants to know.
    pub async fn answers(&self, client: &ClientId) -> bool {
        self.ask_for(client).await.is_ok()
    }

    async fn learn_of(&self, client: &ClientId) -> io::Result<()> {
        self.identities.learn(client, self.ask_for(client).await?);
        Ok(())
    }

    async fn ask_for(&self, client: &ClientId) -> io::Result<Vec<ServiceIdentity>> {
        let body = json!({
            "targetDeviceId": client.device,
            "targetModuleId": client.module,
            "authChain": self.settings.identity.device_id,
        });
        let page = self.ask("getDeviceAndModuleOnBehalfOf", body).await?;
        Ok(page.map(Page::identities).unwrap_or_default())
    }

    /// Asks for everybody anew.
    ///
    /// # Errors
    /// When nobody answers. What is known stays then.
    pub async fn refresh(&self) -> io::Result<()> {
        let mut identities: Vec<ServiceIdentity> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut body = json!({"pageSize": 10, "authChain": self.settings.identity.device_id});
            if let Some(next) = &next {
                body["continuationLink"] = json!(next);
            }
            let page = self.ask("devicesAndModulesInTargetDeviceScope", body).await?;
            let mut page = page.ok_or_else(|| io::Error::other("IoT Hub refused the scope call"))?;
            next = page.continuation_link.take();
            identities.extend(page.identities());
            if next.is_none() {
                break;
            }
        }
        self.replace(identities);
        Ok(())
    }

    fn replace(&self, identities: Vec<ServiceIdentity>) {
        self.identities.replace(identities);
        self.known.store(true, Ordering::Release);
    }

    /// One call; `None` when the answer is that there is no such identity in this scope.
    async fn ask(&self, call: &str, body: serde_json::Value) -> io::Result<Option<Page>> {
        let identity = &self.settings.identity;
        let path = format!(
            "/devices/{}/modules/{}/{call}?api-version={VERSION}",
            escape(&identity.device_id),
            escape(&identity.module_id)
        );
        let token = own_token(&self.workload, &self.settings).await?;
        let answered = self.dialler.post(identity.upstream_host(), &path, &token, body.to_string());
        let (status, answer) = tokio::time::timeout(Duration::from_secs(120), answered).await??;
        match status.as_u16() {
            200 => serde_json::from_slice(&answer).map(Some).map_err(io::Error::other),
            400 | 401 | 403 | 404 => Ok(None),
            other => Err(io::Error::other(format!("{call}: status {other}"))),
        }
    }
}

/// A token of the hub's own, signed by the workload API.
///
/// # Errors
/// When the workload API does not sign.
pub async fn own_token(workload: &Workload, settings: &Settings) -> io::Result<String> {
    let identity = &settings.identity;
    let (device, module) = (escape(&identity.device_id), escape(&identity.module_id));
    let audience = format!("{}/devices/{device}/modules/{module}", identity.iot_hub);
    let expiry = now().as_millis() / 1000 + TOKEN_SECS;
    let signature = workload.sign(&sas::string_to_sign(&audience, expiry)).await?;
    Ok(sas::token(&audience, expiry, &signature))
}
