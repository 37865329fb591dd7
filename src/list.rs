//! `edgecert list`: what there is.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

#[derive(clap::Args)]
pub struct Arguments {
    /// What to list.
    what: What,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Suites, with their number of tests.
    Suites,
    /// Requirements, with their tests or the reason why there is none.
    Requirements,
    /// Faults that can be planted.
    Faults,
}

/// How a command writes its answer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For readers.
    Text,
    /// For programs.
    Json,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let rows = match arguments.what {
        What::Suites => all_suites(),
        What::Requirements => requirements()?,
        What::Faults => faults()?,
    };
    let text = match arguments.format {
        Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
        Format::Text => rows.iter().map(|row| line(arguments.what, row)).collect(),
    };
    crate::say(&text);
    Ok(ExitCode::SUCCESS)
}

fn all_suites() -> Vec<Value> {
    let tests = suites::tests();
    let count = |name: &str| tests.iter().filter(|test| test.suite == name).count();
    suites::SUITES.iter().map(|(name, about)| json!({"name": name, "about": about, "tests": count(name)})).collect()
}

fn requirements() -> anyhow::Result<Vec<Value>> {
    let tests = suites::tests();
    let row = |requirement: &harness::requirement::Requirement| {
        let names: Vec<&str> = tests
            .iter()
            .filter(|test| test.requirements.contains(&requirement.id))
            .map(|test| test.name.as_str())
            .collect();
        json!({
            "id": requirement.id,
            "level": requirement.level,
            "claim": requirement.claim,
            "provenance": requirement.provenance,
            "tests": names,
            "disposition": requirement.disposition,
        })
    };
    Ok(suites::catalogue()?.iter().map(row).collect())
}

fn faults() -> anyhow::Result<Vec<Value>> {
    let faults = suites::faults::all().map_err(anyhow::Error::msg)?;
    Ok(faults.iter().map(|fault| json!(fault)).collect())
}

fn line(what: What, row: &Value) -> String {
    let text = |name: &str| row[name].as_str().unwrap_or_default();
    match what {
        What::Suites => format!("{:12} {:>4} tests  {}\n", text("name"), row["tests"], text("about")),
        What::Requirements => {
            let tests = row["tests"].as_array().map_or(0, Vec::len);
            let covered = match (tests, text("disposition")) {
                (0, "") => "NO TEST".to_owned(),
                (0, _) => "no test".to_owned(),
                (1, _) => "1 test".to_owned(),
                (count, _) => format!("{count} tests"),
            };
            let reason =
                if text("disposition").is_empty() { String::new() } else { format!(" ({})", text("disposition")) };
            format!(
                "{:14} {:6} {:10} {:>8}  {}{reason}\n",
                text("id"),
                text("level"),
                text("provenance"),
                covered,
                text("claim")
            )
        }
        What::Faults => {
            let violates: Vec<&str> =
                row["violates"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{:52} {}\n    {}\n", text("id"), violates.join(" "), text("what"))
        }
    }
}
