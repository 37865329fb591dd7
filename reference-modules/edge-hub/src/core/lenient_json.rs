//! JSON as the product's library reads it, which takes a good deal more than JSON.
//!
//! Accepted besides: comments, single quotes, unquoted names, trailing commas, hexadecimal and octal integers, numbers
//! without digits on one side of the point, `NaN`, `Infinity`, `undefined`, `new Name(...)`, raw control characters in
//! strings, and NUL between tokens. Source: `routing.md` 1.1 and 3.6.
//!
//! - [`read`]: a whole text as one value, for what is looked into.
//! - [`Reader::rewritten`]: a value as the library writes it, for what is handed on.

mod date;
mod number;
mod rewrite;
mod string;
mod write;

pub(crate) use write::is_integer;

/// The product's cap; the root counts as one.
const MAX_DEPTH: usize = 64;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    /// The literal, a `new Name(...)`, or nothing between two commas.
    Undefined,
    Bool(bool),
    Integer(i64),
    /// Any other number, integers beyond 64 bits among them.
    Float {
        /// The nearest double.
        value: f64,
        /// As written, which some fields are filled with.
        written: String,
    },
    Text(String),
    /// A string that the library takes for a date, as written.
    Date(String),
    Array(Vec<Json>),
    /// In order of first appearance; of repeated names the last value counts.
    Object(Vec<(String, Json)>),
}

/// The text is not what the library takes for JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

pub(crate) type Result<T> = std::result::Result<T, NotJson>;

/// Reads one value, behind which only blanks and comments may stand.
///
/// # Errors
/// [`NotJson`].
pub(crate) fn read(text: &str) -> Result<Json> {
    let mut reader = Reader::new(text, MAX_DEPTH);
    reader.skip()?;
    let value = reader.value()?;
    reader.skip()?;
    if reader.rest.is_empty() { Ok(value) } else { Err(NotJson) }
}

/// Reads a text from its begin to its end.
pub(crate) struct Reader<'t> {
    rest: &'t str,
    depth: usize,
    max_depth: usize,
}

