//! Requirements, tests and planted faults name each other, and nothing that does not exist.

use std::collections::{BTreeMap, BTreeSet};

use harness::requirement::Level;

fn faults() -> Vec<suites::faults::Fault> {
    suites::faults::all().expect("the files of faults can be read")
}

#[test]
fn every_requirement_has_tests_or_a_reason_why_not() {
    let catalogue = suites::catalogue().expect("the catalogue can be read");
    let tests = suites::tests();
    let covered: BTreeSet<&str> = tests.iter().flat_map(|test| test.requirements.iter().map(String::as_str)).collect();
    let wrong: Vec<String> = catalogue
        .iter()
        .filter(|requirement| covered.contains(requirement.id.as_str()) == requirement.disposition.is_some())
        .map(|requirement| {
            format!(
                "{}: {}",
                requirement.id,
                if requirement.disposition.is_some() { "a reason beside tests" } else { "neither" }
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_names_requirements_of_the_catalogue() {
    let catalogue = suites::catalogue().expect("the catalogue can be read");
    for test in suites::tests() {
        assert!(!test.requirements.is_empty(), "{} names none", test.name);
        for id in &test.requirements {
            assert!(catalogue.get(id).is_some(), "{} names {id}", test.name);
        }
    }
}

#[test]
fn every_test_has_a_name_of_its_own() {
    let mut names = BTreeMap::new();
    for test in suites::tests() {
        assert!(names.insert(test.name.clone(), ()).is_none(), "{} stands twice", test.name);
    }
}

#[test]
fn nine_in_ten_musts_are_tested() {
    let catalogue = suites::catalogue().expect("the catalogue can be read");
    let musts: Vec<_> = catalogue.iter().filter(|requirement| requirement.level == Level::Must).collect();
    let tested = musts.iter().filter(|requirement| requirement.disposition.is_none()).count();
    assert!(tested * 10 >= musts.len() * 9, "{tested} of {}", musts.len());
}

#[test]
fn the_hub_and_the_suites_know_the_same_faults() {
    let hub: BTreeSet<String> = edge_hub::faults::all().map(str::to_owned).collect();
    let told: BTreeSet<String> = faults().into_iter().map(|fault| fault.id).collect();
    let one_side: Vec<_> = hub.symmetric_difference(&told).collect();
    assert!(one_side.is_empty(), "{one_side:?}");
}

#[test]
fn every_fault_violates_requirements_that_have_tests() {
    let tests = suites::tests();
    for fault in faults() {
        assert!(!fault.violates.is_empty(), "{}", fault.id);
        for id in &fault.violates {
            assert!(
                tests.iter().any(|test| test.requirements.contains(id)),
                "{} violates {id}, which has no test",
                fault.id
            );
        }
    }
}

#[test]
fn every_tested_must_has_a_planted_fault() {
    let catalogue = suites::catalogue().expect("the catalogue can be read");
    let violated: BTreeSet<String> = faults().into_iter().flat_map(|fault| fault.violates).collect();
    let missing: Vec<&str> = catalogue
        .iter()
        .filter(|requirement| requirement.level == Level::Must && requirement.disposition.is_none())
        .map(|requirement| requirement.id.as_str())
        .filter(|id| !violated.contains(*id))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
