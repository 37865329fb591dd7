//! Reading a metrics page.

/// Sum of all samples of a series whose labels include these.
pub fn sum(page: &str, series: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(series)?;
        let (given, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let labelled = wanted.iter().all(|label| {
            given == label || given.starts_with(&format!("{label},")) || given.contains(&format!(",{label}"))
        });
        labelled.then(|| value.split_whitespace().next()?.parse::<f64>().ok()).flatten()
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    const PAGE: &str = "# HELP a\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"4\"} 5\na_total_more{x=\"1\"} 7\na_total{xx=\"1\",y=\"2\"} 11\nb 13\n";

    #[test]
    fn only_samples_with_all_labels_of_exactly_this_series_are_summed() {
        assert_eq!(sum(PAGE, "a_total", &[("x", "1")]), 8.0);
        assert_eq!(sum(PAGE, "a_total", &[("x", "1"), ("y", "2")]), 3.0);
        assert_eq!(sum(PAGE, "a_total", &[]), 19.0);
        assert_eq!(sum(PAGE, "b", &[]), 13.0);
        assert_eq!(sum(PAGE, "c", &[]), 0.0);
    }
}
