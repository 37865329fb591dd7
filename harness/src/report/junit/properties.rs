//! `properties` of test suites, which the crate that writes the XML does not know.

use maud::html;

const SUITE: &str = "<testsuite ";
const CDATA: &str = "<![CDATA[";

/// The document with `properties` as the first element of every test suite. What stands in CDATA sections is text,
/// whatever it looks like; everywhere else the crate escapes what looks like markup.
pub(super) fn insert(document: &str, properties: &[(&str, String)]) -> String {
    let properties = element(properties);
    let mut rest = document;
    let mut whole = String::with_capacity(document.len());
    while let Some(at) = rest.find("<") {
        let tail = &rest[at..];
        let ends = if tail.starts_with(CDATA) { "]]>" } else { ">" };
        let length = tail.find(ends).map_or(tail.len(), |end| end + ends.len());
        whole.push_str(&rest[..at + length]);
        if tail.starts_with(SUITE) {
            whole.push_str(&properties);
        }
        rest = &tail[length..];
    }
    whole.push_str(rest);
    whole
}

fn element(properties: &[(&str, String)]) -> String {
    html! {
        properties {
            @for (name, value) in properties { property name=(name) value=(value) {} }
        }
    }
    .into_string()
}
