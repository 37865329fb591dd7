//! An ordeal under way: takes the steps, and has the model judge what is seen.

use std::time::{Duration, Instant};

use harness::client::iot_hub::Concerns;
use harness::client::mqtt::twin::DesiredPatch;
use harness::deadline::{self, Deadline};
use harness::stage::Stage;
use serde_json::{Value, json};

use super::super::ground::{
    self, Actor, Going, Party, Twin, cloud, desire, document, is_between, reported_in_cloud, shown,
};
use super::super::tale::{Tale, Told};
use super::model::{Broken, Own};
use super::step::{self, END, PARTIES, Step};
use crate::oracle::twin;

/// How late a slow cloud answers.
const LATE: Duration = Duration::from_millis(150);
/// How long after a change a client that is known to hear of changes may wait for the first before another is made.
const PATIENCE: Duration = Duration::from_millis(20);

/// An ordeal on a stage.
pub struct Trial<'s> {
    stage: &'s mut Stage,
    tale: Tale,
    members: Vec<Member>,
    /// The outage, while there is one.
    cut: Option<u64>,
    /// What makes the cloud slow, while something does.
    slow: Option<u64>,
    /// The first call of the cloud's record that belongs to this ordeal.
    from: u64,
    /// Whether anything has happened to link or hub.
    mishap: bool,
}

struct Member {
    party: Party,
    own: Own,
    actor: Option<Actor>,
    /// Patches of it that were taken.
    patches: u64,
    /// Whether it is subscribed to desired patches.
    subscribed: bool,
    /// Whether the subscription is known to have reached the cloud.
    attentive: bool,
    /// Whether the hub is known to reach the cloud for it.
    reaches: bool,
}

