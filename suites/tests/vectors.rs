//! The oracle agrees with every recorded result it has an opinion on.

use suites::vectors;

fn agrees(text: &str) {
    let mut wrong = Vec::new();
    let mut judged = 0;
    for line in text.lines() {
        let row = serde_json::from_str(line).expect("each line is JSON");
        let answer = vectors::answer(&row).expect("the oracle knows rows of this file");
        judged += 1;
        if let Some(difference) = vectors::difference(&row, &answer) {
            wrong.push(format!("{}\n    {difference}", vectors::label(&row)));
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn conditions_agree() {
    agrees(include_str!("../../fixtures/vectors/conditions.jsonl"));
}

#[test]
fn routes_agree() {
    agrees(include_str!("../../fixtures/vectors/routes.jsonl"));
}

#[test]
fn sources_agree() {
    agrees(include_str!("../../fixtures/vectors/sources.jsonl"));
}

#[test]
fn configurations_agree() {
    agrees(include_str!("../../fixtures/vectors/edgehub-config.jsonl"));
}

#[test]
fn property_bags_agree() {
    agrees(include_str!("../../fixtures/vectors/mqtt-property-bag.jsonl"));
}

#[test]
fn topics_agree() {
    agrees(include_str!("../../fixtures/vectors/mqtt-topics.jsonl"));
}

#[test]
fn user_names_agree() {
    agrees(include_str!("../../fixtures/vectors/mqtt-username.jsonl"));
}

#[test]
fn tokens_agree() {
    agrees(include_str!("../../fixtures/vectors/sas-token.jsonl"));
}

#[test]
fn merges_and_differences_of_twins_agree() {
    agrees(include_str!("../../fixtures/vectors/twin-merge-diff.jsonl"));
}

#[test]
fn reported_patches_agree() {
    agrees(include_str!("../../fixtures/vectors/reported-patch.jsonl"));
}

#[test]
fn method_requests_agree() {
    agrees(include_str!("../../fixtures/vectors/method-request.jsonl"));
}
