//! Settings, under the product's names: the environment, case-insensitive, sections separated by `__`.
//!
//! These settings are this hub's own: `edgecert__fsync` (sync every commit to disk), `edgecert__promptRedelivery` (do
//! not wait out a back-off when a module subscribes, nor an acknowledgement of a connection that is gone),
//! `edgecert__reauthenticationSecs` (five minutes in the product), `edgecert__strongTwinReads` (show a client what it
//! reported before IoT Hub has taken it), `edgecert__anyReportedRoot` (take an update of reported properties that is
//! no object for an empty one, as the product does), and `edgecert__amqpQuirks` (end the session for an address nobody
//! knows, take a link name for one link whichever way its messages go, and forget a link that replaced another of its
//! type, as the product does).

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::faults::planted;

/// The port of HTTPS everywhere.
pub const HTTPS_PORT: u16 = 443;

/// The port of AMQP, unless it is set.
pub const AMQPS_PORT: u16 = 5671;

/// Why the hub cannot start with these variables.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable the daemon always sets is not there.
    #[error("the environment variable {0} is missing")]
    Missing(&'static str),
    /// There is a connection string.
    #[error("IotHubConnectionString is set, but only the daemon's workload API is supported for signing in")]
    ConnectionString,
}

/// What the daemon says about this hub.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Where the workload API is.
    pub workload_uri: String,
    /// Version of the workload API the daemon speaks.
    pub workload_api_version: String,
    /// Name of the IoT Hub.
    pub iot_hub: String,
    /// Edge device.
    pub device_id: String,
    /// The hub's own module id.
    pub module_id: String,
    /// Generation of the hub's module identity.
    pub generation_id: String,
    /// Name clients know the edge device by.
    pub device_host: String,
    /// Parent edge device, dialled instead of the IoT Hub.
    pub gateway_host: Option<String>,
}

impl Identity {
    /// The host every upstream connection goes to.
    pub fn upstream_host(&self) -> &str {
        self.gateway_host.as_deref().unwrap_or(&self.iot_hub)
    }
}

/// Limits and times of the MQTT head.
#[derive(Clone, Debug)]
pub struct Mqtt {
    /// Whether there is one.
    pub enabled: bool,
    /// Size of a packet, fixed header included.
    pub max_inbound_message_bytes: usize,
    /// How long a connection may take to send CONNECT.
    pub connect_arrival_timeout: Option<Duration>,
    /// Upper bound of the keep alive limit; also holds for clients that want none.
    pub max_keep_alive: Option<Duration>,
    /// Whether an unexpected PUBACK closes the connection.
    pub abort_on_out_of_order_puback: bool,
}

/// The AMQP head.
#[derive(Clone, Debug)]
pub struct Amqp {
    /// Whether there is one.
    pub enabled: bool,
    /// Its port.
    pub port: u16,
    /// See the module.
    pub quirks: bool,
}

/// How the hub reaches IoT Hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// One connection, over which everybody goes.
    Amqp,
    /// The same in a WebSocket.
    AmqpWs,
    /// A connection for each.
    Mqtt,
    /// The same in WebSockets.
    MqttWs,
}

impl UpstreamProtocol {
    /// Whether it is AMQP.
    pub fn is_amqp(self) -> bool {
        matches!(self, UpstreamProtocol::Amqp | UpstreamProtocol::AmqpWs)
    }

