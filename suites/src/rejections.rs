//! Rejections: cloud-to-device messages and file upload: refused to modules, given to leaf devices.
//!
//! - [`attempt`]: what a module may try, in every kind and spelling. [`at_work`]: a module whose own traffic must go on.
//! - `refused`: a module tries, and nothing comes of it. `granted`: a leaf device does, and gets what it asks for.
//! - `delivery`: how the cloud's messages reach leaf devices. `queue`: the same under any sequence of events.
//! - [`mailbox`], `cloud`: the two ends of a message from the cloud.

use harness::runner::Test;

use crate::declare::over_mqtt;

pub mod at_work;
pub mod attempt;
mod cloud;
mod delivery;
mod granted;
pub mod mailbox;
pub mod post;
mod queue;
mod refused;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let sections = [queue::tests(), refused::tests(), granted::tests(), delivery::tests()];
    // Their clients write packets or topics of MQTT themselves.
    sections.into_iter().flatten().map(over_mqtt).collect()
}
