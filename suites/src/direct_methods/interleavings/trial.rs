//! A story under way: takes the steps, compares what is seen with the model, and keeps the record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::client::http::HttpError;
use harness::client::https::{HttpsAnswer, HttpsClient};
use harness::client::hub_client::methods::MethodRequest;
use harness::deadline::{self, Deadline};
use harness::outcome::Moment;
use harness::stage::{Stage, StageError};
use serde_json::Value;

use super::super::ground::{
    Callee, Calling, PROMPT, broken_by, client_id, module, nothing_else, payload, request, timed, wrong,
};
use super::marked;
use super::model::{State, World};
use super::step::{CALLEES, CALLERS, Departure, Fraud, Step, callee};
use crate::oracle::method::{Answer, answer};

/// Longer than any story takes: what is not answered stays open.
const PATIENCE_SECS: u64 = 60;
/// Whoever waits longer than this for such a call has lost it.
const LOST: Deadline = deadline::PATIENT_METHOD;

/// What broke a promise.
pub struct Found {
    pub requirement: &'static str,
    pub expected: String,
    pub observed: String,
}

/// A call, by its number in the model.
struct Made {
    calling: Option<Calling>,
    request: Option<MethodRequest>,
}

/// A story under way.
pub struct Trial<'a> {
    stage: &'a Stage,
    https: Arc<HttpsClient>,
    world: World,
    callees: Vec<Option<Callee>>,
    made: Vec<Made>,
    ids: BTreeSet<String>,
    began: Instant,
    moments: Vec<Moment>,
}

type Judged = Result<Option<Found>, StageError>;

impl<'a> Trial<'a> {
    /// Nobody is there yet.
    pub fn begin(stage: &'a Stage) -> Self {
        Self {
            stage,
            https: Arc::new(stage.environment().https()),
            world: World::new(CALLEES.len()),
            callees: CALLEES.iter().map(|_| None).collect(),
            made: Vec::new(),
            ids: BTreeSet::new(),
            began: Instant::now(),
            moments: Vec::new(),
        }
    }

    /// What was seen, in order.
    pub fn timeline(self) -> Vec<Moment> {
        self.moments
    }

    /// Takes a step, and judges what it shows at once.
    pub async fn take(&mut self, step: &Step) -> Judged {
        match step {
            Step::Arrive(who) => match self.connect(*who).await? {
                None => self.listen(*who, true).await,
                found => Ok(found),
            },
            Step::Connect(who) => self.connect(*who).await,
            Step::Subscribe(who) => self.listen(*who, true).await,
            Step::Unsubscribe(who) => self.listen(*who, false).await,
            Step::Leave { who, how } => self.leave(*who, *how).await,
            Step::Call { by, to, count, name, argument } => self.call(*by, *to, *count, name, argument).await,
            Step::Answer { call, shouted, status, payload } => {
                self.answer(*call, *shouted, *status, payload.as_ref()).await
            }
            Step::Deceive { call, fraud } => self.deceive(*call, *fraud).await,
        }
    }