    /// Whether it is spoken in WebSockets.
    pub fn is_in_web_sockets(self) -> bool {
        matches!(self, UpstreamProtocol::AmqpWs | UpstreamProtocol::MqttWs)
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the daemon says.
    pub identity: Identity,
    /// MQTT head.
    pub mqtt: Mqtt,
    /// AMQP head.
    pub amqp: Amqp,
    /// Port of the HTTPS head, if there is one.
    pub https_port: Option<u16>,
    /// Port of the metrics page.
    pub metrics_port: u16,
    /// Folder for queues, or `None` for memory.
    pub storage: Option<PathBuf>,
    /// Sync every commit.
    pub fsync: bool,
    /// See the module.
    pub prompt_redelivery: bool,
    /// A desired document made of `routes__*`, when the configuration does not come from the twin.
    pub local_configuration: Option<String>,
    /// See the product.
    pub upstream_protocol: UpstreamProtocol,
    /// Whether clients are asked for a certificate, and may sign in with it.
    pub client_certificates: bool,
    /// How often the credentials of connected clients are looked at again. Fixed in the product.
    pub reauthentication: Duration,
    /// See the product.
    pub max_connected_clients: usize,
    /// See the product.
    pub message_ack_timeout: Duration,
    /// See the product.
    pub upstream_fan_out: usize,
    /// See the product.
    pub max_upstream_batch: usize,
    /// See the product.
    pub cleanup_interval: Duration,
    /// See the product.
    pub check_entire_queue: bool,
    /// See the product.
    pub reported_sync: Duration,
    /// See the product.
    pub min_twin_sync: Duration,
    /// See the product.
    pub connectivity_check: Duration,
    /// See the module.
    pub strong_twin_reads: bool,
    /// See the module.
    pub any_reported_root: bool,
    /// See the product.
    pub config_refresh: Option<Duration>,
    /// See the product.
    pub scope_refresh: Duration,
    /// See the product.
    pub scope_refresh_delay: Duration,
    /// See the product.
    pub cloud_operation_timeout: Duration,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// [`Error`] when the hub cannot start with it; the product exits with 1 then.
    pub fn read(environment: Vec<(String, String)>) -> Result<Settings, Error> {
        let variables = Variables::new(environment);
        if variables.text("IotHubConnectionString").is_some() {
            return Err(Error::ConnectionString);
        }
        let secs = |name: &str, default| Duration::from_secs(variables.number(name, default));
        let persistent = variables.flag("usePersistentStorage", true);
        Ok(Settings {
            identity: variables.identity()?,
            mqtt: variables.mqtt(),
            amqp: variables.amqp(),
            https_port: variables
                .flag("httpSettings__enabled", true)
                .then(|| variables.number("httpSettings__port", HTTPS_PORT)),
            metrics_port: variables.number("httpSettings__metrics_port", 9600),
            storage: persistent.then(|| variables.storage_folder().join("edgeHub")),
            fsync: variables.flag("edgecert__fsync", false),
            prompt_redelivery: variables.flag("edgecert__promptRedelivery", false),
            local_configuration: variables.local_configuration(),
            upstream_protocol: variables.upstream_protocol(),
            client_certificates: variables.flag("ClientCertAuthEnabled", true),
            reauthentication: secs("edgecert__reauthenticationSecs", 300).max(Duration::from_secs(1)),
            max_connected_clients: variables.number("MaxConnectedClients", 100),
            message_ack_timeout: secs("MessageAckTimeoutSecs", 30),
            upstream_fan_out: variables.number("UpstreamFanOutFactor", 10).max(1),
            max_upstream_batch: variables.number("MaxUpstreamBatchSize", 10).max(1),
            cleanup_interval: secs("MessageCleanupIntervalSecs", 1800).max(Duration::from_secs(30)),
            check_entire_queue: variables.flag("CheckEntireQueueOnCleanup", false),
            reported_sync: secs("ReportedPropertiesSyncFrequencySecs", 5).max(Duration::from_secs(1)),
            min_twin_sync: secs("MinTwinSyncPeriodSecs", 120),
            connectivity_check: secs("ConnectivityCheckFrequencySecs", 300).max(Duration::from_secs(1)),
            strong_twin_reads: variables.flag("edgecert__strongTwinReads", false),
            any_reported_root: variables.flag("edgecert__anyReportedRoot", false),
            config_refresh: Some(secs("ConfigRefreshFrequencySecs", 3600)).filter(|period| !period.is_zero()),
            scope_refresh: secs("DeviceScopeCacheRefreshRateSecs", 3600).max(Duration::from_secs(1)),
            scope_refresh_delay: secs("DeviceScopeCacheRefreshDelaySecs", 120),
            cloud_operation_timeout: secs("CloudOperationTimeoutSecs", 20),
        })
    }
}

struct Variables(HashMap<String, String>);

impl Variables {
    fn new(environment: Vec<(String, String)>) -> Variables {
        Variables(environment.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(&name.to_lowercase())?;
        Some(value.as_str()).filter(|value| !value.trim().is_empty())
    }

    fn needed(&self, name: &'static str) -> Result<String, Error> {
        self.text(name).map(str::to_owned).ok_or(Error::Missing(name))
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> T {
        self.text(name).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        match self.text(name).map(|text| text.trim().to_lowercase()).as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => default,
        }
    }

    /// AMQP unless another one is asked for.
    fn upstream_protocol(&self) -> UpstreamProtocol {
        match self.text("UpstreamProtocol").unwrap_or_default().trim().to_lowercase().as_str() {
            "amqpws" => UpstreamProtocol::AmqpWs,
            "mqtt" => UpstreamProtocol::Mqtt,
            "mqttws" => UpstreamProtocol::MqttWs,
            _ => UpstreamProtocol::Amqp,
        }
    }

    /// A span of time as `hh:mm:ss`; zero or unreadable is none.
    fn span(&self, name: &str, default: Option<Duration>) -> Option<Duration> {
        match self.text(name) {
            Some(text) if planted("E10-unreadable-span-ends-the-hub") => {
                span(text).map(Some).unwrap_or_else(|| panic!("{name}: {text} is no span of time"))
            }
            Some(text) => span(text).filter(|span| !span.is_zero()),
            None => default,
        }
    }

    fn identity(&self) -> Result<Identity, Error> {
        Ok(Identity {
            workload_uri: self.needed("IOTEDGE_WORKLOADURI")?,
            workload_api_version: self.needed("IOTEDGE_APIVERSION")?,
            iot_hub: self.needed("IOTEDGE_IOTHUBHOSTNAME")?,
            device_id: self.needed("IOTEDGE_DEVICEID")?,
            module_id: self.needed("IOTEDGE_MODULEID")?,
            generation_id: self.needed("IOTEDGE_MODULEGENERATIONID")?,
            device_host: self.needed("EdgeDeviceHostName")?,
            gateway_host: self.text("IOTEDGE_GATEWAYHOSTNAME").map(str::to_owned),
        })
    }

    fn mqtt(&self) -> Mqtt {
        Mqtt {
            enabled: self.flag("mqttSettings__enabled", true),
            max_inbound_message_bytes: match planted("CFG02-packet-limit-cannot-be-set") {
                true => 262_144,
                false => self.number("mqttSettings__MaxInboundMessageSize", 262_144),
            },
            connect_arrival_timeout: self.span("mqttSettings__ConnectArrivalTimeout", Some(Duration::from_secs(60))),
            max_keep_alive: match planted("CFG02-keep-alive-bound-cannot-be-set") {
                true => Some(Duration::from_secs(600)),
                false => self.span("mqttSettings__MaxKeepAliveTimeout", Some(Duration::from_secs(600))),
            },
            abort_on_out_of_order_puback: self.flag("mqttSettings__AbortOnOutOfOrderPubAck", false),
        }
    }

    fn amqp(&self) -> Amqp {
        Amqp {
            enabled: self.flag("amqpSettings__enabled", true),
            port: self.number("amqpSettings__port", AMQPS_PORT),
            quirks: self.flag("edgecert__amqpQuirks", false),
        }
    }

    /// A folder that does not exist gives way to the one for temporary files.
    fn storage_folder(&self) -> PathBuf {
        self.text("StorageFolder")
            .map(PathBuf::from)
            .filter(|folder| folder.is_dir())
            .unwrap_or_else(std::env::temp_dir)
    }

    /// The default settings file already has a route `r1`, which a variable may replace.
    fn local_configuration(&self) -> Option<String> {
        let source = self.text("configSource").unwrap_or("twin");
        if source.eq_ignore_ascii_case("twin") {
            return None;
        }
        let mut routes = serde_json::Map::new();
        routes.insert(String::from("r1"), "FROM /* INTO $upstream".into());
        for (name, route) in &self.0 {
            if let Some(name) = name.strip_prefix("routes__") {
                routes.insert(name.to_owned(), route.clone().into());
            }
        }
        let time_to_live: i32 = self.number("storeAndForward__timeToLiveSecs", -1);
        let document = serde_json::json!({
            "schemaVersion": "1.1",
            "routes": routes,
            "storeAndForwardConfiguration": {"timeToLiveSecs": time_to_live},
        });
        Some(document.to_string())
    }
}

fn span(text: &str) -> Option<Duration> {
    let mut parts = text.trim().split(':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds = parts.next()?.parse::<f64>().ok().filter(|seconds| (0.0..60.0).contains(seconds))?;
    let whole = Duration::from_secs(hours * 3600 + minutes * 60);
    (parts.next().is_none() && minutes < 60).then(|| whole + Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(extra: &[(&str, &str)]) -> Vec<(String, String)> {
        let given = [
            ("IOTEDGE_WORKLOADURI", "unix:///run/w.sock"),
            ("IOTEDGE_APIVERSION", "2022-08-03"),
            ("IOTEDGE_IOTHUBHOSTNAME", "sim-hub.azure-devices.net"),
            ("IOTEDGE_DEVICEID", "edge1"),
            ("IOTEDGE_MODULEID", "$edgeHub"),
            ("IOTEDGE_MODULEGENERATIONID", "1"),
            ("EdgeDeviceHostName", "edgehost"),
        ];
        given.iter().chain(extra).map(|(name, value)| (String::from(*name), String::from(*value))).collect()
    }

    #[test]
    fn names_ignore_case() {
        let settings = Settings::read(daemon(&[
            ("MQTTSETTINGS__MAXKEEPALIVETIMEOUT", "00:00:20"),
            ("messageacktimeoutsecs", "3"),
        ]));
        let settings = settings.expect("complete");
        assert_eq!(settings.mqtt.max_keep_alive, Some(Duration::from_secs(20)));
        assert_eq!(settings.message_ack_timeout, Duration::from_secs(3));
    }

    #[test]
    fn each_of_the_daemons_variables_is_needed() {
        for missing in 0..daemon(&[]).len() {
            let mut environment = daemon(&[]);
            let (name, _) = environment.remove(missing);
            assert!(Settings::read(environment).is_err(), "{name}");
        }
    }

    #[test]
    fn local_routes_replace_the_default_one() {
        let extra = [("configSource", "local"), ("routes__r1", "FROM /messages/* INTO $upstream")];
        let settings = Settings::read(daemon(&extra)).expect("complete");
        let document = settings.local_configuration.expect("local");
        assert!(document.contains(r#""r1":"FROM /messages/* INTO $upstream""#), "{document}");
    }

    #[test]
    fn a_zero_connect_timeout_disables_it() {
        let settings = Settings::read(daemon(&[("mqttSettings__ConnectArrivalTimeout", "00:00:00")]));
        assert_eq!(settings.expect("complete").mqtt.connect_arrival_timeout, None);
    }
}
