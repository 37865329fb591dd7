//! What the sections of the page share.

use maud::{Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::report::paragraph;
use crate::report::v1::{Level, Standing, TestOutcome, Verdict};

/// What may stand in a relative link as it is.
const LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// How an outcome is shown: never by colour alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Class of the style sheet.
    pub class: &'static str,
    /// Read by the eye before the word; silent for screen readers.
    pub sign: &'static str,
    /// The word.
    pub word: &'static str,
}

pub(super) fn verdict(verdict: Verdict) -> Look {
    let (class, sign, word) = match verdict {
        Verdict::Conforms => ("conforms", "✓", "Conforms"),
        Verdict::Violated => ("violated", "✕", "Violated"),
        Verdict::Inconclusive => ("inconclusive", "?", "Inconclusive"),
    };
    Look { class, sign, word }
}

pub(super) fn standing(standing: Standing) -> Look {
    let (class, sign) = match standing {
        Standing::Conforms => ("conforms", "✓"),
        Standing::Violated => ("violated", "✕"),
        Standing::Inconclusive => ("inconclusive", "?"),
        Standing::NotApplicable => ("aside", "–"),
        Standing::NotRun => ("aside", "○"),
        Standing::Untested => ("aside", "·"),
    };
    Look { class, sign, word: standing.in_words() }
}

pub(super) fn outcome(outcome: TestOutcome) -> Look {
    match outcome {
        TestOutcome::Conforms => standing(Standing::Conforms),
        TestOutcome::Violated => standing(Standing::Violated),
        TestOutcome::Inconclusive => standing(Standing::Inconclusive),
        TestOutcome::NotApplicable => standing(Standing::NotApplicable),
        TestOutcome::Unfinished => Look { class: "aside", sign: "○", word: "not ended" },
    }
}

impl Look {
    pub(super) fn chip(self) -> Markup {
        html! {
            span class={ "chip " (self.class) } {
                span.sign aria-hidden="true" { (self.sign) }
                (self.word)
            }
        }
    }
}

pub(super) fn level(level: Level) -> Markup {
    html! { span class={ "level " (level.as_str()) } { (level.as_str()) } }
}

/// Text, with control characters and marks that turn the direction of writing made visible.
pub(super) fn text(text: &str) -> String {
    paragraph::one_line(text)
}

/// Items below each other as they are, or nothing.
pub(super) fn listing(name: &str, items: &[String]) -> Markup {
    html! {
        @if !items.is_empty() {
            h5 { (name) }
            pre tabindex="0" {
                code {
                    @for item in items { span.line { (text(item)) } "\n" }
                }
            }
        }
    }
}

/// A command to copy.
pub(super) fn command(command: &str) -> Markup {
    html! { pre.command tabindex="0" { code { (paragraph::lines(command)) } } }
}

/// A name of parts joined by `::` and `_`, that may break between them.
pub(super) fn name(name: &str) -> Markup {
    let broken = html! { (text(name)) }.into_string();
    PreEscaped(broken.replace("::", "::<wbr>").replace('_', "_<wbr>"))
}

/// Where a claim is written: a path in it may break between its parts.
pub(super) fn source(source: &str) -> Markup {
    let broken = html! { (text(source)) }.into_string();
    PreEscaped(broken.replace('/', "/<wbr>"))
}

/// A link to a folder beside the page; one that lies elsewhere is only named.
pub(super) fn evidence(folder: &str) -> Markup {
    html! {
        @if std::path::Path::new(folder).is_relative() {
            a href={ (utf8_percent_encode(folder, LINK)) "/" } { code { (name(folder)) } }
        } @else {
            code { (name(folder)) }
        }
    }
}

/// A number per outcome as a bar whose parts are as long as their share.
pub(super) fn bar(parts: &[(Look, u64)]) -> Markup {
    html! {
        div.bar aria-hidden="true" {
            @for (look, number) in parts {
                @if *number > 0 {
                    span class=(look.class) style={ "flex-grow:" (number) } {}
                }
            }
        }
    }
}
