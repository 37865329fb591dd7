//! One route string: source, condition and sink. Source: `routing.md` 2.

use super::condition;
use super::lexer::{self, Kind, Token};
use super::sink::Sink;
use super::source;
use crate::faults::planted;

/// A route string taken apart; the condition is still text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Normalised; ends in `/`.
    pub source: String,
    /// Text between `WHERE` and `INTO`, comments inside included; `true` without `WHERE`.
    pub condition: String,
    /// Where matching messages go.
    pub sink: Sink,
}

/// Why a route string is refused; displays as the product words it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not a route at all, or a condition the grammar does not accept.
    #[error("Exception of type 'Microsoft.Azure.Devices.Routing.Core.Query.RouteCompilationException' was thrown.")]
    Grammar,
    /// Nothing but blanks and comments.
    #[error("Route has no source.")]
    Empty,
    /// `$name` other than `$upstream`.
    #[error("System endpoint type '{0}' not supported.")]
    SystemSink(String),
    /// `Name("...")` other than `BrokeredEndpoint`.
    #[error("Function endpoint type '{0}' not supported.")]
    FunctionSink(String),
    /// An address without text.
    #[error("parameterString is null or whitespace.")]
    BlankAddress,
    /// An address that is not four segments with an input at the end.
    #[error("Endpoint parameter string '{0}' is not a module input.")]
    Address(String),
}

impl Route {
    /// Takes a route string apart: the parse stage of one route.
    ///
    /// Quirk: whatever stands behind the sink is ignored.
    ///
    /// # Errors
    /// [`RouteError`]; the grammar is judged before the sink.
    pub fn parse(route: &str) -> Result<Route, RouteError> {
        let tokens = lexer::tokens(route);
        if tokens.is_empty() {
            return Err(RouteError::Empty);
        }
        let mut clauses = Clauses { rest: &tokens };
        let source = clauses.source().ok_or(RouteError::Grammar)?;
        let condition = clauses.condition(route).ok_or(RouteError::Grammar)?;
        let sink = clauses.sink().ok_or(RouteError::Grammar)?;
        let source = source::normalised(&source);
        if source.to_ascii_lowercase().contains("events/") && planted("SRC12-event-sources-are-refused") {
            return Err(RouteError::Grammar);
        }
        Ok(Route { source, condition, sink: sink.resolve()? })
    }
}

/// A sink as written.
enum Written<'t> {
    System(&'t str),
    Function { name: &'t str, address: &'t str },
}

struct Clauses<'t> {
    rest: &'t [Token<'t>],
}

impl<'t> Clauses<'t> {
    fn take(&mut self, kind: Kind) -> Option<&'t str> {
        let (first, rest) = self.rest.split_first().filter(|(first, _)| first.kind == kind)?;
        self.rest = rest;
        Some(first.text)
    }

    /// `[SELECT *] FROM /item/item...`: every item is one token, so names that are other tokens cannot be written.
    fn source(&mut self) -> Option<String> {
        if self.take(Kind::Select).is_some() {
            self.take(Kind::Star)?;
        }
        self.take(Kind::From)?;
        if planted("SRC10-leading-slash-is-optional") && self.rest.first().is_some_and(|next| is_item(next.kind)) {
            let item = self.item()?;
            return Some(format!("/{item}{}", self.items()));
        }
        let path = self.items();
        if planted("SRC10-trailing-slash-is-accepted") && self.take(Kind::Slash).is_some() {
            return Some(path);
        }
        (!path.is_empty()).then_some(path)
    }

    /// As many `/item` as there are.
    fn items(&mut self) -> String {
        let mut path = String::new();
        while let [slash, item, rest @ ..] = self.rest {
            if slash.kind != Kind::Slash || !is_item(item.kind) {
                break;
            }
            path.push('/');
            path.push_str(item.text);
            self.rest = rest;
        }
        path
    }

    fn item(&mut self) -> Option<&'t str> {
        let (item, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(item.text)
    }

    /// `[WHERE condition]`, up to `INTO`, which no condition can contain.
    fn condition(&mut self, route: &str) -> Option<String> {
        if self.take(Kind::Where).is_none() {
            let absent = if planted("LANG02-no-condition-matches-nothing") { "false" } else { "true" };
            return Some(absent.to_owned());
        }
        let length = self.rest.iter().position(|token| token.kind == Kind::Into)?;
        let (condition, rest) = self.rest.split_at(length);
        let (first, last) = (condition.first()?, condition.last()?);
        if !condition::is_grammatical(condition) {
            return None;
        }
        self.rest = rest;
        Some(route[first.start..last.end()].to_owned())
    }

    fn sink(&mut self) -> Option<Written<'t>> {
        self.take(Kind::Into)?;
        let sink = match self.take(Kind::SystemProperty) {
            Some(name) => Written::System(name),
            None => {
                let name = self.take(Kind::Name)?;
                self.take(Kind::Open)?;
                let quoted = self.take(Kind::String)?;
                self.take(Kind::Close)?;
                let kept = quoted.starts_with('\'') && planted("R05-single-quotes-of-a-sink-stay");
                let address = if kept { quoted } else { &quoted[1..quoted.len() - 1] };
                Written::Function { name, address }
            }
        };
        let alone = self.rest.is_empty() || !planted("SRC14-text-behind-the-sink-is-refused");
        alone.then_some(sink)
    }
}

