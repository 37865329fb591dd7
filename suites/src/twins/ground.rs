//! What the tests of twins stand on: clients that no stage connects, a hub with short times, and the cloud's side.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::client::hub_client::twin::{Answer, DesiredPatch, TwinClient};
use harness::client::hub_client::{self, HubClient};
use harness::client::iot_hub::{Concerns, Condition, IotHub, Kind};
use harness::client::mqtt::Unanswered;
use harness::deadline::{self, Deadline};
use harness::environment::{Blueprint, Credential};
use harness::observe::history::Identity;
use harness::runner::Worker;
use harness::stage::{CANARY, MARKER, Stage, StageError};
use harness::transport::Transport;
use serde_json::{Value, json};

use super::tale::{Tale, Told};
use crate::oracle::twin::{self, Json};

/// Somebody with a twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Its device.
    pub device: &'static str,
    /// Its module, if it is one.
    pub module: Option<&'static str>,
}

/// The edge device.
const EDGE: &str = "gw7";
/// The module most cases are about.
pub const ALPHA: Party = Party { device: EDGE, module: Some("alpha") };
/// Another one.
pub const BETA: Party = Party { device: EDGE, module: Some("beta") };
/// A device downstream.
pub const LEAF: Party = Party { device: "leaf1", module: None };
/// The edge device itself.
pub const GATEWAY: Party = Party { device: EDGE, module: None };

/// Modules and devices whose twin nobody has touched before the one test that is named.
pub mod untouched {
    use super::{EDGE, Party};

    /// Reads while the cloud is away.
    pub const READER: Party = Party { device: EDGE, module: Some("reader") };
    /// Reports while the cloud is away.
    pub const REPORTER: Party = Party { device: EDGE, module: Some("reporter") };
    /// Listens, and never reads.
    pub const LISTENER: Party = Party { device: EDGE, module: Some("listener") };
    /// Reports little, and every update of it is counted.
    pub const FRUGAL: Party = Party { device: EDGE, module: Some("frugal") };
    /// Reports what is at the limits of the hub, and beyond some of the cloud's.
    pub const MEASURED: Party = Party { device: EDGE, module: Some("measured") };
    /// Reports more than the cloud takes.
    pub const HOARDER: Party = Party { device: EDGE, module: Some("hoarder") };
    /// Is deleted and made again.
    pub const REBORN: Party = Party { device: "leaf2", module: None };
}

impl Party {
    /// As the harness names clients.
    pub fn identity(self) -> Identity {
        match self.module {
            Some(module) => Identity::Module(module.to_owned()),
            None => Identity::LeafDevice(self.device.to_owned()),
        }
    }

    /// As the cloud's conditions name clients.
    pub fn concerned(self) -> Concerns<'static> {
        Concerns::Identity(self.device, self.module)
    }

    /// As the cloud's record of calls names clients.
    pub fn client_id(self) -> String {
        match self.module {
            Some(module) => format!("{}/{module}", self.device),
            None => self.device.to_owned(),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity().fmt(f)
    }
}

/// Twins of guests only, and a hub that sends reported properties every second, reads twins again after two, and gives
/// the cloud three.
pub fn blueprint() -> Blueprint {
    let mut blueprint = Blueprint::new(EDGE, &["sink"], &[], &[("sink", "i0")]);
    let settings = [
        ("MinTwinSyncPeriodSecs", "2"),
        ("ReportedPropertiesSyncFrequencySecs", "1"),
        ("CloudOperationTimeoutSecs", "3"),
        ("ConnectivityCheckFrequencySecs", "2"),
    ];
    blueprint.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let parties = [
        ALPHA,
        BETA,
        LEAF,
        untouched::READER,
        untouched::REPORTER,
        untouched::LISTENER,
        untouched::FRUGAL,
        untouched::MEASURED,
        untouched::HOARDER,
        untouched::REBORN,
    ];
    blueprint.guests = parties.map(|party| (party.identity(), Credential::Keys)).to_vec();
    blueprint
}

