//! `edgecert`: conformance tests for Azure IoT Edge hubs, and the simulated world they run in.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod explain;
mod guarded;
mod list;
mod module;
mod repeat;
mod selection;
mod self_test;
mod serve;
mod soak;
mod test;
mod vectors;

/// Proves on one machine, with no cloud account, that an Azure IoT Edge hub keeps its promises.
#[derive(Parser)]
#[command(name = "edgecert", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 the subject conforms, 1 it violates a requirement, 2 inconclusive or broken.";

#[derive(Subcommand)]
enum Command {
    /// Judge an edgeHub: by default the reference hub in this binary.
    Test(Box<test::Arguments>),
    /// Plant one fault at a time in the reference hub and see that the suites notice each.
    SelfTest(self_test::Arguments),
    /// Long runs of one kind of trouble: kills of the hub, or broken packets.
    #[command(subcommand)]
    Soak(soak::Kind),
    /// Show what there is: suites, requirements or faults.
    List(list::Arguments),
    /// Tell all about one requirement or one planted fault.
    Explain(explain::Arguments),
    /// Replay recorded results of the product's code on the oracle and on the reference hub.
    Vectors(vectors::Arguments),
    /// Run one part of the world by hand.
    #[command(subcommand)]
    Serve(serve::Part),
    /// Run a reference module, from the module environment contract.
    #[command(subcommand)]
    Module(module::Name),
    /// Become another program that ends when the caller does.
    #[command(hide = true)]
    Guarded(guarded::Arguments),
}

/// The exit code of everything that is neither conforming nor violated.
const BROKEN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Test(arguments) => test::run(*arguments),
        Command::SelfTest(arguments) => self_test::run(arguments),
        Command::Soak(kind) => soak::run(kind),
        Command::List(arguments) => list::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Vectors(arguments) => vectors::run(arguments),
        Command::Serve(part) => serve::run(part),
        Command::Module(name) => module::run(name),
        Command::Guarded(arguments) => guarded::run(arguments),
    };
    done.unwrap_or_else(|error| {
        eprintln!("edgecert: {}", in_full(&error));
        ExitCode::from(BROKEN)
    })
}

/// Writes to standard output. A reader that has left is not an error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// An error and its causes, without those that the text before already tells.
fn in_full(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}
