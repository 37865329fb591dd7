//! Texts that the JSON reader takes for dates, and how it writes them again.

use std::fmt;

/// A date and time, as the reader keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// In units of 100 ns since the beginning of the year 1; with an offset in the text, in UTC.
    pub ticks: i64,
    /// What the text said of the zone.
    pub zone: Zone,
}

/// What a date says of its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Nothing.
    Unsaid,
    /// `Z`.
    Utc,
    /// An offset. The hub's own zone, to which it is converted, is UTC.
    Offset,
}

const SECOND: i64 = 10_000_000;
const DAY: i64 = 24 * 3600 * SECOND;
/// From the year 1 to 1970.
const EPOCH: i64 = 719_162 * DAY;

/// Reads a text as a date, if it looks like one: date and time to the second with `T` between, up to seven digits of
/// fraction, a zone or none; or `/Date(1)/`.
pub(super) fn read(text: &[u16]) -> Option<Date> {
    let text = String::from_utf16(text).ok()?;
    match text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        Some(inner) => epoch(inner),
        None => iso(&text),
    }
}

/// Milliseconds, and perhaps an offset, which says no more than that there is one.
fn epoch(text: &str) -> Option<Date> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (milliseconds, offset) = match text.find(['+', '-']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(milliseconds) || offset.is_some_and(|offset| !digits(offset) || !matches!(offset.len(), 2 | 4)) {
        return None;
    }
    let ticks = milliseconds.parse::<i64>().ok()?.checked_mul(sign * SECOND / 1000)?.checked_add(EPOCH)?;
    Some(Date { ticks, zone: if offset.is_some() { Zone::Offset } else { Zone::Utc } })
}

fn iso(text: &str) -> Option<Date> {
    let field = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let mark = |at: usize, wanted: u8| (text.as_bytes().get(at) == Some(&wanted)).then_some(());
    let (year, month, day) = (field(0..4)?, field(5..7)?, field(8..10)?);
    let (hour, minute, second) = (field(11..13)?, field(14..16)?, field(17..19)?);
    for (at, wanted) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        mark(at, wanted)?;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(tail) => {
            let count = tail.bytes().take_while(u8::is_ascii_digit).count();
            (Some(&tail[..count]), &tail[count..])
        }
        None => (None, rest),
    };
    if fraction.is_some_and(|digits| !(1..=7).contains(&digits.len())) {
        return None;
    }
    let fraction: i64 = fraction.map_or(Some(0), |digits| format!("{digits:0<7}").parse().ok())?;
    let midnight = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    let time_good = (hour < 24 && minute < 60 && second < 60) || midnight;
    if year < 1 || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) || !time_good {
        return None;
    }
    let (zone, offset) = zone_of(zone)?;
    let time = (hour * 3600 + minute * 60 + second - offset * 60) * SECOND + fraction;
    Some(Date { ticks: (days_before(year, month, day) * DAY + time).max(0), zone })
}

/// What the end of the text says, and the minutes by which the time is ahead of UTC.
fn zone_of(zone: &str) -> Option<(Zone, i64)> {
    if zone.is_empty() {
        return Some((Zone::Unsaid, 0));
    }
    if zone.eq_ignore_ascii_case("z") {
        return Some((Zone::Utc, 0));
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let offset = zone.strip_prefix(['+', '-'])?;
    let two = |text: &str| {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = match offset.len() {
        2 => (offset, "00"),
        4 if offset.is_char_boundary(2) => offset.split_at(2),
        5 => offset.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (two(hours).filter(|hours| *hours < 24)?, two(minutes).filter(|minutes| *minutes < 60)?);
    Some((Zone::Offset, sign * (hours * 60 + minutes)))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the first of the year 1 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let past = year - 1;
    let years = past * 365 + past / 4 - past / 100 + past / 400;
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>() + day - 1
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, time) = (self.ticks.div_euclid(DAY), self.ticks.rem_euclid(DAY));
        // Counted up, as a definition does: no date is further than ten thousand years from the first.
        let (mut year, mut month) = (1, 1);
        while days >= 365 + i64::from(is_leap(year)) {
            days -= 365 + i64::from(is_leap(year));
            year += 1;
        }
        while days >= days_in(year, month) {
            days -= days_in(year, month);
            month += 1;
        }
        let (seconds, fraction) = (time / SECOND, time % SECOND);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}", days + 1)?;
        if fraction > 0 {
            write!(f, ".{}", format!("{fraction:07}").trim_end_matches('0'))?;
        }
        f.write_str(match self.zone {
            Zone::Unsaid => "",
            Zone::Utc => "Z",
            Zone::Offset => "+00:00",
        })
    }
}
