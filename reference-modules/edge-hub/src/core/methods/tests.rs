//! Calls in virtual time.

use std::time::Duration;

use super::*;
use crate::core::tests::settings;
use crate::core::{Input, Listening, Timestamp};

/// A core, what it put out since it was last asked, and the time.
struct Bench {
    core: Core,
    now: Timestamp,
    out: Vec<Output>,
    callers: u64,
}

const CALLEE: ConnectionId = ConnectionId(1);
const NEWER: ConnectionId = ConnectionId(2);

fn callee() -> ClientId {
    ClientId::module("edge1", "callee")
}

impl Bench {
    fn new() -> Bench {
        Bench { core: Core::new(settings()), now: Timestamp::from_millis(1_000_000), out: Vec::new(), callers: 0 }
    }

    /// With a callee that takes calls.
    fn with_callee() -> Bench {
        let mut bench = Bench::new();
        bench.connect(CALLEE);
        bench.subscribe(CALLEE, true);
        bench
    }

    fn tell(&mut self, input: Input) {
        let out = self.core.handle(input, self.now);
        self.out.extend(out);
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.core.next_due().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.tell(Input::Elapsed);
        }
        self.now = end;
    }

    fn connect(&mut self, connection: ConnectionId) {
        self.tell(Input::Connected { connection, client: callee() });
    }

    fn subscribe(&mut self, connection: ConnectionId, methods: bool) {
        let listening = Listening { methods, ..Listening::default() };
        self.tell(Input::Subscribed { connection, inputs: false, listening });
    }

    fn call(&mut self, name: &str, connect_timeout_secs: u64) -> CallerId {
        self.callers += 1;
        let caller = CallerId(self.callers);
        let request = MethodRequest {
            name: name.to_owned(),
            payload: Bytes::from("1"),
            response_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(connect_timeout_secs),
        };
        self.tell(Input::MethodCalled { caller, target: callee(), request });
        caller
    }

    fn answer(&mut self, connection: ConnectionId, rid: &str, status: &str) {
        let (rid, status) = (rid.to_owned(), status.to_owned());
        self.tell(Input::MethodAnswered { connection, rid, status, payload: Bytes::from("2") });
    }

    /// Calls that went out since this was last asked: where, name and request id.
    fn sent(&mut self) -> Vec<(ConnectionId, String, String)> {
        let sent = |output: &Output| match output {
            Output::CallMethod { connection, rid, name, .. } => Some((*connection, name.clone(), rid.clone())),
            _ => None,
        };
        let found = self.out.iter().filter_map(sent).collect();
        self.out.retain(|output| sent(output).is_none());
        found
    }

    fn names(&mut self) -> Vec<String> {
        self.sent().into_iter().map(|(_, name, _)| name).collect()
    }

    fn rid(&mut self) -> String {
        self.sent().pop().expect("a call went out").2
    }

    /// Outcomes since this was last asked.
    fn returned(&mut self) -> Vec<(CallerId, MethodOutcome)> {
        let returned = |output: &Output| match output {
            Output::MethodReturned { caller, outcome } => Some((*caller, outcome.clone())),
            _ => None,
        };
        let found = self.out.iter().filter_map(returned).collect();
        self.out.retain(|output| returned(output).is_none());
        found
    }

    fn failures(&mut self) -> Vec<(CallerId, MethodFailure)> {
        let failure = |(caller, outcome)| match outcome {
            MethodOutcome::Failed { failure, .. } => Some((caller, failure)),
            MethodOutcome::Answered { .. } => None,
        };
        self.returned().into_iter().filter_map(failure).collect()
    }
}

fn answered(status: i32, payload: &'static str) -> MethodOutcome {
    MethodOutcome::Answered { status, payload: Bytes::from(payload) }
}

#[test]
fn an_answer_goes_to_its_caller_whatever_the_order_and_the_letter_case() {
    let mut bench = Bench::with_callee();
    let callers = [bench.call("a", 0), bench.call("b", 0)];
    let sent = bench.sent();
    assert_ne!(sent[0].2, sent[1].2);
    bench.answer(CALLEE, &sent[1].2.to_uppercase(), "200");
    bench.answer(CALLEE, &sent[0].2, " -5 ");
    assert_eq!(bench.returned(), [(callers[1], answered(200, "2")), (callers[0], answered(-5, "2"))]);
}

