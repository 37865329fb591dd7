//! `edgecert explain`: all about one requirement or one planted fault.

use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Arguments {
    /// Id of a requirement (`ROUTE-SRC-08`) or of a fault.
    id: String,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let id = arguments.id;
    let catalogue = suites::catalogue()?;
    let faults = suites::faults::all().map_err(anyhow::Error::msg)?;
    let tests = suites::tests();
    let mut text = String::new();
    let mut say = |name: &str, value: &str| text.push_str(&format!("{name:<12} {value}\n"));
    if let Some(requirement) = catalogue.get(&id) {
        say(&id, &requirement.claim);
        say("level", requirement.level.as_str());
        say("source", &requirement.source);
        say(
            "known",
            &format!(
                "{}{}",
                requirement.provenance.as_str(),
                if requirement.quirk { "; a reader of the documentation would be surprised" } else { "" }
            ),
        );
        if !requirement.needs.is_empty() {
            say("needs", &requirement.needs.join(", "));
        }
        for test in tests.iter().filter(|test| test.requirements.contains(&id)) {
            say("test", &test.name);
        }
        if let Some(reason) = &requirement.disposition {
            say("no test", reason);
        }
        for fault in faults.iter().filter(|fault| fault.violates.contains(&id)) {
            say("fault", &format!("{}: {}", fault.id, fault.what));
        }
        say("see it", &format!("edgecert test --requirement {id}"));
    } else if let Some(fault) = faults.iter().find(|fault| fault.id == id) {
        say("fault", &id);
        say("what", &fault.what);
        if let Some(row) = &fault.catalogue {
            say("catalogue", row);
        }
        for violated in &fault.violates {
            say("violates", &format!("{violated}: {}", catalogue.get(violated).map_or("", |found| &found.claim)));
        }
        say("see it", &format!("edgecert self-test --fault {id}"));
    } else {
        anyhow::bail!(
            "`{id}` is neither a requirement nor a fault; `edgecert list requirements` and `edgecert list faults` name them all"
        );
    }
    crate::say(&text);
    Ok(ExitCode::SUCCESS)
}
