//! The example files can be read, and the oracle agrees with every row whose result is written down.

use suites::examples::{self, Expected};
use suites::oracle::{self, Stage, Truth};
use suites::{model, scenes};

use harness::observe::history::{Identity, Sent};

#[test]
fn the_oracle_agrees_with_the_example_table() {
    let rows = examples::conditions();
    assert!(rows.len() > 300, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let message = row.message();
        let sent = Sent {
            by: Identity::Module("probe".to_owned()),
            at: std::time::Instant::now(),
            mark: "m1".to_owned(),
            output: message.output.clone(),
            properties: message.properties.clone(),
            system: message.system.clone(),
            body: message.body.clone(),
            acknowledged: None,
        };
        let answer = match oracle::condition(&row.condition) {
            Err(Stage::Parse) => Expected::Parse,
            Err(Stage::Compile) => Expected::Compile,
            Ok(condition) => match condition.evaluate(&model::routed(&sent, "gw7")) {
                Truth::True => Expected::True,
                Truth::False => Expected::False,
                Truth::Undefined => Expected::Undefined,
            },
        };
        if answer != row.expected {
            wrong.push(format!("{}: written {:?}, oracle {answer:?}", row.condition, row.expected));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn scenes_name_a_place_for_each_message() {
    for scene in scenes::all() {
        assert_eq!(scene.scene().letters.len(), scene.expected().len(), "{}", scene.name);
    }
}
