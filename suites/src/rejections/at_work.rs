//! A module at work: it gets inputs, desired patches and method calls, sends telemetry, reads and reports its twin.
//! Whatever else it tries, all of that must go on, and nothing else may come.

use harness::client::https::HttpsClient;
use harness::client::iot_hub::MethodCall;
use harness::client::mqtt::methods::answer_topic;
use harness::client::raw_mqtt::received::Published;
use harness::client::raw_mqtt::{Packet, RawMqtt, packet};
use harness::deadline::{self, Deadline};
use harness::observe::history::{History, MARK};
use harness::stage::{Stage, StageError};
use serde_json::{Value, json};

use super::attempt::Attempt;
use crate::course::routes;
use crate::mqtt_head::guest::{GUEST, acknowledge, enter, module, property, send_to};

/// Filters of the classes of messages a module may get.
const FILTERS: [&str; 4] = [
    "devices/gw7/modules/guest/inputs/#",
    "$iothub/twin/res/#",
    "$iothub/twin/PATCH/properties/desired/#",
    "$iothub/methods/POST/#",
];
/// A name no other method has.
const METHOD: &str = "ask";

/// A module that is connected and has subscribed to everything it may get.
pub struct AtWork {
    raw: RawMqtt,
    https: HttpsClient,
    packets: u16,
    heard: Vec<Published>,
    marks: Vec<String>,
    closed: bool,
}

/// What did not go as it must; in words, for the violation.
pub type Trouble = String;

impl AtWork {
    /// Connects, and subscribes. Messages of output `up` go to the cloud.
    ///
    /// # Errors
    /// [`StageError`] when the hub does not let it in.
    pub async fn begin(stage: &mut Stage) -> Result<Result<Self, Trouble>, StageError> {
        stage.configure(routes([("up", "FROM /messages/modules/guest/outputs/up INTO $upstream")])).await?;
        let (raw, _) = enter(stage.environment(), &module(GUEST), |_| {}).await?;
        let https = stage.environment().https();
        let mut at_work = Self { raw, https, packets: 0, heard: Vec::new(), marks: Vec::new(), closed: false };
        let id = at_work.packet();
        at_work.raw.write(&packet::subscribe(id, &FILTERS.map(|filter| (filter, 1)))).await;
        Ok(at_work.until_answer(id).await.map(|_| at_work))
    }

