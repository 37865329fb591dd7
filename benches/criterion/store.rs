//! Appending a batch with one commit and draining it again: on disk (handed to the operating system, not synced) and in
//! memory.

#![allow(missing_docs, reason = "criterion_group! writes a function without a word about it")]

use benches::envelope;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use edge_hub::bench::store::Store;
use edge_hub::core::{Copy, Envelope, QueueId, Timestamp};

const QUEUE: QueueId = QueueId { endpoint: 1, priority: 0 };
const COPY: Copy = Copy { queue: QUEUE, time_to_live_millis: Some(7_200_000) };
const NOW: Timestamp = Timestamp::from_millis(1_000);

fn round(store: &mut Store, envelope: &Envelope, batch: usize) {
    let mut first = None;
    for _ in 0..batch {
        let offsets = store.append(envelope, NOW, &[COPY]).expect("there is room");
        first.get_or_insert(offsets[0]);
    }
    store.commit().expect("durable");
    let from = first.expect("a batch is not empty");
    let (entries, next) = store.read(QUEUE, from, batch).expect("readable");
    assert_eq!(entries.len(), batch);
    store.checkpoint(QUEUE, next);
    store.commit().expect("durable");
    store.clean(QUEUE, next, &[], false, NOW).expect("cleaned");
}

fn append_and_drain(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let envelope = envelope("press7");
    for (name, mut store) in
        [("on disk", Store::on_disk(folder.path(), false).expect("a store")), ("in memory", Store::in_memory())]
    {
        store.open_queue(QUEUE, "edge1/sink/i0").expect("a queue");
        let mut group = criterion.benchmark_group(format!("append, drain, remove {name}, batches of"));
        for batch in [1_usize, 200] {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                bencher.iter(|| round(&mut store, &envelope, batch));
            });
        }
        group.finish();
    }
}

criterion_group!(all, append_and_drain);
criterion_main!(all);
