//! The hub of an environment as a process: started with the product's environment contract, watched, and ended.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Environment, StartError};
use crate::client::http::{HttpClient, HttpError, Origin};
use crate::deadline::{self, Deadline};
use crate::engine::process::{Process, Program};
use crate::observe::history::Identity;
use crate::stage::MARKER;
use crate::subject::Subject;

impl Environment {
    /// Starts the hub and waits for nothing.
    ///
    /// # Errors
    /// [`StartError::Process`] when the program cannot be started.
    pub async fn start_hub(&mut self) -> Result<(), StartError> {
        if let Subject::Attach(_) = &self.launch.subject {
            return Ok(());
        }
        self.hub_starts += 1;
        let log = self.folder.join(format!("edge-hub-{}.log", self.hub_starts));
        let (file, arguments) = self.hub_command()?;
        let program = Program {
            name: "edge-hub".to_owned(),
            file,
            arguments,
            environment: self.hub_environment(),
            log,
            family: matches!(self.launch.subject, Subject::Command(_)),
        };
        self.hub = Some(Process::start(&self.launch.edgecert, program).await?);
        Ok(())
    }

    /// Waits until the hub serves: its metrics answer and a module is let in.
    ///
    /// # Errors
    /// [`StartError`] when it ends, or is not ready in time, with its last words.
    pub async fn ready(&mut self) -> Result<(), StartError> {
        let probe = Identity::Module(MARKER.to_owned());
        let metrics = self.metrics_client();
        let ready = async {
            let mut pause = Duration::from_millis(5);
            loop {
                let answer = metrics.request(hyper::Method::GET, "/metrics", None, &[], None).await;
                if answer.is_ok_and(|answer| answer.status.is_success()) && self.connect(&probe).await.is_ok() {
                    return;
                }
                // A process has no way to say "ready" that every subject shares, so it is asked again and again.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
        };
        let ended = self.hub.as_ref().map(Process::output_ended);
        let waited = tokio::select! {
            waited = deadline::READY.wait("the hub to serve metrics and to let a module in", ready) => Some(waited),
            () = async { match ended { Some(ended) => ended.await, None => std::future::pending().await } } => None,
        };
        let Some(waited) = waited else {
            let hub = self.hub.as_mut().expect("only a started hub ends");
            let status = hub.end(deadline::STOP).await.ok().flatten();
            let error = hub.ended(status).into();
            return Err(self.of_the_hub(error));
        };
        waited.map_err(|source| {
            self.of_the_hub(StartError::HubNotReady {
                source,
                log: self.hub.as_ref().map(|hub| hub.log().to_owned()).unwrap_or_default(),
                tail: self.hub.as_ref().map(Process::tail).unwrap_or_default(),
            })
        })?;
        self.was_ready = true;
        Ok(())
    }

    /// Whose failure it is that the hub is not ready. One that never was may be told the wrong things by the harness.
    fn of_the_hub(&self, error: StartError) -> StartError {
        match self.was_ready || self.launch.plant.is_some() {
            true => StartError::HubFailed(Box::new(error)),
            false => error,
        }
    }

    /// Kills the hub: SIGKILL.
    pub async fn kill_hub(&mut self) {
        if let Some(mut hub) = self.hub.take() {
            hub.kill().await;
        }
    }

    /// Stops the hub: SIGTERM, and SIGKILL when that does not help.
    pub async fn stop_hub(&mut self) {
        if let Some(mut hub) = self.hub.take() {
            hub.stop().await;
        }
    }

    /// Halts the hub, as a machine does that swaps or hangs, until [`Environment::resume_hub`].
    pub fn pause_hub(&self) {
        self.hub.iter().for_each(Process::pause);
    }

    /// Lets a halted hub go on.
    pub fn resume_hub(&self) {
        self.hub.iter().for_each(Process::resume);
    }

    /// Process id of the hub, while the harness runs one.
    pub fn hub_process(&self) -> Option<u32> {
        self.hub.as_ref().and_then(Process::id)
    }

    /// Waits for the hub to end by itself, and gives its exit code.
    ///
    /// # Errors
    /// [`deadline::Expired`] when it still runs.
    pub async fn hub_ends(&mut self, deadline: Deadline) -> Result<Option<i32>, deadline::Expired> {
        match &mut self.hub {
            Some(hub) => Ok(hub.end(deadline).await?.and_then(|status| status.code())),
            None => Ok(None),
        }
    }

    /// Whether the hub accepts connections on its MQTT port.
    pub async fn listens(&self) -> bool {
        tokio::net::TcpStream::connect(self.mqtt_address()).await.is_ok()
    }

    /// The hub's metrics, as text.
    ///
    /// # Errors
    /// [`HttpError`] when they cannot be read.
    pub async fn metrics(&self) -> Result<String, HttpError> {
        let answer = self.metrics_client().request(hyper::Method::GET, "/metrics", None, &[], None).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    fn metrics_client(&self) -> HttpClient {
        let hub = self.addresses.hub;
        HttpClient::new(Origin { address: SocketAddr::new(hub, 9600), host: hub.to_string(), tls: None })
    }

    fn hub_command(&self) -> Result<(PathBuf, Vec<OsString>), StartError> {
        match &self.launch.subject {
            Subject::Embedded => {
                let host = &self.launch.iot_hub_host;
                let mut arguments: Vec<OsString> = vec![
                    "serve".into(),
                    "edge-hub".into(),
                    "--listen".into(),
                    self.addresses.hub.to_string().into(),
                    "--connect-to".into(),
                    format!("{host}:443={}", self.https).into(),
                    "--connect-to".into(),
                    format!("{host}:8883={}", self.mqtt).into(),
                    "--connect-to".into(),
                    format!("{host}:5671={}", self.amqp).into(),
                ];
                if let Some(fault) = &self.launch.plant {
                    arguments.extend(["--plant".into(), fault.into()]);
                }
                Ok((self.launch.edgecert.clone(), arguments))
            }
            Subject::Command(argv) => {
                let program = on_path(&argv[0]).ok_or_else(|| StartError::NoProgram(argv[0].clone()))?;
                Ok((program, argv[1..].iter().map(OsString::from).collect()))
            }
            Subject::Attach(file) => unreachable!("the hub of {} is not started", file.display()),
        }
    }

    /// The product's environment contract, and the settings asked for; nothing else.
    fn hub_environment(&self) -> Vec<(String, String)> {
        let generation = self.registry.modules["$edgeHub"].generation_id.clone();
        let socket = self.folder.join("sockets").join("$edgeHub.sock");
        let mut environment = vec![
            ("IOTEDGE_WORKLOADURI".to_owned(), format!("unix://{}", socket.display())),
            ("IOTEDGE_APIVERSION".to_owned(), "2022-08-03".to_owned()),
            ("IOTEDGE_AUTHSCHEME".to_owned(), "sasToken".to_owned()),
            ("IOTEDGE_IOTHUBHOSTNAME".to_owned(), self.launch.iot_hub_host.clone()),
            ("IOTEDGE_DEVICEID".to_owned(), self.blueprint.edge_device.clone()),
            ("IOTEDGE_MODULEID".to_owned(), "$edgeHub".to_owned()),
            ("IOTEDGE_MODULEGENERATIONID".to_owned(), generation),
            ("EdgeDeviceHostName".to_owned(), self.addresses.hub.to_string()),
            // Its clients cannot see over what it reaches the cloud: a run over every transport tries every way.
            ("UpstreamProtocol".to_owned(), self.transport.as_upstream().to_owned()),
        ];
        if self.launch.subject == Subject::Embedded {
            environment.push(("StorageFolder".to_owned(), self.folder.join("storage").display().to_string()));
            environment.push(("httpSettings__port".to_owned(), self.hub_https_port.to_string()));
        }
        environment.extend(self.blueprint.settings.iter().cloned());
        let run = self.folder.display().to_string();
        environment
            .extend(self.launch.hub_settings.iter().map(|(name, value)| (name.clone(), value.replace("{run}", &run))));
        environment
    }
}

/// The file of a program, looked up as a shell does.
fn on_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return std::fs::canonicalize(program).ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
