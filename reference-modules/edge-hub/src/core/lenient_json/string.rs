//! Strings in double or single quotes.

use super::{NotJson, Reader, Result};

impl Reader<'_> {
    /// What stands between here and the closing quote. Half a surrogate pair becomes U+FFFD.
    pub(super) fn string(&mut self, quote: char) -> Result<String> {
        let mut units = Vec::new();
        let mut buffer = [0; 2];
        loop {
            let character = match self.take()? {
                end if end == quote => return Ok(String::from_utf16_lossy(&units)),
                '\\' => match self.take()? {
                    'b' => '\u{8}',
                    't' => '\t',
                    'n' => '\n',
                    'f' => '\u{c}',
                    'r' => '\r',
                    simple @ ('\\' | '/' | '"' | '\'') => simple,
                    'u' => {
                        units.push(self.unit()?);
                        continue;
                    }
                    _ => return Err(NotJson),
                },
                character => character,
            };
            units.extend_from_slice(character.encode_utf16(&mut buffer));
        }
    }

    fn unit(&mut self) -> Result<u16> {
        (0..4).try_fold(0, |unit, _| {
            let digit = self.take()?.to_digit(16).ok_or(NotJson)?;
            Ok(unit << 4 | digit as u16)
        })
    }
}