/// The worker's stage with this blueprint.
///
/// # Errors
/// [`StageError`] when it cannot be had.
pub async fn stage(worker: &mut Worker) -> Result<&mut Stage, StageError> {
    worker.set_stage(blueprint());
    worker.stage().await
}

/// A fresh stage: a hub that has never heard of anybody.
///
/// # Errors
/// [`StageError`] when it cannot be had.
pub async fn fresh_stage(worker: &mut Worker) -> Result<&mut Stage, StageError> {
    worker.set_stage(blueprint());
    worker.discard_stage().await;
    worker.stage().await
}

/// How a hub goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// SIGTERM.
    Stopped,
    /// SIGKILL.
    Killed,
}

impl fmt::Display for Going {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Going::Stopped => "the hub is stopped and started again",
            Going::Killed => "the hub is killed and started again",
        })
    }
}

/// Ends the hub and starts it again; clients of the stage connect, others have to see for themselves.
///
/// # Errors
/// [`StageError`] when it is not ready.
pub async fn restart(stage: &mut Stage, going: Going) -> Result<(), StageError> {
    match going {
        Going::Stopped => stage.environment_mut().stop_hub().await,
        Going::Killed => stage.environment_mut().kill_hub().await,
    }
    stage.environment_mut().start_hub().await?;
    stage.environment_mut().ready().await?;
    for module in [MARKER, CANARY, "sink"] {
        stage.connect(Identity::Module(module.to_owned())).await?;
    }
    Ok(())
}

/// A twin as somebody sees it, versions included.
#[derive(Debug, Clone)]
pub struct Twin {
    /// Desired properties.
    pub desired: Json,
    /// Reported properties.
    pub reported: Json,
}

impl Twin {
    /// Whether both sections are the same.
    pub fn same(&self, other: &Twin) -> bool {
        twin::same(&self.desired, &other.desired) && twin::same(&self.reported, &other.reported)
    }
}

impl fmt::Display for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "desired {}, reported {}", shown(&self.desired), shown(&self.reported))
    }
}

/// A document for a reader; of a long one the beginning.
pub fn shown(json: &Json) -> String {
    shortened(&twin::written(json))
}

/// A text for a reader; of a long one the beginning.
pub fn shortened(text: &str) -> String {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}... ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// A document of the harness's.
pub fn document(value: &Value) -> Json {
    twin::read(value.to_string().as_bytes()).expect("what is written as JSON can be read")
}

/// Somebody's twin in the cloud, as devices are shown it.
///
/// # Errors
/// [`StageError::Service`] when the cloud cannot be asked.
pub async fn cloud(iot_hub: &IotHub, party: Party) -> Result<Twin, StageError> {
    let whole = iot_hub.twin(party.device, party.module).await?;
    let section = |name: &str| twin::without(&document(&whole["properties"][name]), "$metadata");
    Ok(Twin { desired: section("desired"), reported: section("reported") })
}

/// Changes what the cloud desires of somebody, and gives the new version.
///
/// # Errors
/// [`StageError::Service`] when the cloud refuses.
pub async fn desire(tale: &mut Tale, stage: &Stage, party: Party, patch: &Value) -> Result<u64, StageError> {
    let iot_hub = stage.environment().iot_hub();
    let version = iot_hub.patch_desired(party.device, party.module, patch.clone()).await?;
    tale.saw("iot_hub", format!("desired of {party} is version {version}: {}", shortened(&patch.to_string())));
    Ok(version)
}

/// Waits until the cloud's reported properties of somebody are as wanted, and gives them; else what they are at the
/// deadline.
///
/// # Errors
/// [`StageError::Service`] when the cloud cannot be asked.
pub async fn reported_in_cloud(
    stage: &Stage,
    party: Party,
    deadline: Deadline,
    wanted: impl Fn(&Json) -> bool,
) -> Result<Result<Json, Json>, StageError> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let reported = cloud(stage.environment().iot_hub(), party).await?.reported;
        if wanted(&reported) {
            return Ok(Ok(reported));
        }
        if began.elapsed() > deadline.limit {
            return Ok(Err(reported));
        }
        // The service side offers no way to wait for a twin, so it is asked again, less often each time.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Waits until somebody's reported properties in the cloud have these members; null means that one is not there.
