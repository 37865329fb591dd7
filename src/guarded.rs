//! `edgecert guarded -- PROGRAM ARGUMENT...`: becomes a program that the kernel kills when the caller dies.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

#[derive(clap::Args)]
pub struct Arguments {
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    argv: Vec<std::ffi::OsString>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let parent = getppid();
    set_pdeathsig(Signal::SIGKILL).context("asking to be killed with the caller")?;
    // The caller may have died before the kernel was asked.
    if getppid() != parent || parent == Pid::from_raw(1) {
        anyhow::bail!("the caller is gone");
    }
    let mut command = Command::new(&arguments.argv[0]);
    command.args(&arguments.argv[1..]);
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", arguments.argv[0].to_string_lossy()))
}
