//! The language, the configuration, MQTT texts and twins agree with every recorded answer of the product.

use std::path::Path;

use serde_json::Value;

#[test]
fn conditions_agree_with_the_product() {
    agrees("conditions.jsonl", 2600);
}

#[test]
fn routes_agree_with_the_product() {
    agrees("routes.jsonl", 519);
}

#[test]
fn sources_agree_with_the_product() {
    agrees("sources.jsonl", 260);
}

#[test]
fn configurations_agree_with_the_product() {
    agrees("edgehub-config.jsonl", 523);
}

#[test]
fn property_bags_agree_with_the_product() {
    agrees("mqtt-property-bag.jsonl", 407);
}

#[test]
fn user_names_agree_with_the_product() {
    agrees("mqtt-username.jsonl", 254);
}

#[test]
fn bodies_of_method_calls_agree_with_the_product() {
    agrees("method-request.jsonl", 310);
}

#[test]
fn documents_merge_and_differ_as_in_the_product() {
    agrees("twin-merge-diff.jsonl", 577);
}

#[test]
fn reported_properties_are_judged_as_by_the_product() {
    agrees("reported-patch.jsonl", 540);
}

/// Replays one file; rows marked `uncertain` are left out.
fn agrees(file: &str, rows: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors").join(file);
    let text = std::fs::read_to_string(&path).expect("the recorded vectors are part of the repository");
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    assert_eq!(all.len(), rows, "{file} is complete");
    let differences: Vec<String> =
        all.iter().filter(|row| row.get("uncertain").is_none()).filter_map(difference).collect();
    assert!(differences.is_empty(), "{} rows of {file} differ\n{}", differences.len(), differences.join("\n"));
}

fn difference(row: &Value) -> Option<String> {
    let Some(answer) = edge_hub::vectors::answer(row) else {
        return Some(format!("{} is not answered", row["id"]));
    };
    let members = answer.as_object().expect("an answer is an object");
    let differs = |(name, value): (&String, &Value)| {
        let recorded = &row[name];
        match name.as_str() {
            // Texts and kinds of errors depend on the product's libraries.
            "result" if value.get("error").is_some() => {
                recorded.get("error").is_none() || recorded.get("stage") != value.get("stage")
            }
            // A status tells all; which error it stands for is the product's affair.
            "result" if row["op"] == "reported" => {
                let mut said = value.as_object().into_iter().flatten();
                said.any(|(name, value)| recorded.get(name) != Some(value))
            }
            // The product refuses both when it compiles, and explains only one.
            "stage" if value == "compile" => recorded != "compile" && recorded != "internal",
            _ => recorded != value,
        }
    };
    members.iter().any(differs).then(|| format!("{row}\n    answered {answer}"))
}
