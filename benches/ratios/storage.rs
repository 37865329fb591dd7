//! Appending to and draining a queue in which a million messages wait, against one with a thousand; on disk.

use std::path::Path;

use benches::envelope;
use edge_hub::bench::store::Store;
use edge_hub::core::{Copy, Envelope, QueueId, Timestamp};

use crate::ratio::{Plan, Verdict, compare, once, timed};

const SMALL: u32 = 1_000;
const LARGE: u32 = 1_000_000;

/// Messages of one commit and of one read: as many as the hub reads at a time.
const BATCH: u32 = 200;

/// The hub cleans up every so many turns here; by the clock, in fact.
const TURNS_PER_CLEANUP: u32 = 10;

const PLAN: Plan = Plan { blocks: 21, turns: 40, units: BATCH, unit: "message" };
const PARTS: Plan = Plan { blocks: 11, ..PLAN };

/// Of the issue.
const BAR: f64 = 1.5;

const NOW: Timestamp = Timestamp::from_millis(1_000);

pub fn measure() -> Verdict {
    let folder = tempfile::tempdir().expect("a folder");
    let (small, large) = (folder.path().join("small"), folder.path().join("large"));
    Waiting::stored(&small, SMALL);
    once("store 1,000,000 messages", LARGE, "message", || Waiting::stored(&large, LARGE));
    let mut small = once("start with 1,000 waiting", SMALL, "message", || Waiting::reopened(&small));
    let mut large = once("start with 1,000,000 waiting", LARGE, "message", || Waiting::reopened(&large));

    let verdict = compare(
        "append and drain: 1,000,000 waiting against 1,000",
        &PLAN,
        Some(BAR),
        || timed(|| small.turn()),
        || timed(|| large.turn()),
    );
    let append_alone = |waiting: &mut Waiting| {
        let spent = timed(|| waiting.append());
        waiting.drain();
        waiting.count_turn();
        spent
    };
    compare("  append alone", &PARTS, None, || append_alone(&mut small), || append_alone(&mut large));
    let drain_alone = |waiting: &mut Waiting| {
        waiting.append();
        let spent = timed(|| waiting.drain());
        waiting.count_turn();
        spent
    };
    compare("  drain alone", &PARTS, None, || drain_alone(&mut small), || drain_alone(&mut large));

    once("drain all of it", LARGE, "message", || {
        while large.left() > 0 {
            large.drain()
        }
    });
    once("remove what is settled", LARGE, "message", || large.clean());
    large.append();
    once("drain behind a million removed", BATCH, "message", || large.drain());
    once("clean up behind a million removed", BATCH, "message", || large.clean());
    drop(large);
    let large = folder.path().join("large");
    let mut large = once("start behind a million removed", 1, "start", || Waiting::reopened(&large));
    for _ in 0..LARGE / BATCH {
        large.append();
    }
    once("erase a queue of 1,000,000", LARGE, "message", || large.erase());
    verdict
}

/// A queue with messages in it.
struct Waiting {
    store: Store,
    envelope: Envelope,
    checkpoint: u64,
    tail: u64,
    turns: u32,
}

const QUEUE: QueueId = QueueId { endpoint: 1, priority: 0 };

impl Waiting {
    fn stored(folder: &Path, count: u32) -> Waiting {
        let mut waiting = Waiting::reopened(folder);
        for _ in 0..count / BATCH {
            waiting.append();
        }
        waiting
    }

    fn reopened(folder: &Path) -> Waiting {
        let mut store = Store::on_disk(folder, false).expect("a store");
        let state = store.open_queue(QUEUE, "edge1/sink/i0").expect("a queue");
        Waiting { store, envelope: envelope("press7"), checkpoint: state.checkpoint, tail: state.tail, turns: 0 }
    }

    fn turn(&mut self) {
        self.append();
        self.drain();
        self.count_turn();
    }

    fn count_turn(&mut self) {
        self.turns += 1;
        if self.turns % TURNS_PER_CLEANUP == 0 {
            self.clean();
        }
    }

    fn append(&mut self) {
        for _ in 0..BATCH {
            let copy = Copy { queue: QUEUE, time_to_live_millis: Some(7_200_000) };
            let offsets = self.store.append(&self.envelope, NOW, &[copy]).expect("there is room");
            self.tail = offsets[0] + 1;
        }
        self.store.commit().expect("durable");
    }

    fn drain(&mut self) {
        let (entries, next) = self.store.read(QUEUE, self.checkpoint, BATCH as usize).expect("readable");
        assert!(!entries.is_empty(), "nothing at {}", self.checkpoint);
        self.checkpoint = next;
        self.store.checkpoint(QUEUE, next);
        self.store.commit().expect("durable");
    }

    fn clean(&mut self) {
        self.store.clean(QUEUE, self.checkpoint, &[], false, NOW).expect("cleaned");
    }

    fn erase(&mut self) {
        self.store.delete_queue(QUEUE).expect("erased");
        self.store.commit().expect("durable");
    }

    fn left(&self) -> u64 {
        self.tail - self.checkpoint
    }
}
