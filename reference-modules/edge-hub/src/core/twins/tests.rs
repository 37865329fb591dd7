//! Twins in virtual time: an IoT Hub that answers when it is told to.

use std::time::Duration;

use super::super::tests::{Bench, SENDER, settings};
use super::*;
use crate::core::{CoreSettings, Input, Listening};

const PUBLISH: PublishId = PublishId { connection: SENDER, number: 1 };

impl Bench {
    /// IoT Hub can be reached, and one client is there.
    fn online() -> Bench {
        Bench::online_with(settings())
    }

    fn online_with(settings: CoreSettings) -> Bench {
        let mut bench = Bench::with(&[], settings);
        bench.tell(Input::TwinsRemembered(Vec::new()));
        bench.tell(Input::UpstreamConnected);
        bench
    }

    fn pass(&mut self, secs: u64) {
        self.wait(Duration::from_secs(secs));
    }

    fn listen(&mut self) {
        let listening = Listening { desired: true, ..Listening::default() };
        self.tell(Input::Subscribed { connection: SENDER, inputs: false, listening });
    }

    fn get(&mut self) {
        self.tell(Input::TwinGet { publish: PUBLISH, client: client() });
    }

    fn patch(&mut self, patch: &'static str) {
        let change = TwinChange { reporter: client(), patch: Bytes::from(patch), edge_message_id: String::from("id") };
        self.tell(Input::TwinChanged { publish: PUBLISH, change });
    }

    fn changed(&mut self, patch: &'static str) {
        self.tell(Input::DesiredChanged { client: client(), patch: Bytes::from(patch), version: None });
    }

    /// Reads that IoT Hub was asked for since.
    fn reads(&mut self) -> Vec<TwinRequestId> {
        self.take(|output| match output {
            Output::ReadTwin { request, .. } => Some(*request),
            _ => None,
        })
    }

    /// Updates that IoT Hub was asked for since.
    fn updates(&mut self) -> Vec<(TwinRequestId, String)> {
        self.take(|output| match output {
            Output::PatchTwin { request, patch, .. } => Some((*request, text(patch))),
            _ => None,
        })
    }

    /// What the client was answered since.
    fn responses(&mut self) -> Vec<(u16, String)> {
        self.take(|output| match output {
            Output::TwinResponse { status, document, .. } => Some((*status, text(document))),
            _ => None,
        })
    }

    /// What the client was told of desired properties since.
    fn told(&mut self) -> Vec<String> {
        self.take(|output| match output {
            Output::DesiredPatch { patch, .. } => Some(text(patch)),
            _ => None,
        })
    }

    /// How often IoT Hub was looked for since.
    fn probes(&mut self) -> usize {
        self.take(|output| matches!(output, Output::Probe).then_some(())).len()
    }

    fn answer(&mut self, request: TwinRequestId, status: u16, document: &'static str) {
        self.tell(Input::TwinAnswered { request, answer: Some((status, Bytes::from(document))) });
    }

    fn answer_read(&mut self, document: &'static str) {
        let [request] = self.reads()[..] else { panic!("one read was expected") };
        self.answer(request, 200, document);
    }

    fn answer_update(&mut self, status: u16) -> String {
        let [(request, patch)] = &self.updates()[..] else { panic!("one update was expected") };
        self.answer(*request, status, "");
        patch.clone()
    }
}

