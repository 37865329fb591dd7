//! Summaries, which the metrics crate does not have: quantiles of what was seen lately, and sum and count of all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Quantiles of the product.
const QUANTILES: [f64; 4] = [0.1, 0.5, 0.9, 0.99];
/// Values that quantiles look back on.
const LATELY: usize = 512;

/// One series; clones are handles of the same.
#[derive(Clone, Debug)]
pub struct Summary {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    common: String,
    seen: Arc<Mutex<BTreeMap<Vec<String>, Seen>>>,
}

#[derive(Debug, Default)]
struct Seen {
    lately: VecDeque<f64>,
    sum: f64,
    count: u64,
}

impl Summary {
    /// An empty series with labels of its own and some that all series have.
    pub fn new(
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        common: &[(&str, &str)],
    ) -> Summary {
        let common: Vec<String> = common.iter().map(|(name, value)| label(name, value)).collect();
        Summary { name, help, labels, common: common.join(","), seen: Arc::default() }
    }

    /// Notes a value.
    pub fn observe(&self, values: &[&str], value: f64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.entry(values.iter().map(|value| (*value).to_owned()).collect()).or_default();
        if seen.lately.len() == LATELY {
            seen.lately.pop_front();
        }
        seen.lately.push_back(value);
        seen.sum += value;
        seen.count += 1;
    }

    /// Appends the series to a page; nothing when no value was noted.
    pub fn write(&self, page: &mut String) {
        let name = self.name;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_empty() {
            return;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(page, "# HELP {name} {}\n# TYPE {name} summary", self.help);
        for (values, seen) in &*seen {
            let own: Vec<String> = self.labels.iter().zip(values).map(|(name, value)| label(name, value)).collect();
            let labels = format!("{},{}", own.join(","), self.common);
            let mut sorted: Vec<f64> = seen.lately.iter().copied().collect();
            sorted.sort_by(f64::total_cmp);
            for quantile in QUANTILES {
                let rank = (quantile * (sorted.len() - 1) as f64).round() as usize;
                let _ = writeln!(page, "{name}{{{labels},quantile=\"{quantile}\"}} {}", sorted[rank]);
            }
            let _ = writeln!(page, "{name}_sum{{{labels}}} {}\n{name}_count{{{labels}}} {}", seen.sum, seen.count);
        }
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_quantiles_sum_and_count() {
        let summary = Summary::new("size", "Sizes", &["id"], &[("hub", "h")]);
        let mut page = String::new();
        summary.write(&mut page);
        assert_eq!(page, "");
        for value in 1..=11 {
            summary.observe(&["a\"b"], f64::from(value));
        }
        summary.write(&mut page);
        assert!(page.starts_with("# HELP size Sizes\n# TYPE size summary\n"), "{page}");
        assert!(page.contains("size{id=\"a\\\"b\",hub=\"h\",quantile=\"0.5\"} 6\n"), "{page}");
        assert!(page.contains("size_sum{id=\"a\\\"b\",hub=\"h\"} 66\n"), "{page}");
        assert!(page.contains("size_count{id=\"a\\\"b\",hub=\"h\"} 11\n"), "{page}");
    }
}
