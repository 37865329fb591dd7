//! What is judged: the embedded reference edgeHub, a command, or a hub that already runs.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An edgeHub under test. Whatever it is, it is a black box behind the product's environment contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The reference edgeHub in this binary, started as a child process.
    Embedded,
    /// A command line that is given exactly the product's environment.
    Command(Vec<String>),
    /// A hub that runs already, described by a file.
    Attach(PathBuf),
}

/// What a subject can be made to do. Suites ask for abilities, never for an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Several can run at once, each on its own addresses.
    SideBySide,
    /// It can be stopped, killed and started again.
    Restart,
    /// It can be halted and go on later, as if nothing had happened.
    Pause,
    /// A planted fault can be named at its start.
    Plant,
    /// A setting of edgecert's own makes it do every few seconds what the product does every few minutes.
    Hasten,
}

impl Ability {
    /// The word requirements use in `needs`.
    pub fn as_str(self) -> &'static str {
        match self {
            Ability::SideBySide => "side-by-side",
            Ability::Restart => "restart",
            Ability::Pause => "pause",
            Ability::Plant => "plant",
            Ability::Hasten => "hasten",
        }
    }
}

impl Subject {
    /// Whether this kind of subject has an ability.
    pub fn can(&self, ability: Ability) -> bool {
        match self {
            Subject::Embedded => true,
            Subject::Command(_) => matches!(ability, Ability::Restart | Ability::Pause),
            Subject::Attach(_) => false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Embedded => write!(f, "embedded reference edgeHub {}", env!("CARGO_PKG_VERSION")),
            Subject::Command(argv) => write!(f, "command: {}", argv.join(" ")),
            Subject::Attach(file) => write!(f, "attached edgeHub of {}", file.display()),
        }
    }
}

/// The text after `--hub` is none of the forms known.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no subject; use `embedded`, `command:PROGRAM ARGUMENT ...` or `attach:FILE`")]
pub struct UnknownSubject(String);

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "embedded" {
            return Ok(Subject::Embedded);
        }
        if let Some(line) = text.strip_prefix("command:") {
            let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            if !argv.is_empty() {
                return Ok(Subject::Command(argv));
            }
        }
        match text.strip_prefix("attach:").filter(|file| !file.is_empty()) {
            Some(file) => Ok(Subject::Attach(file.into())),
            None => Err(UnknownSubject(text.to_owned())),
        }
    }
}

/// How subjects are started in this run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The `edgecert` binary: it is the simulators, the reference hub and the reference modules.
    pub edgecert: PathBuf,
    /// What is judged.
    pub subject: Subject,
    /// Id of a fault to plant in the embedded hub.
    pub plant: Option<String>,
    /// Address for the simulators, when the operator chose one.
    pub world_address: Option<IpAddr>,
    /// Address at which the hub is reached, when the operator chose one.
    pub hub_address: Option<IpAddr>,
    /// Name of the simulated IoT Hub. It has a dot, or the product refuses it.
    pub iot_hub_host: String,
    /// Environment variables for the hub beyond the product's contract. `{run}` in a value becomes the folder of the
    /// environment, so that each has, for instance, a storage folder of its own.
    pub hub_settings: Vec<(String, String)>,
    /// Where logs, sockets and storage of this run go.
    pub run_folder: PathBuf,
}

impl Launch {
    /// Whether the subject, started this way, has an ability. At addresses the operator chose there is room for one.
    pub fn can(&self, ability: Ability) -> bool {
        let placed = self.world_address.is_some() || self.hub_address.is_some();
        self.subject.can(ability) && !(placed && ability == Ability::SideBySide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_subject_is_read() {
        assert_eq!("embedded".parse::<Subject>().expect("known"), Subject::Embedded);
        assert_eq!(
            "command:dotnet Hub.dll".parse::<Subject>().expect("known"),
            Subject::Command(vec!["dotnet".into(), "Hub.dll".into()])
        );
        assert_eq!("attach:hub.json".parse::<Subject>().expect("known"), Subject::Attach("hub.json".into()));
    }

    #[test]
    fn a_subject_that_cannot_be_meant_is_refused_with_the_forms_there_are() {
        for text in ["", "image:x", "command:", "command:  ", "attach:"] {
            let error = text.parse::<Subject>().expect_err(text).to_string();
            assert!(error.contains("use `embedded`"), "{error}");
        }
    }
}
