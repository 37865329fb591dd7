//! From the environment to a hub that serves, and back to an exit code.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

use crate::authenticate::Authenticator;
use crate::certificate::{AnyCertificate, Authorities};
use crate::core::{Core, CoreSettings};
use crate::dial::{ConnectTo, Dialler};
use crate::engine::{Engine, Milestone, now};
use crate::faults::planted;
use crate::heads::{amqp, https, mqtt};
use crate::metrics::Metrics;
use crate::scope::client::Scope;
use crate::settings::{AMQPS_PORT, Settings};
use crate::store::Store;
use crate::upstream::amqp::Pool;
use crate::upstream::{Context, Upstream};
use crate::workload::{ServerCertificate, Workload};

const MQTT_PORT: u16 = 8883;

/// What is not the product's environment contract.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen on; the product listens on all.
    pub listen: IpAddr,
    /// Addresses to dial instead of resolving names.
    pub connect_to: Vec<ConnectTo>,
}

/// Runs a hub until `shutdown`. Exit codes are the product's: 1 when it cannot start with this environment, 0 when no
/// configuration was to be had, or after an orderly end.
pub async fn run(
    options: Options,
    environment: Vec<(String, String)>,
    shutdown: impl Future<Output = ()> + Send,
) -> ExitCode {
    let settings = match Settings::read(environment) {
        Ok(settings) => Arc::new(settings),
        Err(error) => {
            eprintln!("edgeHub cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(options, settings, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edgeHub cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options, settings: Arc<Settings>, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
    tracing::info!("Edge Hub Main()");
    // A second installation finds the first one in its place, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let workload = Workload::new(&settings.identity)?;
    let certificate = workload.server_certificate(&settings.identity.device_host, now()).await?;
    let trust_bundle = workload.trust_bundle().await?;
    let tls = acceptor(&certificate, settings.client_certificates)?;
    let dialler = Dialler::new(options.connect_to, &trust_bundle)?;
    let metrics = Metrics::new(&settings.identity, &uuid::Uuid::new_v4().to_string());

    let scope = Arc::new(Scope::new(settings.clone(), workload.clone(), dialler.clone()));
    let (upstream_outbox, upstream_inbox) = mpsc::unbounded_channel();
    let (milestones, mut reached) = mpsc::unbounded_channel();
    let counted = metrics.clone();
    let engine = Engine::start(
        Core::new(core_settings(&settings)),
        open_store(&settings)?,
        upstream_outbox,
        milestones,
        Box::new(move |event| counted.count(event)),
    )?;
    let upstream = Upstream::new(Context {
        settings: settings.clone(),
        workload,
        scope: scope.clone(),
        dialler,
        amqp: Pool::default(),
    });

    let mut tasks = JoinSet::new();
    scope.recall(&engine).await;
    let (refreshed, remembered, remembering) = (scope.clone(), scope.clone(), engine.clone());
    let changes = scope.identities.changes();
    tasks.spawn(async move { remembered.keep_remembered(&remembering, changes).await });
    tasks.spawn(async move { refreshed.keep_fresh().await });
    tasks.spawn(upstream.clone().run(engine.clone(), upstream_inbox));
    let authorities = Authorities::of_bundle(&trust_bundle);
    let authenticator = Arc::new(Authenticator::new(settings.clone(), scope.clone(), authorities));
    let mqtt =
        Arc::new(mqtt::listener::Head::new(settings.clone(), engine.clone(), authenticator.clone(), tls.clone()));
    let amqp =
        Arc::new(amqp::listener::Head::new(settings.clone(), engine.clone(), authenticator.clone(), tls.clone()));
    let in_websockets = settings.mqtt.enabled || planted("CFG01-websockets-are-served-all-the-same");
    let https = https::listener::Head {
        settings: settings.clone(),
        engine: engine.clone(),
        authenticator,
        scope,
        upstream,
        metrics,
        tls,
        mqtt: in_websockets.then(|| mqtt.clone()),
        amqp: settings.amqp.enabled.then(|| amqp.clone()),
    };
    let mut heads = Some((mqtt, amqp.clone(), https));

    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            milestone = reached.recv() => match milestone {
                Some(Milestone::Ready) => {
                    if let Some(heads) = heads.take() {
                        open(&options.listen, &settings, heads, &mut tasks).await?;
                    }
                }
                Some(Milestone::CannotStart(reason)) => {
                    tracing::error!("Error starting protocol heads: {reason}");
                    break;
                }
                None => break,
            }
        }
    }
    tracing::info!("Stopping the protocol heads...");
    amqp.stop().await;
    tasks.shutdown().await;
    engine.stop().await;
    tracing::info!("Shutdown complete.");
    Ok(())
}

type Heads = (Arc<mqtt::listener::Head>, Arc<amqp::listener::Head>, https::listener::Head);

async fn open(
    listen: &IpAddr,
    settings: &Settings,
    (mqtt, amqp, https): Heads,
    tasks: &mut JoinSet<()>,
) -> io::Result<()> {
    tracing::info!("Starting protocol heads - (MQTT, AMQP, HTTPS)");
    let named = |what: &'static str, port: u16| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{what} on {listen}:{port}: {error}"))
    };
    if settings.mqtt.enabled || planted("CFG01-mqtt-is-served-all-the-same") {
        let address = SocketAddr::new(*listen, MQTT_PORT);
        tasks.spawn(mqtt.listen(address).await.map_err(named("MQTT", MQTT_PORT))?);
        tracing::info!("Started MQTT head");
    }
    if settings.amqp.enabled || planted("ENV01-amqp-is-served-all-the-same") {
        let port = if planted("ENV02-amqp-port-cannot-be-set") { AMQPS_PORT } else { settings.amqp.port };
        tasks.spawn(amqp.listen(SocketAddr::new(*listen, port)).await.map_err(named("AMQP", port))?);
        tracing::info!("Started AMQP head");
    }
    let address = SocketAddr::new(*listen, settings.metrics_port);
    let page = https.metrics.clone().listen(address, settings.https_port);
    tasks.spawn(page.await.map_err(named("metrics", settings.metrics_port))?);
    if let Some(port) = settings.https_port {
        tasks.spawn(https.listen(SocketAddr::new(*listen, port)).await.map_err(named("HTTPS", port))?);
        tracing::info!("Started HTTPS head");
    }
    Ok(())
}

