//! Messages for two leaf devices under any sequence of events: devices come and go, subscribe and unsubscribe,
//! acknowledge or do not, the cloud is out of reach, the hub starts anew. Covers C2D-05 to -11.
//!
//! - [`model`]: where every message must be. `trial`: doing it, and comparing after each step.

use futures_util::future::BoxFuture;
use harness::outcome::Violation;
use harness::runner::Test;
use harness::stage::{Stage, StageError};

use super::post;
use crate::declare;
use model::{Case, cases};

pub mod model;
mod trial;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let covered = ["C2D-05", "C2D-06", "C2D-07", "C2D-09", "C2D-10", "C2D-11", "MQTT-C2D-02", "MQTT-C2D-04"];
    vec![declare::on(
        post::blueprint,
        declare::ordeals(
            "rejections",
            "rejections::queue::every_message_is_where_it_must_be",
            &covered,
            1,
            cases,
            play,
        ),
    )]
}

fn play<'a>(stage: &'a mut Stage, case: &'a Case) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(trial::play(stage, case))
}
