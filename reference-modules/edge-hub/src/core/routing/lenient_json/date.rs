//! Strings that the library turns into dates, so that conditions cannot read them, and that it spells anew when it
//! writes them. Source: `routing.md` 3.6.

use std::fmt::Write as _;

use jiff::Span;
use jiff::civil::{self, DateTime};

/// A date as the library holds it.
struct Date {
    time: DateTime,
    /// What stands behind the time when it is written.
    zone: &'static str,
}

/// Whether the library takes a string for a date: an ISO 8601 date-time with seconds, or `/Date(1)/`.
pub(super) fn is_date(text: &str) -> bool {
    read(text).is_some()
}

/// The string as the library writes it, if it takes it for a date: without zeros at the end of the fraction, and in
/// UTC when there was an offset.
pub(super) fn respelled(text: &str) -> Option<String> {
    let Date { time, zone } = read(text)?;
    let mut spelled = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let fraction = time.subsec_nanosecond() / 100;
    if fraction > 0 {
        let _ = write!(spelled, ".{}", format!("{fraction:07}").trim_end_matches('0'));
    }
    Some(spelled + zone)
}

fn read(text: &str) -> Option<Date> {
    if let Some(ticks) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return of_ticks(ticks);
    }
    if !(19..=40).contains(&text.len()) || !text.is_ascii() {
        return None;
    }
    of_date_time(text)
}

/// Milliseconds since the Unix epoch. An offset behind them shifts nothing.
fn of_ticks(text: &str) -> Option<Date> {
    let at_offset = text.get(1..).and_then(|rest| rest.find(['+', '-'])).map(|at| at + 1);
    let (ticks, offset) = text.split_at(at_offset.unwrap_or(text.len()));
    let digits = offset.get(1..).unwrap_or("00").replace(':', "");
    let is_offset = matches!(digits.len(), 2 | 4) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let millis: i64 = ticks.parse().ok().filter(|_| is_offset && !ticks.starts_with('+'))?;
    let epoch = civil::date(1970, 1, 1).at(0, 0, 0, 0);
    let time = Span::new().try_milliseconds(millis).and_then(|since| epoch.checked_add(since)).unwrap_or(epoch);
    Some(Date { time, zone: if offset.is_empty() { "Z" } else { "+00:00" } })
}

/// `yyyy-MM-ddTHH:mm:ss`, a fraction of up to seven digits, a zone.
fn of_date_time(text: &str) -> Option<Date> {
    let (date, time) = text.split_once('T')?;
    let (year, month_and_day) = date.split_once('-')?;
    let (month, day) = month_and_day.split_once('-')?;
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let date = Some(year).filter(|year| *year >= 1).and_then(|year| {
        civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    })?;

    let (clock, rest) = time.split_at_checked(8)?;
    let mut clock = clock.split(':');
    let mut part = || clock.next().and_then(|part| digits(part, 2));
    let (hour, minute, second) = (part()?, part()?, part()?);
    let midnight = hour == 24 && minute == 0 && second == 0;
    let time_exists = (hour < 24 || midnight) && minute < 60 && second < 60;

    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            let fraction = &fraction[..fraction.len() - zone.len()];
            let fits =
                (1..=7).contains(&fraction.len()) && !(hour == 24 && fraction.bytes().any(|digit| digit != b'0'));
            fits.then_some((fraction, zone))?
        }
    };
    if !time_exists || !is_zone(zone) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let (zone, ahead_minutes) = match zone {
        "" => ("", 0),
        "Z" | "z" => ("Z", 0),
        offset => ("+00:00", minutes_of(offset)),
    };
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - ahead_minutes * 60;
    let since_midnight = Span::new().seconds(seconds).nanoseconds(nanos);
    // Next to the ends of time there is no shift.
    let time = date.at(0, 0, 0, 0);
    Some(Date { time: time.checked_add(since_midnight).unwrap_or(time), zone })
}

/// How far ahead of UTC `+hh:mm` is.
fn minutes_of(offset: &str) -> i64 {
    let figures = offset[1..].replace(':', "");
    let part = |range| figures.get(range).and_then(|part: &str| part.parse::<i64>().ok()).unwrap_or(0);
    let minutes = part(0..2) * 60 + part(2..4);
    if offset.starts_with('-') { -minutes } else { minutes }
}

fn is_zone(zone: &str) -> bool {
    if matches!(zone, "" | "Z" | "z") {
        return true;
    }
    let Some((hours, rest)) = zone.strip_prefix(['+', '-']).and_then(|offset| offset.split_at_checked(2)) else {
        return false;
    };
    let minutes = rest.strip_prefix(':').unwrap_or(rest);
    digits(hours, 2).is_some() && (minutes.is_empty() || digits(minutes, 2).is_some())
}

fn digits(text: &str, length: usize) -> Option<u32> {
    let all = text.len() == length && text.bytes().all(|digit| digit.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_times_are_dates() {
        for text in [
            "2031-02-03T04:05:06Z",
            "2031-02-03T04:05:06",
            "2031-02-03T04:05:06.1234567z",
            "2031-02-03T04:05:06.5+02:00",
            "2031-02-03T04:05:06+0200",
            "2031-02-03T04:05:06+02",
            "2031-02-03T24:00:00",
            "2028-02-29T00:00:00",
            "/Date(1)/",
            "/Date(1+0100)/",
        ] {
            assert!(is_date(text), "{text}");
        }
    }

    #[test]
    fn similar_strings_are_not() {
        for text in [
            "2031-02-03",
            "2031-02-03T04:05",
            "2031-02-03 04:05:06",
            "2031-02-03t04:05:06",
            "2031-02-30T04:05:06",
            "2031-02-03T24:00:01",
            "2031-02-03T04:05:06.12345678",
            " 2031-02-03T04:05:06",
            "2031-02-03T04:05:06 ",
            "2031-02-03T04:05:06.",
            "/Date()/",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }

    #[test]
    fn dates_are_spelled_anew() {
        for (text, spelled) in [
            ("2031-02-03T04:05:06.1000000Z", "2031-02-03T04:05:06.1Z"),
            ("2031-02-03T04:05:06.000z", "2031-02-03T04:05:06Z"),
            ("2031-02-03T04:05:06.05", "2031-02-03T04:05:06.05"),
            ("2031-02-03T04:05:06+02:00", "2031-02-03T02:05:06+00:00"),
            ("2031-01-01T00:05:06-0130", "2031-01-01T01:35:06+00:00"),
            ("2020-01-01T24:00:00Z", "2020-01-02T00:00:00Z"),
            ("/Date(1)/", "1970-01-01T00:00:00.001Z"),
            ("/Date(1577836800000)/", "2020-01-01T00:00:00Z"),
        ] {
            assert_eq!(respelled(text).as_deref(), Some(spelled), "{text}");
        }
        assert_eq!(respelled("2031-02-03"), None);
    }
}
