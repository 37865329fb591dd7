//! A twin is its client's, whatever that speaks. Covers CROSS-TWIN.

use harness::deadline;
use harness::runner::Test;
use harness::stage::Stage;
use harness::transport::Transport;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{POLYGLOT, blueprint};
use crate::declare;
use crate::oracle::twin::{self, Json, merge};
use crate::twins::ground::{self, Actor, Party, cloud, desire, document, reported_in_cloud, shown};
use crate::twins::tale::{self, Tale, Told};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![declare::on(
        blueprint,
        declare::property(
            "cross_protocol",
            "cross_protocol::twins::what_is_done_over_one_protocol_is_seen_over_another",
            &["CROSS-TWIN-01", "CROSS-TWIN-02"],
            1,
            deeds,
            |stage, deeds| Box::pin(async move { tale::found(play(stage, deeds).await) }),
        ),
    )]
}

const PARTY: Party = Party { device: "gw7", module: Some(POLYGLOT) };

/// What is done on one connection.
#[derive(Debug, Clone)]
enum Deed {
    /// The module reports this.
    Report(Value),
    /// The module listens, and the cloud desires this.
    Desire(Value),
}

fn deeds() -> impl Strategy<Value = Vec<(Transport, Deed)>> {
    // What nulls do is the business of other tests.
    let value = prop_oneof![
        (0..1_000_i64).prop_map(Value::from),
        select(vec!["", "on", "grün", "日本😀", "\"<\\>\""]).prop_map(Value::from),
        Just(json!({ "x": [1, 2.5, true] })),
    ];
    let patch = vec((select(vec!["a", "b", "ü"]), value), 1..3)
        .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let deed = prop_oneof![3 => patch.clone().prop_map(Deed::Report), 2 => patch.prop_map(Deed::Desire)];
    vec((select(Transport::ALL.to_vec()), deed), 1..=5)
}

async fn play(stage: &mut Stage, deeds: &[(Transport, Deed)]) -> Told {
    let mut tale = Tale::about("CROSS-TWIN-01");
    let reader = Actor::enter(stage, PARTY).await?;
    let known = reader.get(&mut tale).await?;
    reader.client.disconnect().await;
    let mut reported = twin::without(&known.reported, "$version");
    let mut desired = known.desired;
    for (transport, deed) in deeds {
        let mut actor = Actor::enter_over(stage, PARTY, *transport).await?;
        match deed {
            Deed::Report(patch) => {
                tale.step(format!("module {POLYGLOT} connects over {transport}, reports {patch}, and disconnects"));
                actor.report(&mut tale, patch).await?;
                reported = merge::merge(&reported, &document(patch), merge::Nulls::Delete);
            }
            Deed::Desire(patch) => {
                tale.step(format!(
                    "module {POLYGLOT} connects over {transport} and listens, the cloud desires {patch}, and it disconnects"
                ));
                actor.listen_as("CROSS-TWIN-02", &mut tale, stage).await?;
                let version = desire(&mut tale, stage, PARTY, patch).await?;
                let heard = actor.heard(&mut tale, "CROSS-TWIN-02", "the change is heard of").await?;
                let right = heard.version == Some(version)
                    && patch.as_object().into_iter().flatten().all(|(name, value)| heard.json()[name] == *value);
                let expected = format!("version {version} with {patch}");
                tale.hold(right, "CROSS-TWIN-02", expected, ground::text(&heard.body))?;
                desired = cloud(stage.environment().iot_hub(), PARTY).await?.desired;
            }
        }
        actor.client.disconnect().await;
    }
    // While a report is under way to the cloud, a read may be answered with what the cloud had before.
    let arrived = |now: &Json| twin::same(&reported, &twin::without(now, "$version"));
    let in_cloud = reported_in_cloud(stage, PARTY, deadline::REPORTED, arrived).await?;
    let observed = in_cloud.as_ref().map_or_else(shown, shown);
    tale.hold(in_cloud.is_ok(), "CROSS-TWIN-01", format!("the cloud comes to have {}", shown(&reported)), observed)?;
    for transport in Transport::ALL {
        tale.step(format!("it reads its twin over {transport}"));
        let actor = Actor::enter_over(stage, PARTY, transport).await?;
        let got = actor.get(&mut tale).await?;
        actor.client.disconnect().await;
        same(&tale, "CROSS-TWIN-01", "reported", &reported, &twin::without(&got.reported, "$version"))?;
        same(&tale, "CROSS-TWIN-02", "desired", &desired, &got.desired)?;
    }
    Ok(())
}

fn same(tale: &Tale, requirement: &str, what: &str, wanted: &Json, got: &Json) -> Told {
    tale.hold(twin::same(wanted, got), requirement, format!("{what} is {}", shown(wanted)), shown(got))
}
