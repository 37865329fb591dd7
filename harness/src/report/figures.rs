//! Numbers as people read them.

use std::time::Duration;

/// `2412` as `2,412`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts: `1 test`, `2,412 cases`.
pub fn count(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", thousands(number))
}

/// A duration with the precision that matters: `0.4 s`, `31 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round();
    if tenths < 100.0 {
        return format!("{:.1} s", tenths / 10.0);
    }
    let seconds = duration.as_secs_f64().round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// [`duration`] of a number of seconds, as reports hold it.
pub fn seconds(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A seed as commands take it.
pub fn seed(seed: u64) -> String {
    format!("{seed:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let read = [0, 7, 999, 1_000, 12_345, 1_234_567].map(thousands);
        assert_eq!(read, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn durations_keep_the_precision_that_matters() {
        let read = [0, 380, 9_949, 9_960, 59_400, 59_600, 125_000, 3_725_000]
            .map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(read, ["0.0 s", "0.4 s", "9.9 s", "10 s", "59 s", "1 min 00 s", "2 min 05 s", "1 h 02 min"]);
    }

    #[test]
    fn one_of_a_thing_is_singular() {
        assert_eq!([0, 1, 2].map(|n| count(n, "case")), ["0 cases", "1 case", "2 cases"]);
    }
}
