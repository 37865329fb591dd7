//! Tokens of route strings and conditions; both share one lexer.
//!
//! The longest match wins, and of equally long ones the class declared first. Source: `routing.md` 3.1.
//!
//! Quirks kept on purpose: operators made of name characters (`+ - * % | ! ' .`) fuse with their neighbours unless
//! blanks separate them, and `/*` opens a comment even inside a path.

use crate::faults::planted;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Select,
    From,
    Where,
    Into,
    String,
    UnterminatedString,
    Integer,
    Hex,
    Real,
    True,
    False,
    Null,
    Undefined,
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    Comma,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    And,
    Or,
    Not,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Concat,
    Coalesce,
    SystemProperty,
    Name,
    /// A name with brackets, which no rule of the grammar takes.
    PathWord,
    /// A single character no class begins with.
    Unknown,
}

/// One token and where it stands, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    pub(super) start: usize,
}

impl Token<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// All tokens of a text; blanks and comments are left out.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let skipped = if blanks(rest) > 0 { blanks(rest) } else { comment(rest, &found) };
        if skipped > 0 {
            start += skipped;
            continue;
        }
        let (kind, length) = next(rest, first);
        found.push(Token { kind, text: &rest[..length], start });
        start += length;
    }
    found
}

fn blanks(rest: &str) -> usize {
    rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len()
}

/// Length of the comment that begins here, if one does: it must have an end.
fn comment(rest: &str, before: &[Token]) -> usize {
    if planted("LANG21-comments-refused") {
        return 0;
    }
    let in_path =
        || before.iter().rev().find(|token| is_clause(token.kind)).is_some_and(|token| token.kind == Kind::From);
    if planted("SRC13-path-star-opens-no-comment") && in_path() {
        return 0;
    }
    match rest.strip_prefix("/*").and_then(|inside| inside.find("*/")) {
        Some(inside) => inside + 4,
        None => 0,
    }
}

fn is_clause(kind: Kind) -> bool {
    matches!(kind, Kind::Select | Kind::From | Kind::Where | Kind::Into)
}

fn next(rest: &str, first: char) -> (Kind, usize) {
    match first {
        '"' => string(rest, '"'),
        '\'' => {
            let (kind, length) = string(rest, '\'');
            match word(rest) {
                (fused, longer) if longer > length => (fused, longer),
                _ => (kind, length),
            }
        }
        '(' => (Kind::Open, 1),
        ')' => (Kind::Close, 1),
        '{' => (Kind::OpenBrace, 1),
        '}' => (Kind::CloseBrace, 1),
        ',' => (Kind::Comma, 1),
        '/' => (Kind::Slash, 1),
        '=' if rest.starts_with("==") && planted("LANG17-double-equals-accepted") => (Kind::Equal, 2),
        '=' => (Kind::Equal, 1),
        '<' if rest.starts_with("<>") => (Kind::NotEqual, 2),
        '<' if rest.starts_with("<=") => (Kind::LessOrEqual, 2),
        '<' => (Kind::Less, 1),
        '>' if rest.starts_with(">=") => (Kind::GreaterOrEqual, 2),
        '>' => (Kind::Greater, 1),
        '!' if rest.starts_with("!=") && planted("LANG16-exclamation-equals-refused") => (Kind::Unknown, 2),
        '!' if rest.starts_with("!=") => (Kind::NotEqual, 2),
        '?' if rest.starts_with("??") => (Kind::Coalesce, 2),
        _ if is_path_character(first) => word(rest),
        _ => (Kind::Unknown, first.len_utf8()),
    }
}

/// Name characters; almost everything is one.
fn is_name_character(character: char) -> bool {
    is_path_character(character) && !matches!(character, '[' | ']')
}

fn is_path_character(character: char) -> bool {
    !matches!(
        character,
        '(' | ')'
            | '<'
            | '>'
            | '@'
            | ','
            | ';'
            | ':'
            | '\\'
            | '"'
            | '/'
            | '?'
            | '='
            | '{'
            | '}'
            | ' '
            | '\t'
            | '\n'
            | '\r'
    )
}

fn run(rest: &str, wanted: fn(char) -> bool) -> usize {
    rest.find(|character| !wanted(character)).unwrap_or(rest.len())
}

fn word(rest: &str) -> (Kind, usize) {
    let path = run(rest, is_path_character);
    if rest.starts_with('$') && path > 1 {
        return (Kind::SystemProperty, path);
    }
    let name = run(rest, is_name_character);
    if path > name {
        return (Kind::PathWord, path);
    }
    if planted("LANG15-operators-need-no-blanks") {
        let is_operator = |character: char| matches!(character, '+' | '-' | '*' | '%' | '|' | '!');
        if let Some(cut) = rest[..name].find(is_operator).filter(|cut| *cut > 0) {
            return (classify(&rest[..cut]), cut);
        }
    }
    (classify(&rest[..name]), name)
}

