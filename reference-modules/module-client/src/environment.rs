//! The module environment contract: what the runtime tells a module when it starts it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;

/// What the runtime tells a module: who it is, and where its hub and its workload API are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Where the workload API listens; `IOTEDGE_WORKLOADURI`.
    pub(crate) workload: WorkloadUri,
    /// The version of it to speak; `IOTEDGE_APIVERSION`.
    pub(crate) api_version: String,
    /// The device; `IOTEDGE_DEVICEID`.
    pub(crate) device: String,
    /// The module; `IOTEDGE_MODULEID`.
    pub(crate) module: String,
    /// Which of all modules that ever had this name; `IOTEDGE_MODULEGENERATIONID`.
    pub(crate) generation: String,
    /// The IoT Hub the device belongs to, for names and tokens only; `IOTEDGE_IOTHUBHOSTNAME`.
    pub(crate) iot_hub_host: String,
    /// The host of the edgeHub: dialled, and checked against its certificate; `IOTEDGE_GATEWAYHOSTNAME`.
    pub(crate) gateway_host: String,
}

/// Where the workload API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkloadUri {
    /// `unix:///path`
    Unix(PathBuf),
    /// `http://host:port`
    Http(String),
}

/// The only way of authentication there is.
const AUTH_SCHEME: &str = "sasToken";

impl Environment {
    /// Reads the contract from the variables a module is started with.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Invalid`] naming the variable: the module was not started by an IoT Edge runtime.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut variables: HashMap<String, String> = variables.into_iter().collect();
        let mut take = |variable: &'static str| {
            let value = variables.remove(variable);
            value.filter(|value| !value.trim().is_empty()).ok_or(Error::Missing { variable })
        };
        let scheme = take("IOTEDGE_AUTHSCHEME")?;
        if !scheme.eq_ignore_ascii_case(AUTH_SCHEME) {
            return Err(invalid("IOTEDGE_AUTHSCHEME", &scheme, "`sasToken`"));
        }
        Ok(Self {
            workload: workload_uri(&take("IOTEDGE_WORKLOADURI")?)?,
            api_version: take("IOTEDGE_APIVERSION")?,
            device: take("IOTEDGE_DEVICEID")?,
            module: take("IOTEDGE_MODULEID")?,
            generation: take("IOTEDGE_MODULEGENERATIONID")?,
            iot_hub_host: take("IOTEDGE_IOTHUBHOSTNAME")?,
            gateway_host: take("IOTEDGE_GATEWAYHOSTNAME")?,
        })
    }
}

fn workload_uri(uri: &str) -> Result<WorkloadUri, Error> {
    let unix = uri.strip_prefix("unix://").filter(|path| path.starts_with('/'));
    if let Some(path) = unix {
        return Ok(WorkloadUri::Unix(path.into()));
    }
    let http = uri.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    match http.filter(|authority| !authority.is_empty() && !authority.contains('/')) {
        Some(host) if has_port(host) => Ok(WorkloadUri::Http(host.to_owned())),
        Some(host) => Ok(WorkloadUri::Http(format!("{host}:80"))),
        None => Err(invalid("IOTEDGE_WORKLOADURI", uri, "`unix:///path` or `http://host:port`")),
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// A setting of the module's own, or `default` when the variable is not there.
///
/// # Errors
/// [`Error::Invalid`] when its value is not what it should be.
pub fn setting<T: FromStr>(
    variables: &[(String, String)],
    variable: &'static str,
    default: T,
    expected: &'static str,
) -> Result<T, Error> {
    match variables.iter().find(|(name, _)| name == variable) {
        Some((_, value)) => value.trim().parse().map_err(|_| invalid(variable, value, expected)),
        None => Ok(default),
    }
}

fn invalid(variable: &'static str, value: &str, expected: &'static str) -> Error {
    let value = value.to_owned();
    Error::Invalid { variable, value, expected }
}

/// What a module cannot go on with. Everything else, it waits for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable of the contract is missing or blank.
    #[error("{variable} is not set; is this module started by an IoT Edge runtime?")]
    Missing {
        /// The variable.
        variable: &'static str,
    },
    /// A variable has a value that means nothing.
    #[error("{variable} is `{value}`, but must be {expected}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// The connection is not run any more: see [`Connection::until`](crate::Connection::until).
    #[error("the connection to the edgeHub is not run any more")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &[(&str, &str)] = &[
        ("IOTEDGE_WORKLOADURI", "unix:///var/run/iotedge/workload.sock"),
        ("IOTEDGE_APIVERSION", "2022-08-03"),
        ("IOTEDGE_AUTHSCHEME", "SASTOKEN"),
        ("IOTEDGE_DEVICEID", "edge1"),
        ("IOTEDGE_MODULEID", "relay"),
        ("IOTEDGE_MODULEGENERATIONID", "7"),
        ("IOTEDGE_IOTHUBHOSTNAME", "iothub.test"),
        ("IOTEDGE_GATEWAYHOSTNAME", "edgehost"),
    ];

    fn contract() -> Vec<(String, String)> {
        let pairs = CONTRACT.iter();
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_contract_is_read() {
        let environment = Environment::read(contract()).unwrap();
        assert_eq!(environment.workload, WorkloadUri::Unix("/var/run/iotedge/workload.sock".into()));
        assert_eq!(environment.gateway_host, "edgehost");
        assert_eq!(environment.iot_hub_host, "iothub.test");
    }

    #[test]
    fn every_variable_of_the_contract_is_asked_for_by_name() {
        for (variable, _) in CONTRACT {
            let mut variables = contract();
            variables.retain(|(name, _)| name != variable);
            assert_eq!(Environment::read(variables.clone()), Err(Error::Missing { variable }));
            variables.push(((*variable).to_owned(), " ".to_owned()));
            assert_eq!(Environment::read(variables), Err(Error::Missing { variable }));
        }
    }

    #[test]
    fn another_scheme_is_refused() {
        let mut variables = contract();
        variables.push(("IOTEDGE_AUTHSCHEME".to_owned(), "x509".to_owned()));
        let told = Environment::read(variables).unwrap_err().to_string();
        assert_eq!(told, "IOTEDGE_AUTHSCHEME is `x509`, but must be `sasToken`");
    }

    #[test]
    fn a_workload_uri_is_a_socket_or_a_host() {
        let http = |host: &str| Ok(WorkloadUri::Http(host.to_owned()));
        assert_eq!(workload_uri("http://10.0.0.1:15580/"), http("10.0.0.1:15580"));
        assert_eq!(workload_uri("http://daemon"), http("daemon:80"));
        for uri in ["", "unix://", "unix://relative", "http://", "https://h:1", "http://h:1/path", "/path"] {
            assert!(workload_uri(uri).is_err(), "{uri:?}");
        }
    }

    #[test]
    fn a_setting_has_a_default_and_is_refused_by_name() {
        let variables = [("COUNT".to_owned(), " 5 ".to_owned()), ("WORD".to_owned(), "x".to_owned())];
        assert_eq!(setting(&variables, "COUNT", 1, "a count"), Ok(5));
        assert_eq!(setting(&variables, "OTHER", 1, "a count"), Ok(1));
        let told = setting(&variables, "WORD", 1, "a count").unwrap_err().to_string();
        assert_eq!(told, "WORD is `x`, but must be a count");
    }
}
