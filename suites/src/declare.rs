//! How tests are declared: a name that is a claim, the requirements it covers, and what to play.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use harness::environment::Blueprint;
use harness::observe::history::Identity;
use harness::outcome::Outcome;
use harness::runner::{Body, Profile, Test, Worker};
use harness::stage::StageError;
use harness::subject::Ability;
use harness::transport::{EACH, ONCE, OVER_AMQP, OVER_MQTT, Transport};
use proptest::strategy::Strategy;

use crate::property::{self, Failure, Play, Polish};
use crate::scene::{self, Scene};

/// A course of its own on whatever the worker starts.
pub type Course = for<'a> fn(&'a mut Worker) -> BoxFuture<'a, Result<Outcome, StageError>>;

fn test(suite: &'static str, name: &str, requirements: &[&str], weight: u32, body: Body) -> Test {
    Test {
        name: name.to_owned(),
        suite,
        requirements: requirements.iter().map(|id| (*id).to_owned()).collect(),
        needs: Vec::new(),
        weight,
        profile: Profile::Quick,
        transports: EACH,
        body,
    }
}

/// One case, written down, played on the worker's stage.
pub fn example<T: Send + Sync + 'static>(
    suite: &'static str,
    name: &str,
    requirements: &[&str],
    case: T,
    play: Play<T>,
) -> Test {
    let case = Arc::new(case);
    let body: Body = Arc::new(move |worker| {
        let case = case.clone();
        Box::pin(async move {
            let found = play(worker.stage().await?, &case).await?;
            Ok(found.map_or(Outcome::Conforms, |violation| Outcome::Violated(Box::new(violation))))
        })
    });
    test(suite, name, requirements, 0, body)
}

/// A course of its own, without generated input.
pub fn fixed(suite: &'static str, name: &str, requirements: &[&str], play: Course) -> Test {
    test(suite, name, requirements, 0, Arc::new(play))
}

/// As [`fixed`], for subjects that can be stopped and started.
pub fn restarting(suite: &'static str, name: &str, requirements: &[&str], play: Course) -> Test {
    Test { needs: vec![Ability::Restart], ..fixed(suite, name, requirements, play) }
}

/// A test that takes real minutes, for thorough runs only.
pub fn slow(test: Test) -> Test {
    Test { profile: Profile::Full, ..test }
}

/// A test in which what the clients of a stage speak has no part: it runs once.
pub fn once(test: Test) -> Test {
    Test { transports: ONCE, ..test }
}

/// A test that writes packets or topics itself, or is about what only MQTT has.
pub fn over_mqtt(test: Test) -> Test {
    let transports = if test.transports == ONCE { ONCE } else { OVER_MQTT };
    Test { transports, ..test }
}

/// A test that writes frames itself. What the harness needs clients for is done over MQTT, so that a hub that cannot do
/// what the test is about is found by the test.
pub fn over_amqp(test: Test) -> Test {
    let play = test.body.clone();
    let body: Body = Arc::new(move |worker| {
        let mut blueprint = worker.blueprint().clone();
        let modules = blueprint.modules.iter().cloned().map(Identity::Module);
        let everybody = modules.chain(blueprint.leaf_devices.iter().cloned().map(Identity::LeafDevice));
        blueprint.speakers = everybody.map(|identity| (identity, Transport::Mqtt)).collect();
        worker.set_stage(blueprint);
        play(worker)
    });
    Test { transports: OVER_AMQP, body, ..test }
}

/// A test on a stage of its own kind.
pub fn on(blueprint: fn() -> Blueprint, test: Test) -> Test {
    let play = test.body.clone();
    let body: Body = Arc::new(move |worker| {
        worker.set_stage(blueprint());
        play(worker)
    });
    Test { body, ..test }
}

/// Generated cases; `weight` is the test's share of them.
pub fn property<S>(
    suite: &'static str,
    name: &str,
    requirements: &[&str],
    weight: u32,
    strategy: fn() -> S,
    play: Play<S::Value>,
) -> Test
where
    S: Strategy + 'static,
    S::Value: Clone + Send + Sync + 'static,
{
    test(suite, name, requirements, weight, generated(strategy, play, property::as_found, Failure::Harmless))
}

/// Generated cases whose hub a failing one may leave in any state.
pub fn ordeals<S>(
    suite: &'static str,
    name: &str,
    requirements: &[&str],
    weight: u32,
    strategy: fn() -> S,
    play: Play<S::Value>,
) -> Test
where
    S: Strategy + 'static,
    S::Value: Clone + Send + Sync + 'static,
{
    let body = generated(strategy, play, property::as_found, Failure::Lasting);
    Test { needs: vec![Ability::Restart, Ability::Pause], ..test(suite, name, requirements, weight, body) }
}

/// Generated scenes.
pub fn scenes<S>(
    suite: &'static str,
    name: &str,
    requirements: &[&str],
    weight: u32,
    strategy: fn() -> S,
    play: Play<Scene>,
) -> Test
where
    S: Strategy<Value = Scene> + 'static,
{
    test(suite, name, requirements, weight, generated(strategy, play, scene::polish, Failure::Harmless))
}

fn generated<S>(strategy: fn() -> S, play: Play<S::Value>, polish: Polish<S::Value>, failure: Failure) -> Body
where
    S: Strategy + 'static,
    S::Value: Clone + Send + Sync + 'static,
{
    Arc::new(move |worker| Box::pin(property::check(worker, strategy, play, polish, failure)))
}
