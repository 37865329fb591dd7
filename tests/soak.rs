//! Soaks can tell: short ones conform, and one with a planted fault does not.

use std::process::{Command, Output, Stdio};

fn soak(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_edgecert"))
        .arg("soak")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary of this package runs")
}

fn ends_with(output: &Output, code: i32, word: &str) {
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}\n{errors}");
    assert!(said.lines().last().is_some_and(|line| line.starts_with(word)), "{said}");
}

#[test]
fn a_hub_that_is_killed_three_times_loses_nothing() {
    ends_with(&soak(&["kills", "--times", "3", "--senders", "8", "--seed", "5"]), 0, "CONFORMS");
}

#[test]
fn a_hub_that_acknowledges_before_it_stores_is_found_out_by_kills() {
    let planted = ["--plant", "FAN04-acknowledged-before-stored"];
    let output = soak(&[["kills", "--times", "3", "--senders", "8", "--seed", "5"].as_slice(), &planted].concat());
    ends_with(&output, 1, "VIOLATED");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("was acknowledged and never arrived"), "{said}");
    assert!(said.contains("again  edgecert soak kills --times 3"), "{said}");
}

#[test]
fn neither_server_minds_five_hundred_broken_packets() {
    for (protocol, server) in [("mqtt", "edge-hub"), ("mqtt", "iot-hub"), ("amqp", "edge-hub")] {
        let packets = ["packets", "--count", "500", "--seed", "5", "--protocol", protocol, "--against", server];
        ends_with(&soak(&packets), 0, "CONFORMS");
    }
}

#[test]
fn a_hub_that_closes_a_neighbour_for_a_broken_packet_is_found_out() {
    let output = soak(&["packets", "--count", "500", "--seed", "5", "--plant", "ERR04-fault-closes-the-neighbours"]);
    ends_with(&output, 1, "VIOLATED");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the healthy client lost its connection"), "{said}");
}

#[test]
fn a_fault_that_does_not_exist_is_refused() {
    let output = soak(&["kills", "--plant", "no-such-fault"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--plant no-such-fault: there is no such fault"));
}
