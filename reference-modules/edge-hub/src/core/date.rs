//! Dates in the round-trip format, the only one a creation time may have.

/// The date as it is written again (seven digits of fraction, offset as `+00:00`); `None` when the text is no such
/// date. A text without zone is taken for UTC.
pub fn round_trip(text: &str) -> Option<String> {
    let (date, rest) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let offset = match zone {
        "" | "Z" => String::from("+00:00"),
        offset => {
            let [hours, minutes] = numbers(&offset[1..], ':', [2, 2])?;
            (hours <= 14 && minutes <= 59).then(|| offset.to_owned())?
        }
    };
    let fraction_is_digits = fraction.len() <= 7 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let dotted = rest[..zone_at].contains('.');
    let year = i16::try_from(year).ok().filter(|year| *year >= 1)?;
    jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let in_day = hour < 24 && minute < 60 && second < 60;
    (fraction_is_digits && in_day && (!dotted || !fraction.is_empty()))
        .then(|| format!("{date}T{clock}.{fraction:0<7}{offset}"))
}

fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u32; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::round_trip;

    #[test]
    fn dates_are_written_with_seven_digits_and_an_offset() {
        for (text, written) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0000000+00:00"),
            ("2026-01-01T00:00:00.25+02:00", "2026-01-01T00:00:00.2500000+02:00"),
            ("2026-01-01T00:00:00", "2026-01-01T00:00:00.0000000+00:00"),
        ] {
            assert_eq!(round_trip(text).as_deref(), Some(written), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "yesterday",
            "",
            "2026-02-30T00:00:00Z",
            "2026-01-01",
            "2026-01-01T24:00:00Z",
            "2026-1-1T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.12345678Z",
        ] {
            assert_eq!(round_trip(text), None, "{text}");
        }
    }
}