///
/// # Errors
/// The end, when they do not come to.
pub async fn comes_to_have(tale: &mut Tale, stage: &Stage, who: Party, requirement: &str, wanted: &Value) -> Told {
    let has = |now: &Json| {
        wanted.as_object().into_iter().flatten().all(|(name, value)| match twin::member(now, name) {
            Some(there) => twin::same(there, &document(value)),
            None => value.is_null(),
        })
    };
    let reached = reported_in_cloud(stage, who, deadline::REPORTED, has).await?;
    let observed = reached.as_ref().map_or_else(shown, shown);
    tale.saw("iot_hub", format!("reported of {who} is {observed}"));
    tale.hold(reached.is_ok(), requirement, format!("the cloud comes to have {wanted} of {who}"), observed)
}

/// Whether a twin is what the cloud had at some moment between two looks at it: what was reported before may still be on
/// its way up.
pub fn is_between(got: &Twin, before: &Twin, after: &Twin) -> bool {
    let version = |twin: &Twin| twin::version(&twin.reported);
    let reported = if version(got) == version(before) {
        twin::same(&got.reported, &before.reported)
    } else if version(got) == version(after) {
        twin::same(&got.reported, &after.reported)
    } else {
        version(got) > version(before) && version(got) < version(after)
    };
    reported && twin::same(&got.desired, &before.desired)
}

/// Somebody reports something new, and it comes to be in the cloud: nothing reported before is still to come.
///
/// # Errors
/// The end, when it does not.
pub async fn nothing_pending(tale: &mut Tale, stage: &Stage, actor: &Actor) -> Told {
    let mark = serde_json::json!({ "mark": tick() });
    actor.report(tale, &mark).await?;
    comes_to_have(tale, stage, actor.party, "TWIN-RPT-04", &mark).await
}

/// Cuts the hub off from the cloud.
///
/// # Errors
/// [`StageError::Service`] when the cloud cannot be asked.
pub async fn cut(tale: &mut Tale, stage: &Stage) -> Result<u64, StageError> {
    let outage = Condition::new(Kind::Outage, Concerns::Everyone);
    let condition = stage.environment().iot_hub().impose_condition(&outage).await?;
    tale.saw("harness", "the cloud is out of reach");
    Ok(condition)
}

/// Ends an outage, or whatever else was imposed.
///
/// # Errors
/// [`StageError::Service`] when the cloud cannot be asked.
pub async fn mend(tale: &mut Tale, stage: &Stage, condition: u64) -> Result<(), StageError> {
    stage.environment().iot_hub().lift(condition).await?;
    tale.saw("harness", "the cloud is within reach");
    Ok(())
}

/// How long a client that has just subscribed waits for word of a change, before another is made. It grows.
const FIRST_PATIENCE: Duration = Duration::from_millis(10);

/// A client of somebody, and what it does in a course.
pub struct Actor {
    /// Who.
    pub party: Party,
    /// Its connection.
    pub client: TwinClient,
}

impl Actor {
    /// Connects, with a session of its own, and listens for answers.
    ///
    /// # Errors
    /// [`StageError`] when the hub does not let it.
    pub async fn enter(stage: &Stage, party: Party) -> Result<Self, StageError> {
        Self::enter_over(stage, party, stage.environment().transport()).await
    }

    /// As [`Actor::enter`], over this transport.
    ///
    /// # Errors
    /// As [`Actor::enter`].
    pub async fn enter_over(stage: &Stage, party: Party, transport: Transport) -> Result<Self, StageError> {
        let connected = stage.environment().connect_over(&party.identity(), transport).await;
        let client = connected.map_err(|source| StageError::Connect { who: party.to_string(), source })?;
        Ok(Self { party, client: TwinClient::open(client).await? })
    }

