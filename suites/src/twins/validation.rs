//! Which patches a hub takes: the limits, at and beyond. Covers TWIN-VAL; what it must say comes from the oracle.

use futures_util::future::join_all;
use harness::outcome::Violation;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::collection::vec;
use serde_json::json;

use super::ground::{self, ALPHA, Actor, BETA, comes_to_have, untouched};
use super::tale::{self, Tale, Told};
use crate::declare::{self, fixed};
use crate::generate::twin::{Payload, payload_at_a_limit};
use crate::oracle::twin::{self, Json, Refusal};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        declare::on(
            ground::blueprint,
            declare::property(
                "twins",
                "twins::validation::a_patch_is_taken_or_refused_by_the_limits",
                &[
                    "TWIN-VAL-01",
                    "TWIN-VAL-02",
                    "TWIN-VAL-03",
                    "TWIN-VAL-04",
                    "TWIN-VAL-05",
                    "TWIN-VAL-06",
                    "TWIN-VAL-07",
                    "TWIN-VAL-09",
                    "TWIN-VAL-10",
                    "TWIN-VAL-12",
                    "TWIN-VAL-13",
                    "TWIN-VAL-15",
                    "MQTT-TWIN-04",
                ],
                10,
                || vec(payload_at_a_limit(), 1..6),
                |stage, payloads| Box::pin(play(stage, payloads)),
            ),
        ),
        fixed(
            "twins",
            "twins::validation::names_are_looked_at_wherever_they_stand",
            &["TWIN-VAL-03"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(named(ground::stage(worker).await?).await) }),
        ),
        fixed(
            "twins",
            "twins::validation::only_the_patch_is_measured_not_what_it_adds_to",
            &["TWIN-VAL-08"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(hoarding(ground::stage(worker).await?).await) }),
        ),
        fixed(
            "twins",
            "twins::validation::a_refused_patch_leaves_no_trace",
            &["TWIN-VAL-11", "TWIN-VAL-14", "TWIN-VAL-15"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(traceless(ground::stage(worker).await?).await) }),
        ),
        fixed(
            "twins",
            "twins::validation::arrays_are_values_and_hold_no_nulls",
            &["TWIN-VAL-09", "TWIN-VAL-10", "MQTT-TWIN-04"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(arrays(ground::stage(worker).await?).await) }),
        ),
        fixed(
            "twins",
            "twins::validation::a_payload_that_is_not_json_is_answered_500",
            &["MQTT-TWIN-05"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(nonsense(ground::stage(worker).await?).await) }),
        ),
    ]
}

async fn play(stage: &mut Stage, payloads: &[Payload]) -> Result<Option<Violation>, StageError> {
    tale::found(judge(stage, payloads).await)
}

/// All patches of a case go out at once, on one connection.
async fn judge(stage: &mut Stage, payloads: &[Payload]) -> Told {
    let mut tale = Tale::about("TWIN-VAL-15");
    let actor = Actor::enter(stage, untouched::MEASURED).await?;
    for payload in payloads {
        tale.step(format!("{} reports {}: {}", untouched::MEASURED, payload.what, ground::shortened(&payload.text)));
    }
    let answers = join_all(payloads.iter().map(|payload| actor.client.report(payload.text.clone()))).await;
    for (payload, answer) in payloads.iter().zip(answers) {
        let answer =
            Actor::answered(&tale, answer, &format!("{} is answered, and the connection stays", payload.what))?;
        tale.saw(untouched::MEASURED, format!("{} is answered {}", payload.what, answer.status));
        let due = twin::reported(payload.text.as_bytes());
        let requirement = requirement(payload, &due);
        let (good, expected) = match due {
            Ok(_) => (answer.status == 204, format!("{} is taken: 204", payload.what)),
            Err(Refusal::Invalid) => (answer.status == 400, format!("{} is refused: 400", payload.what)),
            // The product says 500, IoT Hub 400.
            Err(Refusal::Unreadable) => (answer.status >= 400, format!("{} is refused: 400 or above", payload.what)),
        };
        tale.hold(good, requirement, expected, answer.status.to_string())?;
        tale.hold(answer.body.is_empty(), "TWIN-VAL-12", "the answer is empty", ground::text(&answer.body))?;
    }
    Ok(())
}

/// The requirement a payload is about, by what is special about it.
fn requirement(payload: &Payload, due: &Result<Json, Refusal>) -> &'static str {
    let about = [
        ("the integer", "TWIN-VAL-05"),
        ("no JSON", "TWIN-VAL-13"),
        ("nothing", "TWIN-VAL-13"),
        ("levels", "TWIN-VAL-01"),
        ("a name of", "TWIN-VAL-02"),
        ("a name with", "TWIN-VAL-03"),
        ("a text of", "TWIN-VAL-04"),
        ("the float", "TWIN-VAL-06"),
        ("bytes of compact", "TWIN-VAL-07"),
        ("the value [", "TWIN-VAL-09"),
        ("the value", "TWIN-VAL-10"),
    ];
    match (about.iter().find(|(words, _)| payload.what.contains(words)), due) {
        (Some((_, "TWIN-VAL-01")), Err(Refusal::Unreadable)) => "TWIN-VAL-13",
        (Some((_, requirement)), _) => requirement,
        (None, Ok(document)) if holds(document, &|json| matches!(json, Json::Float(_))) => "TWIN-VAL-06",
        (None, Ok(document)) if holds(document, &|json| matches!(json, Json::Array(_))) => "TWIN-VAL-09",
        (None, _) => "TWIN-VAL-10",
    }
}