#[test]
fn only_the_first_answer_of_the_connection_that_was_called_counts() {
    let mut bench = Bench::with_callee();
    let caller = bench.call("a", 0);
    let rid = bench.rid();
    bench.answer(NEWER, &rid, "1");
    bench.answer(CALLEE, "of no call", "1");
    assert_eq!(bench.returned(), []);
    bench.answer(CALLEE, &rid, "2");
    bench.answer(CALLEE, &rid, "3");
    assert_eq!(bench.returned(), [(caller, answered(2, "2"))]);
}

#[test]
fn a_status_that_is_no_number_of_32_bits_is_replaced() {
    for (status, read) in [("007", 7), ("-0", 0), ("2147483647", i32::MAX), ("-2147483648", i32::MIN)] {
        assert_eq!(read_status(status), Some(read), "{status}");
    }
    for status in ["2147483648", "%2B5", "1e3", "2.0", "0x10", "", "-", "\u{a0}5"] {
        assert_eq!(read_status(status), None, "{status}");
    }
    let mut bench = Bench::with_callee();
    let caller = bench.call("a", 0);
    let rid = bench.rid();
    bench.answer(CALLEE, &rid, "abc");
    assert_eq!(bench.returned(), [(caller, answered(400_000, ""))]);
}

#[test]
fn a_call_ends_with_its_response_timeout_and_a_late_answer_is_nothing() {
    let mut bench = Bench::with_callee();
    let caller = bench.call("a", 0);
    let rid = bench.rid();
    bench.wait(9_999);
    assert_eq!(bench.returned(), []);
    bench.wait(1);
    assert_eq!(bench.failures(), [(caller, MethodFailure::TimedOut)]);
    bench.answer(CALLEE, &rid, "200");
    assert_eq!(bench.returned(), []);
}

