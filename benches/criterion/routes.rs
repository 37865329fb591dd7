//! Decisions over tables of several sizes, and how long a configuration takes to be one.

#![allow(missing_docs, reason = "criterion_group! writes a function without a word about it")]

use std::hint::black_box;

use benches::{message, route, table};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [10, 100, 1_000];

/// One in ten of the routes is for the message, and so are all of them when there are only ten.
fn decision(criterion: &mut Criterion) {
    let message = message("press0");
    let mut group = criterion.benchmark_group("decision, 10 apply of");
    for size in SIZES {
        let modules = size / 10;
        let table = table((0..size).map(|number| route(&format!("press{}", number % modules), "grade = '12'", number)));
        assert_eq!(table.destinations(&message).len(), 10);
        group.bench_with_input(BenchmarkId::from_parameter(size), &table, |bencher, table| {
            bencher.iter(|| table.destinations(black_box(&message)));
        });
    }
    group.finish();
}

fn compilation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compilation of routes");
    for size in SIZES {
        let routes: Vec<String> = (0..size)
            .map(|number| route("press0", "grade = '12' AND $body.machine.temperature > 20", number))
            .collect();
        group.bench_with_input(BenchmarkId::from_parameter(size), &routes, |bencher, routes| {
            bencher.iter(|| table(routes.iter().cloned()));
        });
    }
    group.finish();
}

criterion_group!(all, decision, compilation);
criterion_main!(all);
