//! Routing: where a message goes.
//!
//! - [`language`]: conditions, generated and by example.
//! - [`sources`]: whose messages a route takes.
//! - [`configuration`]: documents the hub takes or refuses, and what it reports.
//! - [`live_changes`]: what happens to messages while routes change.
//! - [`fan_out`]: several routes, several endpoints, one message.
//! - [`start_up`]: what the hub does before it serves.
//! - [`chains`]: modules that take messages of others, and send new ones on.
//! - [`messages`]: size, properties, identity and order on the way.
//!
//! Not here: queues that outlive their receivers, priorities, time to live.

pub mod chains;
pub mod configuration;
pub mod fan_out;
pub mod language;
pub mod live_changes;
pub mod messages;
pub mod sources;
pub mod start_up;

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    let mut tests = language::tests();
    tests.extend(sources::tests());
    tests.extend(configuration::tests());
    tests.extend(live_changes::tests());
    tests.extend(fan_out::tests());
    tests.extend(chains::tests());
    tests.extend(messages::tests());
    tests.extend(start_up::tests());
    tests
}
