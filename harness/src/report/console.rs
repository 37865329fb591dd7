//! The report for whoever waits: quiet while all is well, and the verdict as its last line.
//!
//! In a terminal one line shows how far the run is and how long it will take. Anywhere else there are only whole
//! lines without control characters. Violations and tests that could not tell are shown as soon as they are known.

mod live;
mod plain;
mod progress;
mod summary;

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::block;
use super::files::Written;
use super::paragraph;
use super::record::Record;
use super::v1::{Test, Violation};
use crate::event::{Event, TestResult};
use crate::outcome::Outcome;

/// How a console writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether a terminal shows what is written, so that a line can be drawn again.
    pub terminal: bool,
    /// Whether words that matter are coloured.
    pub colour: bool,
    /// Columns of a line.
    pub width: usize,
}

impl Style {
    /// Whole lines without control characters.
    pub const PIPE: Style = Style { terminal: false, colour: false, width: 80 };
    /// A line that is drawn again, and colours.
    pub const TERMINAL: Style = Style { terminal: true, colour: true, width: 80 };

    /// The style for a stream of this process. `NO_COLOR` and `TERM=dumb` are honoured.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let variable = |name| std::env::var_os(name);
        let (no_color, term) = (variable("NO_COLOR"), variable("TERM"));
        Self::choose(stream.is_terminal(), no_color.as_deref(), term.as_deref())
    }

    fn choose(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        if !terminal || term == Some(OsStr::new("dumb")) {
            return Self::PIPE;
        }
        let colour = no_color.is_none_or(OsStr::is_empty);
        Self { colour, ..Self::TERMINAL }
    }
}

/// Writes what happens.
pub struct Console {
    style: Style,
    sink: Sink,
    progress: Progress,
}

/// What both the console and the thread that redraws its line write to.
type Sink = Arc<Mutex<dyn Write + Send>>;

enum Progress {
    None,
    Live(live::Line),
    Plain(plain::Pace),
}

impl Console {
    /// A console that writes to `writer`.
    pub fn new(writer: impl Write + Send + 'static, style: Style) -> Self {
        Self { style, sink: Arc::new(Mutex::new(writer)), progress: Progress::None }
    }

    /// Shows an event that `record` has observed already.
    ///
    /// # Errors
    /// What the writer says. A reader that went away is no reason to stop judging.
    pub fn observe(&mut self, event: &Event, record: &Record) -> io::Result<()> {
        match event {
            Event::RunStarted { .. } => {
                self.print(&summary::heading(record, self.style))?;
                self.progress = if self.style.terminal {
                    Progress::Live(live::Line::start(self.sink.clone(), self.style, record))
                } else {
                    Progress::Plain(plain::Pace::start(Instant::now()))
                };
            }
            Event::TestFinished(result) => {
                if let Some(text) = self.failure(result, record) {
                    self.print(&text)?;
                }
            }
            Event::Note { text } => {
                let lines = paragraph::wrap(&paragraph::one_line(text), self.style.width - 6);
                self.print(&format!("note  {}\n", lines.join("\n      ")))?;
            }
            Event::Interrupted => self.print("stopped before all tests had ended\n")?,
            Event::RunFinished { .. } => {
                self.progress = Progress::None;
                return Ok(());
            }
            Event::TestStarted { .. } | Event::CasesJudged { .. } | Event::Shrinking { .. } => {}
        }
        let line = match &mut self.progress {
            Progress::Live(line) => {
                line.update(record);
                None
            }
            Progress::Plain(pace) => pace.line(event, record, Instant::now()),
            Progress::None => None,
        };
        line.map_or(Ok(()), |line| self.print(&line))
    }

    /// Shows the summary and where the report is; the last line is the verdict.
    ///
    /// # Errors
    /// What the writer says.
    pub fn finish(mut self, record: &Record, written: Option<&Written>) -> io::Result<()> {
        self.progress = Progress::None;
        self.print(&summary::ending(record, written, self.style))
    }

    fn failure(&self, result: &TestResult, record: &Record) -> Option<String> {
        let text = match &result.outcome {
            Outcome::Violated(found) => {
                let violation = Violation::of(result, found, record.catalogue());
                block::violation(&violation, self.style.width)
            }
            Outcome::Inconclusive { .. } => {
                let entries = record.entries().iter();
                let mut ended = entries.filter(|entry| entry.result.is_some());
                let entry = ended.find(|entry| {
                    (&entry.test.name, &entry.test.transport) == (&result.test.name, &result.test.transport)
                })?;
                block::inconclusive(&Test::from(entry), self.style.width)
            }
            Outcome::Conforms | Outcome::NotApplicable { .. } => return None,
        };
        Some(format!("\n{}\n", self.style.paint(&text)))
    }

    fn print(&self, text: &str) -> io::Result<()> {
        let write = || {
            let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
            sink.write_all(text.as_bytes())?;
            sink.flush()
        };
        match &self.progress {
            Progress::Live(line) => line.aside(write),
            _ => write(),
        }
    }
}

impl Style {
    /// Colours the word a block or a verdict begins with.
    fn paint(self, text: &str) -> String {
        let word = text.split(' ').next().unwrap_or_default();
        let colour = match word {
            "CONFORMS" | "KILLED" => 32,
            "VIOLATED" | "SURVIVED" => 31,
            "INCONCLUSIVE" | "BROKEN" => 33,
            _ => return text.to_owned(),
        };
        if !self.colour {
            return text.to_owned();
        }
        format!("\x1b[1;{colour}m{word}\x1b[0m{}", &text[word.len()..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_redrawing_need_a_terminal_that_wants_them() {
        let (set, empty) = (Some(OsStr::new("1")), Some(OsStr::new("")));
        assert_eq!(Style::choose(true, None, None), Style::TERMINAL);
        assert_eq!(Style::choose(true, empty, None), Style::TERMINAL);
        assert!(!Style::choose(true, set, None).colour);
        assert_eq!(Style::choose(true, None, Some(OsStr::new("dumb"))), Style::PIPE);
        assert_eq!(Style::choose(false, None, None), Style::PIPE);
    }
}