impl<'s> Trial<'s> {
    /// Everybody connects and reads, and all twins become the same as at the beginning of every ordeal: one that fails
    /// shall need nothing that was there before.
    pub async fn begin(stage: &'s mut Stage) -> Told<Trial<'s>> {
        let from = stage.environment().iot_hub().next_call().await?;
        let mut trial =
            Trial { stage, tale: beginning(), members: Vec::new(), cut: None, slow: None, from, mishap: false };
        for party in PARTIES {
            let there = cloud(trial.stage.environment().iot_hub(), party).await?;
            let own = Own::settled(&there);
            let actor = Some(Actor::enter(trial.stage, party).await?);
            trial.members.push(Member {
                party,
                own,
                actor,
                patches: 0,
                subscribed: false,
                attentive: false,
                reaches: false,
            });
        }
        for who in 0..PARTIES.len() {
            trial.read(who).await?;
            trial.reset(who).await?;
        }
        trial.settle_all().await?;
        trial.tale = beginning();
        let (desired, reported) = (step::desired(), step::reported());
        trial.tale.saw(
            "harness",
            format!("each twin has the desired properties {desired}, and the client reported {reported}"),
        );
        Ok(trial)
    }

    async fn reset(&mut self, who: usize) -> Told {
        let Party { device, module } = self.members[who].party;
        let iot_hub = self.stage.environment().iot_hub();
        iot_hub.replace_desired(device, module, step::desired()).await?;
        let there = cloud(iot_hub, self.members[who].party).await?;
        self.members[who].own.desired(&there.desired);
        // Reporting costs the second that the hub waits between two updates, so it is done where it is needed.
        let reported = document(&step::reported());
        let known = twin::without(&twin::without(&there.reported, "$version"), "t");
        if twin::same(&known, &reported) { Ok(()) } else { self.report(who, &step::reported()).await }
    }

    /// Takes one step, and looks whether anybody heard what he must not.
    pub async fn take(&mut self, step: &Step) -> Told {
        self.tale.step(step.to_string());
        match step {
            Step::Report { by, patch } => self.report(*by, patch).await?,
            Step::Read { by } => drop(self.read(*by).await?),
            Step::Settle => self.settle_all().await?,
            Step::Desire { of, patch } => self.desire(*of, patch).await?,
            Step::Subscribe { by } => self.subscribe(*by).await?,
            Step::Unsubscribe { by } => self.unsubscribe(*by).await?,
            Step::Leave { by } => self.leave(*by),
            Step::Return { by } => self.enter(*by).await?,
            Step::Cut => self.cut().await?,
            Step::Mend => self.mend().await?,
            Step::Slow => self.slow().await?,
            Step::Befall(going) => self.befall(*going).await?,
            Step::Race { by, patch, going } => self.race(*by, patch, *going).await?,
        }
        self.silence()
    }

    /// Restores everything, and looks whether everybody agrees.
    pub async fn end(mut self) -> Told {
        self.tale.step(END);
        self.mend().await?;
        for who in 0..PARTIES.len() {
            if self.members[who].actor.is_none() {
                self.enter(who).await?;
            }
        }
        self.settle_all().await?;
        for who in 0..PARTIES.len() {
            if self.members[who].subscribed {
                self.attend(who).await?;
            }
        }
        self.silence()?;
        self.no_more_calls_than_patches().await
    }

    /// Whoever is there comes to agree with the cloud, if that is there.
    async fn settle_all(&mut self) -> Told {
        for who in 0..self.members.len() {
            if self.cut.is_none() && self.members[who].actor.is_some() {
                self.settle(who).await?;
            }
        }
        for who in 0..self.members.len() {
            if let Some(read) = self.read(who).await? {
                self.members[who].own.settles(&read);
            }
        }
        Ok(())
    }

    /// What a client reported goes up, by itself or, where the hub may wait for it, with another patch.
    async fn settle(&mut self, who: usize) -> Told {
        if self.members[who].own.waits {
            self.report(who, &json!({ "t": ground::tick() })).await?;
        }
        let Member { party, own, .. } = &self.members[who];
        let reached = reported_in_cloud(self.stage, *party, deadline::REPORTED, |now| own.is_folded(now)).await?;
        if let Err(there) = reached {
            self.tale.saw("iot_hub", format!("reported of {party} is {}", shown(&there)));
            let expected = format!("the cloud comes to what {party} reported: {}", shown(own.folded()));
            return Err(self.tale.broken("TWIN-RPT-05", expected, shown(&there)));
        }
        Ok(())
    }

    async fn report(&mut self, by: usize, patch: &Value) -> Told {
        let reaches = self.cut.is_none() && self.members[by].reaches;
        let member = &mut self.members[by];
        let Some(actor) = &member.actor else { return Ok(()) };
        actor.report(&mut self.tale, patch).await?;
        member.own.took(&document(patch));
        member.patches += 1;
        member.own.waits |= !reaches;
        Ok(())
    }

    /// The twin, when the cloud was read.
    async fn read(&mut self, by: usize) -> Told<Option<Twin>> {
        let Some(actor) = &self.members[by].actor else { return Ok(None) };
        if self.cut.is_some() {
            let got = actor.get(&mut self.tale).await?;
            let judged = self.members[by].own.read_stored(&got);
            return judged.map(|()| None).map_err(|broken| self.broken(broken, &got));
        }
        let began = Instant::now();
        loop {
            let Some(actor) = &self.members[by].actor else { return Ok(None) };
            let iot_hub = self.stage.environment().iot_hub();
            let before = cloud(iot_hub, actor.party).await?;
            let got = actor.get(&mut self.tale).await?;
            let after = cloud(iot_hub, actor.party).await?;
            let member = &mut self.members[by];
            if is_between(&got, &before, &after) {
                member.own.read_cloud(&got);
                member.reaches = true;
                return Ok(Some(got));
            }
            let late = began.elapsed() > deadline::REPORTED.limit;
            if member.reaches || late {
                let expected = format!("the twin as the cloud has it: {after}");
                return Err(self.tale.broken("TWIN-GET-05", expected, got.to_string()));
            }
            // The hub need not have noticed yet that the cloud is there.
            member.own.read_stored(&got).map_err(|broken| self.broken(broken, &got))?;
            tokio::time::sleep(PATIENCE).await;
        }
    }

    fn broken(&self, (requirement, expected): Broken, got: &Twin) -> super::super::tale::End {
        self.tale.broken(requirement, expected, got.to_string())
    }

    /// The cloud desires something; whoever is known to hear of it must.
    async fn desire(&mut self, of: usize, patch: &Value) -> Told {
        let version = self.change(of, patch).await?;
        if self.members[of].attentive && self.cut.is_none() {
            let began = Instant::now();
            while self.members[of].own.heard() < version {
                let left = deadline::TWIN.limit.saturating_sub(began.elapsed());
                self.hear(of, Deadline { limit: left, ..deadline::TWIN }, Some(version)).await?;
            }
        }
        Ok(())
    }

    async fn change(&mut self, of: usize, patch: &Value) -> Told<u64> {
        let party = self.members[of].party;
        let version = desire(&mut self.tale, self.stage, party, patch).await?;
        let there = cloud(self.stage.environment().iot_hub(), party).await?;
        self.members[of].own.desired(&there.desired);
        Ok(version)
    }

    /// Waits for a desired patch and has it judged; when one is due, it must come. Whether one came.
    async fn hear(&mut self, who: usize, deadline: Deadline, due: Option<u64>) -> Told<bool> {
        let member = &mut self.members[who];
        let Some(actor) = &mut member.actor else { return Ok(false) };
        match (actor.client.next_desired(deadline).await, due) {
            (Ok(heard), _) => self.judge(who, &heard).map(|()| true),
            (Err(_), None) => Ok(false),
            (Err(expired), Some(version)) => {
                let expected = format!("{}, which hears of changes, hears of version {version}", member.party);
                Err(self.tale.broken("TWIN-DES-01", expected, expired.to_string()))
            }
        }
    }

    fn judge(&mut self, who: usize, heard: &DesiredPatch) -> Told {
        let member = &mut self.members[who];
        member.actor.iter().for_each(|actor| actor.note(&mut self.tale, heard));
        let patch = twin::read(&heard.body).unwrap_or_else(twin::empty);
        let judged = member.own.hears(heard.version, &patch);
        judged.map_err(|(requirement, expected)| {
            let observed = format!("{}: {}", heard.topic, ground::text(&heard.body));
            self.tale.broken(requirement, expected, observed)
        })
    }

    /// Has the cloud change something until a subscribed client hears of it.
    async fn attend(&mut self, who: usize) -> Told {
        let began = Instant::now();
        let mut patience = Deadline { limit: PATIENCE, ..deadline::TWIN };
        while began.elapsed() < deadline::TWIN.limit {
            let version = self.change(who, &json!({ "tick": ground::tick() })).await?;
            while self.members[who].own.heard() < version && self.hear(who, patience, None).await? {}
            if self.members[who].own.heard() >= version {
                self.members[who].attentive = true;
                return Ok(());
            }
            patience.limit = (patience.limit * 2).min(Duration::from_secs(1));
        }
        let expected = format!("{}, which is subscribed, hears of changes", self.members[who].party);
        Err(self.tale.broken("TWIN-DES-01", expected, "none of several was notified"))
    }

    async fn subscribe(&mut self, by: usize) -> Told {
        let member = &mut self.members[by];
        let Some(actor) = &member.actor else { return Ok(()) };
        actor.subscribe(&mut self.tale).await?;
        if member.subscribed {
            return Ok(());
        }
        member.subscribed = true;
        // A change before this one may have been missed, and is made up for by the hub's own reading.
        member.own.disturbed();
        self.hearken(by).await
    }

    /// As soon as the cloud is there: hears of a change, and then reads, for what came before.
    async fn hearken(&mut self, by: usize) -> Told {
        if self.cut.is_some() || !self.members[by].subscribed || self.members[by].actor.is_none() {
            return Ok(());
        }
        self.attend(by).await?;
        self.read(by).await.map(drop)
    }

    async fn unsubscribe(&mut self, by: usize) -> Told {
        let member = &mut self.members[by];
        let Some(actor) = &member.actor else { return Ok(()) };
        actor.client.unsubscribe().await.map_err(|why| self.tale.unanswered("UNSUBSCRIBE is answered", &why))?;
        self.tale.saw(member.party, "unsubscribed from desired patches");
        // What was on its way before UNSUBACK.
        self.hear_what_came(by)?;
        (self.members[by].subscribed, self.members[by].attentive) = (false, false);
        Ok(())
    }

    fn hear_what_came(&mut self, by: usize) -> Told {
        let came = self.members[by].actor.as_mut().map(|actor| actor.client.desired_so_far());
        came.unwrap_or_default().iter().try_for_each(|heard| self.judge(by, heard))
    }

    /// Whoever is not subscribed has heard nothing, and others only what they may.
    fn silence(&mut self) -> Told {
        for who in 0..self.members.len() {
            let member = &mut self.members[who];
            if member.subscribed {
                self.hear_what_came(who)?;
            } else if let Some(actor) = &mut member.actor {
                let expected = format!("{}, which is not subscribed, hears of nothing", member.party);
                actor.nothing_heard(&mut self.tale, "TWIN-DES-04", &expected)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, by: usize) {
        let member = &mut self.members[by];
        member.actor = None;
        (member.subscribed, member.attentive) = (false, false);
        member.own.waits |= member.own.taken > 0;
        self.tale.saw(PARTIES[by], "broke its connection");
    }

    async fn enter(&mut self, by: usize) -> Told {
        self.leave(by);
        let actor = Actor::enter(self.stage, PARTIES[by]).await?;
        let member = &mut self.members[by];
        member.actor = Some(actor);
        member.reaches = false;
        member.own.connected();
        self.tale.saw(PARTIES[by], "connected");
        Ok(())
    }

    async fn cut(&mut self) -> Told {
        if self.cut.is_none() {
            self.cut = Some(ground::cut(&mut self.tale, self.stage).await?);
            self.mishap = true;
            for member in &mut self.members {
                (member.reaches, member.attentive) = (false, false);
                member.own.waits |= member.own.taken > 0;
            }
        }
        Ok(())
    }

    async fn mend(&mut self) -> Told {
        if let Some(slow) = self.slow.take() {
            ground::mend(&mut self.tale, self.stage, slow).await?;
        }
        let Some(cut) = self.cut.take() else { return Ok(()) };
        ground::mend(&mut self.tale, self.stage, cut).await?;
        for who in 0..self.members.len() {
            self.members[who].own.disturbed();
            self.read(who).await?;
            self.hearken(who).await?;
        }
        Ok(())
    }

    async fn slow(&mut self) -> Told {
        if self.slow.is_none() {
            let iot_hub = self.stage.environment().iot_hub();
            self.slow = Some(iot_hub.impose("delay", Concerns::Everyone, LATE).await?);
            self.tale.saw("harness", "the cloud answers late");
        }
        Ok(())
    }

    async fn befall(&mut self, going: Going) -> Told {
        let present: Vec<(usize, bool)> = (0..self.members.len())
            .filter(|who| self.members[*who].actor.is_some())
            .map(|who| (who, self.members[who].subscribed))
            .collect();
        for who in 0..self.members.len() {
            self.hear_what_came(who)?;
            self.leave(who);
        }
        self.mishap = true;
        ground::restart(self.stage, going).await?;
        self.tale.saw("harness", going.to_string());
        for (who, subscribed) in present {
            self.enter(who).await?;
            if subscribed {
                self.subscribe(who).await?;
            }
        }
        // A start is the end of an outage to the hub, if the cloud is there.
        if self.cut.is_none() {
            self.members.iter_mut().for_each(|member| member.own.disturbed());
        }
        Ok(())
    }

    /// The patch may have been taken: reported once more, it has been.
    async fn race(&mut self, by: usize, patch: &Value, going: Going) -> Told {
        if let Some(actor) = &self.members[by].actor {
            drop(actor.client.report_in_passing(patch.to_string()).await);
            self.members[by].own.disturbed();
        }
        self.befall(going).await?;
        self.report(by, patch).await
    }

    /// With nothing in the way, each patch goes up once at most. One update may be of an ordeal before.
    async fn no_more_calls_than_patches(&self) -> Told {
        if self.mishap {
            return Ok(());
        }
        let calls = self.stage.environment().iot_hub().calls(self.from).await?;
        for member in &self.members {
            let id = member.party.client_id();
            let own =
                calls.iter().filter(|call| call["call"] == "reported" && call["client_id"] == id.as_str()).count();
            let expected = format!("at most {} updates of {} reach the cloud", member.patches + 1, member.party);
            self.tale.hold(own as u64 <= member.patches + 1, "TWIN-RPT-06", expected, format!("{own} did"))?;
        }
        Ok(())
    }
}

fn beginning() -> Tale {
    Tale::about("TWIN-RPT-05").with_reads("TWIN-GET-08")
}
