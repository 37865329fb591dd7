//! Strings of conditions. The product counts and orders UTF-16 code units, and a literal may hold half a surrogate
//! pair; everything that comes from outside is proper Unicode and stays as it is.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::letter_case;
use crate::faults::planted;

/// A string value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Text<'a> {
    /// Proper Unicode.
    Unicode(Cow<'a, str>),
    /// UTF-16 code units with at least one unpaired surrogate among them.
    Units(Vec<u16>),
}

impl<'a> Text<'a> {
    pub(super) fn borrowed(text: &'a str) -> Text<'a> {
        Text::Unicode(Cow::Borrowed(text))
    }

    pub(super) fn from_units(units: Vec<u16>) -> Text<'static> {
        match String::from_utf16(&units) {
            Ok(text) => Text::Unicode(Cow::Owned(text)),
            Err(_) => Text::Units(units),
        }
    }

    pub(super) fn units(&self) -> Cow<'_, [u16]> {
        match self {
            Text::Unicode(text) => Cow::Owned(text.encode_utf16().collect()),
            Text::Units(units) => Cow::Borrowed(units),
        }
    }

    /// Number of UTF-16 code units.
    pub(super) fn length(&self) -> usize {
        match self {
            Text::Unicode(text) if planted("FN04-length-counts-characters") => text.chars().count(),
            Text::Unicode(text) if text.is_ascii() => text.len(),
            Text::Unicode(text) => text.encode_utf16().count(),
            Text::Units(units) => units.len(),
        }
    }

    /// By UTF-16 code unit: U+FFFD comes after U+1F600.
    pub(super) fn order(&self, other: &Text) -> Ordering {
        match (self, other) {
            (Text::Unicode(left), Text::Unicode(right)) => order(left, right),
            _ => self.units().cmp(&other.units()),
        }
    }

    pub(super) fn concat(&self, other: &Text) -> Text<'static> {
        match (self, other) {
            (Text::Unicode(left), Text::Unicode(right)) => Text::Unicode(Cow::Owned(format!("{left}{right}"))),
            _ => Text::from_units([self.units(), other.units()].concat()),
        }
    }

    /// The part from `start` up to `end`, in UTF-16 code units, both within the text.
    pub(super) fn part(&self, start: usize, end: usize) -> Text<'static> {
        match self {
            Text::Unicode(text) if text.is_ascii() => Text::Unicode(Cow::Owned(text[start..end].to_owned())),
            _ => Text::from_units(self.units()[start..end].to_vec()),
        }
    }

    /// Position of the first occurrence, in UTF-16 code units.
    pub(super) fn find(&self, fragment: &Text) -> Option<usize> {
        if let (Text::Unicode(text), Text::Unicode(fragment)) = (self, fragment) {
            let at = text.find(fragment.as_ref())?;
            let counts_bytes = planted("FN04-index-counts-bytes");
            return Some(if counts_bytes { at } else { text[..at].encode_utf16().count() });
        }
        let (units, fragment) = (self.units(), fragment.units());
        (0..=units.len().checked_sub(fragment.len())?).find(|&at| units[at..].starts_with(&fragment))
    }

    pub(super) fn starts_with(&self, fragment: &Text) -> bool {
        match (self, fragment) {
            (Text::Unicode(text), Text::Unicode(fragment)) => text.starts_with(fragment.as_ref()),
            _ => self.units().starts_with(&fragment.units()),
        }
    }

    pub(super) fn ends_with(&self, fragment: &Text) -> bool {
        match (self, fragment) {
            (Text::Unicode(text), Text::Unicode(fragment)) => text.ends_with(fragment.as_ref()),
            _ => self.units().ends_with(&fragment.units()),
        }
    }

    /// Maps every character; unpaired surrogates have no letter case.
    pub(super) fn map(&self, letter: fn(char) -> char) -> Text<'static> {
        let Text::Unicode(text) = self else {
            let units = self.units();
            let mapped = char::decode_utf16(units.iter().copied()).flat_map(|decoded| match decoded {
                Ok(character) => letter(character).encode_utf16(&mut [0; 2]).to_vec(),
                Err(unpaired) => vec![unpaired.unpaired_surrogate()],
            });
            return Text::from_units(mapped.collect());
        };
        if letter('a') == 'A' && planted("FN10-upper-lengthens-text") {
            return Text::Unicode(Cow::Owned(text.to_uppercase()));
        }
        Text::Unicode(Cow::Owned(text.chars().map(letter).collect()))
    }
}

fn order(left: &str, right: &str) -> Ordering {
    if planted("LANG03-values-ignore-case") {
        return letter_case::fold(left).cmp(&letter_case::fold(right));
    }
    if planted("LANG13-order-of-a-dictionary") {
        return left.to_lowercase().cmp(&right.to_lowercase()).then_with(|| right.cmp(left));
    }
    // Without surrogates the order of bytes is the order of code units.
    let same_order = left.is_ascii() || right.is_ascii() || left == right || planted("LANG13-order-by-code-point");
    if same_order { left.cmp(right) } else { left.encode_utf16().cmp(right.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_code_unit() {
        let (replacement, emoji) = (Text::borrowed("\u{fffd}"), Text::borrowed("\u{1f600}"));
        assert_eq!(replacement.order(&emoji), Ordering::Greater);
        assert_eq!(Text::borrowed("a").order(&Text::borrowed("aa")), Ordering::Less);
    }

    #[test]
    fn parts_may_cut_a_pair_in_two_and_join_again() {
        let emoji = Text::borrowed("\u{1f600}");
        assert_eq!(emoji.length(), 2);
        let (high, low) = (emoji.part(0, 1), emoji.part(1, 2));
        assert!(matches!(high, Text::Units(_)));
        assert_eq!(high.concat(&low), emoji);
        assert_eq!(emoji.find(&low), Some(1));
    }
}
