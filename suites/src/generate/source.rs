//! Senders, and sources of routes that may be about them.

use harness::observe::history::Identity;
use proptest::prelude::*;
use proptest::sample::select;

/// Who sends, and on which output.
pub type Sender = (Identity, Option<String>);

const MODULES: [&str; 5] = ["probe", "m1", "m10", "cam", "cam2"];
const OUTPUTS: [&str; 4] = ["o1", "o10", "Out", "o"];

/// A module with or without an output, or a leaf device.
pub fn sender() -> impl Strategy<Value = Sender> {
    let output = proptest::option::weighted(0.7, select(OUTPUTS.to_vec()).prop_map(str::to_owned));
    prop_oneof![
        5 => (select(MODULES.to_vec()), output).prop_map(|(module, output)| (Identity::Module(module.to_owned()), output)),
        1 => select(vec!["leaf1", "leaf2"]).prop_map(|leaf| (Identity::LeafDevice(leaf.to_owned()), None)),
    ]
}

/// The path behind `FROM`.
pub fn source() -> impl Strategy<Value = String> {
    let module = || select(vec!["probe", "m1", "m10", "cam", "cam2", "CAM", "Probe", "*", "ca", "m1x"]);
    let output = select(vec!["o1", "o10", "out", "o", "o*", "*", "O1"]);
    let path = prop_oneof![
        2 => select(vec!["/*", "/messages/*", "/messages", "/messages/modules/*", "/messages/modules", "/Messages", "/messages/devices/*", "/message", "/twinChangeNotifications"]).prop_map(str::to_owned),
        3 => module().prop_map(|module| format!("/messages/modules/{module}")),
        2 => module().prop_map(|module| format!("/messages/modules/{module}/outputs")),
        4 => (module(), output).prop_map(|(module, output)| format!("/messages/modules/{module}/outputs/{output}")),
        1 => module().prop_map(|module| format!("/MESSAGES / modules / {module} / *")),
    ];
    path.boxed()
}
