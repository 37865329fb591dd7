//! A decision over a thousand routes of which ten apply, against one over those ten alone.

use std::hint::black_box;

use benches::{message, route, table};
use edge_hub::core::routing::RoutingTable;

use crate::ratio::{Plan, Verdict, compare, timed};

const ROUTES: usize = 1_000;
const APPLYING: usize = 10;

const PLAN: Plan = Plan { blocks: 21, turns: 20, units: 200, unit: "decision" };

/// Of the issue.
const BAR: f64 = 3.0;

pub fn measure() -> Verdict {
    let message = message("press7");
    let decide = |table: &RoutingTable| {
        timed(|| {
            for _ in 0..PLAN.units {
                assert_eq!(black_box(table.destinations(black_box(&message))).len(), APPLYING);
            }
        })
    };

    let applying = |number: usize| route("press7", "grade = '12' AND $body.ok = true", number);
    let few = table((0..APPLYING).map(applying));
    let other_sources = table((0..ROUTES).map(|number| match number % (ROUTES / APPLYING) {
        0 => applying(number),
        other => route(&format!("press{}", 1_000 + other), "grade = '12' AND $body.ok = true", number),
    }));
    let verdict = compare(
        "decision: 1,000 routes of 100 modules, 10 apply",
        &PLAN,
        Some(BAR),
        || decide(&few),
        || decide(&other_sources),
    );

    let asking = |value: usize, number: usize| route("press7", &format!("line = 'press-{value}'"), number);
    let few_asking = table((0..APPLYING).map(|number| asking(7, number)));
    let other_values = table((0..ROUTES).map(|number| match number % (ROUTES / APPLYING) {
        0 => asking(7, number),
        other => asking(1_000 + other, number),
    }));
    compare(
        "decision: 1,000 routes of one module, 10 for this value",
        &PLAN,
        None,
        || decide(&few_asking),
        || decide(&other_values),
    );

    let above = |threshold: usize, number: usize| route("press7", &format!("as_number(grade) > {threshold}"), number);
    let few_above = table((0..APPLYING).map(|number| above(7, number)));
    let other_thresholds = table((0..ROUTES).map(|number| match number % (ROUTES / APPLYING) {
        0 => above(7, number),
        other => above(1_000 + other, number),
    }));
    compare(
        "decision: 1,000 routes of one module that must be asked",
        &PLAN,
        None,
        || decide(&few_above),
        || decide(&other_thresholds),
    );
    verdict
}
