//! Callees that do not answer, or not in time, and calls that wait for somebody to listen. Covers METHOD-INV-09 to -12,
//! -18, -23, -24, MQTT-DM-08, -09.
//!
//! Waits of the product are whole seconds, five at least for an answer, so everything here happens side by side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::client::https::HttpsClient;
use harness::deadline::{self, Deadline};
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::ground::{
    Callee, Calling, FAN, METER, OPERATOR, PUMP, VALVE, body, client_id, device, judged, module, nothing_else, payload,
    request, timed,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, slow};
use crate::oracle::method::{Answer, answer};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "direct_methods",
            "direct_methods::time::calls_end_when_their_time_is_over",
            &[
                "METHOD-INV-09",
                "METHOD-INV-10",
                "METHOD-INV-11",
                "METHOD-INV-12",
                "METHOD-INV-18",
                "METHOD-INV-23",
                "METHOD-RCV-03",
                "MQTT-DM-08",
                "MQTT-DM-09",
            ],
            |worker| Box::pin(side_by_side(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::time::a_newcomer_ends_the_calls_of_the_connection_before_it",
            &["METHOD-INV-24"],
            |worker| Box::pin(displaced(worker)),
        ),
        slow(fixed(
            "direct_methods",
            "direct_methods::time::a_call_lasts_thirty_seconds_unless_it_says_otherwise",
            &["METHOD-INV-12"],
            |worker| Box::pin(thirty_seconds(worker)),
        )),
    ]
}

/// How much later than its time a call may end.
const GRACE: Duration = Duration::from_secs(2);
/// How much earlier it may be seen to end: clocks are read at different moments.
const EARLY: Duration = Duration::from_millis(100);
/// How long a call waits on behind the subscription of its callee.
const BEHIND_SUBSCRIPTION: (Duration, Duration) = (Duration::from_millis(2_500), Duration::from_millis(5_000));

/// Who calls, and how.
struct Ground<'a> {
    environment: &'a Environment,
    https: Arc<HttpsClient>,
}

type Found = Result<Option<Violation>, StageError>;

impl Ground<'_> {
    fn call(&self, target: &Identity, body: &Value, limit: Deadline) -> Calling {
        Calling::begin(&self.https, request(self.environment, OPERATOR, target, body.to_string()), limit)
    }
}

/// Waits for the end of a call, and judges what it is and how long after `began` it came.
async fn ends(
    mut calling: Calling,
    requirement: &str,
    expected: &Answer,
    (soonest, latest): (Duration, Duration),
    steps: &[String],
) -> Option<Violation> {
    let answered = calling.end().await;
    let took = calling.began.elapsed();
    judged(requirement, expected, &answered, steps).or_else(|| {
        let in_time = (soonest.saturating_sub(EARLY)..=latest + GRACE).contains(&took);
        (!in_time).then(|| {
            let expected = format!("{expected}, between {soonest:?} and {:?} after the call", latest + GRACE);
            broken(requirement, expected, format!("it came after {took:?}"), steps)
        })
    })
}

