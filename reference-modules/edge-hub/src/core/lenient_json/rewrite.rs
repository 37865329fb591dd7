//! A value as the library writes it that read it token by token: without blanks, numbers and dates spelled its way,
//! comments and repeated names as they were. Source: `twins-methods.md` 2.2 and 3.2.

use std::fmt::Write as _;

use super::write::string;
use super::{NotJson, Reader, Result};

impl Reader<'_> {
    /// Reads a value, and writes it anew.
    pub fn rewritten(&mut self, out: &mut String) -> Result<()> {
        match self.peek().ok_or(NotJson)? {
            '{' => self.nested(|reader| reader.rewritten_object(out)),
            '[' => {
                out.push('[');
                self.nested(|reader| reader.rewritten_elements(']', out))
            }
            'n' if self.rest.starts_with("ne") => {
                let name = self.constructed()?;
                let _ = write!(out, "new {name}(");
                self.nested(|reader| reader.rewritten_elements(')', out))
            }
            _ => {
                out.push_str(&self.value()?.compact());
                Ok(())
            }
        }
    }

    fn rewritten_object(&mut self, out: &mut String) -> Result<()> {
        self.take()?;
        out.push('{');
        let mut first = true;
        loop {
            self.rewritten_comments(out)?;
            if self.take_if('}') {
                out.push('}');
                return Ok(());
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            string(&self.name()?, out);
            out.push(':');
            self.rewritten_comments(out)?;
            self.rewritten(out)?;
            self.rewritten_comments(out)?;
            if !self.take_if(',') && self.peek() != Some('}') {
                return Err(NotJson);
            }
        }
    }

    fn rewritten_elements(&mut self, end: char, out: &mut String) -> Result<()> {
        self.take()?;
        let mut first = true;
        loop {
            self.rewritten_comments(out)?;
            if self.take_if(end) {
                out.push(end);
                return Ok(());
            }
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            self.rewritten(out)?;
            self.rewritten_comments(out)?;
            if !self.take_if(',') && self.peek() != Some(end) {
                return Err(NotJson);
            }
        }
    }

    fn rewritten_comments(&mut self, out: &mut String) -> Result<()> {
        while let Some(comment) = self.comment()? {
            let _ = write!(out, "/*{comment}*/");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Option<String> {
        let mut out = String::new();
        Reader::new(text, 64).rewritten(&mut out).ok().map(|()| out)
    }

    #[test]
    fn values_are_written_the_librarys_way() {
        for (text, written) in [
            ("[ 1e3, 0x1F,null ]", "[1000.0,31,null]"),
            ("{a : 1 , 'a':2,}", "{\"a\":1,\"a\":2}"),
            ("[1,/*c*/2//d\n]", "[1/*c*/,2/*d*/]"),
            ("{\"a\":/*c*/1}", "{\"a\":/*c*/1}"),
            ("[1,,undefined]", "[1,undefined,undefined]"),
            ("new  Date ( 1 )", "new Date(1)"),
            ("'\\u2028\\/ü\\u0001\"'", "\"\\u2028/ü\\u0001\\\"\""),
            ("\"2020-01-01T24:00:00Z\"", "\"2020-01-02T00:00:00Z\""),
        ] {
            assert_eq!(rewritten(text).as_deref(), Some(written), "{text}");
        }
        assert_eq!(rewritten("[1"), None);
    }
}
