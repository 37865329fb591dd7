//! `edgecert vectors`: recorded results of the product's code, replayed on the oracle and on the reference hub.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::list::Format;

#[derive(clap::Args)]
pub struct Arguments {
    /// Files of recorded results, one JSON object a line.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to write the answer.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Something that answers rows; `None` for rows of kinds it has no part in.
type Answers = fn(&Value) -> Option<Value>;

const SIDES: [(&str, Answers); 2] = [("oracle", suites::vectors::answer), ("edge_hub", edge_hub::vectors::answer)];

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut reports = Vec::new();
    for file in &arguments.files {
        reports.push(replay(file)?);
    }
    let differ = reports
        .iter()
        .any(|report| SIDES.iter().any(|(side, _)| !report[side]["differences"].as_array().is_none_or(Vec::is_empty)));
    crate::say(&match arguments.format {
        Format::Json => serde_json::to_string_pretty(&reports)? + "\n",
        Format::Text => reports.iter().map(text).collect(),
    });
    Ok(ExitCode::from(u8::from(differ)))
}

fn replay(file: &Path) -> anyhow::Result<Value> {
    let place = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{place}: cannot be read"))?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Value = serde_json::from_str(line)
            .with_context(|| format!("{place}:{}: not a JSON object on one line", number + 1))?;
        if !row.is_object() {
            anyhow::bail!("{place}:{}: not a JSON object on one line", number + 1);
        }
        rows.push(row);
    }
    let mut not_compared: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in rows.iter().filter_map(suites::vectors::not_compared) {
        *not_compared.entry(reason).or_default() += 1;
    }
    let mut report = json!({"file": place.to_string(), "rows": rows.len(), "not_compared": not_compared});
    for (side, answers) in SIDES {
        let mut answered = 0;
        let mut passed_over: BTreeMap<String, u64> = BTreeMap::new();
        let mut differences = Vec::new();
        for row in &rows {
            let Some(answer) = answers(row) else {
                *passed_over.entry(kind(row)).or_insert(0u64) += 1;
                continue;
            };
            answered += 1;
            if let Some(difference) = suites::vectors::difference(row, &answer) {
                differences.push(json!({"row": suites::vectors::label(row), "difference": difference}));
            }
        }
        report[side] = json!({"answered": answered, "differences": differences, "passed_over": passed_over});
    }
    Ok(report)
}

/// What a row asks, for a list of rows that were passed over.
fn kind(row: &Value) -> String {
    let words = ["op", "to"].into_iter().filter_map(|name| row[name].as_str());
    words.collect::<Vec<_>>().join(" ")
}

fn text(report: &Value) -> String {
    let mut text = format!("{}: {} rows\n", report["file"].as_str().unwrap_or_default(), report["rows"]);
    for (reason, count) in report["not_compared"].as_object().into_iter().flatten() {
        text.push_str(&format!("  not compared: {count} ({reason})\n"));
    }
    for (side, _) in SIDES {
        let differences = report[side]["differences"].as_array().cloned().unwrap_or_default();
        text.push_str(&format!("  {side:<9} {} answered, {} differ\n", report[side]["answered"], differences.len()));
        for (kind, rows) in report[side]["passed_over"].as_object().into_iter().flatten() {
            text.push_str(&format!("    passed over: {rows} rows of `{kind}`, which this side does not do\n"));
        }
        for found in &differences {
            let part = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
            text.push_str(&format!("    {}\n      {}\n", part("row"), part("difference")));
        }
    }
    text
}
