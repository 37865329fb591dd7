//! Reading a metrics page.

use std::collections::BTreeSet;

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

/// The type a page declares for a series, if it has it.
pub fn kind<'a>(page: &'a str, series: &str) -> Option<&'a str> {
    let declared = |line: &'a str| line.strip_prefix("# TYPE ")?.strip_prefix(series)?.strip_prefix(' ');
    page.lines().find_map(declared).map(str::trim)
}

/// Names of the labels of the first sample of a series. Sums and counts of a summary are not looked at.
pub fn labels(page: &str, series: &str) -> Option<BTreeSet<String>> {
    let sample = page.lines().find_map(|line| match line.strip_prefix(series)?.split_once('{') {
        Some(("", rest)) => rest.rsplit_once('}').map(|(labels, _)| labels),
        _ => line.strip_prefix(series)?.starts_with(' ').then_some(""),
    })?;
    let mut names = BTreeSet::new();
    let mut rest = sample;
    // Values are quoted, and a quote within one is escaped.
    while let Some((name, value)) = rest.split_once("=\"") {
        names.insert(name.trim_start_matches(',').trim().to_owned());
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = end.map_or("", |end| &value[end + 1..]);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::{kind, labels, sum};

    const PAGE: &str = "# HELP a\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"4\"} 5\na_total_more{x=\"1\"} 7\na_total{xx=\"1\",y=\"2\"} 11\nb 13\n";

    #[test]
    fn only_samples_with_all_labels_of_exactly_this_series_are_summed() {
        assert_eq!(sum(PAGE, "a_total", &[("x", "1")]), 8.0);
        assert_eq!(sum(PAGE, "a_total", &[("x", "1"), ("y", "2")]), 3.0);
        assert_eq!(sum(PAGE, "a_total", &[]), 19.0);
        assert_eq!(sum(PAGE, "b", &[]), 13.0);
        assert_eq!(sum(PAGE, "c", &[]), 0.0);
    }

    #[test]
    fn types_and_labels_are_read() {
        let page = "# TYPE a_total counter\n# TYPE a summary\na_total{x=\"1,y=\\\"\",z=\"}\"} 3\na 4\n";
        assert_eq!((kind(page, "a_total"), kind(page, "a"), kind(page, "b")), (Some("counter"), Some("summary"), None));
        let names: Vec<String> = labels(page, "a_total").expect("a sample").into_iter().collect();
        assert_eq!(names, ["x", "z"]);
        assert_eq!(labels(page, "a").map(|labels| labels.len()), Some(0));
        assert_eq!(labels(page, "b"), None);
    }
}