fn is_item(kind: Kind) -> bool {
    let lenient = planted("SRC11-any-word-names-a-segment")
        && matches!(kind, Kind::Integer | Kind::Real | Kind::And | Kind::Or | Kind::Not | Kind::SystemProperty);
    matches!(kind, Kind::Star | Kind::Name) || lenient
}

impl Written<'_> {
    fn resolve(&self) -> Result<Sink, RouteError> {
        match self {
            Written::System(name) => {
                let exact = planted("SINK01-upstream-in-lower-case-only");
                let is_upstream = if exact { *name == "$upstream" } else { name.eq_ignore_ascii_case("$upstream") };
                if is_upstream || planted("SINK01-any-system-sink-is-upstream") {
                    Ok(Sink::Upstream)
                } else {
                    Err(RouteError::SystemSink((*name).to_owned()))
                }
            }
            Written::Function { name, address } => {
                let exact = planted("SINK02-function-name-in-exact-case");
                let is_input =
                    if exact { *name == "BrokeredEndpoint" } else { name.eq_ignore_ascii_case("BrokeredEndpoint") };
                if is_input || planted("SINK02-any-function-name-is-accepted") {
                    input(address)
                } else {
                    Err(RouteError::FunctionSink((*name).to_owned()))
                }
            }
        }
    }
}

/// The address of a module input. Quirk: only the number of its segments and the input are checked, not the words
/// `modules` and `inputs`, and escapes in the text stay as they are.
fn input(address: &str) -> Result<Sink, RouteError> {
    let refused = || RouteError::Address(address.to_owned());
    let trimmed = address.trim();
    if trimmed.is_empty() {
        return Err(RouteError::BlankAddress);
    }
    let relative = trimmed.strip_prefix('/').unwrap_or(trimmed);
    let relative = relative.strip_suffix('/').unwrap_or(relative);
    let mut segments: Vec<&str> = relative.split('/').collect();
    if planted("SINK03-further-segments-are-ignored") {
        segments.truncate(4);
    }
    let [modules, module, inputs, input] = segments[..] else {
        return Err(refused());
    };
    if planted("SINK03-words-are-verified") && (modules, inputs) != ("modules", "inputs") {
        return Err(refused());
    }
    if input.trim().is_empty() {
        return Err(refused());
    }
    Ok(Sink::Input { module: module.to_owned(), input: input.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(route: &str) -> Result<(String, String), RouteError> {
        Route::parse(route).map(|route| (route.source, route.condition))
    }

    fn sink(sink: &str) -> Result<Sink, RouteError> {
        Route::parse(&format!("FROM /* INTO {sink}")).map(|route| route.sink)
    }

    fn both(source: &str, condition: &str) -> Result<(String, String), RouteError> {
        Ok((source.to_owned(), condition.to_owned()))
    }

    #[test]
    fn a_route_without_condition_is_true() {
        assert_eq!(parsed("select * from /messages/* into $upstream"), both("/messages/", "true"));
        assert_eq!(parsed("FROM / messages / * INTO $UPSTREAM junk"), both("/messages/", "true"));
    }

    #[test]
    fn a_comment_that_opens_in_a_path_swallows_the_condition() {
        let route = "FROM /messages/* WHERE a = 'x' /* n */ INTO $upstream";
        assert_eq!(parsed(route), both("/messages/", "true"));
        assert_eq!(parsed("FROM /* WHERE a = 'x' /* n */ INTO $upstream"), Err(RouteError::Grammar));
    }

    #[test]
    fn paths_that_are_no_items_are_refused() {
        for path in ["/", "/messages/", "messages", "//a", "/123", "/e1", "/and", "/$edgeHub", "/true", "/a[0]", ""] {
            assert_eq!(parsed(&format!("FROM {path} INTO $upstream")), Err(RouteError::Grammar), "{path}");
        }
    }

    #[test]
    fn an_empty_route_has_its_own_error() {
        assert_eq!(parsed(" /* nothing */ "), Err(RouteError::Empty));
    }

    #[test]
    fn addresses_have_four_segments_whatever_they_say() {
        let input = |module: &str, input: &str| Ok(Sink::Input { module: module.to_owned(), input: input.to_owned() });
        assert_eq!(sink("brokeredendpoint( ' /a/m2/b/in1/ ' )"), input("m2", "in1"));
        assert_eq!(sink("BrokeredEndpoint(\"/modules//inputs/i\")"), input("", "i"));
        assert!(sink("BrokeredEndpoint('/modules/m/inputs')").is_err());
        assert!(sink("BrokeredEndpoint('/modules/m/inputs/ ')").is_err());
        assert_eq!(sink("BrokeredEndpoint(' ')"), Err(RouteError::BlankAddress));
        assert_eq!(sink("$other"), Err(RouteError::SystemSink(String::from("$other"))));
        assert_eq!(sink("F('x')"), Err(RouteError::FunctionSink(String::from("F"))));
    }
}