    /// As [`Actor::enter`], over MQTT and with a say in whether the session is a clean one.
    ///
    /// # Errors
    /// As [`Actor::enter`].
    pub async fn enter_as(stage: &Stage, party: Party, clean_session: bool) -> Result<Self, StageError> {
        let login = harness::client::mqtt::Login { clean_session, ..stage.environment().login(&party.identity()) };
        let connected = HubClient::connect(hub_client::Login::Mqtt(login)).await;
        let client = connected.map_err(|source| StageError::Connect { who: party.to_string(), source })?;
        Ok(Self { party, client: TwinClient::open(client).await? })
    }

    /// Reads the twin. The answer has status 200 and exactly the two sections.
    ///
    /// # Errors
    /// The end, when it has not.
    pub async fn get(&self, tale: &mut Tale) -> Told<Twin> {
        let answer = self.client.get().await;
        let answer = answer.map_err(|why| tale.unanswered("a GET is answered", &why))?;
        tale.saw(self.party, format!("GET is answered {}: {}", answer.status, shortened(&text(&answer.body))));
        tale.read(answer.status)?;
        self.sections(tale, &answer)
    }

    fn sections(&self, tale: &Tale, answer: &Answer) -> Told<Twin> {
        let expected = "the answer to a GET is an object of `desired` and `reported`, both objects";
        let body = twin::read(&answer.body);
        if let Some(Json::Object(members)) = &body {
            let names: Vec<String> = members.iter().map(|(name, _)| String::from_utf16_lossy(name)).collect();
            let object = |name: &str| {
                let section = members.iter().find(|(known, _)| String::from_utf16_lossy(known) == name);
                section.map(|(_, value)| value.clone()).filter(|value| matches!(value, Json::Object(_)))
            };
            if let (Some(desired), Some(reported)) = (object("desired"), object("reported")) {
                let unwanted = names.iter().find(|name| !matches!(name.as_str(), "desired" | "reported"));
                if let Some(unwanted) = unwanted {
                    return Err(tale.broken("TWIN-GET-04", expected, format!("it has a member `{unwanted}` too")));
                }
                return Ok(Twin { desired, reported });
            }
        }
        Err(tale.broken("TWIN-GET-02", expected, shortened(&text(&answer.body))))
    }

    /// Reports a patch that the hub must take.
    ///
    /// # Errors
    /// The end, when it does not.
    pub async fn report(&self, tale: &mut Tale, patch: &Value) -> Told {
        let answer = self.send(tale, patch.to_string()).await?;
        tale.hold(answer.status == 204, "TWIN-RPT-01", "a valid patch is answered 204", answer.status.to_string())?;
        let empty = answer.body.is_empty();
        tale.hold(empty, "TWIN-RPT-01", "the answer is empty", shortened(&text(&answer.body)))
    }

    /// Reports a payload as it stands, whatever the hub says to it.
    ///
    /// # Errors
    /// The end, when it says nothing.
    pub async fn send(&self, tale: &mut Tale, patch: impl Into<Bytes>) -> Told<Answer> {
        let patch = patch.into();
        let what = shortened(&text(&patch));
        let answer = self.client.report(patch).await;
        let answer = answer.map_err(|why| tale.unanswered(&format!("the patch {what} is answered"), &why))?;
        tale.saw(self.party, format!("PATCH {what} is answered {}", answer.status));
        Ok(answer)
    }

    /// Subscribes to desired patches.
    ///
    /// # Errors
    /// The end, when the hub does not answer.
    pub async fn subscribe(&self, tale: &mut Tale) -> Told {
        self.client.subscribe().await.map_err(|why| tale.unanswered("SUBSCRIBE is answered", &why))?;
        tale.saw(self.party, "subscribed to desired patches");
        Ok(())
    }

    /// Subscribes, and has the cloud change something until word of a change comes: from then on the subscription is
    /// known to reach the cloud. Gives the version heard of.
    ///
    /// # Errors
    /// The end, when no word comes.
    pub async fn listen(&mut self, tale: &mut Tale, stage: &Stage) -> Told<u64> {
        self.listen_as("TWIN-DES-01", tale, stage).await
    }

    /// As [`Actor::listen`], where that word comes is what this requirement says.
    ///
    /// # Errors
    /// The end, when no word comes.
    pub async fn listen_as(&mut self, requirement: &str, tale: &mut Tale, stage: &Stage) -> Told<u64> {
        self.subscribe(tale).await?;
        self.tick_heard_as(requirement, tale, stage).await
    }

