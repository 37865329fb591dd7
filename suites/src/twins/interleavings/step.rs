//! What can happen in an ordeal. Every step can be taken in every state: who is away cannot read, and then nothing
//! happens.

use std::fmt;

use serde_json::{Value, json};

use super::super::ground::{ALPHA, BETA, Going, LEAF, Party};

/// Who takes part.
pub const PARTIES: [Party; 3] = [ALPHA, LEAF, BETA];

/// What each twin desires at the beginning.
pub fn desired() -> Value {
    json!({ "d": 1, "e": 2, "n": { "x": 1, "y": 2 } })
}

/// What each client has reported at the beginning, over whatever it reported in an ordeal before.
pub fn reported() -> Value {
    json!({ "a": 1, "b": 2, "n": { "x": 1, "y": 2 } })
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Somebody reports a patch, and has the answer.
    Report { by: usize, patch: Value },
    /// Somebody reads his twin.
    Read { by: usize },
    /// The cloud changes what it desires of somebody.
    Desire { of: usize, patch: Value },
    /// Somebody subscribes to desired patches.
    Subscribe { by: usize },
    /// Somebody unsubscribes from them.
    Unsubscribe { by: usize },
    /// Somebody breaks his connection.
    Leave { by: usize },
    /// Somebody connects, or connects anew.
    Return { by: usize },
    /// The cloud is out of reach.
    Cut,
    /// It is within reach again, and answers at once.
    Mend,
    /// It answers late.
    Slow,
    /// Nothing, until what was reported is in the cloud.
    Settle,
    /// Something befalls the hub.
    Befall(Going),
    /// Somebody publishes a patch, and something befalls the hub before the answer was awaited.
    Race { by: usize, patch: Value, going: Going },
}

/// What the harness does behind the last step.
pub const END: &str = "the cloud is within reach, everybody connects and, where something may wait for that, reports once more; what was reported is in the cloud, and read";

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Report { by, patch } => write!(f, "{} reports {patch}", PARTIES[*by]),
            Step::Read { by } => write!(f, "{} reads its twin", PARTIES[*by]),
            Step::Desire { of, patch } => write!(f, "the cloud desires {patch} of {}", PARTIES[*of]),
            Step::Subscribe { by } => {
                write!(
                    f,
                    "{} subscribes to desired patches, hears of a change if it can, and reads its twin",
                    PARTIES[*by]
                )
            }
            Step::Unsubscribe { by } => write!(f, "{} unsubscribes from desired patches", PARTIES[*by]),
            Step::Leave { by } => write!(f, "{} breaks its connection", PARTIES[*by]),
            Step::Return { by } => write!(f, "{} connects anew", PARTIES[*by]),
            Step::Cut => f.write_str("the cloud is out of reach"),
            Step::Mend => {
                f.write_str("the cloud is within reach and answers at once; whoever is subscribed hears of a change")
            }
            Step::Settle => f.write_str("if the cloud is there, what was reported comes to be in it; everybody reads"),
            Step::Slow => f.write_str("the cloud answers late"),
            Step::Befall(going) => write!(f, "{going}; whoever was connected connects again"),
            Step::Race { by, patch, going } => {
                write!(
                    f,
                    "{} publishes the patch {patch}, and meanwhile {going}; it connects and reports it again",
                    PARTIES[*by]
                )
            }
        }
    }
}