fn classify(word: &str) -> Kind {
    let keyword = if planted("SRC01-keywords-in-capitals-only") { word.to_owned() } else { word.to_ascii_uppercase() };
    match keyword.as_str() {
        "SELECT" => return Kind::Select,
        "FROM" => return Kind::From,
        "WHERE" => return Kind::Where,
        "INTO" => return Kind::Into,
        _ => {}
    }
    let operator =
        if planted("LANG10-operators-in-lower-case-only") { word.to_owned() } else { word.to_ascii_lowercase() };
    match operator.as_str() {
        "and" => return Kind::And,
        "or" => return Kind::Or,
        "not" => return Kind::Not,
        "&&" if planted("LANG17-double-ampersand-accepted") => return Kind::And,
        _ => {}
    }
    let literal = if planted("LANG10-literals-in-any-case") { word.to_ascii_lowercase() } else { word.to_owned() };
    match literal.as_str() {
        "true" => Kind::True,
        "false" => Kind::False,
        "null" => Kind::Null,
        "undefined" => Kind::Undefined,
        "+" => Kind::Plus,
        "-" => Kind::Minus,
        "*" => Kind::Star,
        "%" => Kind::Percent,
        "||" => Kind::Concat,
        _ => number(word).unwrap_or(Kind::Name),
    }
}

/// Which number class the whole word is, if it is one.
///
/// Quirk: a real may lack all digits before its exponent, so `e5` is a (malformed) number and not a name.
fn number(word: &str) -> Option<Kind> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(Kind::Hex);
    }
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let after_whole = unsigned.trim_start_matches(is_digit);
    if after_whole.is_empty() && !unsigned.is_empty() {
        return Some(Kind::Integer);
    }
    match after_whole.strip_prefix('.') {
        Some(fraction) => {
            let after_fraction = fraction.trim_start_matches(is_digit);
            let complete = after_fraction.len() < fraction.len();
            (complete && (after_fraction.is_empty() || is_exponent(after_fraction))).then_some(Kind::Real)
        }
        None => is_exponent(after_whole).then_some(Kind::Real),
    }
}

fn is_digit(character: char) -> bool {
    character.is_ascii_digit()
}

fn is_exponent(text: &str) -> bool {
    text.strip_prefix(['e', 'E'])
        .map(|signed| signed.strip_prefix(['+', '-']).unwrap_or(signed))
        .is_some_and(|digits| !digits.is_empty() && digits.chars().all(is_digit))
}

/// A string that begins here. A backslash that begins no legal escape ends it without terminating it.
fn string(rest: &str, quote: char) -> (Kind, usize) {
    let mut at = 1;
    while let Some(character) = rest[at..].chars().next() {
        match character {
            _ if character == quote => return (Kind::String, at + 1),
            '\\' => match escape(&rest[at..]) {
                0 => break,
                length => at += length,
            },
            _ => at += character.len_utf8(),
        }
    }
    (Kind::UnterminatedString, at)
}

/// Length of the escape that begins here, 0 when it is not a legal one.
fn escape(rest: &str) -> usize {
    match rest.as_bytes().get(1) {
        Some(b'"' | b'\'' | b'\\') => 2,
        Some(b'a'..=b'z') if planted("LANG14-more-escapes-accepted") => 2,
        Some(b'u') if rest.as_bytes()[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count() >= 4 => 6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        tokens(text).into_iter().map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn operators_fuse_with_names_unless_blanks_separate_them() {
        assert_eq!(kinds("a+b"), [(Kind::Name, "a+b")]);
        assert_eq!(kinds("lvl!='x'"), [(Kind::Name, "lvl!"), (Kind::Equal, "="), (Kind::String, "'x'")]);
        assert_eq!(kinds("5 -3"), [(Kind::Integer, "5"), (Kind::Integer, "-3")]);
        assert_eq!(kinds("12/4").len(), 3);
        assert_eq!(kinds("'a'||'b'"), [(Kind::Name, "'a'||'b'")]);
        assert_eq!(kinds("lvl[0]"), [(Kind::PathWord, "lvl[0]")]);
    }

    #[test]
    fn number_like_words_are_numbers() {
        assert_eq!(
            kinds("e5 -E3 .5 -1.5e+3 0x1F"),
            [(Kind::Real, "e5"), (Kind::Real, "-E3"), (Kind::Real, ".5"), (Kind::Real, "-1.5e+3"), (Kind::Hex, "0x1F"),]
        );
        assert_eq!(
            kinds("5. 1a 0x - +5").iter().map(|token| token.0).collect::<Vec<_>>(),
            [Kind::Name, Kind::Name, Kind::Name, Kind::Minus, Kind::Name,]
        );
    }

    #[test]
    fn a_bad_escape_ends_a_string_early() {
        assert_eq!(kinds(r"'a\qb'"), [(Kind::UnterminatedString, "'a"), (Kind::Unknown, "\\"), (Kind::Name, "qb'"),]);
    }
}
