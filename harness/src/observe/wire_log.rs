//! What went over the wire, by connection and time: evidence for whoever has to believe a violation.
//!
//! Raw connections note every byte; well-behaved clients note packets by name, since their library keeps the bytes to
//! itself. The log holds the current case only, and of a long one its last part.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Bytes kept of one note; of more the length is told.
const SHOWN: usize = 256;
/// Notes kept of one case.
const NOTES: usize = 4_000;

/// Which way something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A client wrote it.
    ToHub,
    /// The hub wrote it.
    FromHub,
}

/// The log of one environment; clones are handles of the same.
#[derive(Debug, Clone)]
pub struct WireLog(Arc<Mutex<Case>>);

#[derive(Debug)]
struct Case {
    began: Instant,
    notes: VecDeque<Note>,
    left_out: usize,
}

#[derive(Debug)]
struct Note {
    at: Instant,
    connection: String,
    direction: Direction,
    what: String,
}

impl WireLog {
    /// An empty log.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Case { began: Instant::now(), notes: VecDeque::new(), left_out: 0 })))
    }

    /// Another case begins: what was noted before is forgotten.
    pub fn begin_case(&self) {
        let mut case = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        case.began = Instant::now();
        case.notes.clear();
        case.left_out = 0;
    }

    /// Notes bytes as they stood on the wire, with words for what they are.
    pub fn note(&self, connection: &str, direction: Direction, what: &str, bytes: &[u8]) {
        self.tell(connection, direction, format!("{what}, {} bytes: {}", bytes.len(), hex(bytes)));
    }

    /// Notes something in words.
    pub fn tell(&self, connection: &str, direction: Direction, what: String) {
        let mut case = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if case.notes.len() == NOTES {
            case.notes.pop_front();
            case.left_out += 1;
        }
        let note = Note { at: Instant::now(), connection: connection.to_owned(), direction, what };
        case.notes.push_back(note);
    }

    /// The case as text, a line for each note.
    pub fn text(&self) -> String {
        let case = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        if case.left_out > 0 {
            let _ = writeln!(text, "({} earlier notes left out)", case.left_out);
        }
        for note in &case.notes {
            let at = note.at.saturating_duration_since(case.began).as_secs_f64();
            let arrow = match note.direction {
                Direction::ToHub => "->",
                Direction::FromHub => "<-",
            };
            let _ = writeln!(text, "{at:>9.4}  {:<16} {arrow} {}", note.connection, note.what);
        }
        text
    }
}

impl Default for WireLog {
    fn default() -> Self {
        Self::new()
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN {
        let _ = write!(text, "... ({} more)", bytes.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_who_wrote_what_and_forgets_earlier_cases() {
        let log = WireLog::new();
        log.note("probe", Direction::ToHub, "PINGREQ", &[0xc0, 0]);
        log.begin_case();
        log.note("probe", Direction::ToHub, "PUBACK 1", &[0x40, 2, 0, 1]);
        log.tell("probe", Direction::FromHub, "end of the connection".to_owned());
        let text = log.text();
        assert!(!text.contains("PINGREQ"), "{text}");
        assert!(text.contains("probe            -> PUBACK 1, 4 bytes: 40020001"), "{text}");
        assert!(text.contains("<- end of the connection"), "{text}");
    }

    #[test]
    fn of_a_long_case_the_last_part_is_kept() {
        let log = WireLog::new();
        for number in 0..NOTES + 3 {
            log.tell("x", Direction::ToHub, number.to_string());
        }
        let text = log.text();
        assert!(text.starts_with("(3 earlier notes left out)\n"), "{text}");
        assert!(text.ends_with(&format!("-> {}\n", NOTES + 2)));
    }
}