    /// Has the cloud change something until word of a change comes, and gives its version. What came before goes.
    ///
    /// # Errors
    /// The end, when no word comes.
    pub async fn heard_tick(&mut self, tale: &mut Tale, stage: &Stage) -> Told<u64> {
        self.tick_heard_as("TWIN-DES-01", tale, stage).await
    }

    async fn tick_heard_as(&mut self, requirement: &str, tale: &mut Tale, stage: &Stage) -> Told<u64> {
        let began = Instant::now();
        let mut patience = Deadline { name: "HEARD_OF", limit: FIRST_PATIENCE };
        while began.elapsed() < deadline::TWIN.limit {
            let version = desire(tale, stage, self.party, &json!({ "tick": tick() })).await?;
            while let Ok(heard) = self.client.next_desired(patience).await {
                self.note(tale, &heard);
                if heard.version == Some(version) {
                    return Ok(version);
                }
            }
            patience.limit = (patience.limit * 2).min(Duration::from_secs(1));
        }
        Err(tale.broken(requirement, "a subscribed client hears of changes", "none of several was notified"))
    }

    /// As [`Actor::heard_tick`], and nothing else is heard of before.
    ///
    /// # Errors
    /// The end, when no word comes, or another one.
    pub async fn heard_tick_only(&mut self, tale: &mut Tale, stage: &Stage, requirement: &str) -> Told<u64> {
        let mut made = Vec::new();
        let began = Instant::now();
        let mut patience = Deadline { name: "HEARD_OF", limit: FIRST_PATIENCE };
        while began.elapsed() < deadline::TWIN.limit {
            made.push(desire(tale, stage, self.party, &json!({ "tick": tick() })).await?);
            if let Ok(heard) = self.client.next_desired(patience).await {
                self.note(tale, &heard);
                let version = heard.version.unwrap_or_default();
                let expected = format!("the first that is heard of is a change made now, of versions {made:?}");
                tale.hold(made.contains(&version), requirement, expected, format!("version {version}"))?;
                return Ok(version);
            }
            patience.limit = (patience.limit * 2).min(Duration::from_secs(1));
        }
        Err(tale.broken("TWIN-DES-01", "a subscribed client hears of changes", "none of several was notified"))
    }

    /// The next desired patch.
    ///
    /// # Errors
    /// The end, when none comes.
    pub async fn heard(&mut self, tale: &mut Tale, requirement: &str, expected: &str) -> Told<DesiredPatch> {
        match self.client.next_desired(deadline::TWIN).await {
            Ok(heard) => {
                self.note(tale, &heard);
                Ok(heard)
            }
            Err(expired) => Err(tale.broken(requirement, expected, expired.to_string())),
        }
    }

    /// Notes a desired patch.
    pub fn note(&self, tale: &mut Tale, heard: &DesiredPatch) {
        tale.saw(self.party, format!("desired patch on {}: {}", heard.topic, shortened(&text(&heard.body))));
    }

    /// Nothing has come.
    ///
    /// # Errors
    /// The end, when a desired patch has.
    pub fn nothing_heard(&mut self, tale: &mut Tale, requirement: &str, expected: &str) -> Told {
        match self.client.desired_so_far().first() {
            Some(heard) => {
                self.note(tale, heard);
                Err(tale.broken(requirement, expected, format!("{}: {}", heard.topic, text(&heard.body))))
            }
            None => Ok(()),
        }
    }

    /// The next answer must come; used where the client asks in a way of its own.
    ///
    /// # Errors
    /// The end, when it does not.
    pub fn answered(tale: &Tale, answer: Result<Answer, Unanswered>, expected: &str) -> Told<Answer> {
        answer.map_err(|why| tale.unanswered(expected, &why))
    }
}

/// Bytes for a reader.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A number no other change has.
pub fn tick() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TICKS: AtomicU64 = AtomicU64::new(1);
    TICKS.fetch_add(1, Ordering::Relaxed)
}
