//! The property bag at the end of a topic, read from a sender and written for a receiver.

#![allow(missing_docs, reason = "criterion_group! writes a function without a word about it")]

use std::hint::black_box;

use benches::message;
use criterion::{Criterion, criterion_group, criterion_main};
use edge_hub::bench::bag;

const PLAIN: &str = "line=press-7&grade=12&alarm=no";
const SYSTEM: &str = "line=press-7&%24.mid=6b7cf0f2-1a5e-4a0c-8d5a-0c6a5b5f3f10&%24.ct=application%2Fjson&%24.ce=utf-8";

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bag read");
    for (name, text) in [("plain", PLAIN), ("system", SYSTEM)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| bag::classify(bag::read(black_box(text)).expect("well formed")));
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let message = message("press7");
    criterion.bench_function("bag written", |bencher| {
        bencher.iter(|| bag::outgoing(black_box(&message.properties), black_box(&message.system)));
    });
}

criterion_group!(all, read, write);
criterion_main!(all);
