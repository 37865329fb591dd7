//! Which message goes where: configuration, route strings, conditions, fan-out.
//!
//! - `config`: the desired document, read as a whole (the parse stage); `route`: one route string in it.
//! - `table`: all conditions compiled (the compile stage), and the decision for one message; `index` finds the routes
//!   that may take it.
//! - `lexer`, `parser`, `leniency`: from text to a tree; `check`, `functions`: from a tree to typed nodes.
//! - `evaluate`, `value`, `text`: what nodes give for a message.
//! - `body`: what `$body` sees.
//!
//! Nothing here keeps state or knows time. Source: `routing.md`.

mod body;
mod check;
mod condition;
mod config;
mod evaluate;
mod functions;
mod index;
mod leniency;
mod letter_case;
mod lexer;
mod message;
mod node;
mod parser;
mod route;
mod sink;
mod source;
mod syntax;
mod table;
mod text;
mod value;

pub(crate) use condition::{Outcome, evaluate};
pub use config::{BrokerCounts, Config, ConfigError, RouteSpec};
pub use message::{Message, MessageSource};
pub(crate) use route::{Route, RouteError};
pub use sink::Sink;
pub use table::{CompileError, Destination, RoutingTable};
