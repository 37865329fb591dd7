//! One failure as text: claim before symptom, the smallest case, and one command to see it again.

use super::figures;
use super::paragraph;
use super::v1::{Moment, Test, Violation};

/// Where the text of a field begins.
const INDENT: usize = 12;
/// Moments shown of a timeline; the report has all of them.
const MOMENTS: usize = 24;
/// Columns of the longest name for which room is made in a timeline.
const LONG_NAME: usize = 22;
const UNEXPECTED: &str = "<- not in the model";
/// Moments shown before and after one the model did not expect, when not all are.
const AROUND: usize = 3;
/// Moments the model did not expect that are shown of a long timeline.
const SURPRISES: usize = 3;

/// A violation, for lines of `width` columns. Ends with a line break.
pub fn violation(violation: &Violation, width: usize) -> String {
    let level = violation.level.map_or("", |level| level.as_str());
    let mut block = Block::headed("VIOLATED", &violation.test, width);
    block.headline(format!("{} {level}", violation.requirement).trim());
    block.field("claim", &violation.claim);
    block.field("source", &violation.source);
    block.field("expected", &violation.expected);
    block.field("observed", &violation.observed);
    block.timeline(&violation.timeline);
    let case = &violation.smallest_case;
    block.list("smallest", case.routes.iter().chain(&case.messages).chain(&case.steps));
    if let Some(waited) = &violation.waited {
        let elapsed = figures::seconds(waited.elapsed_s);
        let limit = figures::seconds(waited.limit_s);
        block.field("waited", &format!("{elapsed} of {} ({limit})", waited.deadline));
    }
    block.end(violation.evidence.as_deref(), Some(&violation.repeat))
}

/// A test that could not tell, for lines of `width` columns. Ends with a line break.
pub fn inconclusive(test: &Test, width: usize) -> String {
    let mut block = Block::headed("INCONCLUSIVE", &test.name, width);
    block.headline(&test.requirements.join(" "));
    block.field("reason", test.reason.as_deref().unwrap_or("none was given"));
    block.end(test.evidence.as_deref(), test.repeat.as_deref())
}

struct Block {
    text: String,
    width: usize,
}

impl Block {
    fn headed(word: &str, test: &str, width: usize) -> Self {
        let text = format!("{word}  {}", paragraph::one_line(test));
        Self { text, width }
    }

    /// Ends the headline with what it concerns: beside the test's name, or below where that leaves no room.
    fn headline(&mut self, concerns: &str) {
        let concerns = paragraph::one_line(concerns);
        if paragraph::columns(&self.text) + 3 + paragraph::columns(&concerns) <= self.width {
            self.text.push_str("   ");
            self.text.push_str(&concerns);
            self.text.push('\n');
        } else {
            self.text.push('\n');
            self.lines("", paragraph::wrap(&concerns, self.room()));
        }
    }

    fn room(&self) -> usize {
        self.width - INDENT
    }

    fn field(&mut self, label: &str, text: &str) {
        self.lines(label, paragraph::wrap(&paragraph::one_line(text), self.room()));
    }

    /// Items below each other; what does not fit on a line goes on two columns further in.
    fn list<'a>(&mut self, label: &str, items: impl Iterator<Item = &'a String>) {
        let mut label = label;
        for item in items {
            self.lines(label, paragraph::hanging(&paragraph::one_line(item), self.room(), 2));
            label = "";
        }
    }

    fn lines(&mut self, label: &str, lines: Vec<String>) {
        let mut label = label;
        for line in lines {
            let row = format!("  {label:<0$}{line}", INDENT - 2);
            self.text.push_str(row.trim_end());
            self.text.push('\n');
            label = "";
        }
    }

    fn timeline(&mut self, moments: &[Moment]) {
        let names = moments.iter().map(|moment| paragraph::columns(&moment.who));
        let who = names.filter(|columns| *columns <= LONG_NAME).max().unwrap_or_default();
        let mut left_out = 0;
        for (moment, shown) in moments.iter().zip(shown(moments)) {
            if shown {
                self.gap(std::mem::take(&mut left_out));
                self.moment(moment, who);
            } else {
                left_out += 1;
            }
        }
        self.gap(left_out);
    }

    fn gap(&mut self, left_out: usize) {
        if left_out > 0 {
            self.lines("", vec![format!("{:>8}    {left_out} more, in the report", "...")]);
        }
    }

    /// Time, who and what in columns; a name that is too long has a line of its own.
    fn moment(&mut self, moment: &Moment, who: usize) {
        let name = paragraph::one_line(&moment.who);
        let time = format!("{:>+8.3} s  ", moment.at_s);
        let pad = " ".repeat((who + 2).saturating_sub(paragraph::columns(&name)));
        let indent = paragraph::columns(&time) + who + 2;
        let room = self.room() - indent;
        let mut what = paragraph::wrap(&paragraph::one_line(&moment.what), room);
        if moment.unexpected {
            match what.last_mut() {
                Some(last) if paragraph::columns(last) + 3 + UNEXPECTED.len() <= room => {
                    last.push_str("   ");
                    last.push_str(UNEXPECTED);
                }
                _ => what.push(UNEXPECTED.to_owned()),
            }
        }
        let mut lines = paragraph::wrap(&name, self.room() - paragraph::columns(&time));
        lines[0].insert_str(0, &time);
        if lines.len() == 1 && paragraph::columns(&name) <= who {
            lines[0].push_str(&format!("{pad}{}", what.remove(0)));
        }
        let below = paragraph::columns(&time);
        lines[1..].iter_mut().for_each(|line| line.insert_str(0, &" ".repeat(below)));
        lines.extend(what.iter().map(|line| format!("{:indent$}{line}", "")));
        self.lines("", lines);
    }

    fn end(mut self, evidence: Option<&str>, repeat: Option<&str>) -> String {
        if let Some(evidence) = evidence {
            // Never broken, so that it can be copied.
            self.lines("evidence", vec![paragraph::one_line(evidence)]);
        }
        if let Some(repeat) = repeat {
            let command = paragraph::one_line(repeat);
            self.lines("again", paragraph::wrap_command(&command, self.room()));
        }
        self.text
    }
}

/// Which moments are shown: all of a short timeline, else its beginning, its end, and what surrounds the first few
/// that the model did not expect.
fn shown(moments: &[Moment]) -> Vec<bool> {
    if moments.len() <= MOMENTS {
        return vec![true; moments.len()];
    }
    let all = moments.iter().enumerate();
    let unexpected = all.filter_map(|(index, moment)| moment.unexpected.then_some(index));
    let unexpected: Vec<usize> = unexpected.take(SURPRISES).collect();
    let edge = |index: usize| index < AROUND || index + AROUND >= moments.len();
    let near = |index: usize| unexpected.iter().any(|at| at.abs_diff(index) <= AROUND);
    (0..moments.len()).map(|index| edge(index) || near(index)).collect()
}
