//! Everybody has a twin of his own: the edge device, its modules, the devices below. Covers TWIN-ISO and TWIN-RPT-15.

use harness::runner::{Test, Worker};
use harness::stage::Stage;
use serde_json::json;

use super::ground::{self, ALPHA, Actor, BETA, GATEWAY, LEAF, Party, Twin, cloud, comes_to_have, desire};
use super::tale::{self, Tale, Told};
use crate::declare::fixed;
use crate::oracle::twin;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed(
        "twins",
        "twins::isolation::everybody_has_a_twin_of_his_own",
        &["TWIN-ISO-01", "TWIN-RPT-15"],
        |worker: &mut Worker| Box::pin(async move { tale::outcome(apart(ground::stage(worker).await?).await) }),
    )]
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
    told
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
