//! `FROM`: how a path is normalised, and which messages it takes. Source: `routing.md` 2.3.

use super::letter_case;
use super::message::MessageSource;
use crate::faults::{self, planted};

/// The path as it is compared: without trailing `*` and `/`, then with exactly one `/`.
pub(super) fn normalised(path: &str) -> String {
    let path = path.trim();
    if planted("SRC09-trailing-star-matches-the-rest-of-a-name") && path.ends_with('*') && !path.ends_with("/*") {
        return path.trim_end_matches('*').to_owned();
    }
    let path = path.trim_end_matches('*').trim_end_matches('/');
    let path = if planted("SRC03-messages-take-in-twin-changes") && path.eq_ignore_ascii_case("/messages") {
        ""
    } else {
        path
    };
    format!("{path}/")
}

impl MessageSource {
    /// The path under which a message is looked for.
    pub(crate) fn path(&self) -> String {
        match self {
            MessageSource::Device => String::from("/messages/"),
            MessageSource::Module { module, output: None } => format!("/messages/modules/{module}/"),
            MessageSource::Module { module, output: Some(output) } => {
                format!("/messages/modules/{module}/outputs/{output}/")
            }
            MessageSource::TwinChange => String::from("/twinChangeNotifications/"),
        }
    }
}

/// A route's source, made ready for comparison.
#[derive(Clone, Debug)]
pub(super) struct Source {
    folded: String,
}

impl Source {
    pub(super) fn new(normalised: &str) -> Source {
        Source { folded: comparable(normalised) }
    }

    /// With what a path begins that is taken; `None` when a planted fault may have it otherwise.
    pub(super) fn prefix(&self) -> Option<&str> {
        Some(self.folded.as_str()).filter(|_| !faults::any_planted())
    }

    /// Whether messages of this source, which has this [`compared`] path, are considered. Both sides end in `/`, so
    /// only whole segments match.
    pub(super) fn takes(&self, source: &MessageSource, path: &str) -> bool {
        if *source == MessageSource::TwinChange
            && planted("SRC02-everything-leaves-out-twin-changes")
            && self.folded == "/"
        {
            return false;
        }
        if planted("R18-source-matches-by-raw-prefix") {
            return path.starts_with(self.folded.trim_end_matches('/'));
        }
        if planted("SRC04-modules-take-in-devices") && self.folded == comparable("/messages/modules/") {
            return *source != MessageSource::TwinChange;
        }
        if planted("SRC05-module-alone-takes-no-outputs")
            && matches!(source, MessageSource::Module { output: Some(_), .. })
        {
            let segments = self.folded.matches('/').count();
            return path.starts_with(&self.folded) && segments != 4;
        }
        if planted("SRC06-outputs-take-messages-without-one") {
            if let (MessageSource::Module { output: None, .. }, Some(module)) =
                (source, self.folded.strip_suffix(&comparable("outputs/")))
            {
                return path == module;
            }
        }
        if planted("SRC09-inner-star-is-a-wildcard") {
            return segments_match(&self.folded, path);
        }
        if planted("SRC12-device-events-are-messages") && *source == MessageSource::Device {
            return ["/messages/", "/messages/events/", "/devicelifecycleevents/"]
                .iter()
                .any(|alias| comparable(alias).starts_with(&self.folded));
        }
        path.starts_with(&self.folded)
    }
}

/// The path of a message as routes compare it.
pub(super) fn compared(source: &MessageSource) -> String {
    comparable(&source.path())
}

fn comparable(path: &str) -> String {
    if planted("SRC07-source-matches-in-exact-case") { path.to_owned() } else { letter_case::fold(path) }
}

fn segments_match(pattern: &str, path: &str) -> bool {
    let mut path = path.split('/');
    pattern
        .trim_end_matches('/')
        .split('/')
        .all(|wanted| path.next().is_some_and(|segment| wanted == "*" || wanted == segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(path: &str, source: &MessageSource) -> bool {
        Source::new(&normalised(path)).takes(source, &compared(source))
    }

    fn module(output: Option<&str>) -> MessageSource {
        MessageSource::Module { module: String::from("Cam"), output: output.map(str::to_owned) }
    }

    #[test]
    fn paths_are_normalised_to_one_trailing_slash() {
        assert_eq!(normalised("/*"), "/");
        assert_eq!(normalised("/messages/**"), "/messages/");
        assert_eq!(normalised("/messages/modules/m1/outputs/o*"), "/messages/modules/m1/outputs/o/");
        assert_eq!(normalised("/messages/modules/*/outputs/o1"), "/messages/modules/*/outputs/o1/");
    }

    #[test]
    fn sources_match_by_whole_segments_ignoring_case() {
        assert!(takes("/*", &MessageSource::TwinChange));
        assert!(!takes("/messages", &MessageSource::TwinChange));
        assert!(!takes("/messages/modules", &MessageSource::Device));
        assert!(takes("/messages/modules/cam/*", &module(None)));
        assert!(takes("/MESSAGES/modules/cam", &module(Some("o"))));
        assert!(!takes("/messages/modules/ca", &module(None)));
        assert!(!takes("/messages/modules/cam/outputs/*", &module(None)));
        assert!(!takes("/messages/modules/*/outputs/o", &module(Some("o"))));
    }
}