fn acceptor(certificate: &ServerCertificate, asks_for_certificates: bool) -> io::Result<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.certificate.as_bytes()).collect();
    let chain = chain.map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.bytes.as_bytes()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[&SupportedProtocolVersion] =
        if planted("TLS02-tls-1-2-is-refused") { &[&TLS13] } else { rustls::DEFAULT_VERSIONS };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?;
    let builder = if asks_for_certificates {
        builder.with_client_cert_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(chain, key);
    Ok(TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)))
}

/// A store that cannot be opened gives way to one in memory, as in the product.
fn open_store(settings: &Settings) -> io::Result<Store> {
    let Some(folder) = &settings.storage else { return Ok(Store::in_memory()) };
    if planted("DLV12-queues-are-gone-with-the-process") {
        return Ok(Store::in_memory());
    }
    std::fs::create_dir_all(folder)?;
    Ok(Store::on_disk(folder, settings.fsync).unwrap_or_else(|error| {
        tracing::error!("Cannot open the store in {}, using memory: {error}", folder.display());
        Store::in_memory()
    }))
}

pub(crate) fn core_settings(settings: &Settings) -> CoreSettings {
    let identity = &settings.identity;
    CoreSettings {
        edge_device_id: identity.device_id.clone(),
        hub_module_id: identity.module_id.clone(),
        max_connected_clients: settings.max_connected_clients,
        message_ack_timeout: match planted("ENV03-acknowledge-timeout-cannot-be-set") {
            true => std::time::Duration::from_secs(30),
            false => settings.message_ack_timeout,
        },
        upstream_fan_out: settings.upstream_fan_out,
        max_upstream_batch: settings.max_upstream_batch,
        cleanup_interval: settings.cleanup_interval,
        check_entire_queue: settings.check_entire_queue,
        reported_sync: settings.reported_sync,
        min_twin_sync: settings.min_twin_sync,
        connectivity_check: settings.connectivity_check,
        strong_twin_reads: settings.strong_twin_reads,
        any_reported_root: settings.any_reported_root,
        config_refresh: settings.config_refresh,
        prompt_redelivery: settings.prompt_redelivery,
        local_configuration: settings.local_configuration.clone(),
        seed: now().as_millis(),
    }
}
