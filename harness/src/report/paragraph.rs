//! Text for a fixed number of columns: made safe, measured, wrapped.

/// Makes text safe to print on one line. What a subject sent may hold line breaks, escape sequences and marks that
/// turn the direction of writing; they are shown as escapes.
pub fn one_line(text: &str) -> String {
    shown(text, |letter| letter.is_control())
}

/// [`one_line`], with line breaks kept.
pub fn lines(text: &str) -> String {
    shown(text, |letter| letter.is_control() && letter != '\n')
}

fn shown(text: &str, escape: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if escape(letter) || turns_direction(letter) {
            safe.extend(letter.escape_default());
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// Marks with which text can pretend to read otherwise than it does.
fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns a text takes in a terminal.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// East Asian and pictorial letters take two columns, combining marks none. The common ranges of Unicode's
/// `EastAsianWidth.txt` are enough here: a line that is a little too long harms nobody.
fn columns_of(letter: char) -> usize {
    match letter {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Breaks text into lines of at most `width` columns, between words where it can.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    hanging(text, width, 0)
}

/// [`wrap`], with all lines but the first `indent` columns further in.
pub fn hanging(text: &str, width: usize, indent: usize) -> Vec<String> {
    let room = width.saturating_sub(indent).max(2);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut left = width;
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 && columns(word) < left {
            line.push(' ');
            left -= 1;
        } else if index > 0 {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            left = room;
        }
        for letter in word.chars() {
            if columns_of(letter) > left {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
                left = room;
            }
            line.push(letter);
            left = left.saturating_sub(columns_of(letter));
        }
    }
    lines.push(line);
    lines
}

/// Breaks a command between its words, with the backslashes a shell needs to read it as one line again. Text within
/// quotes is never broken, so a line can be longer than `width`.
pub fn wrap_command(command: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in shell_words(command) {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) + 2 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let last = lines.len().saturating_sub(1);
    lines[..last].iter_mut().for_each(|line| line.push_str(" \\"));
    lines
}

/// The words of a command with their quotes.
fn shell_words(command: &str) -> Vec<&str> {
    let (mut words, mut start) = (Vec::new(), 0);
    let mut open: Option<char> = None;
    for (index, letter) in command.char_indices() {
        match (letter, open) {
            ('\'' | '"', None) => open = Some(letter),
            (quote, Some(mark)) if quote == mark => open = None,
            (' ', None) => {
                words.push(&command[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    words.push(&command[start..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_are_cut() {
        assert_eq!(wrap("to be or not", 6), ["to be", "or not"]);
        assert_eq!(wrap("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(hanging("one two three", 7, 2), ["one two", "  three"]);
    }

    #[test]
    fn spaces_within_a_line_are_kept() {
        assert_eq!(wrap("  a  b ", 10), ["  a  b "]);
    }

    #[test]
    fn wide_letters_take_two_columns_and_combining_marks_none() {
        assert_eq!(columns("模块"), 4);
        assert_eq!(columns("e\u{301}"), 1);
        assert_eq!(wrap("模块模块", 4), ["模块", "模块"]);
    }

    #[test]
    fn escape_sequences_and_turned_text_are_shown_and_not_obeyed() {
        assert_eq!(one_line("a\x1b[31mb\r\nc\u{202e}d"), "a\\u{1b}[31mb\\r\\nc\\u{202e}d");
    }

    #[test]
    fn a_broken_command_is_still_one_command() {
        let command = "edgecert test --hub 'command: dotnet Hub.dll' --seed 5eed";
        assert_eq!(
            wrap_command(command, 30),
            ["edgecert test --hub \\", "'command: dotnet Hub.dll' \\", "--seed 5eed"]
        );
        assert_eq!(wrap_command(command, 80), [command]);
    }
}
