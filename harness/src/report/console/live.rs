//! The line that is drawn again and again in a terminal.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use super::{Sink, Style, progress};
use crate::report::record::Record;

/// How often the time left is counted down while nothing else happens.
const TICK: Duration = Duration::from_millis(500);
/// Redraws per second at most.
const REDRAWS: u8 = 10;

/// A progress line; it vanishes when dropped.
pub(super) struct Line {
    bar: ProgressBar,
}

impl Line {
    pub(super) fn start(sink: Sink, style: Style, record: &Record) -> Self {
        let screen = Screen { sink, width: style.width, pending: Mutex::default() };
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen), REDRAWS);
        let bar = ProgressBar::with_draw_target(Some(0), target);
        // The message comes last: it is cut where a line has no room for all of it.
        let look = ProgressStyle::with_template("[{bar:8}] {percent:>3}%{left}  {wide_msg}")
            .expect("the template is a constant")
            .progress_chars("=> ")
            .with_key("left", left);
        bar.set_style(look);
        let line = Self { bar };
        line.update(record);
        line.bar.enable_steady_tick(TICK);
        line
    }

    pub(super) fn update(&self, record: &Record) {
        self.bar.set_length(progress::total(record));
        self.bar.set_position(progress::done(record));
        self.bar.set_message(progress::in_words(record));
    }

    /// Writes something above the line.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn left(state: &ProgressState, line: &mut dyn fmt::Write) {
    let total = state.len().unwrap_or_default();
    if let Some(left) = progress::left(state.pos(), total, state.elapsed()) {
        // A line has no way to fail; one that cannot be written is drawn again soon.
        let _ = write!(line, "  {left}");
    }
}

/// A terminal behind any writer. Each redraw is one write, so that nothing flickers.
struct Screen {
    sink: Sink,
    width: usize,
    pending: Mutex<String>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("width", &self.width).finish_non_exhaustive()
    }
}

impl Screen {
    fn push(&self, text: &str) -> io::Result<()> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        u16::try_from(self.width).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.push(&format!("\x1b[{n}A")) }
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.push(&format!("\x1b[{n}B")) }
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.push(&format!("\x1b[{n}C")) }
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.push(&format!("\x1b[{n}D")) }
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(text)?;
        self.push("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let written = sink.write_all(pending.as_bytes()).and_then(|()| sink.flush());
        pending.clear();
        written
    }
}
