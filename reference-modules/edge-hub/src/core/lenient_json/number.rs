//! Numbers: decimal, hexadecimal (`0x1F`) and octal (`017`).

use super::{Json, NotJson, Reader, Result, is_blank};

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Result<Json> {
        let text = self.take_while(
            |character| matches!(character, '0'..='9' | 'a'..='f' | 'A'..='F' | 'x' | 'X' | '.' | '+' | '-'),
        );
        match self.peek() {
            None | Some(',' | '}' | ']' | ')' | '/') => {}
            Some(next) if is_blank(next) => {}
            Some(_) => return Err(NotJson),
        }
        integer_with_base(text).unwrap_or_else(|| decimal(text))
    }
}

fn integer_with_base(text: &str) -> Option<Result<Json>> {
    let digits = text.strip_prefix('0').filter(|digits| !digits.is_empty() && !digits.starts_with(['.', 'e', 'E']))?;
    let bits = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => unsigned(digits, 16),
        None => unsigned(digits, 8),
    };
    Some(bits.map(|bits| Json::Integer(bits as i64)).ok_or(NotJson))
}

fn unsigned(digits: &str, base: u32) -> Option<u64> {
    let digits = Some(digits).filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, base).ok()
}

fn decimal(text: &str) -> Result<Json> {
    if text.starts_with('+') {
        return Err(NotJson);
    }
    match text.parse() {
        Ok(integer) => Ok(Json::Integer(integer)),
        Err(_) => {
            let value = text.parse().map_err(|_| NotJson)?;
            Ok(Json::Float { value, written: text.to_owned() })
        }
    }
}
