//! The route string: `[SELECT *] FROM source [WHERE condition] INTO sink`. What stands behind the sink is ignored.

use super::accept::{self, Accepted};
use super::token::{Kind, Token, tokens};
use super::value::same_name;
use super::{Condition, Source, Stage, syntax, typing};

/// A route taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Source, normalised: it ends in one slash.
    pub source: String,
    /// Text of the condition; `true` when there is none.
    pub condition: String,
    /// Where it leads.
    pub sink: Sink,
    accepted: Accepted,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// The cloud.
    Upstream,
    /// An input of a module.
    Input {
        /// The module; the product takes an empty one.
        module: String,
        /// The input.
        input: String,
    },
}

/// Why a text is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteRefusal {
    /// It is not of the grammar.
    Grammar,
    /// The grammar holds, the sink is none.
    Sink,
    /// There is nothing in it.
    Empty,
}

/// Reads a route string.
///
/// # Errors
/// [`RouteRefusal`] when it is none.
pub fn route(text: &str) -> Result<Route, RouteRefusal> {
    let tokens = tokens(text);
    if tokens.is_empty() {
        return Err(RouteRefusal::Empty);
    }
    let kind = |at: usize| tokens.get(at).map(|token: &Token| token.kind);
    let mut at = 0;
    if kind(at) == Some(Kind::Select) {
        if kind(at + 1) != Some(Kind::Star) {
            return Err(RouteRefusal::Grammar);
        }
        at += 2;
    }
    if kind(at) != Some(Kind::From) {
        return Err(RouteRefusal::Grammar);
    }
    at += 1;
    let path = at;
    while kind(at) == Some(Kind::Slash) && matches!(kind(at + 1), Some(Kind::Star | Kind::Name)) {
        at += 2;
    }
    if at == path {
        return Err(RouteRefusal::Grammar);
    }
    let source: String = tokens[path..at].iter().map(|token| token.text.as_str()).collect();
    let (condition, accepted, at) = if kind(at) == Some(Kind::Where) {
        let begin = at + 1;
        let (end, accepted) = accept::condition(&tokens[begin..]).ok_or(RouteRefusal::Grammar)?;
        let (first, last) = (&tokens[begin], &tokens[begin + end - 1]);
        (text[first.start..last.end].to_owned(), accepted, begin + end)
    } else {
        ("true".to_owned(), Accepted::Clean, at)
    };
    if kind(at) != Some(Kind::Into) {
        return Err(RouteRefusal::Grammar);
    }
    Ok(Route { source: normalised(&source), condition, sink: sink(&tokens[at + 1..])?, accepted })
}

impl Route {
    /// Whether the condition compiles.
    pub fn compiles(&self) -> bool {
        self.compiled().is_ok()
    }

    /// The condition, when it compiles.
    ///
    /// # Errors
    /// [`Stage::Compile`] when it does not.
    pub(super) fn compiled(&self) -> Result<Condition, Stage> {
        if self.accepted == Accepted::Tolerated {
            return Err(Stage::Compile);
        }
        let tree = syntax::tree(&tokens(&self.condition)).ok_or(Stage::Compile)?;
        typing::type_of(&tree).map_err(|_| Stage::Compile)?;
        Ok(Condition { tree })
    }
}

fn sink(tokens: &[Token]) -> Result<Sink, RouteRefusal> {
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    match kind(0) {
        Some(Kind::System) if !tokens[0].text.contains(['[', ']']) || tokens[0].text.starts_with('$') => {
            let upstream = same_name(&tokens[0].text, "$upstream");
            if upstream { Ok(Sink::Upstream) } else { Err(RouteRefusal::Sink) }
        }
        Some(Kind::Name) => {
            let shape = [kind(1), kind(2), kind(3)] == [Some(Kind::Open), Some(Kind::Text), Some(Kind::Close)];
            if !shape {
                return Err(RouteRefusal::Grammar);
            }
            let quoted = &tokens[2].text;
            let input =
                same_name(&tokens[0].text, "BrokeredEndpoint").then(|| address(&quoted[1..quoted.len() - 1])).flatten();
            input.ok_or(RouteRefusal::Sink)
        }
        _ => Err(RouteRefusal::Grammar),
    }
}

/// Reads `/modules/{module}/inputs/{input}`; the first and third part may be anything.
fn address(text: &str) -> Option<Sink> {
    let text = text.trim();
    let text = text.strip_prefix('/').unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let parts: Vec<&str> = text.split('/').collect();
    let [_, module, _, input] = parts[..] else { return None };
    (!input.trim().is_empty()).then(|| Sink::Input { module: module.to_owned(), input: input.to_owned() })
}

/// The form of a source that is compared: trailing stars and slashes become one slash.
pub fn normalised(path: &str) -> String {
    let path = path.trim().trim_end_matches('*');
    if path == "/" {
        return path.to_owned();
    }
    format!("{}/", path.trim_end_matches('/'))
}

/// Whether a route with this normalised source takes a message of that source: a prefix, whatever the case.
pub fn source_matches(pattern: &str, source: &Source) -> bool {
    let own = own_path(source);
    own.len() >= pattern.len() && own.is_char_boundary(pattern.len()) && same_name(&own[..pattern.len()], pattern)
}

/// The path a message comes from.
pub fn own_path(source: &Source) -> String {
    match source {
        Source::LeafDevice => "/messages/".to_owned(),
        Source::TwinChange => "/twinChangeNotifications/".to_owned(),
        Source::Module { module, output: None } => format!("/messages/modules/{module}/"),
        Source::Module { module, output: Some(output) } => format!("/messages/modules/{module}/outputs/{output}/"),
    }
}