    /// Tries something. Over MQTT the hub must acknowledge it, over HTTPS know nothing of it.
    ///
    /// # Errors
    /// [`Trouble`]: what the hub said instead.
    pub async fn attempt(&mut self, stage: &Stage, attempt: &Attempt) -> Result<(), Trouble> {
        let id = self.packet();
        match attempt {
            Attempt::Subscribe { filter, qos } => {
                self.raw.write(&packet::subscribe(id, &[(filter, *qos)])).await;
                let granted = self.until_answer(id).await?;
                let wanted = vec![(*qos).min(1)];
                if granted == wanted { Ok(()) } else { Err(format!("SUBACK granting {granted:?}")) }
            }
            Attempt::Publish { topic } => {
                self.raw.write(&packet::publish(id, topic, br#"{"blobName":"log.txt"}"#)).await;
                self.until_answer(id).await.map(drop)
            }
            Attempt::Ask { .. } => {
                let request = attempt.request(stage.environment()).expect("an attempt over HTTPS is a request");
                let answer = self.https.send(&request, deadline::CONNECT).await;
                match answer {
                    Ok(answer) if answer.status == 404 && answer.body.is_empty() => Ok(()),
                    Ok(answer) => Err(answer.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }

    /// Does everything a module may do, and waits for what must come of it.
    ///
    /// # Errors
    /// [`Trouble`]: what does not go on.
    pub async fn goes_on(&mut self, stage: &mut Stage) -> Result<Result<(), Trouble>, StageError> {
        for (what, gone) in [
            ("telemetry", self.sends(stage).await?),
            ("its twin", self.reads_and_reports().await),
            ("desired properties", self.hears_of_desired_properties(stage).await?),
            ("direct methods", self.answers_a_method(stage).await),
            ("inputs", self.gets_an_input(stage).await?),
        ] {
            if let Err(trouble) = gone {
                return Ok(Err(format!("{what}: {trouble}")));
            }
        }
        Ok(Ok(()))
    }

    /// The topics of everything that came and that the module should not have got.
    pub fn strays(&self) -> Vec<String> {
        let own = |published: &&Published| {
            let topic = &published.topic;
            let known = ["$iothub/twin/res/", "$iothub/twin/PATCH/properties/desired/?", "$iothub/methods/POST/ask/?"];
            let input = topic.starts_with("devices/gw7/modules/guest/inputs/in/")
                && property(published, MARK).is_some_and(|mark| self.marks.contains(&mark));
            input || known.iter().any(|known| topic.starts_with(known))
        };
        self.heard.iter().filter(|published| !own(published)).map(|stray| stray.topic.clone()).collect()
    }

    /// Leaves in good order.
    pub async fn leave(self) {
        // Whatever the hub says to that is none of this test's business.
        let _ = self.raw.disconnect().await;
    }

    fn packet(&mut self) -> u16 {
        self.packets += 1;
        self.packets
    }

    async fn sends(&mut self, stage: &mut Stage) -> Result<Result<(), Trouble>, StageError> {
        let mark = stage.mark();
        let topic = format!("devices/gw7/modules/guest/messages/events/%24.on=up&{MARK}={mark}");
        let id = self.packet();
        self.raw.write(&packet::publish(id, &topic, b"")).await;
        if let Err(trouble) = self.until_answer(id).await {
            return Ok(Err(trouble));
        }
        let mut history = History::begin();
        let arrived = |history: &History| !history.places_of(&mark).is_empty();
        Ok(stage
            .collect(&mut history, deadline::ROUTING, "telemetry of module guest in the cloud", arrived)
            .await
            .map_err(|expired| expired.to_string()))
    }

    async fn reads_and_reports(&mut self) -> Result<(), Trouble> {
        let id = self.packet();
        self.raw.write(&packet::publish(id, &format!("$iothub/twin/GET/?$rid=g{id}"), b"")).await;
        let answer = format!("$iothub/twin/res/200/?$rid=g{id}");
        self.until_heard("the answer to GET", |published| published.topic == answer).await?;
        let id = self.packet();
        let patch = json!({ "tried": id }).to_string();
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid=p{id}");
        self.raw.write(&packet::publish(id, &topic, patch.as_bytes())).await;
        let answer = format!("$iothub/twin/res/204/?$rid=p{id}");
        self.until_heard("the answer to PATCH", |published| published.topic == answer).await.map(drop)
    }

    /// The product lets a change go that comes before its subscription upstream stands, so it is repeated.
    async fn hears_of_desired_properties(&mut self, stage: &mut Stage) -> Result<Result<(), Trouble>, StageError> {
        const ATTEMPTS: usize = 8;
        let mut heard = Err("no change was attempted".to_owned());
        for _ in 0..ATTEMPTS {
            let mark = stage.mark();
            let iot_hub = stage.environment().iot_hub();
            iot_hub.patch_desired("gw7", Some(GUEST), json!({ "mark": mark })).await?;
            let carries = |packet: &Packet| {
                let published = packet.publish().filter(|published| published.topic.contains("/desired/"))?;
                let patch: Value = serde_json::from_slice(&published.payload).ok()?;
                (patch["mark"] == mark.as_str()).then_some(())
            };
            heard = self.read_until(deadline::PUSHED, "a patch of desired properties", carries).await;
            if heard.is_ok() || self.closed {
                break;
            }
        }
        Ok(heard)
    }

    async fn answers_a_method(&mut self, stage: &Stage) -> Result<(), Trouble> {
        let call = MethodCall { connect_timeout_secs: Some(10), ..MethodCall::new(METHOD, json!("how are you?")) };
        let call = call.answered_within(10);
        let answers = async {
            let asked = |published: &Published| published.topic.starts_with("$iothub/methods/POST/ask/");
            let request = self.until_heard("the request of a method", asked).await?;
            let id = request.topic.rsplit_once("$rid=").map(|(_, id)| id.to_owned()).unwrap_or_default();
            let number = self.packet();
            self.raw.write(&packet::publish(number, &answer_topic("207", &id), br#""well""#)).await;
            self.until_answer(number).await.map(drop)
        };
        let (called, answered) = tokio::join!(stage.environment().iot_hub().invoke("gw7", Some(GUEST), &call), answers);
        answered?;
        match called {
            Ok(result) if result.status == 207 && result.payload == "well" => Ok(()),
            Ok(result) => Err(format!("the caller got status {} with {}", result.status, result.payload)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn gets_an_input(&mut self, stage: &mut Stage) -> Result<Result<(), Trouble>, StageError> {
        let mark = send_to(stage, GUEST, "in").await?;
        self.marks.push(mark.clone());
        let carries = |published: &Published| property(published, MARK).as_deref() == Some(&mark);
        Ok(self.until_heard("an input message", carries).await.map(drop))
    }

    /// Waits for the answer to a packet, and gives what SUBACK grants.
    async fn until_answer(&mut self, id: u16) -> Result<Vec<u8>, Trouble> {
        let answer = |packet: &Packet| match packet.suback() {
            Some((answered, granted)) if answered == id => Some(granted.to_vec()),
            _ => packet.puback().filter(|answered| *answered == id).map(|_| Vec::new()),
        };
        self.read_until(deadline::ACKNOWLEDGEMENT, &format!("the answer to packet {id}"), answer).await
    }

    /// Waits for a message.
    async fn until_heard(&mut self, what: &str, wanted: impl Fn(&Published) -> bool) -> Result<Published, Trouble> {
        self.read_until(deadline::ROUTING, what, |packet| packet.publish().filter(&wanted)).await
    }

    /// Reads until a packet is the one wanted. Every message is acknowledged and kept.
    async fn read_until<T>(
        &mut self,
        limit: Deadline,
        what: &str,
        wanted: impl Fn(&Packet) -> Option<T>,
    ) -> Result<T, Trouble> {
        let found = limit.wait(what, async {
            while let Some(packet) = self.raw.next().await {
                let found = wanted(&packet);
                if let Some(published) = packet.publish() {
                    acknowledge(&mut self.raw, &published).await;
                    self.heard.push(published);
                }
                if found.is_some() {
                    return found;
                }
            }
            None
        });
        match found.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                self.closed = true;
                Err(format!("the hub closed the connection; {what} did not come"))
            }
            Err(expired) => Err(expired.to_string()),
        }
    }
}
