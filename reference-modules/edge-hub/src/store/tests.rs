//! The layout, over both backends.

use super::*;
use crate::core::routing::{Message, MessageSource};

const A: QueueId = QueueId { endpoint: 1, priority: 0 };
const B: QueueId = QueueId { endpoint: 2, priority: 0 };

fn envelope(text: &str) -> Envelope {
    Envelope::stored(Message {
        source: MessageSource::Device,
        properties: Vec::new(),
        system: vec![(String::from("connectionDeviceId"), Some(String::from("leaf1")))],
        body: bytes::Bytes::copy_from_slice(text.as_bytes()),
    })
}

fn to(queue: QueueId, time_to_live_millis: Option<u64>) -> Copy {
    Copy { queue, time_to_live_millis }
}

fn bodies(store: &Store, queue: QueueId, from: u64) -> Vec<String> {
    let (entries, _) = store.read(queue, from, 100).expect("readable");
    entries.iter().map(|entry| String::from_utf8(entry.envelope.message.body.to_vec()).expect("text")).collect()
}

fn both(test: impl Fn(Store)) {
    test(Store::in_memory());
    let folder = tempfile::tempdir().expect("a folder");
    test(Store::on_disk(folder.path(), false).expect("a store"));
}

const T0: Timestamp = Timestamp::from_millis(1_000);
const LATER: Timestamp = Timestamp::from_millis(2_000);

#[test]
fn an_uncommitted_message_is_not_read() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        assert_eq!(store.append(&envelope("x"), T0, &[to(A, None)]), Some(vec![0]));
        assert_eq!(bodies(&store, A, 0), Vec::<String>::new());
        store.commit().expect("commits");
        assert_eq!(bodies(&store, A, 0), ["x"]);
    });
}

#[test]
fn a_queue_continues_where_an_earlier_process_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let mut store = Store::on_disk(folder.path(), false).expect("a store");
        store.open_queue(A, "a").expect("opens");
        for text in ["x", "y", "z"] {
            store.append(&envelope(text), T0, &[to(A, None)]);
        }
        store.checkpoint(A, 2);
        store.commit().expect("commits");
    }
    let mut store = Store::on_disk(folder.path(), false).expect("the store");
    let state = store.open_queue(B, "a").expect("opens");
    assert_eq!(state, QueueState { checkpoint: 2, tail: 3, length: 1 });
    assert_eq!(bodies(&store, B, 2), ["z"]);
}

#[test]
fn a_deleted_queue_is_empty_but_its_positions_go_on() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.append(&envelope("x"), T0, &[to(A, None)]);
        store.commit().expect("commits");
        store.delete_queue(A).expect("deletes");
        store.commit().expect("commits");
        let state = store.open_queue(A, "a").expect("opens");
        assert_eq!((state.checkpoint, state.length), (1, 0));
        assert_eq!(store.append(&envelope("y"), T0, &[to(A, None)]), Some(vec![1]));
    });
}

#[test]
fn a_body_stays_until_the_last_queue_lets_it_go() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.open_queue(B, "b").expect("opens");
        store.append(&envelope("x"), T0, &[to(A, None), to(B, None)]);
        store.commit().expect("commits");
        store.clean(A, 1, &[], false, LATER).expect("cleans");
        assert_eq!(bodies(&store, B, 0), ["x"]);
        store.clean(B, 1, &[], false, LATER).expect("cleans");
        assert!(store.backend.last(Space::Messages).expect("readable").is_none());
    });
}

#[test]
fn an_expired_message_is_counted_once_when_its_last_copy_goes() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.open_queue(B, "b").expect("opens");
        store.append(&envelope("x"), T0, &[to(A, Some(10)), to(B, Some(10))]);
        store.commit().expect("commits");
        assert_eq!(store.clean(A, 0, &[], false, LATER).expect("cleans").expired, []);
        let last = store.clean(B, 0, &[], false, LATER).expect("cleans");
        assert_eq!(last.expired, [(String::from("leaf1"), String::new())]);
    });
}

#[test]
fn cleanup_stops_at_the_first_entry_that_stays_unless_told_otherwise() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.append(&envelope("stays"), T0, &[to(A, None)]);
        store.append(&envelope("expired"), T0, &[to(A, Some(1))]);
        store.commit().expect("commits");
        assert_eq!(store.clean(A, 0, &[], false, LATER).expect("cleans").remaining, 2);
        assert_eq!(store.clean(A, 0, &[], true, LATER).expect("cleans").remaining, 1);
        assert_eq!(bodies(&store, A, 0), ["stays"]);
    });
}

#[test]
fn a_full_store_takes_no_message_but_still_takes_documents() {
    let mut store = Store::in_memory();
    store.open_queue(A, "a").expect("opens");
    store.limit(Some(1));
    assert!(store.append(&envelope("x"), T0, &[to(A, None)]).is_some(), "the check precedes the write");
    store.commit().expect("commits");
    assert_eq!(store.append(&envelope("y"), T0, &[to(A, None)]), None);
    store.put_document("twin", b"{}".to_vec());
    store.commit().expect("commits");
    assert_eq!(store.document("twin").expect("readable").as_deref(), Some(&b"{}"[..]));
    store.limit(None);
    assert!(store.append(&envelope("z"), T0, &[to(A, None)]).is_some());
}

#[test]
fn a_cleanup_of_many_pages_leaves_what_others_wait_for() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.open_queue(B, "b").expect("opens");
        for _ in 0..3_000 {
            store.append(&envelope("x"), T0, &[to(A, None), to(B, None)]);
        }
        store.append(&envelope("y"), T0, &[to(A, None)]);
        store.commit().expect("commits");
        assert_eq!(store.clean(A, 3_000, &[], false, LATER).expect("cleans").remaining, 1);
        assert_eq!(bodies(&store, A, 0), ["y"]);
        assert_eq!(bodies(&store, B, 2_990).len(), 10);
        assert_eq!(store.clean(B, 3_000, &[], false, LATER).expect("cleans").remaining, 0);
        assert!(store.backend.last(Space::Copies).expect("readable").is_none());
        assert_eq!(store.backend.last(Space::Messages).expect("readable"), Some(3_000_u64.to_be_bytes().to_vec()));
    });
}

#[test]
fn a_cleanup_of_an_empty_queue_does_not_pass_over_what_comes() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.append(&envelope("x"), T0, &[to(A, None)]);
        assert_eq!(store.clean(A, 0, &[], false, LATER).expect("cleans").remaining, 1);
        store.append(&envelope("y"), T0, &[to(A, None)]);
        store.commit().expect("commits");
        assert_eq!(store.clean(A, 2, &[], false, LATER).expect("cleans").remaining, 0);
        assert!(store.backend.last(Space::Queues).expect("readable").is_none());
    });
}

#[test]
fn a_deleted_queue_leaves_nothing_of_what_was_just_added() {
    both(|mut store| {
        store.open_queue(A, "a").expect("opens");
        store.append(&envelope("x"), T0, &[to(A, None)]);
        store.delete_queue(A).expect("deletes");
        store.commit().expect("commits");
        assert!(store.backend.last(Space::Messages).expect("readable").is_none());
        assert!(store.backend.last(Space::Queues).expect("readable").is_none());
    });
}

#[test]
fn a_commit_answers_for_an_earlier_one_of_the_store_itself() {
    let mut store = Store::in_memory();
    store.lost = true;
    assert!(store.commit().is_err());
    assert!(store.commit().is_ok());
}
