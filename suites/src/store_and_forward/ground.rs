//! What the tests of this suite stand on: a small blueprint with short times, and a hub that can go and come back.

use harness::environment::Blueprint;
use harness::observe::history::{Identity, Place};
use harness::stage::{CANARY, MARKER, Stage, StageError};

/// Senders `probe`, `m1` and `leaf1`; receivers `sink` and `other`. A hub that waits for acknowledgements as long as
/// its settings say, which here is not long.
pub fn blueprint() -> Blueprint {
    let inputs = [("sink", "i0"), ("sink", "i1"), ("other", "in")];
    let mut blueprint = Blueprint::new("gw7", &["probe", "m1", "sink", "other"], &["leaf1"], &inputs);
    for (name, value) in [("MessageAckTimeoutSecs", "2"), ("CloudOperationTimeoutSecs", "3")] {
        blueprint.settings.push((name.to_owned(), value.to_owned()));
    }
    blueprint
}

/// The module that receives in tests about one receiver.
pub fn other() -> Identity {
    Identity::Module("other".to_owned())
}

/// Its input.
pub fn other_in() -> Place {
    Place::Input { module: "other".to_owned(), input: "in".to_owned() }
}

/// How a hub goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// SIGTERM.
    Stopped,
    /// SIGKILL.
    Killed,
}

impl Going {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Going::Stopped => "stopped",
            Going::Killed => "killed",
        }
    }
}

/// Ends the hub.
pub async fn end(stage: &mut Stage, going: Going) {
    match going {
        Going::Stopped => stage.environment_mut().stop_hub().await,
        Going::Killed => stage.environment_mut().kill_hub().await,
    }
}

/// Starts the hub again after it ended, and connects everybody who does not receive.
///
/// # Errors
/// [`StageError`] when it is not ready, or refuses somebody.
pub async fn start_again(stage: &mut Stage) -> Result<(), StageError> {
    for module in ["sink", "other"] {
        stage.forget_client(&Identity::Module(module.to_owned()));
    }
    stage.environment_mut().start_hub().await?;
    stage.environment_mut().ready().await?;
    for module in [MARKER, CANARY, "probe", "m1"] {
        stage.connect(Identity::Module(module.to_owned())).await?;
    }
    stage.connect(Identity::LeafDevice("leaf1".to_owned())).await
}
