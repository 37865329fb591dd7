//! `edgecert guarded -- PROGRAM ARGUMENT...`: runs a program that does not outlive the caller.
//!
//! By itself the guard becomes the program, and the kernel kills that when the caller dies. With `--family` the guard
//! stays, as the leader of a process group: when the caller dies it kills the whole group, so that what a start script
//! started ends too.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context as _;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp, getppid};
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub struct Arguments {
    /// Stay, and end what the program started as well.
    #[arg(long)]
    family: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    argv: Vec<std::ffi::OsString>,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let parent = getppid();
    let mut command = Command::new(&arguments.argv[0]);
    command.args(&arguments.argv[1..]);
    let cannot_start = || format!("cannot start {}", arguments.argv[0].to_string_lossy());
    if arguments.family {
        return stay(command, parent).with_context(cannot_start);
    }
    set_pdeathsig(Signal::SIGKILL).context("asking to be killed with the caller")?;
    still_there(parent)?;
    Err(command.exec()).with_context(cannot_start)
}

/// The caller may have died before the kernel was asked.
fn still_there(parent: Pid) -> anyhow::Result<()> {
    if getppid() != parent || parent == Pid::from_raw(1) {
        anyhow::bail!("the caller is gone");
    }
    Ok(())
}

fn stay(command: Command, parent: Pid) -> anyhow::Result<ExitCode> {
    // The kernel's word is about the thread that asked for it: all of this stays on one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut orphaned = signal(SignalKind::user_defined1())?;
        // Signals meant for the program reach it by its group; the guard waits for what it makes of them.
        let mut terminated = signal(SignalKind::terminate())?;
        set_pdeathsig(Signal::SIGUSR1).context("asking for a word when the caller dies")?;
        still_there(parent)?;
        let mut child = tokio::process::Command::from(command).spawn()?;
        loop {
            tokio::select! {
                status = child.wait() => return Ok(passed_on(status?)),
                _ = terminated.recv() => {}
                _ = orphaned.recv() => {
                    // The guard is of the group too.
                    killpg(getpgrp(), Signal::SIGKILL)?;
                }
            }
        }
    })
}

/// The program's exit code, or what a shell makes of the signal that ended it.
fn passed_on(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
