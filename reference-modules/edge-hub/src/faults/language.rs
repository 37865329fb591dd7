//! Faults of configuration, route strings, sources, sinks, conditions and functions.

/// Ids, each used at one place under `core/routing/`.
pub(super) const IDS: &[&str] = &[
    "BODY01-content-type-may-have-parameters",
    "BODY01-encoding-defaults-to-utf-8",
    "BODY01-utf-8-only",
    "BODY01-utf8-without-dash-is-accepted",
    "BODY02-text-behind-the-object-is-ignored",
    "BODY02-unreadable-body-is-empty",
    "BODY03-members-ignore-case",
    "BODY03-prefix-in-lower-case-only",
    "BODY04-missing-member-is-undefined",
    "BODY05-dates-are-strings",
    "BODY05-objects-are-null",
    "BODY06-mixed-types-are-undefined",
    "BODY06-null-ranks-lowest",
    "BODY06-numbers-rank-above-strings",
    "BODY06-numeric-strings-are-numbers",
    "BODY07-indexes-count-from-one",
    "BODY07-second-index-is-refused",
    "BODY08-dynamic-operand-on-the-right-works",
    "BODY09-one-boolean-may-decide",
    "BODY10-dynamic-negation-works",
    "BODY10-dynamic-remainder-works",
    "BODY11-body-path-comes-first",
    "BODY12-missing-member-gives-way",
    "BODY13-strict-json-only",
    "CFG01-further-numbers-are-refused",
    "CFG01-later-minor-versions-are-accepted",
    "CFG01-version-1-2-is-refused",
    "CFG02-minor-version-may-be-absent",
    "CFG02-missing-version-is-1-0",
    "CFG03-objects-are-accepted-in-1-0",
    "CFG03-objects-are-refused-in-1-1",
    "CFG04-blank-route-is-refused-in-1-0",
    "CFG04-blank-route-is-skipped-in-1-1",
    "CFG05-default-priority-cannot-be-written",
    "CFG05-priority-9-is-refused",
    "CFG06-bad-route-is-left-out",
    "CFG07-refused-route-is-not-named",
    "CFG13-broker-section-is-not-validated",
    "CFG13-valid-broker-section-is-refused",
    "CFG14-missing-routes-are-none",
    "CFG14-missing-store-and-forward-has-a-default",
    "FAN02-largest-priority-number-wins",
    "FAN02-time-to-live-of-the-last-route",
    "FAN03-first-matching-route-only",
    "FAN03-one-copy-for-a-module",
    "FN01-function-names-in-lower-case-only",
    "FN02-argument-types-are-unchecked",
    "FN02-concat-takes-one-argument",
    "FN02-surplus-arguments-are-ignored",
    "FN03-length-is-clipped",
    "FN03-three-argument-start-may-be-the-end",
    "FN04-index-counts-bytes",
    "FN04-length-counts-characters",
    "FN05-plain-numbers-only",
    "FN05-text-that-is-no-number-is-zero",
    "FN05-thousands-separators-are-refused",
    "FN06-is-defined-is-never-false",
    "FN07-is-null-asks-for-null",
    "FN08-infinity-is-a-number",
    "FN09-absent-contains-nothing",
    "FN09-empty-fragment-is-nowhere",
    "FN09-predicates-ignore-case",
    "FN10-upper-lengthens-text",
    "LANG01-undefined-routes",
    "LANG02-no-condition-matches-nothing",
    "LANG03-application-names-in-exact-case",
    "LANG03-system-names-in-exact-case",
    "LANG03-values-ignore-case",
    "LANG04-application-property-never-wins",
    "LANG04-braces-mean-nothing",
    "LANG05-mixed-types-are-unequal",
    "LANG06-absent-compares-false",
    "LANG06-absent-is-empty",
    "LANG06-absent-is-unequal",
    "LANG07-undefined-wins-and",
    "LANG07-undefined-wins-or",
    "LANG08-coalesce-binds-tightest",
    "LANG08-not-binds-loosely",
    "LANG08-sum-binds-like-product",
    "LANG09-operators-associate-to-the-right",
    "LANG10-literals-in-any-case",
    "LANG10-operators-in-lower-case-only",
    "LANG11-division-by-zero-is-undefined",
    "LANG11-integers-divide-to-integers",
    "LANG11-nan-compares-false",
    "LANG11-sums-are-rounded",
    "LANG12-hex-is-unsigned",
    "LANG13-order-by-code-point",
    "LANG13-order-of-a-dictionary",
    "LANG14-more-escapes-accepted",
    "LANG14-unicode-escapes-stay",
    "LANG15-operators-need-no-blanks",
    "LANG16-exclamation-equals-refused",
    "LANG17-double-ampersand-accepted",
    "LANG17-double-equals-accepted",
    "LANG18-not-null-is-undefined",
    "LANG18-null-equals-nothing",
    "LANG18-null-routes",
    "LANG19-null-with-undefined-compiles",
    "LANG20-undefined-concatenates-as-empty",
    "LANG21-comments-refused",
    "LANG22-functions-of-the-cloud-exist",
    "LANG22-unknown-functions-are-undefined",
    "LANG23-text-is-true",
    "LANG24-property-without-value-is-absent",
    "LANG24-property-without-value-is-empty",
    "LANG25-sender-can-be-forged",
    "R03-routes-to-one-sink-have-two-endpoints",
    "R05-single-quotes-of-a-sink-stay",
    "R08-any-body-is-json",
    "R18-source-matches-by-raw-prefix",
    "R19-and-or-precedence-swapped",
    "R19-numbers-compared-as-text",
    "R19-properties-compare-with-numbers",
    "R19-undefined-is-false-under-not",
    "R22-any-priority-is-accepted",
    "SINK01-any-system-sink-is-upstream",
    "SINK01-upstream-in-lower-case-only",
    "SINK02-any-function-name-is-accepted",
    "SINK02-function-name-in-exact-case",
    "SINK03-further-segments-are-ignored",
    "SINK03-words-are-verified",
    "SRC01-keywords-in-capitals-only",
    "SRC02-everything-leaves-out-twin-changes",
    "SRC03-messages-take-in-twin-changes",
    "SRC04-modules-take-in-devices",
    "SRC05-module-alone-takes-no-outputs",
    "SRC06-outputs-take-messages-without-one",
    "SRC07-source-matches-in-exact-case",
    "SRC09-inner-star-is-a-wildcard",
    "SRC09-trailing-star-matches-the-rest-of-a-name",
    "SRC10-leading-slash-is-optional",
    "SRC10-trailing-slash-is-accepted",
    "SRC11-any-word-names-a-segment",
    "SRC12-device-events-are-messages",
    "SRC12-event-sources-are-refused",
    "SRC13-path-star-opens-no-comment",
    "SRC14-text-behind-the-sink-is-refused",
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::IDS;

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| {
                if path.is_dir() {
                    sources(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn every_id_is_planted_at_exactly_one_place() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/routing");
        let code: String = sources(&folder)
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        for id in IDS {
            assert_eq!(code.matches(&format!("\"{id}\"")).count(), 1, "{id}");
        }
    }
}
