//! How long to wait before an attempt is repeated.

use std::time::Duration;

/// Waiting time before retry number `attempt` (0 is the first retry), with `spread` drawn from 0.8 to 1.2:
/// `min(1 s + (2^attempt - 1) * spread * 1 s, 60 s)`.
///
/// Source: Azure/iotedge, `transientFaultHandling/ExponentialBackoff.cs`.
pub fn back_off(attempt: u32, spread: f64) -> Duration {
    let doublings = f64::from(2_u32.saturating_pow(attempt.min(16)) - 1);
    Duration::from_secs_f64((1.0 + doublings * spread).min(60.0))
}

/// A small generator of numbers for spreading retries; nothing secret depends on it.
#[derive(Debug)]
pub struct Spread(u64);

impl Spread {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Spread {
        Spread(seed | 1)
    }

    /// The next factor, uniform in 0.8 to 1.2.
    pub fn next_factor(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let thousandths = u32::try_from(self.0 % 1000).expect("a remainder of 1000 fits");
        0.8 + 0.4 * f64::from(thousandths) / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_one_second_up_to_a_minute() {
        let secs: Vec<f64> = (0..8).map(|attempt| back_off(attempt, 1.0).as_secs_f64()).collect();
        assert_eq!(secs, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    }

    #[test]
    fn waits_never_exceed_a_minute_however_often_it_failed() {
        assert_eq!(back_off(u32::MAX, 1.2), Duration::from_secs(60));
    }

    #[test]
    fn spread_stays_within_a_fifth() {
        let mut spread = Spread::new(42);
        for _ in 0..10_000 {
            let factor = spread.next_factor();
            assert!((0.8..=1.2).contains(&factor), "{factor}");
        }
    }
}
