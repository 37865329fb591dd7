//! Child processes: they never outlive the harness, and what they print is kept.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::deadline::{self, Deadline, Expired};

/// A program to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// What reports call it, for instance `edge-hub`.
    pub name: String,
    /// The program's file.
    pub file: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment: nothing of the harness's own is passed on.
    pub environment: Vec<(String, String)>,
    /// File that receives what it prints.
    pub log: PathBuf,
    /// Whether it may start programs of its own, as a script does; they end with it.
    pub family: bool,
}

/// A program that runs.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    tail: Arc<Mutex<VecDeque<String>>>,
    lines: watch::Receiver<u64>,
}

/// How many of the last printed lines an error message may quote.
const TAIL: usize = 200;

impl Process {
    /// Starts a program through `guard`, the `edgecert` binary: its `guarded` command asks the kernel to kill the
    /// program when the harness dies, and then becomes the program.
    ///
    /// # Errors
    /// [`ProcessError`] when the log cannot be made or the program cannot be started.
    pub async fn start(guard: &Path, program: Program) -> Result<Self, ProcessError> {
        let error = |source| ProcessError::Start { name: program.name.clone(), file: program.file.clone(), source };
        let log = File::create(&program.log).map_err(error)?;
        let mut child = Command::new(guard)
            .arg("guarded")
            .args(program.family.then_some("--family"))
            .arg("--")
            .arg(&program.file)
            .args(&program.arguments)
            .env_clear()
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(error)?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (seen, lines) = watch::channel(0);
        let log = Arc::new(log);
        let seen = Arc::new(seen);
        let output = child.stdout.take().expect("stdout is piped");
        let errors = child.stderr.take().expect("stderr is piped");
        tokio::spawn(record(output, log.clone(), tail.clone(), seen.clone()));
        tokio::spawn(record(errors, log, tail.clone(), seen));
        Ok(Self { name: program.name, child, log: program.log, tail, lines })
    }

    /// Waits until a printed line satisfies `wanted`, and gives what it made of it.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when the program ends first, [`ProcessError::NotReady`] when the deadline passes.
    pub async fn line<T>(
        &mut self,
        deadline: Deadline,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let mut lines = self.lines.clone();
        let tail = self.tail.clone();
        let seen = async move {
            loop {
                let found = tail.lock().expect("no holder panics").iter().find_map(|line| wanted(line));
                if let Some(found) = found {
                    return Some(found);
                }
                if lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        let waited = deadline.wait(format!("{} to say that it is ready", self.name), async {
            tokio::select! {
                found = seen => found,
                _ = self.child.wait() => None,
            }
        });
        match waited.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let status = self.child.wait().await.ok();
                Err(self.ended(status))
            }
            Err(source) => Err(ProcessError::NotReady {
                name: self.name.clone(),
                log: self.log.clone(),
                tail: self.tail(),
                source,
            }),
        }
    }

    /// The exit status, when the program has ended.
    pub fn ended_with(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the program has closed its output, which it does when it ends.
    pub fn output_ended(&self) -> impl Future<Output = ()> + 'static {
        let mut lines = self.lines.clone();
        async move { while lines.changed().await.is_ok() {} }
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// [`Expired`] when it still runs at the deadline.
    pub async fn end(&mut self, deadline: Deadline) -> Result<Option<ExitStatus>, Expired> {
        let what = format!("{} to end", self.name);
        deadline.wait(what, self.child.wait()).await.map(Result::ok)
    }

    /// An error that says how the program ended.
    pub fn ended(&self, status: Option<ExitStatus>) -> ProcessError {
        ProcessError::Ended {
            name: self.name.clone(),
            status: status.map_or_else(|| "without a status".to_owned(), |status| status.to_string()),
            log: self.log.clone(),
            tail: self.tail(),
        }
    }

    /// Asks the program to end, and kills it when it does not.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        if self.end(deadline::STOP).await.is_err() {
            self.kill().await;
        }
    }

    /// Halts the program, and what it started: SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a halted program go on: SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// The process id, while the program runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the program: SIGKILL, to it and to what it started.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
    }

    fn signal(&self, signal: Signal) {
        // The child leads a process group of its own, so what it started is reached too.
        if let Some(id) = self.child.id() {
            let _ = kill(Pid::from_raw(-i32::try_from(id).expect("process ids fit")), signal);
        }
    }

    /// The file with what the program printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines printed, for an error message.
    pub fn tail(&self) -> String {
        let tail = self.tail.lock().expect("no holder panics");
        let last: Vec<&str> = tail.iter().rev().take(8).map(String::as_str).collect();
        last.into_iter().rev().map(|line| format!("\n    | {line}")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

async fn record(
    output: impl AsyncRead + Unpin,
    log: Arc<File>,
    tail: Arc<Mutex<VecDeque<String>>>,
    seen: Arc<watch::Sender<u64>>,
) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // In one piece, since both outputs write here; and here, since a line takes less time than asking another thread to
        // write it. A log that cannot be written (disk full) must not stop the run; the tail still has the line.
        let _ = (&*log).write_all(format!("{line}\n").as_bytes());
        {
            let mut tail = tail.lock().expect("no holder panics");
            tail.push_back(line);
            if tail.len() > TAIL {
                tail.pop_front();
            }
        }
        seen.send_modify(|count| *count += 1);
    }
}

/// A program that did not do as it should.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name} ({}): {source}", .file.display())]
    Start {
        /// What reports call it.
        name: String,
        /// Its file.
        file: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended ({status}) before it was ready; its log is {}{tail}", .log.display())]
    Ended {
        /// What reports call it.
        name: String,
        /// How it ended.
        status: String,
        /// Its log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// It did not become ready.
    #[error("{name} did not become ready: {source}; its log is {}{tail}", .log.display())]
    NotReady {
        /// What reports call it.
        name: String,
        /// Its log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
        /// The wait that expired.
        source: Expired,
    },
}
