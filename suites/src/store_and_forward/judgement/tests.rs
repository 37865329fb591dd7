//! Stories of a line each: `probe` sends, `sink` receives.

use super::*;

fn ms(at: u64) -> Duration {
    Duration::from_millis(at)
}

fn sink() -> Place {
    Place::Input { module: "sink".to_owned(), input: "in".to_owned() }
}

/// Messages `0`, `1`, ... of these priorities, acknowledged 1 ms apart.
fn sent(priorities: &[u32]) -> Vec<Publication> {
    let publication = |(index, priority): (usize, &u32)| Publication {
        mark: index.to_string(),
        by: Identity::Module("probe".to_owned()),
        acknowledged: Some(ms(index as u64)),
        publishes: 1,
        copies: vec![(sink(), *priority)],
    };
    priorities.iter().enumerate().map(publication).collect()
}

fn arrival(mark: &str, at: u64) -> Arrival {
    Arrival { mark: mark.to_owned(), place: sink(), at: ms(at), acknowledged: true }
}

fn arrived(marks: &str) -> Vec<Arrival> {
    marks.chars().zip(0..).map(|(mark, number)| arrival(&mark.to_string(), 100 + number)).collect()
}

fn interrupted(what: Cause, from: u64, until: u64) -> Vec<Interruption> {
    vec![Interruption { what, from: ms(from), until: ms(until) }]
}

fn found(story: &Story) -> Option<(Promise, String)> {
    judge(story, Tolerance::default()).map(|finding| (finding.promise, finding.mark))
}

fn plain(priorities: &[u32], marks: &str) -> Story {
    Story { sent: sent(priorities), arrived: arrived(marks), interruptions: Vec::new() }
}

#[test]
fn a_complete_story_in_order_keeps_every_promise() {
    assert_eq!(found(&plain(&[1, 1, 1], "012")), None);
}

#[test]
fn what_was_acknowledged_must_arrive_and_what_was_not_may() {
    let mut story = plain(&[1, 1, 1], "02");
    assert_eq!(found(&story), Some((Promise::Loss, "1".to_owned())));
    story.sent[1].acknowledged = None;
    assert_eq!(found(&story), None);
}

#[test]
fn a_message_of_another_place_is_a_stray() {
    let mut story = plain(&[1, 1], "01");
    story.sent[1].copies = vec![(Place::Upstream, 1)];
    story.sent[1].acknowledged = None;
    assert_eq!(found(&story), Some((Promise::Stray, "1".to_owned())));
}

#[test]
fn a_repetition_needs_a_cause() {
    let mut story = plain(&[1, 1], "011");
    assert_eq!(found(&story), Some((Promise::Duplicate, "1".to_owned())));
    story.arrived[1].acknowledged = false;
    assert_eq!(found(&story), None, "the acknowledgement was withheld");
    story.arrived[1].acknowledged = true;
    story.sent[1].publishes = 2;
    assert_eq!(found(&story), None, "it was published again");
    story.sent[1].publishes = 1;
    story.interruptions = interrupted(Cause::ReceiverGone("sink".to_owned()), 101, 102);
    assert_eq!(found(&story), None, "the receiver left");
    story.interruptions = interrupted(Cause::ReceiverGone("other".to_owned()), 101, 102);
    assert!(found(&story).is_some(), "another receiver left");
    story.interruptions = interrupted(Cause::HubKilled, 150, 200);
    assert!(found(&story).is_some(), "the hub was killed later");
}

#[test]
fn a_message_that_others_followed_was_settled() {
    let mut story = plain(&[1, 1, 1], "01201");
    story.arrived[3].at = ms(300);
    story.arrived[4].at = ms(301);
    story.interruptions = interrupted(Cause::HubStopped, 150, 200);
    assert_eq!(found(&story), Some((Promise::Duplicate, "0".to_owned())));
    story.interruptions = interrupted(Cause::HubKilled, 150, 200);
    assert_eq!(found(&story), None, "within a batch");
    let finding = judge(&story, Tolerance::strict());
    assert_eq!(finding.map(|finding| finding.promise), Some(Promise::Duplicate), "a strict hub had noted it");
}

#[test]
fn order_holds_within_a_priority_and_repetitions_aside() {
    assert_eq!(found(&plain(&[1, 1, 1], "021")), Some((Promise::Order, "1".to_owned())));
    assert_eq!(found(&plain(&[1, 2], "10")), None, "one may be under way");
    let mut story = plain(&[1, 1, 1], "0121");
    story.sent[1].publishes = 2;
    assert_eq!(found(&story), None);
}

#[test]
fn behind_a_restart_the_more_urgent_goes_first() {
    let mut story = plain(&[7, 0], "01");
    assert_eq!(found(&story), None, "a batch of one was under way");
    story.interruptions = interrupted(Cause::HubStopped, 50, 60);
    assert_eq!(found(&story), Some((Promise::Priority, "1".to_owned())));
    story.interruptions = interrupted(Cause::HubStopped, 150, 160);
    assert_eq!(found(&story), None, "the restart came later");
}

#[test]
fn no_more_than_a_batch_overtakes_what_is_more_urgent() {
    let mut priorities = vec![0];
    priorities.extend([7; 11]);
    let mut story = Story { sent: sent(&priorities), ..Story::default() };
    let late = |order: Vec<usize>| {
        order.iter().zip(0..).map(|(mark, number)| arrival(&mark.to_string(), 100 + number)).collect()
    };
    story.arrived = late((1..=10).chain([0, 11]).collect());
    assert_eq!(found(&story), None);
    story.arrived = late((1..=11).chain([0]).collect());
    assert_eq!(found(&story), Some((Promise::Priority, "0".to_owned())));
}
