//! Everybody has a twin of his own: the edge device, its modules, the devices below. Covers TWIN-ISO and TWIN-RPT-15.

use harness::client::https::{CALLER, HttpsRequest};
use harness::deadline;
use harness::runner::{Test, Worker};
use harness::stage::Stage;
use serde_json::json;

use super::ground::{
    self, ALPHA, Actor, BETA, GATEWAY, LEAF, Party, Twin, cloud, comes_to_have, desire, nothing_pending,
};
use super::tale::{self, Tale, Told};
use crate::declare::fixed;
use crate::oracle::twin;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "twins",
            "twins::isolation::no_request_over_https_reads_or_changes_a_twin",
            &["TWIN-ISO-03"],
            |worker: &mut Worker| {
                Box::pin(async move { tale::outcome(over_https(ground::stage(worker).await?).await) })
            },
        ),
        fixed(
            "twins",
            "twins::isolation::everybody_has_a_twin_of_his_own",
            &["TWIN-ISO-01", "TWIN-RPT-15"],
            |worker: &mut Worker| Box::pin(async move { tale::outcome(apart(ground::stage(worker).await?).await) }),
        ),
    ]
}

const ALL: [Party; 4] = [ALPHA, BETA, LEAF, GATEWAY];

async fn apart(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-ISO-01");
    let mut actors = Vec::new();
    for party in ALL {
        let mut actor = Actor::enter(stage, party).await?;
        actor.listen(&mut tale, stage).await?;
        actors.push(actor);
    }
    tale.step("two modules, a leaf device and the edge device subscribe to desired patches and read their twins");
    for who in 0..ALL.len() {
        let mut before = Vec::new();
        for actor in &actors {
            before.push(actor.get(&mut tale).await?);
        }
        let (party, mark) = (ALL[who], ground::tick());
        tale.step(format!("{party} reports {{\"own\":{mark}}}, and the cloud desires {{\"own\":{mark}}} of it"));
        actors[who].report(&mut tale, &json!({ "own": mark })).await?;
        comes_to_have(&mut tale, stage, party, "TWIN-ISO-01", &json!({ "own": mark })).await?;
        desire(&mut tale, stage, party, &json!({ "own": mark })).await?;
        let heard = actors[who].heard(&mut tale, "TWIN-ISO-01", "the change is heard of").await?;
        tale.hold(heard.json()["own"] == mark, "TWIN-ISO-01", format!("`own` {mark}"), ground::text(&heard.body))?;
        for (number, actor) in actors.iter_mut().enumerate().filter(|(number, _)| *number != who) {
            let got = actor.get(&mut tale).await?;
            let in_cloud = cloud(stage.environment().iot_hub(), actor.party).await?;
            unchanged(&tale, actor.party, &before[number], &got)?;
            unchanged(&tale, actor.party, &before[number], &in_cloud)?;
            actor.nothing_heard(&mut tale, "TWIN-ISO-01", "nobody else hears of it")?;
        }
    }
    tale.step("everybody reads; the cloud is out of reach, and everybody reads");
    let mut known = Vec::new();
    for actor in &actors {
        known.push(actor.get(&mut tale).await?);
    }
    let outage = ground::cut(&mut tale, stage).await?;
    let told = alone(&mut tale, &actors, &known).await;
    ground::mend(&mut tale, stage, outage).await?;
    told?;
    for actor in &actors {
        nothing_pending(&mut tale, stage, actor).await?;
    }
    Ok(())
}

/// The paths and verbs of twins as IoT Hub has them, and some that would suit.
async fn over_https(stage: &mut Stage) -> Told {
    let mut tale = Tale::about("TWIN-ISO-03");
    let mark = ground::tick();
    desire(&mut tale, stage, ALPHA, &json!({ "secret": mark })).await?;
    let actor = Actor::enter(stage, ALPHA).await?;
    let before = actor.get(&mut tale).await?;
    let (environment, owner) = (stage.environment(), ALPHA.identity());
    let https = environment.https();
    let paths = [
        "/twins/gw7/modules/alpha",
        "/twins/gw7/modules/alpha/properties/desired",
        "/twins/gw7",
        "/twins/leaf1",
        "/devices/gw7/modules/alpha/twin",
        "/devices/leaf1/twin",
        "/modules/alpha/twin",
        "/twin",
    ];
    let patch = json!({ "properties": { "desired": { "secret": 0 }, "reported": { "secret": 0 } } }).to_string();
    for path in paths {
        for verb in ["GET", "PUT", "PATCH", "POST", "DELETE"] {
            let request = HttpsRequest::new(verb, format!("{path}?api-version=2021-04-12"));
            let request = request.token(environment.token(&owner)).header(CALLER, ALPHA.client_id());
            let request = if verb == "GET" { request } else { request.json(patch.clone()) };
            tale.step(format!("{ALPHA} asks over HTTPS: {request}"));
            let answer = https.send(&request, deadline::CONNECT).await;
            let answer = answer.map_err(|why| tale.broken("TWIN-ISO-03", "an answer that refuses", why.to_string()))?;
            tale.saw(ALPHA, format!("{request} is answered {}", answer.status));
            tale.hold(answer.status >= 400, "TWIN-ISO-03", "it is refused", answer.status.to_string())?;
        }
    }
    let after = actor.get(&mut tale).await?;
    tale.hold(after.same(&before), "TWIN-ISO-03", format!("the twin as it was: {before}"), after.to_string())
}

/// What is stored of somebody, and what waits for the cloud, is his alone.
async fn alone(tale: &mut Tale, actors: &[Actor], known: &[Twin]) -> Told {
    for (actor, known) in actors.iter().zip(known) {
        let got = actor.get(tale).await?;
        unchanged(tale, actor.party, known, &got)?;
    }
    for (who, actor) in actors.iter().enumerate() {
        tale.step(format!("{} reports", actor.party));
        actor.report(tale, &json!({ "apart": ground::tick() })).await?;
        for (other, known) in actors.iter().zip(known).skip(who + 1) {
            let got = other.get(tale).await?;
            unchanged(tale, other.party, known, &got)?;
        }
    }
    Ok(())
}

fn unchanged(tale: &Tale, party: Party, before: &Twin, now: &Twin) -> Told {
    let desired = twin::same(&before.desired, &now.desired);
    let reported = twin::same(&before.reported, &now.reported);
    let requirement = if desired { "TWIN-RPT-15" } else { "TWIN-ISO-01" };
    tale.hold(desired && reported, requirement, format!("the twin of {party} is as it was: {before}"), now.to_string())
}
