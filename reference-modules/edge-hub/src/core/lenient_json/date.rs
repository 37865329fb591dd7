//! Strings that the library turns into dates, so that conditions cannot read them and documents spell them anew.
//! Source: `routing.md` 3.6, `twins-methods.md` 2.2.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Whether the library takes a string for a date: an ISO 8601 date-time with seconds, or `/Date(1)/`.
pub(super) fn is_date(text: &str) -> bool {
    if let Some(ticks) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return is_ticks(ticks);
    }
    (19..=40).contains(&text.len()) && text.is_ascii() && is_date_time(text).is_some()
}

/// A date as the library writes it: without trailing zeros of the fraction, and in the hub's own zone, UTC, when it
/// came with an offset. What lies outside the library's calendar stays as it is.
pub(super) fn respelled(text: &str) -> String {
    let respelled = match text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        Some(ticks) => from_ticks(ticks),
        None => from_date_time(text),
    };
    respelled.unwrap_or_else(|| text.to_owned())
}

fn from_ticks(ticks: &str) -> Option<String> {
    let at_offset = ticks.get(1..).and_then(|rest| rest.find(['+', '-'])).map(|at| at + 1);
    let millis = ticks[..at_offset.unwrap_or(ticks.len())].parse().ok()?;
    let at = Timestamp::from_millisecond(millis).ok()?.to_zoned(TimeZone::UTC).datetime();
    Some(format!("{}{}", spelled(at)?, if at_offset.is_some() { "+00:00" } else { "Z" }))
}

fn from_date_time(text: &str) -> Option<String> {
    let (date, time) = text.split_once('T')?;
    let (clock, rest) = time.split_at_checked(8)?;
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone_at);
    let midnight = clock == "24:00:00";
    let clock = if midnight { "00:00:00" } else { clock };
    let mut at: DateTime = format!("{date}T{clock}{fraction}").parse().ok()?;
    if midnight {
        at = at.tomorrow().ok()?;
    }
    let suffix = match zone {
        "" => "",
        "Z" | "z" => "Z",
        offset => {
            let digits = offset[1..].replace(':', "");
            let minutes =
                digits[..2].parse::<i64>().ok()? * 60 + digits.get(2..4).unwrap_or("00").parse::<i64>().ok()?;
            let east = if offset.starts_with('-') { minutes } else { -minutes };
            at = at.checked_add(jiff::SignedDuration::from_mins(east)).ok()?;
            "+00:00"
        }
    };
    Some(format!("{}{suffix}", spelled(at)?))
}

fn spelled(at: DateTime) -> Option<String> {
    (1..=9999).contains(&at.year()).then(|| {
        let fraction = match at.subsec_nanosecond() {
            0 => String::new(),
            nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
        };
        format!("{}{fraction}", at.strftime("%Y-%m-%dT%H:%M:%S"))
    })
}

fn is_ticks(text: &str) -> bool {
    let at_offset = text.get(1..).and_then(|rest| rest.find(['+', '-'])).map(|at| at + 1);
    let (ticks, offset) = text.split_at(at_offset.unwrap_or(text.len()));
    let offset = offset.get(1..).unwrap_or("00").replace(':', "");
    let is_offset = matches!(offset.len(), 2 | 4) && offset.bytes().all(|digit| digit.is_ascii_digit());
    ticks.parse::<i64>().is_ok() && !ticks.starts_with('+') && is_offset
}

/// `yyyy-MM-ddTHH:mm:ss`, a fraction of up to seven digits, a zone.
fn is_date_time(text: &str) -> Option<()> {
    let (date, time) = text.split_once('T')?;
    let (year, month_and_day) = date.split_once('-')?;
    let (month, day) = month_and_day.split_once('-')?;
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let date_exists = year >= 1 && (1..=12).contains(&month) && (1..=days(year, month)).contains(&day);

    let (clock, rest) = time.split_at_checked(8)?;
    let mut clock = clock.split(':');
    let mut part = || clock.next().and_then(|part| digits(part, 2));
    let (hour, minute, second) = (part()?, part()?, part()?);
    let midnight = hour == 24 && minute == 0 && second == 0;
    let time_exists = (hour < 24 || midnight) && minute < 60 && second < 60;

    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            let fraction = &fraction[..fraction.len() - zone.len()];
            let fits =
                (1..=7).contains(&fraction.len()) && !(hour == 24 && fraction.bytes().any(|digit| digit != b'0'));
            fits.then_some(zone)?
        }
    };
    (date_exists && time_exists && is_zone(zone)).then_some(())
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

fn days(year: u32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
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
}