#[test]
fn nobody_there_is_told_at_once_without_a_connect_timeout() {
    let mut bench = Bench::new();
    let absent = bench.call("a", 0);
    bench.connect(CALLEE);
    let unsubscribed = bench.call("b", 0);
    bench.subscribe(CALLEE, true);
    bench.subscribe(CALLEE, false);
    let left = bench.call("c", 0);
    let not_found = |caller| (caller, MethodFailure::NotFound);
    assert_eq!(bench.failures(), [not_found(absent), not_found(unsubscribed), not_found(left)]);
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn calls_that_waited_are_handed_over_three_seconds_later_and_one_at_a_time() {
    let mut bench = Bench::new();
    let first = bench.call("first", 60);
    let second = bench.call("second", 60);
    bench.wait(1_000);
    bench.connect(CALLEE);
    bench.subscribe(CALLEE, true);
    let direct = bench.call("direct", 60);
    assert_eq!(bench.names(), ["direct"], "who calls now does not wait");
    bench.wait(2_999);
    assert_eq!(bench.names(), [""; 0]);
    bench.wait(1);
    let rid = bench.rid();
    bench.wait(5_000);
    assert_eq!(bench.names(), [""; 0]);
    bench.answer(CALLEE, &rid, "200");
    assert_eq!(bench.names(), ["second"]);
    bench.wait(20_000);
    let outcomes = bench.returned();
    assert_eq!(outcomes[0], (first, answered(200, "2")));
    assert_eq!(outcomes[1].0, direct);
    assert_eq!(outcomes[2].0, second, "a time-out ends the turn too");
}

#[test]
fn a_call_that_waited_too_long_is_not_handed_over() {
    let mut bench = Bench::new();
    let caller = bench.call("a", 2);
    bench.connect(CALLEE);
    bench.subscribe(CALLEE, true);
    bench.wait(1_999);
    assert_eq!(bench.returned(), []);
    bench.wait(1);
    assert_eq!(bench.failures(), [(caller, MethodFailure::NotFound)]);
    bench.wait(60_000);
    assert_eq!(bench.names(), [""; 0]);
}

#[test]
fn the_patience_for_a_target_ends_when_the_call_goes_out() {
    let mut bench = Bench::new();
    let caller = bench.call("a", 4);
    bench.connect(CALLEE);
    bench.subscribe(CALLEE, true);
    bench.wait(3_000);
    let rid = bench.rid();
    bench.wait(9_000);
    assert_eq!(bench.returned(), []);
    bench.answer(CALLEE, &rid, "200");
    assert_eq!(bench.returned(), [(caller, answered(200, "2"))]);
}

#[test]
fn a_target_that_subscribes_and_leaves_again_does_not_use_up_what_waits() {
    let mut bench = Bench::new();
    let caller = bench.call("a", 60);
    bench.connect(CALLEE);
    bench.subscribe(CALLEE, true);
    bench.tell(Input::Disconnected { connection: CALLEE });
    bench.wait(5_000);
    assert_eq!(bench.returned(), []);
    bench.connect(NEWER);
    bench.subscribe(NEWER, true);
    bench.wait(3_000);
    let rid = bench.rid();
    bench.answer(NEWER, &rid, "200");
    assert_eq!(bench.returned(), [(caller, answered(200, "2"))]);
}

#[test]
fn a_takeover_ends_calls_at_once_and_a_departure_lets_them_run_out() {
    let mut bench = Bench::with_callee();
    let displaced = bench.call("a", 0);
    let rid = bench.rid();
    bench.connect(NEWER);
    assert_eq!(bench.failures(), [(displaced, MethodFailure::TimedOut)]);
    bench.subscribe(NEWER, true);
    bench.answer(NEWER, &rid, "200");
    bench.wait(60_000);
    assert_eq!(bench.returned(), []);
    assert_eq!(bench.names(), [""; 0], "the newcomer does not see the call");

    let left = bench.call("b", 0);
    bench.tell(Input::Disconnected { connection: NEWER });
    bench.wait(9_999);
    assert_eq!(bench.returned(), []);
    bench.wait(1);
    assert_eq!(bench.failures(), [(left, MethodFailure::TimedOut)]);
}

#[test]
fn what_was_sent_can_be_answered_after_unsubscribing() {
    let mut bench = Bench::with_callee();
    let caller = bench.call("a", 0);
    let rid = bench.rid();
    bench.subscribe(CALLEE, false);
    bench.answer(CALLEE, &rid, "200");
    assert_eq!(bench.returned(), [(caller, answered(200, "2"))]);
}

#[test]
fn the_cloud_gets_the_answer_or_status_0() {
    let mut bench = Bench::with_callee();
    let cloud = |bench: &mut Bench| {
        bench.tell(Input::CloudMethod {
            client: callee(),
            rid: String::from("42"),
            name: String::from("a"),
            payload: Bytes::from("1"),
        });
    };
    cloud(&mut bench);
    let rid = bench.rid();
    bench.wait(329_999);
    bench.answer(CALLEE, &rid, "200");
    bench.subscribe(CALLEE, false);
    cloud(&mut bench);
    let told: Vec<(i32, Bytes)> = bench
        .out
        .iter()
        .filter_map(|output| match output {
            Output::AnswerCloudMethod { status, payload, .. } => Some((*status, payload.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(200, Bytes::from("2")), (0, Bytes::new())]);
}

#[test]
fn the_hub_reads_identities_again_and_does_nothing_else() {
    let mut bench = Bench::new();
    let mut call = |name: &str, payload: &'static str| {
        bench.callers += 1;
        let request = MethodRequest {
            name: name.to_owned(),
            payload: Bytes::from(payload),
            response_timeout: Duration::from_secs(10),
            connect_timeout: Duration::ZERO,
        };
        let target = ClientId::module("edge1", "$edgeHub");
        bench.out =
            bench.core.handle(Input::MethodCalled { caller: CallerId(bench.callers), target, request }, bench.now);
        bench.out.remove(0)
    };
    let refresh = call("refreshdevicescopeidentitycache", r#"{"deviceIds":["leaf1","edge1/a"]}"#);
    let Output::RefreshIdentities { rid, clients } = refresh else { panic!("{refresh:?}") };
    assert_eq!(clients, [ClientId::device("leaf1"), ClientId::module("edge1", "a")]);
    for (name, payload, expected) in [
        ("RefreshDeviceScopeIdentityCache", "null", MethodFailure::BadRequest),
        ("RefreshDeviceScopeIdentityCache", r#"{"deviceIds":[1]}"#, MethodFailure::BadRequest),
        ("nosuch", "null", MethodFailure::NotFound),
    ] {
        let output = call(name, payload);
        let Output::MethodReturned { outcome: MethodOutcome::Failed { failure, .. }, .. } = output else {
            panic!("{output:?}")
        };
        assert_eq!(failure, expected, "{name} {payload}");
    }
    bench.tell(Input::IdentitiesRefreshed { rid, error: None });
    assert_eq!(bench.returned(), [(CallerId(1), answered(200, ""))]);
}
