//! Letter case as the product's runtime maps it: invariant, simple (one character for one).
//!
//! The standard library knows the full mappings, which may lengthen a text (sharp s becomes `SS`). Where the full
//! mapping is longer than one character there is usually no simple one; the Greek letters with iota subscript are
//! the exception.

/// The upper-case form of one character, itself where there is none.
pub(super) fn upper(letter: char) -> char {
    match letter {
        // The invariant culture keeps the Turkish letters apart from their Latin look-alikes.
        'ı' => letter,
        'ᾀ'..='ᾇ' | 'ᾐ'..='ᾗ' | 'ᾠ'..='ᾧ' => shifted(letter, 8),
        'ᾳ' | 'ῃ' | 'ῳ' => shifted(letter, 9),
        _ => single(letter, letter.to_uppercase()),
    }
}

/// The lower-case form of one character, itself where there is none.
pub(super) fn lower(letter: char) -> char {
    match letter {
        'İ' => letter,
        _ => single(letter, letter.to_lowercase()),
    }
}

fn single(letter: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    match (mapped.len(), mapped.next()) {
        (1, Some(one)) => one,
        _ => letter,
    }
}

fn shifted(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).unwrap_or(letter)
}

/// The form under which texts that differ only in case are the same.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_uppercase() } else { text.chars().map(upper).collect() }
}

/// A property name, looked up ignoring letter case.
#[derive(Clone, Debug)]
pub(super) struct Name {
    written: String,
    folded: String,
}

impl Name {
    pub(super) fn new(name: &str) -> Name {
        Name { written: name.to_owned(), folded: fold(name) }
    }

    /// Whether a key of a property bag is this name.
    pub(super) fn is(&self, key: &str) -> bool {
        if self.folded.is_ascii() && key.is_ascii() {
            return self.folded.eq_ignore_ascii_case(key);
        }
        key.chars().map(upper).eq(self.folded.chars())
    }

    /// The [`fold`] of every key that is this name.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    pub(super) fn written(&self) -> &str {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_length() {
        assert_eq!(fold("straße"), "STRAßE");
        assert_eq!(fold("ᾳ"), "ᾼ");
        assert_eq!("ΣΑΣ".chars().map(lower).collect::<String>(), "σασ");
    }

    #[test]
    fn names_are_the_same_when_only_case_differs() {
        assert!(Name::new("тип").is("ТИП"));
        assert!(Name::new("Line").is("lINE"));
        assert!(!Name::new("line").is("lines"));
        assert!(!Name::new("типы").is("тип"));
    }
}