impl<'t> Reader<'t> {
    /// At the begin of a text whose containers are nested so deep at most.
    pub fn new(text: &'t str, max_depth: usize) -> Reader<'t> {
        Reader { rest: text, depth: 0, max_depth }
    }

    /// What is still to be read.
    pub fn rest(&self) -> &'t str {
        self.rest
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Result<char> {
        let first = self.peek().ok_or(NotJson)?;
        self.rest = &self.rest[first.len_utf8()..];
        Ok(first)
    }

    fn take_if(&mut self, wanted: char) -> bool {
        let found = self.rest.strip_prefix(wanted);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let length = self.rest.find(|character| !wanted(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Blanks and comments.
    pub fn skip(&mut self) -> Result<()> {
        while self.comment()?.is_some() {}
        Ok(())
    }

    /// What the next comment says, if only blanks stand before it.
    fn comment(&mut self) -> Result<Option<&'t str>> {
        self.blanks();
        let Some(comment) = self.rest.strip_prefix('/') else { return Ok(None) };
        let text = if let Some(block) = comment.strip_prefix('*') {
            let (text, rest) = block.split_once("*/").ok_or(NotJson)?;
            self.rest = rest;
            text
        } else {
            self.rest = comment.strip_prefix('/').ok_or(NotJson)?;
            self.take_while(|character| !matches!(character, '\r' | '\n'))
        };
        Ok(Some(text))
    }

    /// A value; a comma in its place stands for an undefined one and stays.
    pub fn value(&mut self) -> Result<Json> {
        match self.peek().ok_or(NotJson)? {
            '{' => self.nested(Self::object),
            '[' => self.nested(|reader| reader.elements(']').map(Json::Array)),
            quote @ ('"' | '\'') => {
                self.take()?;
                let text = self.string(quote)?;
                Ok(if date::is_date(&text) { Json::Date(text) } else { Json::Text(text) })
            }
            ',' => Ok(Json::Undefined),
            '-' if self.rest.starts_with("-I") => self.not_finite("-Infinity", f64::NEG_INFINITY),
            '-' | '.' | '0'..='9' => self.number(),
            't' => self.word("true", Json::Bool(true)),
            'f' => self.word("false", Json::Bool(false)),
            'n' if self.rest.starts_with("ne") => self.nested(Self::constructor),
            'n' => self.word("null", Json::Null),
            'u' => self.word("undefined", Json::Undefined),
            'N' => self.not_finite("NaN", f64::NAN),
            'I' => self.not_finite("Infinity", f64::INFINITY),
            _ => Err(NotJson),
        }
    }

    /// One level deeper.
    pub fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > self.max_depth {
            return Err(NotJson);
        }
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json> {
        self.rest = self.rest.strip_prefix(word).ok_or(NotJson)?;
        let at_end = match self.peek() {
            None | Some(',' | ']' | '}' | ')') => true,
            Some('/') => self.rest[1..].starts_with(['*', '/']),
            Some(next) => is_blank(next),
        };
        if at_end { Ok(value) } else { Err(NotJson) }
    }

    fn not_finite(&mut self, word: &str, value: f64) -> Result<Json> {
        self.word(word, Json::Float { value, written: word.to_owned() })
    }

    fn object(&mut self) -> Result<Json> {
        let mut members: Vec<(String, Json)> = Vec::new();
        self.members(|name, reader| {
            let value = reader.value()?;
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => members.push((name, value)),
            }
            Ok(())
        })?;
        Ok(Json::Object(members))
    }

    /// An object, whose values are read by somebody else.
    pub fn members(&mut self, mut read: impl FnMut(String, &mut Self) -> Result<()>) -> Result<()> {
        if self.take()? != '{' {
            return Err(NotJson);
        }
        loop {
            self.skip()?;
            if self.take_if('}') {
                return Ok(());
            }
            let name = self.name()?;
            self.skip()?;
            read(name, self)?;
            self.skip()?;
            if !self.take_if(',') && self.peek() != Some('}') {
                return Err(NotJson);
            }
        }
    }

    /// A name and its colon, between which only blanks may stand.
    fn name(&mut self) -> Result<String> {
        let name = match self.peek().ok_or(NotJson)? {
            quote @ ('"' | '\'') => {
                self.take()?;
                self.string(quote)?
            }
            _ => {
                let name = self.take_while(|character| character.is_alphanumeric() || matches!(character, '_' | '$'));
                if name.is_empty() {
                    return Err(NotJson);
                }
                name.to_owned()
            }
        };
        self.blanks();
        if self.take_if(':') { Ok(name) } else { Err(NotJson) }
    }

    fn elements(&mut self, end: char) -> Result<Vec<Json>> {
        self.take()?;
        let mut elements = Vec::new();
        loop {
            self.skip()?;
            if self.take_if(end) {
                return Ok(elements);
            }
            elements.push(self.value()?);
            self.skip()?;
            if !self.take_if(',') && self.peek() != Some(end) {
                return Err(NotJson);
            }
        }
    }

    fn constructor(&mut self) -> Result<Json> {
        self.constructed()?;
        self.elements(')').map(|_| Json::Undefined)
    }

    /// `new Name`, behind which a parenthesis opens.
    fn constructed(&mut self) -> Result<&'t str> {
        self.rest = self.rest.strip_prefix("new").ok_or(NotJson)?;
        self.blanks();
        let name = self.take_while(char::is_alphanumeric);
        self.blanks();
        if name.is_empty() || self.peek() != Some('(') { Err(NotJson) } else { Ok(name) }
    }
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == '\0'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Json> {
        match read(&format!("{{\"a\":{text}}}")).ok()? {
            Json::Object(mut members) => members.pop().map(|(_, value)| value),
            _ => None,
        }
    }

    fn float(value: f64, written: &str) -> Json {
        Json::Float { value, written: written.to_owned() }
    }

    #[test]
    fn more_than_json_is_accepted() {
        let one = Json::Object(vec![(String::from("a"), Json::Integer(1))]);
        for text in ["{a:1}", "{'a':1,}", "/*c*/{\"a\":/*d*/1}//end", "{\"a\":2,\"a\":1}", "{\"a\":1}\0", "{a:0x1}"] {
            assert_eq!(read(text), Ok(one.clone()), "{text}");
        }
        assert_eq!(value("017"), Some(Json::Integer(15)));
        assert_eq!(value(".5"), Some(float(0.5, ".5")));
        assert_eq!(value("1."), Some(float(1.0, "1.")));
        assert_eq!(value("new Date(1)"), Some(Json::Undefined));
        assert_eq!(value("[1,,2,]"), Some(Json::Array(vec![Json::Integer(1), Json::Undefined, Json::Integer(2)])));
        assert_eq!(value("\"a\nb\""), Some(Json::Text(String::from("a\nb"))));
        assert_eq!(value(r"'\ud83d\ude00 \ud83d'"), Some(Json::Text(String::from("\u{1f600} \u{fffd}"))));
    }

    #[test]
    fn some_things_still_are_not() {
        for text in [
            "",
            "{",
            "{\"a\":1} x",
            "{,\"a\":1}",
            "{\"a\":1,,}",
            "{\"a\"::1}",
            "{a b:1}",
            "{a-b:1}",
            "\u{feff}{}",
            "{\"a\" 1}",
        ] {
            assert_eq!(read(text), Err(NotJson), "{text}");
        }
        for text in ["+1", "08", "True", "-", "'\\x'", "nul", "1e", "tru", "truex", "\"x"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_is_capped_at_64_levels() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(read(&nested(64)).is_ok());
        assert!(read(&nested(65)).is_err());
    }
}
