//! MQTT packets as the hub reads and writes them.

#![allow(missing_docs, reason = "criterion_group! writes a function without a word about it")]

use std::hint::black_box;

use benches::BODY;
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use edge_hub::bench::wire;

const TOPIC: &str = "devices/edge1/modules/press7/messages/events/line=press-7&grade=12&%24.ct=application%2Fjson";

const LIMIT_BYTES: usize = 262_144;

fn publish(criterion: &mut Criterion) {
    let large = vec![b'x'; 65_536];
    let mut group = criterion.benchmark_group("PUBLISH");
    for (name, payload) in [("100 B", BODY), ("64 KiB", &large)] {
        let bytes = wire::write_publish(TOPIC, Some(7), payload).expect("short");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{name} read"), |bencher| {
            bencher.iter_batched(
                || BytesMut::from(&bytes[..]),
                |mut received| wire::take(&mut received, LIMIT_BYTES).expect("a packet"),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("{name} written"), |bencher| {
            bencher.iter(|| wire::write_publish(black_box(TOPIC), Some(7), black_box(payload)));
        });
    }
    group.finish();
}

fn puback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("PUBACK");
    let bytes = wire::write_puback(7);
    group.bench_function("read", |bencher| {
        bencher.iter_batched(
            || BytesMut::from(&bytes[..]),
            |mut received| wire::take(&mut received, LIMIT_BYTES).expect("a packet"),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("written", |bencher| bencher.iter(|| wire::write_puback(black_box(7))));
    group.finish();
}

criterion_group!(all, publish, puback);
criterion_main!(all);
