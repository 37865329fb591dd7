//! Characters to tokens. The longest match wins; of equally long ones the earlier kind does.

/// A token and the text it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// Byte offsets in the whole text.
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Kinds of token, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Select,
    From,
    Where,
    Into,
    Text,
    Integer,
    Hex,
    Real,
    True,
    False,
    Null,
    Undefined,
    Open,
    Close,
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
    LessEqual,
    GreaterEqual,
    Less,
    Greater,
    Concat,
    Coalesce,
    OpenBrace,
    CloseBrace,
    System,
    Name,
    PathWord,
    Unterminated,
    Other,
}

/// Fixed texts, the keywords among them in any case.
const FIXED: [(&str, Kind); 22] = [
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
    ("+", Kind::Plus),
    ("-", Kind::Minus),
    ("*", Kind::Star),
    ("/", Kind::Slash),
    ("%", Kind::Percent),
    ("=", Kind::Equal),
    ("!=", Kind::NotEqual),
    ("<>", Kind::NotEqual),
    ("<=", Kind::LessEqual),
    (">=", Kind::GreaterEqual),
    ("<", Kind::Less),
    (">", Kind::Greater),
    ("||", Kind::Concat),
    ("??", Kind::Coalesce),
    ("{", Kind::OpenBrace),
    ("}", Kind::CloseBrace),
    ("true", Kind::True),
    ("false", Kind::False),
    ("null", Kind::Null),
];

const WORDS: [(&str, Kind); 7] = [
    ("select", Kind::Select),
    ("from", Kind::From),
    ("where", Kind::Where),
    ("into", Kind::Into),
    ("and", Kind::And),
    ("or", Kind::Or),
    ("not", Kind::Not),
];

/// Characters no name has.
const NO_NAME: &str = "()<>@,;:\\\"/[]?={} \t\r\n";

/// Splits a text. Blanks and comments between tokens are gone.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let skipped = skip(rest);
        if skipped > 0 {
            at += skipped;
            continue;
        }
        let (kind, length) = next(rest);
        tokens.push(Token { kind, text: rest[..length].to_owned(), start: at, end: at + length });
        at += length;
    }
    tokens
}

/// Length of the blank or comment a text begins with.
fn skip(rest: &str) -> usize {
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    if blanks > 0 {
        return blanks;
    }
    match rest.strip_prefix("/*").and_then(|inner| inner.find("*/")) {
        Some(end) => end + 4,
        None => 0,
    }
}

fn next(rest: &str) -> (Kind, usize) {
    let run = |allowed: &dyn Fn(char) -> bool| rest.find(|c| !allowed(c)).unwrap_or(rest.len());
    let name_character = |c: char| !NO_NAME.contains(c);
    let path_character = |c: char| name_character(c) || c == '[' || c == ']';
    let mut found: Vec<(Kind, usize)> = Vec::new();
    let name = run(&name_character);
    let word = &rest[..name];
    let keyword = WORDS.iter().find(|(text, _)| word.eq_ignore_ascii_case(text));
    found.extend(keyword.map(|(_, kind)| (*kind, name)));
    let quoted = quoted(rest);
    found.extend(quoted.map(|(length, closed)| (if closed { Kind::Text } else { Kind::Unterminated }, length)));
    found.extend(number(rest));
    found.extend((word == "undefined").then_some((Kind::Undefined, name)));
    found.extend(FIXED.iter().filter(|(text, _)| rest.starts_with(text)).map(|(text, kind)| (*kind, text.len())));
    if let Some(path) = rest.strip_prefix('$') {
        let length = path.find(|c| !path_character(c)).unwrap_or(path.len());
        found.extend((length > 0).then_some((Kind::System, length + 1)));
    }
    found.extend((name > 0).then_some((Kind::Name, name)));
    let path = run(&path_character);
    found.extend((path > 0).then_some((Kind::PathWord, path)));
    let first = rest.chars().next().expect("the rest is not empty").len_utf8();
    found.push((Kind::Other, first));
    let longest = found.iter().map(|(_, length)| *length).max().expect("there is always Other");
    *found.iter().find(|(_, length)| *length == longest).expect("the longest is one of them")
}

/// Length of a quoted string and whether it is closed. It ends before a backslash that escapes nothing.
fn quoted(rest: &str) -> Option<(usize, bool)> {
    let quote = rest.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut at = 1;
    loop {
        let tail = &rest[at..];
        let Some(next) = tail.chars().next() else { return Some((at, false)) };
        if next == quote {
            return Some((at + 1, true));
        }
        if next == '\\' {
            match escape(tail) {
                Some(length) => at += length,
                None => return Some((at, false)),
            }
        } else {
            at += next.len_utf8();
        }
    }
}

/// Length of the escape a text begins with: `\"`, `\'`, `\\` or `\uXXXX`.
fn escape(tail: &str) -> Option<usize> {
    let bytes = tail.as_bytes();
    match bytes.get(1)? {
        b'"' | b'\'' | b'\\' => Some(2),
        b'u' if bytes.len() >= 6 && bytes[2..6].iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// The number a text begins with, the longest of the three shapes.
fn number(rest: &str) -> Option<(Kind, usize)> {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let hex = (rest.starts_with("0x") || rest.starts_with("0X"))
        .then(|| rest[2..].bytes().take_while(u8::is_ascii_hexdigit).count())
        .filter(|count| *count > 0)
        .map(|count| (Kind::Hex, count + 2));
    let sign = usize::from(rest.starts_with('-'));
    let whole = digits(sign);
    let exponent = |from: usize| {
        let tail = rest.get(from..)?;
        let mark = tail.starts_with(['e', 'E']).then_some(1)?;
        let signed = mark + usize::from(tail[mark..].starts_with(['+', '-']));
        let count = digits(from + signed);
        (count > 0).then_some(signed + count)
    };
    let after_whole = sign + whole;
    let fraction = rest[after_whole..].starts_with('.').then(|| digits(after_whole + 1)).filter(|count| *count > 0);
    let real = match fraction {
        Some(count) => {
            let end = after_whole + 1 + count;
            Some((Kind::Real, end + exponent(end).unwrap_or(0)))
        }
        None => exponent(after_whole).map(|length| (Kind::Real, after_whole + length)),
    };
    let integer = (whole > 0).then_some((Kind::Integer, after_whole));
    [integer, hex, real].into_iter().flatten().max_by_key(|(_, length)| *length)
}