async fn side_by_side(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let ground = Ground { environment, https: Arc::new(environment.https()) };
    let (silent, gone, waiting, patient, unspeakable) = tokio::join!(
        unanswered(&ground),
        left(&ground),
        awaited(&ground),
        not_too_early(&ground),
        unspeakable(&ground)
    );
    for found in [silent?, gone?, waiting?, patient?, unspeakable?] {
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

/// A callee that answers when it is too late, and then in time.
async fn unanswered(ground: &Ground<'_>) -> Found {
    let secs = 5;
    let mut pump = Callee::listen(ground.environment, &module(PUMP)).await?;
    let mut steps = vec![format!("module {PUMP} is called with a response timeout of {secs} s, and does not answer")];
    let calling = ground.call(&pump.identity, &timed("ask", &json!(1), secs, 0), deadline::METHOD);
    let late = match pump.next(deadline::METHOD).await {
        Ok(request) => request,
        Err(observed) => return Ok(Some(broken("METHOD-RCV-01", "a request", observed, &steps))),
    };
    let time = Duration::from_secs(secs);
    let found = ends(calling, "METHOD-INV-11", &answer::timed_out(&late.id), (time, time), &steps).await;
    if found.is_some() {
        return Ok(found);
    }
    let mut calling = ground.call(&pump.identity, &timed("ask", &json!(2), 60, 0), deadline::METHOD);
    let next = match pump.next(deadline::METHOD).await {
        Ok(request) => request,
        Err(observed) => return Ok(Some(broken("METHOD-INV-18", "the next request", observed, &steps))),
    };
    steps.push("it is called again, answers the first call, and then the second".to_owned());
    pump.answer(&late.id, "201", "\"late\"").await?;
    pump.answer(&next.id, "202", "\"in time\"").await?;
    Ok(judged("METHOD-INV-18", &answer::answered("202", b"\"in time\""), &calling.end().await, &steps))
}

/// A callee that leaves in the midst of a call, and returns.
async fn left(ground: &Ground<'_>) -> Found {
    let secs = 5;
    let mut valve = Callee::listen(ground.environment, &module(VALVE)).await?;
    let mut steps = vec![format!("module {VALVE} is called with a response timeout of {secs} s, and disconnects")];
    let calling = ground.call(&valve.identity, &timed("ask", &json!(1), secs, 0), deadline::METHOD);
    let request = match valve.next(deadline::METHOD).await {
        Ok(request) => request,
        Err(observed) => return Ok(Some(broken("METHOD-RCV-01", "a request", observed, &steps))),
    };
    valve.client.disconnect().await;
    steps.push("it connects and subscribes again, and answers".to_owned());
    let mut again = Callee::listen(ground.environment, &module(VALVE)).await?;
    again.answer(&request.id, "200", "\"from elsewhere\"").await?;
    let latest = Duration::from_secs(secs);
    let expected = answer::timed_out(&request.id);
    let found = ends(calling, "METHOD-INV-23", &expected, (Duration::ZERO, latest), &steps).await;
    if found.is_some() {
        return Ok(found);
    }
    let nothing = nothing_else(ground.environment, &ground.https, &mut again).await?;
    let expected = "the old call does not come to the new connection";
    Ok(nothing.err().map(|observed| broken("METHOD-INV-24", expected, observed, &steps)))
}

/// Calls that wait for a callee: in vain, and not in vain.
async fn awaited(ground: &Ground<'_>) -> Found {
    let vain = |target: Identity, secs: u64| async move {
        let steps = [format!("{target} is called with a connect timeout of {secs} s, and does not listen")];
        let calling = ground.call(&target, &timed("ask", &json!(1), 5, secs), deadline::METHOD);
        let expected = answer::not_found(&client_id(ground.environment, &target));
        let time = Duration::from_secs(secs);
        ends(calling, "METHOD-INV-09", &expected, (time, time), &steps).await
    };
    // The leaf device is connected and does not listen.
    let _meter = Callee::connect(ground.environment, &device(METER)).await?;
    let (one, two, three, found) =
        tokio::join!(vain(device(METER), 1), vain(module("nobody"), 1), vain(module("nobody"), 4), in_turn(ground));
    Ok(one.or(two).or(three).or(found?))
}

/// Two calls wait for a callee that comes.
async fn in_turn(ground: &Ground<'_>) -> Found {
    let target = module(FAN);
    let steps = [
        format!("{target} is called twice with a connect timeout of 10 s"),
        "it connects and subscribes, and answers each call as it comes".to_owned(),
    ];
    let mut first = ground.call(&target, &timed("ask", &json!(1), 5, 10), PATIENT);
    let mut second = ground.call(&target, &timed("ask", &json!(2), 5, 10), PATIENT);
    // Nothing tells that a call waits; but when one that was made after them has waited for a second, they do.
    let third = ground.call(&target, &timed("ask", &json!(3), 5, 1), deadline::METHOD);
    let second_long = (Duration::from_secs(1), Duration::from_secs(1));
    let expected = answer::not_found(&client_id(ground.environment, &target));
    if let Some(found) = ends(third, "METHOD-INV-09", &expected, second_long, &steps).await {
        return Ok(Some(found));
    }
    let mut fan = Callee::listen(ground.environment, &target).await?;
    let listens = Instant::now();
    let mut asked = Vec::new();
    for turn in 0..2 {
        let request = match fan.next(deadline::METHOD).await {
            Ok(request) => request,
            Err(observed) => return Ok(Some(broken("METHOD-INV-10", "both calls come", observed, &steps))),
        };
        let after = request.at.saturating_duration_since(listens);
        let (soonest, latest) = BEHIND_SUBSCRIPTION;
        if turn == 0 && !(soonest..=latest).contains(&after) {
            let expected = "the first call comes about 3 s after the subscription";
            return Ok(Some(broken("MQTT-DM-09", expected, format!("after {after:?}"), &steps)));
        }
        asked.push(payload(&request));
        fan.answer(&request.id, "200", request.payload).await?;
    }
    asked.sort_by_key(|payload| payload.as_ref().and_then(Value::as_u64));
    if asked != [Some(json!(1)), Some(json!(2))] {
        let expected = "each of the two calls comes once";
        return Ok(Some(broken("METHOD-INV-10", expected, format!("payloads {asked:?}"), &steps)));
    }
    for (calling, payload) in [(&mut first, "1"), (&mut second, "2")] {
        let expected = answer::answered("200", payload.as_bytes());
        let found = judged("METHOD-INV-10", &expected, &calling.end().await, &steps);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Longer than the connect and response timeouts of a call that waits.
const PATIENT: Deadline = deadline::PATIENT_METHOD;

/// How long the callee of a call without a response timeout takes.
const TAKES_ITS_TIME: Duration = Duration::from_millis(6_500);

/// A call that leaves its time to the hub outlives the least response timeout.
async fn not_too_early(ground: &Ground<'_>) -> Found {
    let target = module(super::ground::CLERK);
    let mut callee = Callee::listen(ground.environment, &target).await?;
    let steps = [format!("{target} is called without a response timeout, and answers after {TAKES_ITS_TIME:?}")];
    let mut calling = ground.call(&target, &body("ask", &json!(1)), PATIENT);
    let request = match callee.next(deadline::METHOD).await {
        Ok(request) => request,
        Err(observed) => return Ok(Some(broken("METHOD-RCV-01", "a request", observed, &steps))),
    };
    // Whether the hub gives up is what is looked at, so there is nothing else to wait for.
    let given_up = tokio::time::timeout(TAKES_ITS_TIME, calling.end()).await;
    let answered = match given_up {
        Ok(answered) => answered,
        Err(_) => {
            callee.answer(&request.id, "200", "1").await?;
            calling.end().await
        }
    };
    Ok(judged("METHOD-INV-12", &answer::answered("200", b"1"), &answered, &steps))
}

/// Names that no topic can hold: the caller is refused, or waits in vain, and the callee does not suffer for it.
async fn unspeakable(ground: &Ground<'_>) -> Found {
    if !ground.environment.transport().is_mqtt() {
        // Elsewhere a name does not stand in a topic, and any can be called.
        return Ok(None);
    }
    let target = module(OPERATOR);
    let mut callee = Callee::listen(ground.environment, &target).await?;
    let steps = [format!("methods \"a#b\" and \"a+b\" of {target} are called with a response timeout of 5 s")];
    let call = |name: &str| ground.call(&target, &timed(name, &json!(1), 5, 0), deadline::METHOD);
    let (mut one, mut other) = (call("a#b"), call("a+b"));
    for answered in [one.end().await, other.end().await] {
        let found = judged("METHOD-RCV-03", &Answer::RefusedBody, &answered, &steps);
        if found.is_some() {
            return Ok(found);
        }
    }
    let nothing = nothing_else(ground.environment, &ground.https, &mut callee).await?;
    let expected = format!("{target} is still connected, and gets its next call");
    Ok(nothing.err().map(|observed| broken("METHOD-RCV-03", expected, observed, &steps)))
}

async fn displaced(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let ground = Ground { environment, https: Arc::new(environment.https()) };
    for target in [module(PUMP), device(METER)] {
        let mut older = Callee::listen(environment, &target).await?;
        let steps = [
            format!("{target} is called three times with a response timeout of 60 s, and does not answer"),
            "it connects and subscribes again, in the place of its first connection".to_owned(),
        ];
        let mut calls = Vec::new();
        for number in 0..3 {
            let calling = ground.call(&target, &timed("ask", &json!(number), 60, 0), deadline::METHOD);
            match older.next(deadline::METHOD).await {
                Ok(request) => calls.push((calling, request)),
                Err(observed) => {
                    return Ok(ended(Some(broken("METHOD-RCV-01", "three requests", observed, &steps))));
                }
            }
        }
        let replaced = Instant::now();
        let mut newer = Callee::listen(environment, &target).await?;
        for (mut calling, request) in calls {
            let answered = calling.end().await;
            let found = judged("METHOD-INV-24", &answer::timed_out(&request.id), &answered, &steps).or_else(|| {
                let took = replaced.elapsed();
                let expected = format!("the calls end within {GRACE:?}");
                (took > GRACE).then(|| broken("METHOD-INV-24", expected, format!("after {took:?}"), &steps))
            });
            if found.is_some() {
                return Ok(ended(found));
            }
        }
        if let Err(observed) = nothing_else(environment, &ground.https, &mut newer).await? {
            let expected = "the old calls do not come to the new connection";
            return Ok(ended(Some(broken("METHOD-INV-24", expected, observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn thirty_seconds(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let ground = Ground { environment, https: Arc::new(environment.https()) };
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let steps = [format!("module {PUMP} is called without a response timeout, and does not answer")];
    let calling = ground.call(&pump.identity, &body("ask", &json!(1)), PATIENT);
    let request = match pump.next(deadline::METHOD).await {
        Ok(request) => request,
        Err(observed) => return Ok(ended(Some(broken("METHOD-RCV-01", "a request", observed, &steps)))),
    };
    let time = Duration::from_secs(30);
    Ok(ended(ends(calling, "METHOD-INV-12", &answer::timed_out(&request.id), (time, time), &steps).await))
}
