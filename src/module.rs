//! `edgecert module`: the reference modules, each started from nothing but the module environment contract.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Subcommand)]
pub enum Name {
    /// Sends numbered readings.
    Sensor,
    /// Passes on what it receives.
    Relay,
    /// Passes on what exceeds a threshold.
    Filter,
    /// Reports what is desired of it.
    TwinMirror,
    /// Answers direct methods.
    MethodReceiver,
    /// Calls a direct method of another module, and sends how that went.
    MethodSender,
}

pub fn run(name: Name) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        let environment = std::env::vars();
        match name {
            Name::Sensor => sensor::run(environment, stop).await?,
            Name::Relay => relay::run(environment, stop).await?,
            Name::Filter => filter::run(environment, stop).await?,
            Name::TwinMirror => twin_mirror::run(environment, stop).await?,
            Name::MethodReceiver => method_receiver::run(environment, stop).await?,
            Name::MethodSender => method_sender::run(environment, stop).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
