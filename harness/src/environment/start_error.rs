//! Why an environment does not start.

use std::path::PathBuf;

use crate::client::sas;
use crate::deadline;
use crate::engine::process::ProcessError;

/// An environment that did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No addresses.
    #[error("no addresses for the environment: {0}")]
    Addresses(std::io::Error),
    /// The run's folder cannot be written.
    #[error("cannot write {}: {source}; set TMPDIR to a folder with space", .path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// No certificates.
    #[error("cannot make the run's certificates: {0}")]
    Pki(pki::Error),
    /// The root just made cannot be used.
    #[error("the run's own root certificate cannot be read back")]
    Trust,
    /// The identities cannot be written.
    #[error(transparent)]
    Registry(registry::Error),
    /// The policy key just made cannot be used.
    #[error("the service policy: {0}")]
    Key(sas::NotBase64),
    /// A simulator did not start.
    #[error(transparent)]
    Process(Box<ProcessError>),
    /// A hub that was ready before in the same world, or has a fault planted, did not become ready: nobody's doing but
    /// its own.
    #[error(transparent)]
    HubFailed(Box<StartError>),
    /// The hub did not become ready.
    #[error("the hub is not ready: {source}; its log is {}{tail}", .log.display())]
    HubNotReady {
        /// The wait.
        source: deadline::Expired,
        /// The hub's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The subject's program does not exist.
    #[error("--hub command: no program `{0}` on PATH; name it with its path")]
    NoProgram(String),
    /// The file that describes a running hub cannot be used.
    #[error("{}: {why}; it is a JSON object with `hub` (IP), `iot_hub` (IP:PORT of the simulated IoT Hub's HTTPS) and `folder` (with registry.json and the root certificate)", .file.display())]
    Attach {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl From<ProcessError> for StartError {
    fn from(error: ProcessError) -> Self {
        StartError::Process(Box::new(error))
    }
}

impl StartError {
    /// Whether the harness failed, and not the hub.
    pub fn is_harness_failure(&self) -> bool {
        // A hub that never was ready is reported like a harness that is broken: there is nothing to judge.
        !matches!(self, StartError::HubFailed(_))
    }
}