/// Whether a document is such a value, or holds one.
fn holds(json: &Json, such: &dyn Fn(&Json) -> bool) -> bool {
    such(json)
        || match json {
            Json::Object(members) => members.iter().any(|(_, value)| holds(value, such)),
            Json::Array(elements) => elements.iter().any(|element| holds(element, such)),
            _ => false,
        }
}

async fn named(stage: &mut Stage) -> Told {
    let below =
        [json!({"a": {"b": {"NAME": 1}}}), json!({"a": [{"NAME": 1}]}), json!({"a": [1, [{"b": {"NAME": 1}}]]})];
    let written = |name: &str| below.iter().map(|patch| patch.to_string().replace("NAME", name)).collect::<Vec<_>>();
    let payloads = ["b.c", "$b", "b c", "bc"].into_iter().flat_map(written);
    let payloads = payloads.map(|text| Payload { what: "a name with or without such a letter".to_owned(), text });
    judge(stage, &payloads.collect::<Vec<_>>()).await
}

async fn hoarding(stage: &mut Stage) -> Told {
    const WHO: ground::Party = untouched::HOARDER;
    let mut tale = Tale::about("TWIN-VAL-08");
    let actor = Actor::enter(stage, WHO).await?;
    for name in ["one", "two", "three"] {
        let parts: serde_json::Map<_, _> =
            (0..5).map(|part| (format!("{name}{part}"), json!("x".repeat(4000)))).collect();
        tale.step(format!("{WHO} reports 20 KB under names that begin with `{name}`"));
        let answer = actor.send(&mut tale, serde_json::Value::Object(parts).to_string()).await?;
        tale.hold(answer.status == 204, "TWIN-VAL-08", "204", answer.status.to_string())?;
    }
    Ok(())
}

/// Offline what was taken can be read back, and then what reached the cloud.
async fn traceless(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-VAL-11");
    let actor = Actor::enter(stage, BETA).await?;
    let (good, bad) = (ground::tick(), ground::tick());
    tale.step(format!("{BETA} reads its twin; the cloud is out of reach"));
    actor.get(&mut tale).await?;
    let outage = ground::cut(&mut tale, stage).await?;
    let told: Told = async {
        actor.report(&mut tale, &json!({"good": good, "o": {"x": 1}})).await?;
        let before = actor.get(&mut tale).await?;
        tale.step(format!("{BETA} reports {{\"good\":{good},\"o\":{{\"x\":1}}}}, and then patches that are refused"));
        let bad = [
            json!({"good": bad, "o": {"x": 2, "bad.name": 1}}).to_string(),
            json!({"good": bad, "o": [null]}).to_string(),
            json!({"good": bad, "i": 1_i64 << 52}).to_string(),
            format!("{{\"good\":{bad},"),
        ];
        for patch in bad {
            let answer = actor.send(&mut tale, patch.clone()).await?;
            tale.hold(answer.status >= 400, "TWIN-VAL-11", format!("{patch} is refused"), answer.status.to_string())?;
        }
        for root in ["[]", "1", "\"x\"", "null", "true"] {
            let answer = actor.send(&mut tale, root).await?;
            let known = matches!(answer.status, 204 | 400);
            tale.hold(known, "TWIN-VAL-14", format!("{root} is answered 204 or 400"), answer.status.to_string())?;
        }
        let after = actor.get(&mut tale).await?;
        let same = after.same(&before);
        let requirement = if twin::member(&after.reported, "o").is_some() { "TWIN-VAL-11" } else { "TWIN-VAL-14" };
        tale.hold(same, requirement, format!("nothing has changed: {before}"), after.to_string())
    }
    .await;
    ground::mend(&mut tale, stage, outage).await?;
    told?;
    tale.step(format!("the cloud is within reach; {BETA} reports {{\"last\":{bad}}}"));
    actor.report(&mut tale, &json!({ "last": bad })).await?;
    let kept = json!({ "good": good, "o": {"x": 1}, "i": null, "last": bad });
    comes_to_have(&mut tale, stage, BETA, "TWIN-VAL-11", &kept).await
}

async fn arrays(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-VAL-09");
    let actor = Actor::enter(stage, untouched::MEASURED).await?;
    let rows = [
        (204, "TWIN-VAL-09", r#"{"v":[]}"#),
        (204, "TWIN-VAL-09", r#"{"v":[1,"a",[true,{}]]}"#),
        (204, "TWIN-VAL-09", r#"{"v":[{"x":1}]}"#),
        (204, "TWIN-VAL-10", r#"{"v":null}"#),
        (204, "TWIN-VAL-10", r#"{"o":{"v":null,"p":{"v":null}}}"#),
        (400, "TWIN-VAL-09", r#"{"v":[null]}"#),
        (400, "TWIN-VAL-09", r#"{"v":[1,[2,null]]}"#),
        (400, "TWIN-VAL-09", r#"{"v":[{"x":null}]}"#),
        (400, "TWIN-VAL-09", r#"{"o":{"v":[{"y":{"x":null}}]}}"#),
    ];
    for (status, requirement, patch) in rows {
        tale.step(format!("{} reports {patch}", untouched::MEASURED));
        let answer = actor.send(&mut tale, patch).await?;
        tale.hold(answer.status == status, requirement, status.to_string(), answer.status.to_string())?;
    }
    Ok(())
}

async fn nonsense(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("MQTT-TWIN-05");
    let actor = Actor::enter(stage, ALPHA).await?;
    for payload in ["nonsense", "{", "{\"a\":1} x"] {
        tale.step(format!("{ALPHA} reports {payload}"));
        let answer = actor.send(&mut tale, payload).await?;
        tale.hold(answer.status == 500, "MQTT-TWIN-05", "500", answer.status.to_string())?;
    }
    Ok(())
}
