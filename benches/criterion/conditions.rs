//! A decision over one route, for conditions of each kind.

#![allow(missing_docs, reason = "criterion_group! writes a function without a word about it")]

use std::hint::black_box;

use benches::{message, route, table};
use criterion::{Criterion, criterion_group, criterion_main};

const CONDITIONS: &[(&str, &str)] = &[
    ("none", "true"),
    ("property", "grade <> '7'"),
    ("system property", "$contentType = 'application/json'"),
    ("body member", "$body.machine.temperature > 20"),
    ("function", "starts_with(line, 'press') AND as_number(grade) >= 12"),
    ("many parts", "(grade <> '7' OR alarm = 'yes') AND NOT (line = 'weld') AND length(line || grade) > 3"),
];

fn conditions(criterion: &mut Criterion) {
    let message = message("press7");
    let mut group = criterion.benchmark_group("condition");
    for (name, condition) in CONDITIONS {
        let table = table([route("press7", condition, 0)]);
        assert_eq!(table.destinations(&message).len(), 1, "{condition}");
        group.bench_function(*name, |bencher| bencher.iter(|| table.destinations(black_box(&message))));
    }
    group.finish();
}

criterion_group!(all, conditions);
criterion_main!(all);
