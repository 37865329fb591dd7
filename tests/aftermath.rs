//! A run that is killed leaves nothing behind: no process, no socket, no port; its folder goes with the next run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the kernel may take to end what the killed run started.
const ENDED: Duration = Duration::from_secs(20);
/// One look; the process table has no way to be waited for.
const LOOK: Duration = Duration::from_millis(10);

fn edgecert(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgecert"));
    command.env("TMPDIR", temporary).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Command lines of processes that name this text.
fn processes_naming(text: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

/// What listens or is connected at addresses of this run, by the tables of the kernel.
fn listening_at(addresses: &[String]) -> Vec<String> {
    const LISTEN: &str = "0A";
    let hex = |address: &String| {
        let bytes: Vec<u8> = address.split('.').map(|part| part.parse().expect("an IPv4 address")).collect();
        bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect::<String>()
    };
    let wanted: Vec<String> = addresses.iter().map(hex).collect();
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let rows = table.lines().skip(1).filter(|row| {
        let mut fields = row.split_whitespace().skip(1);
        let (local, state) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
        state == LISTEN && wanted.iter().any(|address| local.starts_with(address.as_str()))
    });
    rows.map(str::to_owned).collect()
}

/// Waits until `left` finds nothing, and fails with what it finds otherwise.
fn nothing_is_left(what: &str, left: impl Fn() -> Vec<String>) {
    let began = Instant::now();
    loop {
        let found = left();
        if found.is_empty() {
            return;
        }
        assert!(began.elapsed() < ENDED, "{what} left behind: {found:#?}");
        std::thread::sleep(LOOK);
    }
}

/// Kills a run once it has a hub and some time has passed; gives the addresses it used.
fn kill_after(mut run: Child, temporary: &Path, moment: Duration) -> Vec<String> {
    let temporary = temporary.to_string_lossy().into_owned();
    let began = Instant::now();
    let mut addresses: Vec<String> = Vec::new();
    while began.elapsed() < moment || addresses.is_empty() {
        for line in processes_naming(&temporary) {
            let listen = line.split_once("--listen ").and_then(|(_, rest)| rest.split(' ').next());
            addresses.extend(listen.filter(|address| address.starts_with("127.")).map(str::to_owned));
        }
        assert!(began.elapsed() < ENDED, "the run starts nothing that listens");
        std::thread::sleep(LOOK);
    }
    kill(Pid::from_raw(run.id().try_into().expect("process ids fit")), Signal::SIGKILL).expect("it runs");
    let _ = run.wait();
    addresses
}

fn folders(temporary: &Path) -> Vec<String> {
    let entries = fs::read_dir(temporary).expect("it was made above").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn five_killed_runs_leave_nothing_that_the_next_run_does_not_remove() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    for moment_millis in [150, 400, 750, 1_200, 2_000] {
        let run = edgecert(temporary.path()).args(["test", "--suite", "routing"]).spawn().expect("it starts");
        let addresses = kill_after(run, temporary.path(), Duration::from_millis(moment_millis));
        let text = temporary.path().to_string_lossy().into_owned();
        nothing_is_left("processes", || processes_naming(&text));
        nothing_is_left("ports", || listening_at(&addresses));
    }
    let sockets = fs::read_to_string("/proc/net/unix").expect("Linux");
    assert!(!sockets.contains(&*temporary.path().to_string_lossy()), "sockets are left: {sockets}");
    let next = edgecert(temporary.path())
        .args(["test", "--filter", "routing::sources", "--cases", "500"])
        .status()
        .expect("the next run starts");
    assert!(next.success(), "the next run ends with {next}");
    assert_eq!(folders(temporary.path()), Vec::<String>::new(), "folders are left");
}

#[test]
fn a_killed_run_takes_along_what_the_hubs_start_script_started() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let script = temporary.path().join("start-hub.sh");
    fs::write(&script, "#!/bin/sh\nsleep 987654 &\nwait\n").expect("it can be written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let text = temporary.path().to_string_lossy().into_owned();
    let hub = format!("command:{}", script.display());
    let mut run = edgecert(temporary.path())
        .args(["test", "--hub", &hub, "--filter", "routing::sources", "--world-address", "127.77.255.1"])
        .spawn()
        .expect("it starts");
    let started = || processes_naming("sleep 987654");
    let began = Instant::now();
    while started().is_empty() {
        assert!(began.elapsed() < ENDED, "the script was not started: {:?}", processes_naming(&text));
        std::thread::sleep(LOOK);
    }
    kill(Pid::from_raw(run.id().try_into().expect("process ids fit")), Signal::SIGKILL).expect("it runs");
    let _ = run.wait();
    nothing_is_left("processes", started);
    nothing_is_left("processes", || processes_naming(&text));
}