fn client() -> ClientId {
    ClientId::module("edge1", "sender")
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const FIRST: &str = r#"{"desired":{"a":1,"$version":1},"reported":{"$version":1}}"#;

#[test]
fn a_read_without_an_answer_is_answered_with_what_is_stored() {
    let mut bench = Bench::online();
    bench.get();
    bench.answer_read(FIRST);
    bench.patch(r#"{"r":{"x":1}}"#);
    bench.get();
    let [request] = bench.reads()[..] else { panic!("one read") };
    bench.tell(Input::TwinAnswered { request, answer: None });
    let stored = r#"{"desired":{"a":1,"$version":1},"reported":{"$version":1,"r":{"x":1}}}"#;
    assert_eq!(bench.responses(), [(200, FIRST.into()), (204, String::new()), (200, stored.into())]);
    assert_eq!(bench.probes(), 1);
}

#[test]
fn a_read_that_is_refused_is_answered_with_what_is_stored() {
    let mut bench = Bench::online();
    bench.get();
    let [request] = bench.reads()[..] else { panic!("one read") };
    bench.answer(request, 429, "");
    assert_eq!(bench.responses(), [(200, String::from(r#"{"desired":{},"reported":{}}"#))]);
    assert_eq!(bench.probes(), 0, "it was an answer");
}

#[test]
fn a_strong_read_shows_what_iot_hub_has_not_taken_yet() {
    let mut bench = Bench::online_with(CoreSettings { strong_twin_reads: true, ..settings() });
    bench.patch(r#"{"x":1}"#);
    bench.get();
    bench.answer_read(FIRST);
    let strong = r#"{"desired":{"a":1,"$version":1},"reported":{"$version":1,"x":1}}"#;
    assert_eq!(bench.responses()[1], (200, strong.into()));
}

#[test]
fn updates_go_upstream_in_rounds_and_merged() {
    let mut bench = Bench::online();
    bench.patch(r#"{"x":1}"#);
    assert_eq!(bench.answer_update(204), r#"{"x":1}"#);
    bench.patch(r#"{"x":2,"y":{"z":1}}"#);
    bench.patch(r#"{"y":{"z":null}}"#);
    assert_eq!(bench.updates(), []);
    bench.pass(5);
    assert_eq!(bench.answer_update(204), r#"{"x":2,"y":{"z":null}}"#);
    bench.pass(60);
    assert_eq!(bench.updates(), []);
}

#[test]
fn an_update_that_comes_while_another_is_under_way_follows_it() {
    let mut bench = Bench::online();
    bench.patch(r#"{"x":1}"#);
    let [(first, _)] = bench.updates()[..] else { panic!("one update") };
    bench.patch(r#"{"x":2}"#);
    bench.pass(6);
    assert_eq!(bench.updates(), [], "one at a time");
    bench.answer(first, 204, "");
    bench.pass(6);
    assert_eq!(bench.answer_update(204), r#"{"x":2}"#);
}

#[test]
fn what_was_not_taken_is_sent_with_the_next_update() {
    let mut bench = Bench::online();
    bench.patch(r#"{"x":1}"#);
    bench.answer_update(429);
    bench.pass(60);
    assert_eq!(bench.updates(), [], "no timer repeats it");
    bench.patch(r#"{"y":1}"#);
    assert_eq!(bench.answer_update(204), r#"{"x":1,"y":1}"#);
}

#[test]
fn an_outage_is_made_up_for_with_updates_first() {
    let mut bench = Bench::online();
    bench.listen();
    bench.get();
    bench.answer_read(FIRST);
    bench.patch(r#"{"x":1}"#);
    bench.answer_update(500);
    bench.pass(121);
    bench.tell(Input::UpstreamLost);
    bench.tell(Input::UpstreamConnected);
    assert_eq!(bench.reads(), []);
    bench.answer_update(204);
    bench.answer_read(r#"{"desired":{"b":2,"$version":3},"reported":{"x":1,"$version":2}}"#);
    assert_eq!(bench.told(), [r#"{"a":null,"$version":3,"b":2}"#]);
}

#[test]
fn a_twin_read_not_long_ago_is_good_enough_after_an_outage() {
    let mut bench = Bench::online();
    bench.get();
    bench.answer_read(FIRST);
    bench.pass(119);
    bench.tell(Input::UpstreamConnected);
    assert_eq!(bench.reads(), []);
    bench.pass(2);
    bench.tell(Input::ListensAgain { client: client() });
    assert_eq!(bench.reads().len(), 1);
}

#[test]
fn a_change_that_follows_is_told_as_it_came() {
    let mut bench = Bench::online();
    bench.listen();
    bench.get();
    bench.answer_read(FIRST);
    let patch = r#"{"at":"2031-02-03T04:05:06.100Z", "$version":2}"#;
    bench.changed(patch);
    assert_eq!(bench.told(), [patch]);
}

#[test]
fn a_gap_is_closed_with_one_patch() {
    let mut bench = Bench::online();
    bench.listen();
    bench.get();
    bench.answer_read(FIRST);
    bench.changed(r#"{"c":3,"$version":3}"#);
    bench.changed(r#"{"d":4,"$version":4}"#);
    assert_eq!(bench.told(), [] as [&str; 0]);
    for request in bench.reads() {
        bench.answer(request, 200, r#"{"desired":{"a":1,"b":2,"c":3,"d":4,"$version":4},"reported":{"$version":1}}"#);
    }
    assert_eq!(bench.told(), [r#"{"$version":4,"b":2,"c":3,"d":4}"#]);
}

#[test]
fn a_gap_that_cannot_be_closed_is_not_told() {
    let mut bench = Bench::online();
    bench.listen();
    bench.get();
    bench.answer_read(FIRST);
    bench.changed(r#"{"c":3,"$version":3}"#);
    let [request] = bench.reads()[..] else { panic!("one read") };
    bench.tell(Input::TwinAnswered { request, answer: None });
    assert_eq!(bench.told(), [] as [&str; 0]);
}

#[test]
fn whoever_does_not_listen_is_told_nothing() {
    let mut bench = Bench::online();
    bench.changed(r#"{"c":3,"$version":3}"#);
    bench.listen();
    assert_eq!(bench.told(), [] as [&str; 0]);
    bench.changed(r#"{"c":4,"$version":5}"#);
    assert_eq!(bench.told(), [r#"{"c":4,"$version":5}"#], "nothing is known, so nothing is missing");
}

#[test]
fn a_later_process_knows_what_this_one_knew() {
    let mut bench = Bench::online();
    bench.get();
    bench.answer_read(FIRST);
    bench.patch(r#"{"x":1}"#);
    let remembered = bench.take(|output| match output {
        Output::RememberTwin { client, document } => Some((client.clone(), document.clone())),
        _ => None,
    });
    let mut later = Bench::online();
    later.tell(Input::TwinsRemembered(remembered));
    later.patch(r#"{"y":1}"#);
    assert_eq!(later.answer_update(204), r#"{"x":1,"y":1}"#);
}

#[test]
fn iot_hub_is_looked_for_now_and_then() {
    let mut bench = Bench::online();
    bench.pass(300);
    assert_eq!(bench.probes(), 1);
    bench.tell(Input::Probed);
    bench.pass(300);
    assert_eq!(bench.probes(), 1);
    bench.tell(Input::UpstreamLost);
    bench.tell(Input::Probed);
    bench.pass(300);
    assert_eq!(bench.probes(), 0, "the hub's own session tries on by itself");
}