    /// Answers what is open, and shows that nothing else is under way.
    pub async fn conclude(&mut self) -> Judged {
        for call in self.world.in_state(State::Open) {
            if let Some(found) = self.answer_now(call, false, 200, Some(&Value::Null)).await? {
                return Ok(Some(found));
            }
        }
        for who in 0..CALLEES.len() {
            let Some(mut callee) = self.callees[who].take() else { continue };
            callee.subscribe().await?;
            if let Err(observed) = nothing_else(self.stage.environment(), &self.https, &mut callee).await? {
                let expected = format!("a call to {} at the end is all that comes to it", callee.identity);
                return Ok(Some(self.found("METHOD-RCV-01", expected, observed)));
            }
            // The next story begins with nobody there, as far as the hub knows too.
            self.callees[who] = Some(callee);
            if let Some(found) = self.leave(who, Departure::Goodbye).await? {
                return Ok(Some(found));
            }
        }
        for call in self.world.in_state(State::Abandoned) {
            // Whether its time ends early is the hub's to choose; that anybody else answers it is not.
            let Some(mut calling) = self.made[call].calling.take().filter(Calling::is_over) else { continue };
            let answered = calling.end().await;
            let expected = answer::timed_out(&self.id_of(call));
            if let Some(found) = self.judge("METHOD-INV-18", call, &expected, &answered) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn connect(&mut self, who: usize) -> Judged {
        let identity = callee(who);
        let mut older = self.callees[who].take();
        let newcomer = Callee::connect(self.stage.environment(), &identity).await?;
        newcomer.client.known().await?;
        self.tell(identity.to_string(), "connected");
        let unexpected = older.as_mut().and_then(|older| older.client.drain().into_iter().next());
        self.callees[who] = Some(newcomer);
        let displaced = self.world.connect(who);
        if let Some(request) = unexpected {
            return Ok(Some(self.stray(who, &request)));
        }
        for call in displaced {
            let expected = answer::timed_out(&self.id_of(call));
            let began = Instant::now();
            let answered = self.end_of(call).await;
            if let Some(found) = self.judge("METHOD-INV-24", call, &expected, &answered) {
                return Ok(Some(found));
            }
            if began.elapsed() > PROMPT {
                let expected = format!("call {call} ends at once when {identity} is replaced");
                return Ok(Some(self.found("METHOD-INV-24", expected, format!("after {:?}", began.elapsed()))));
            }
        }
        Ok(None)
    }

    async fn listen(&mut self, who: usize, listens: bool) -> Judged {
        if !listens && !self.stage.environment().transport().is_mqtt() {
            // A client that only detaches its link is called all the same, in vain; it is not found once it is gone.
            return self.leave(who, Departure::Goodbye).await;
        }
        let Some(there) = &mut self.callees[who] else { return Ok(None) };
        if listens {
            there.subscribe().await?;
        } else {
            there.unsubscribe().await?;
        }
        self.world.listen(who, listens);
        self.tell(callee(who).to_string(), if listens { "subscribed" } else { "unsubscribed" });
        Ok(None)
    }

    async fn leave(&mut self, who: usize, how: Departure) -> Judged {
        const LEFT: &str = "edgehub_client_disconnect_total";
        let Some(mut there) = self.callees[who].take() else { return Ok(None) };
        let unexpected = there.client.drain().into_iter().next();
        let id = client_id(self.stage.environment(), &there.identity);
        let labels = [("id", id.as_str())];
        let before = self.stage.metric(LEFT, &labels, 0.0).await?;
        match how {
            Departure::Goodbye => there.client.disconnect().await,
            Departure::Silence => drop(there),
        }
        // The hub knows when it has counted that.
        self.stage.metric(LEFT, &labels, before + 1.0).await?;
        self.world.leave(who);
        self.tell(callee(who).to_string(), "left");
        Ok(unexpected.map(|request| self.stray(who, &request)))
    }

    async fn call(&mut self, by: usize, to: usize, count: usize, name: &str, argument: &Value) -> Judged {
        let mut open = Vec::new();
        for turn in 0..count {
            let caller = CALLERS[(by + turn) % CALLERS.len()];
            let (call, state) = self.world.call(to);
            let body = timed(name, &marked(call, argument), PATIENCE_SECS, 0).to_string();
            let request = request(self.stage.environment(), caller, &callee(to), body);
            self.tell(module(caller).to_string(), &format!("call {call} of {name:?} of {} begins", callee(to)));
            self.made.push(Made { calling: Some(Calling::begin(&self.https, request, LOST)), request: None });
            match state {
                State::NotFound => {
                    let expected = answer::not_found(&client_id(self.stage.environment(), &callee(to)));
                    let began = Instant::now();
                    let answered = self.end_of(call).await;
                    let requirement = if self.world.is_there(to) { "METHOD-INV-06" } else { "METHOD-INV-05" };
                    if let Some(found) = self.judge(requirement, call, &expected, &answered) {
                        return Ok(Some(found));
                    }
                    if began.elapsed() > PROMPT {
                        let expected = format!("call {call} ends at once");
                        return Ok(Some(self.found("METHOD-INV-08", expected, format!("after {:?}", began.elapsed()))));
                    }
                }
                _ => open.push(call),
            }
        }
        self.delivered(to, open, name, argument).await
    }

    /// Takes the requests of calls that were just made, in whatever order they come.
    async fn delivered(&mut self, to: usize, mut open: Vec<usize>, name: &str, argument: &Value) -> Judged {
        while !open.is_empty() {
            let expected = format!("call {} is delivered to {}", open[0], callee(to));
            let there = self.callees[to].as_mut().expect("the model knows that it is there");
            let first = self.made[open[0]].calling.as_mut().expect("its answer was not taken yet");
            let came = tokio::select! {
                biased;
                came = there.next(deadline::METHOD) => came,
                answered = first.end() => Err(format!("its caller got {}", super::super::ground::shown(&answered))),
            };
            let request = match came {
                Ok(request) => request,
                Err(observed) => return Ok(Some(self.found("METHOD-RCV-01", expected, observed))),
            };
            self.tell(callee(to).to_string(), &format!("request {} for {:?}", request.id, request.name));
            if request.name != name {
                return Ok(Some(self.found(
                    "METHOD-RCV-03",
                    format!("a request for {name:?}"),
                    format!("for {:?}", request.name),
                )));
            }
            let at = open.iter().position(|call| payload(&request) == Some(marked(*call, argument)));
            let Some(at) = at else {
                let expected = format!("a request with {}", marked(open[0], argument));
                let observed = format!("with {}", String::from_utf8_lossy(&request.payload));
                return Ok(Some(self.found("METHOD-INV-03", expected, observed)));
            };
            if !self.ids.insert(request.id.to_lowercase()) {
                let observed = format!("id {} again", request.id);
                return Ok(Some(self.found("METHOD-RCV-02", "each request has an id of its own".to_owned(), observed)));
            }
            self.made[open.remove(at)].request = Some(request);
        }
        Ok(None)
    }

    async fn answer(&mut self, which: usize, shouted: bool, status: i32, payload: Option<&Value>) -> Judged {
        let open = self.world.in_state(State::Open);
        if open.is_empty() {
            return Ok(None);
        }
        self.answer_now(open[which % open.len()], shouted, status, payload).await
    }

    async fn answer_now(&mut self, call: usize, shouted: bool, status: i32, payload: Option<&Value>) -> Judged {
        let who = self.world.callee_of(call);
        let plain = self.id_of(call);
        let id = if shouted { plain.to_uppercase() } else { plain };
        let payload = payload.map(|payload| marked(call, payload).to_string()).unwrap_or_default();
        let there = self.callees[who].as_ref().expect("the callee of an open call is there");
        there.answer(&id, &status.to_string(), payload.clone()).await?;
        self.tell(callee(who).to_string(), &format!("call {call} answered with {status}"));
        self.world.answer(call);
        let expected = answer::answered(&status.to_string(), payload.as_bytes());
        let answered = self.end_of(call).await;
        let told = |answer: &HttpsAnswer| answer.status == 200;
        let requirement = match &answered {
            // That an answer counts at all is another matter than what it says.
            answered if shouted && !answered.as_ref().is_ok_and(told) => "METHOD-INV-20",
            answered => broken_by(&status.to_string(), &payload, answered),
        };
        Ok(self.judge(requirement, call, &expected, &answered))
    }

    /// An answer that must change nothing; that it did would show in the answers that the callers get.
    async fn deceive(&mut self, which: usize, fraud: Fraud) -> Judged {
        let wanted = if fraud == Fraud::Late { OVER } else { &[State::Open][..] };
        let mut calls: Vec<usize> = wanted.iter().flat_map(|state| self.world.in_state(*state)).collect();
        calls.retain(|call| self.made[*call].request.is_some());
        let call = (!calls.is_empty()).then(|| calls[which % calls.len()]);
        let there = |who: &usize| self.callees[*who].as_ref().is_some_and(|callee| callee.client.can_answer());
        let (id, by) = match (fraud, call) {
            (Fraud::ByAnother, Some(call)) => {
                let others = (0..CALLEES.len()).filter(|who| *who != self.world.callee_of(call)).find(there);
                (self.id_of(call), others)
            }
            (Fraud::Late, Some(call)) => (self.id_of(call), Some(self.world.callee_of(call)).filter(there)),
            (Fraud::UnknownId, _) => (format!("00000000-0000-4000-8000-{which:012}"), (0..CALLEES.len()).find(there)),
            (Fraud::NoId, _) => (String::new(), (0..CALLEES.len()).find(there)),
            (_, None) => return Ok(None),
        };
        let Some(by) = by else { return Ok(None) };
        let there = self.callees[by].as_ref().expect("chosen because it is there");
        if let Err(observed) = there.answer(&id, "299", "\"not asked\"").await {
            let expected =
                format!("an answer with id {id:?}, which is not {}'s to answer, is acknowledged", callee(by));
            return Ok(Some(self.found("MQTT-DM-06", expected, observed.to_string())));
        }
        self.tell(callee(by).to_string(), &format!("answered {id:?}, which is not its to answer"));
        Ok(None)
    }

    fn id_of(&self, call: usize) -> String {
        self.made[call].request.as_ref().map(|request| request.id.clone()).unwrap_or_default()
    }

    async fn end_of(&mut self, call: usize) -> Result<HttpsAnswer, HttpError> {
        let mut calling = self.made[call].calling.take().expect("each call ends once");
        deadline::METHOD.wait(format!("the end of call {call}"), calling.end()).await?
    }

    fn judge(
        &mut self,
        requirement: &'static str,
        call: usize,
        expected: &Answer,
        answered: &Result<HttpsAnswer, HttpError>,
    ) -> Option<Found> {
        let observed = wrong(expected, answered);
        let shown = super::super::ground::shown(answered);
        self.tell("caller".to_owned(), &format!("call {call} got {shown}"));
        observed.map(|observed| self.found(requirement, format!("call {call} gets {expected}"), observed))
    }

    fn stray(&mut self, who: usize, request: &MethodRequest) -> Found {
        let expected = format!("{} gets the calls made to it, each once", callee(who));
        self.found("METHOD-RCV-01", expected, format!("a request more, for {:?}", request.name))
    }

    fn found(&mut self, requirement: &'static str, expected: String, observed: String) -> Found {
        self.moments.push(self.moment("harness".to_owned(), &observed, true));
        Found { requirement, expected, observed }
    }

    fn tell(&mut self, who: String, what: &str) {
        self.moments.push(self.moment(who, what, false));
    }

    fn moment(&self, who: String, what: &str, unexpected: bool) -> Moment {
        let at_s = Duration::as_secs_f64(&self.began.elapsed());
        Moment { at_s, who, what: what.to_owned(), unexpected }
    }
}

/// States in which a call has a request that must not be answered any more.
const OVER: &[State] = &[State::Answered, State::Displaced, State::Abandoned];
