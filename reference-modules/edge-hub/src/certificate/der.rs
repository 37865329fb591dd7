//! The few fields of an X.509 certificate that count here, read from DER.
//!
//! Source: RFC 5280, section 4.1.

use std::ops::RangeInclusive;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// What a certificate says.
pub(super) struct Fields<'a> {
    /// Name of who signed it, as it stands.
    pub(super) issuer: &'a [u8],
    /// Name of whose it is, as it stands.
    pub(super) subject: &'a [u8],
    /// Common name of the subject.
    pub(super) common_name: Option<String>,
    /// When it is valid, in seconds since the epoch.
    pub(super) valid: RangeInclusive<u64>,
}

/// Elements that follow one another.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Tag and content of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = match usize::from(*first) {
            short @ ..0x80 => (short, rest),
            long => {
                let bytes = long - 0x80;
                let digits = rest.get(..bytes).filter(|digits| digits.len() <= 4)?;
                (digits.iter().fold(0, |value, digit| value << 8 | usize::from(*digit)), &rest[bytes..])
            }
        };
        let content = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((*tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

impl<'a> Fields<'a> {
    /// Reads a certificate; `None` when it is none.
    pub(super) fn read(der: &'a [u8]) -> Option<Fields<'a>> {
        let certificate = Elements(der).expect(SEQUENCE)?;
        let mut fields = Elements(Elements(certificate).expect(SEQUENCE)?);
        if fields.0.first() == Some(&VERSION) {
            fields.next()?;
        }
        let (_serial, _algorithm) = (fields.next()?, fields.next()?);
        let issuer = fields.expect(SEQUENCE)?;
        let mut validity = Elements(fields.expect(SEQUENCE)?);
        let (from, until) = (validity.next()?, validity.next()?);
        let subject = fields.expect(SEQUENCE)?;
        Some(Fields { issuer, subject, common_name: common_name(subject), valid: seconds(from)?..=seconds(until)? })
    }
}

/// A name is a sequence of sets of pairs.
fn common_name(name: &[u8]) -> Option<String> {
    let mut sets = Elements(name);
    while let Some((_, set)) = sets.next() {
        let mut pair = Elements(Elements(set).expect(SEQUENCE)?);
        if pair.expect(OBJECT_IDENTIFIER)? == COMMON_NAME {
            let (_, text) = pair.next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
    }
    None
}

/// `YYMMDDhhmmssZ` before 2050, `YYYYMMDDhhmmssZ` after.
fn seconds((tag, text): (u8, &[u8])) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |at: usize, length: usize| text.get(at..at + length)?.parse::<i8>().ok();
    let year = text.get(..4)?.parse().ok()?;
    let time = DateTime::new(year, part(4, 2)?, part(6, 2)?, part(8, 2)?, part(10, 2)?, part(12, 2)?, 0).ok()?;
    time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(seconds((UTC_TIME, b"260101000000Z")), Some(1_767_225_600));
        assert_eq!(seconds((GENERALIZED_TIME, b"20500101000000Z")), Some(2_524_608_000));
        assert_eq!(seconds((UTC_TIME, b"2601010000Z")), None);
    }

    #[test]
    fn a_name_is_found_among_other_attributes() {
        let attribute = |last: u8, text: &[u8]| {
            let value = [&[0x0c, text.len() as u8], text].concat();
            let pair = [&[OBJECT_IDENTIFIER, 3, 0x55, 0x04, last][..], &value].concat();
            let pair = [&[SEQUENCE, pair.len() as u8][..], &pair].concat();
            [&[0x31, pair.len() as u8][..], &pair].concat()
        };
        let name = [attribute(10, b"edgecert"), attribute(3, b"leaf1")].concat();
        assert_eq!(common_name(&name).as_deref(), Some("leaf1"));
        assert_eq!(common_name(&attribute(10, b"edgecert")), None);
    }
}
