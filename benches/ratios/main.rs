//! Promises about growth, measured as ratios: both sides of each take turns in one run, so what else the machine does
//! falls on both. Ends with 1 when a bar is broken.

mod decisions;
mod ratio;
mod storage;

use std::process::ExitCode;

use ratio::Verdict;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, and has no time for it.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("nothing measured: this is for `cargo bench -p benches --bench ratios`");
        return ExitCode::SUCCESS;
    }
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let mut verdict = Verdict::Kept;
    if wanted("decisions") {
        verdict = verdict.and(decisions::measure());
    }
    if wanted("storage") {
        verdict = verdict.and(storage::measure());
    }
    match verdict {
        Verdict::Kept => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::FAILURE,
    }
}
